//! The example platform as a whole: every service Ready, and calls through both runtimes.

use anyhow::{Context, Result, ensure};
use goodgo_e2e::oracle::metrics;
use goodgo_e2e::scenario::Namespace;
use goodgo_e2e::{http, product};
use serde_json::Value;
use std::time::Duration;

const SERVICES: [&str; 5] =
    ["iam-service", "user-service", "product-service", "order-service", "notification-service"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_platform_answers_through_both_runtimes_of_every_call() -> Result<()> {
    let shop = Namespace::new("chain", 7).await?;
    let examples = product::examples(&shop.platform.images.demo)?;
    let said = shop.kubectl_says(&["apply", "-f", "-"], Some(examples)).await?;
    ensure!(said.success && said.stderr.is_empty(), "kubectl apply: {}", said.stderr);
    for service in SERVICES {
        let seen = shop.ready(service).await?;
        assert_eq!(seen["status"]["observedGeneration"], seen["metadata"]["generation"], "{service}");
    }
    let user = shop.get("GoodGoService", "user-service").await?;
    assert_eq!(user["status"]["calls"][0]["state"], "Ok", "{}", user["status"]);
    assert_eq!(user["status"]["endpoint"], format!("user-service.{}.svc.cluster.local:3002", shop.name));

    const CALLS: u32 = 20;
    let before = [
        requests(&shop, "user-service", "service").await?,
        requests(&shop, "user-service", "iam-service").await?,
        requests(&shop, "iam-service", "service").await?,
    ];
    let users = format!("http://{}/users/123", shop.address("user-service").await?);
    for _ in 0..CALLS {
        let answer = get(&users).await?;
        assert_eq!(answer["id"], "123");
        assert_eq!(answer["permissions"]["userId"], "123", "iam-service's answer is in it: {answer}");
        assert_eq!(answer["permissions"]["permissions"][0], "orders:read");
        let iam = answer["permissions"]["pod"].as_str().context("iam-service told its pod")?.to_owned();
        assert!(iam.starts_with("iam-service-"), "{answer}");
    }
    let after = [
        requests(&shop, "user-service", "service").await?,
        requests(&shop, "user-service", "iam-service").await?,
        requests(&shop, "iam-service", "service").await?,
    ];
    let hops = ["into user-service", "out to iam-service", "into iam-service"];
    for ((hop, before), after) in hops.iter().zip(before).zip(after) {
        assert_eq!(after - before, f64::from(CALLS), "every call went through the runtime {hop}, once");
    }

    let order = get(&format!("http://{}/orders/7", shop.address("order-service").await?)).await?;
    assert_eq!(order["user"]["permissions"]["userId"], "7", "three services deep: {order}");
    assert_eq!(order["product"]["id"], "7", "{order}");
    Ok(())
}

async fn get(url: &str) -> Result<Value> {
    let (status, body) = http::get(url, Duration::from_secs(10)).await?;
    ensure!(status == 200, "{url}: {status} {body}");
    serde_json::from_str(&body).with_context(|| format!("{url}: {body}"))
}

/// Requests that the runtimes of a service's pods counted on a listener.
async fn requests(namespace: &Namespace, service: &str, listener: &str) -> Result<f64> {
    let mut sum = 0.0;
    for text in namespace.runtimes(service, "metrics").await? {
        ensure!(text.contains("# EOF") || text.contains("# TYPE"), "{service} answered no metrics: {text}");
        sum += metrics::sum(&text, "goodgo_runtime_requests_total", &[&format!("listener=\"{listener}\"")]);
    }
    Ok(sum)
}
