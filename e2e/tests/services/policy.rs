//! What the declared calls open is there, and nothing else. As objects: nothing enforces them here.

use anyhow::{Context, Result, ensure};
use goodgo_e2e::oracle::policy::{End, allows};
use goodgo_e2e::scenario::Namespace;
use serde_json::{Value, json};

const SERVICE: u64 = 14001;
const GATEWAY: u64 = 14002;
const ADMIN: u64 = 14010;
const DRAIN: u64 = 14011;
const APP: u64 = 3000;

async fn end(shop: &Namespace, service: &str) -> Result<End> {
    shop.ready(service).await?;
    let pod = shop.settled(service, 1, &[]).await?.remove(0);
    let namespace = shop.get("Namespace", &shop.name).await;
    let namespace_labels = match namespace {
        Ok(namespace) => namespace["metadata"]["labels"].clone(),
        Err(_) => json!({"kubernetes.io/metadata.name": shop.name}),
    };
    Ok(End { namespace: shop.name.clone(), namespace_labels, pod })
}

async fn policies(shop: &Namespace) -> Result<Vec<Value>> {
    let found = shop.list("NetworkPolicy", "app.kubernetes.io/managed-by=goodgo-operator").await?;
    for policy in &found {
        let mut types: Vec<String> = serde_json::from_value(policy["spec"]["policyTypes"].clone())?;
        types.sort();
        ensure!(types == ["Egress", "Ingress"], "both directions are denied unless declared: {policy}");
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declared_call_opens_its_one_port_and_the_undeclared_opens_nothing() -> Result<()> {
    let shop = Namespace::new("policy", 3).await?;
    shop.service("callee", json!({})).await?;
    shop.service("caller", json!({"calls": [{"service": "callee"}]})).await?;
    shop.service("stranger", json!({})).await?;
    let (caller, callee, stranger) =
        (end(&shop, "caller").await?, end(&shop, "callee").await?, end(&shop, "stranger").await?);
    let all = policies(&shop).await?;
    assert_eq!(all.len(), 3, "one policy a service");

    let port = callee.port("service").context("the callee names its service port")?;
    assert_eq!(port, SERVICE);
    assert!(allows(&all, &caller, &callee, SERVICE), "the declared call: {all:#?}");
    for port in [APP, GATEWAY, ADMIN, DRAIN, 14100, 22] {
        assert!(!allows(&all, &caller, &callee, port), "the call opens no port {port}");
    }
    for port in [SERVICE, APP, GATEWAY, ADMIN, DRAIN] {
        assert!(!allows(&all, &stranger, &callee, port), "a stranger reaches no port {port}");
        assert!(!allows(&all, &callee, &caller, port), "a call opens nothing backwards, {port}");
    }

    // DNS, which everybody needs, and nothing else that runs beside it.
    let dns = End {
        namespace: "kube-system".into(),
        namespace_labels: json!({"kubernetes.io/metadata.name": "kube-system"}),
        pod: json!({"metadata": {"labels": {"k8s-app": "kube-dns"}}}),
    };
    assert!(allows(&all, &caller, &dns, 53), "{all:#?}");
    assert!(!allows(&all, &caller, &dns, 443));

    // A pod of another namespace with the caller's own labels is not the caller.
    let borrowed = End {
        namespace: "elsewhere".into(),
        namespace_labels: json!({"kubernetes.io/metadata.name": "elsewhere"}),
        pod: caller.pod.clone(),
    };
    assert!(!allows(&all, &borrowed, &callee, SERVICE));

    // Revoked: both sides close.
    shop.service("caller", json!({})).await?;
    let caller = end(&shop, "caller").await?;
    shop.ready("callee").await?;
    goodgo_e2e::scenario::eventually("the call is closed", std::time::Duration::from_secs(30), || async {
        ensure!(!allows(&policies(&shop).await?, &caller, &callee, SERVICE), "it is still open");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_callees_runtime_off_the_call_opens_the_apps_port_instead() -> Result<()> {
    let shop = Namespace::new("policy-plain", 2).await?;
    shop.service("callee", json!({"runtime": {"enabled": false}})).await?;
    shop.service("caller", json!({"calls": [{"service": "callee"}]})).await?;
    let (caller, callee) = (end(&shop, "caller").await?, end(&shop, "callee").await?);
    assert_eq!(callee.port("service"), Some(APP));
    let all = policies(&shop).await?;
    assert!(allows(&all, &caller, &callee, APP), "{all:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_may_ask_the_runtimes_and_drain_is_open_to_nobody() -> Result<()> {
    let shop = Namespace::new("policy-admin", 1).await?;
    shop.service("web", json!({})).await?;
    let web = end(&shop, "web").await?;
    let all = policies(&shop).await?;
    let found = shop
        .kubectl(&[
            "get",
            "pods",
            "-n",
            "goodgo-system",
            "-l",
            "app.kubernetes.io/name=goodgo-operator",
            "-o",
            "json",
        ])
        .await?;
    let found: Value = serde_json::from_str(&found)?;
    let pod = found["items"][0].clone();
    ensure!(pod.is_object(), "the operator's pod: {found}");
    let operator = End {
        namespace: "goodgo-system".into(),
        namespace_labels: json!({"kubernetes.io/metadata.name": "goodgo-system"}),
        pod,
    };
    assert!(allows(&all, &operator, &web, ADMIN), "{all:#?}");
    for port in [SERVICE, DRAIN, APP] {
        assert!(!allows(&all, &operator, &web, port), "{port}");
    }
    Ok(())
}
