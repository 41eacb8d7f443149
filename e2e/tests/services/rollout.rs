//! Pods are replaced and taken away under constant load, and no request fails.
//!
//! The app exits at once on SIGTERM, the worst that it can do; clients keep their connections and
//! repeat nothing.

use anyhow::{Result, ensure};
use goodgo_e2e::oracle::tell;
use goodgo_e2e::scenario::Namespace;
use goodgo_e2e::workload::load::Load;
use serde_json::{Value, json};
use std::time::Duration;

const CONNECTIONS: u32 = 16;
/// 400 requests a second over all connections.
const PERIOD: Duration = Duration::from_millis(40);

fn uids(pods: &[Value]) -> Vec<String> {
    pods.iter().map(|pod| pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn three_pods(purpose: &str) -> Result<(Namespace, Vec<String>)> {
    let shop = Namespace::alone(purpose).await?;
    shop.service("web", json!({"replicas": 3})).await?;
    shop.ready("web").await?;
    let pods = uids(&shop.settled("web", 3, &[]).await?);
    Ok((shop, pods))
}

async fn finish(what: &str, load: Load, pods_at_least: usize) -> Result<()> {
    load.more(2_000).await?;
    let report = load.stop().await?;
    tell(&format!("{what}: {report}"));
    ensure!(report.failed == 0, "{what}: {report}");
    ensure!(report.pods.len() >= pods_at_least, "the load met too few pods to show anything: {report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_restart_token_under_load_fails_no_request() -> Result<()> {
    let (shop, old) = three_pods("restart-token").await?;
    let load = Load::start(&shop.address("web").await?, CONNECTIONS, PERIOD);
    load.more(2_000).await?;
    shop.edit("GoodGoService", "web", json!({"spec": {"restartToken": "again"}})).await?;
    shop.settled("web", 3, &old).await?;
    finish("restartToken", load, 4).await?;
    shop.ready("web").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_rollout_restart_under_load_fails_no_request() -> Result<()> {
    let (shop, old) = three_pods("rollout-restart").await?;
    let load = Load::start(&shop.address("web").await?, CONNECTIONS, PERIOD);
    load.more(2_000).await?;
    shop.kubectl(&["rollout", "restart", "deployment/web"]).await?;
    shop.settled("web", 3, &old).await?;
    finish("kubectl rollout restart", load, 4).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scaling_from_three_pods_to_one_under_load_fails_no_request() -> Result<()> {
    let (shop, _) = three_pods("scale-down").await?;
    let load = Load::start(&shop.address("web").await?, CONNECTIONS, PERIOD);
    load.more(2_000).await?;
    shop.kubectl(&["scale", "goodgoservice", "web", "--replicas=1"]).await?;
    shop.settled("web", 1, &[]).await?;
    finish("scale 3 to 1", load, 2).await
}
