//! helm takes the operator away and brings it back, and services don't notice. A binary of its own,
//! last in the alphabet: while it runs nobody is reconciled.
#![allow(
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests: a panic is a report, and what was measured is printed"
)]

use anyhow::{Context, Result, ensure};
use goodgo_e2e::oracle::{Children, children, tell};
use goodgo_e2e::product::NAMESPACE;
use goodgo_e2e::scenario::{Namespace, eventually};
use goodgo_e2e::workload::load::Load;
use kube::api::Api;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_outlive_the_operator_and_a_new_one_takes_over_without_touching_them() -> Result<()> {
    let shop = Namespace::alone("uninstall").await?;
    shop.service("iam-service", json!({"port": 3001})).await?;
    shop.service("user-service", json!({"port": 3002, "replicas": 2, "calls": [{"service": "iam-service"}]}))
        .await?;
    for service in ["iam-service", "user-service"] {
        shop.ready(service).await?;
    }
    shop.settled("user-service", 2, &[]).await?;
    let before = everything(&shop).await?;
    let load = Load::start(&shop.address("user-service").await?, 4, Duration::from_millis(50));

    let platform = shop.platform;
    blocking(move || platform.helm(&["uninstall", "goodgo-operator", "--namespace", NAMESPACE, "--wait"]))
        .await?;
    eventually("the operator's pods are gone", Duration::from_secs(60), || async {
        let pods = shop.kubectl(&["get", "pods", "-n", NAMESPACE, "-o", "name"]).await?;
        ensure!(pods.trim().is_empty(), "{pods}");
        Ok(())
    })
    .await?;
    let crds: Api<kube::core::DynamicObject> =
        Api::all_with(shop.client(), &goodgo_e2e::oracle::kind("CustomResourceDefinition")?);
    let crd = crds.get("goodgoservices.goodgo.io").await.context("the CRD is kept")?;
    ensure!(crd.metadata.deletion_timestamp.is_none(), "the CRD is being deleted");
    assert_eq!(everything(&shop).await?, before, "services and pods are as they were");

    blocking(move || platform.install()).await?;
    // It leads and works: what was broken meanwhile is mended.
    shop.delete("ConfigMap", "iam-service--runtime").await?;
    eventually("the new operator repairs", Duration::from_secs(60), || {
        shop.get("ConfigMap", "iam-service--runtime")
    })
    .await?;
    shop.ready("user-service").await?;
    let mut after = everything(&shop).await?;
    for (name, child) in &mut after.children {
        if name == "ConfigMap/iam-service--runtime" {
            *child = before.children.get(name).cloned().context("it was there before")?;
        }
    }
    assert_eq!(after, before, "the new operator wrote to nothing that was as it should be");
    load.more(100).await?;
    let report = load.stop().await?;
    tell(&format!("without and with the operator: {report}"));
    ensure!(report.failed == 0, "{report}");
    Ok(())
}

/// What must not change: children, pods and the resources themselves.
#[derive(Debug, Clone, PartialEq)]
struct Everything {
    children: Children,
    pods: Vec<Value>,
    services: Vec<Value>,
    deployments: Vec<Value>,
}

async fn everything(shop: &Namespace) -> Result<Everything> {
    let mut children_of_both = children(shop, "iam-service").await?;
    children_of_both.extend(children(shop, "user-service").await?);
    let identity = |object: &Value| json!([object["metadata"]["name"], object["metadata"]["uid"]]);
    let mut pods = Vec::new();
    let mut services = Vec::new();
    let mut deployments = Vec::new();
    for service in ["iam-service", "user-service"] {
        for pod in shop.pods(service).await? {
            let restarts = pod.pointer("/status/containerStatuses/0/restartCount").cloned();
            pods.push(json!([identity(&pod), restarts]));
        }
        services.push(identity(&shop.get("GoodGoService", service).await?));
        let deployment = shop.get("Deployment", service).await?;
        deployments.push(json!([identity(&deployment), deployment["metadata"]["resourceVersion"]]));
    }
    Ok(Everything { children: children_of_both, pods, services, deployments })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}
