//! A rolling update under load in every protocol that an app may speak. The app exits at once on SIGTERM, clients repeat
//! nothing that was begun, and nothing fails.

use anyhow::{Result, ensure};
use goodgo_e2e::oracle::tell;
use goodgo_e2e::scenario::Namespace;
use goodgo_e2e::workload::load::{Load, Protocol};
use serde_json::{Value, json};
use std::time::Duration;

/// 100 requests a second in each protocol; over HTTP/2 four clients share a connection.
const CLIENTS: u32 = 16;
const PERIOD: Duration = Duration::from_millis(160);

async fn stop(what: &str, load: Load) -> Result<()> {
    load.more(500).await?;
    let report = load.stop().await?;
    tell(&format!("rolling update, {what}: {report}"));
    ensure!(report.failed == 0, "{what}: {report}");
    ensure!(report.pods.len() >= 3, "{what}: the load met too few pods to show anything: {report}");
    Ok(())
}

fn uids(pods: &[Value]) -> Vec<String> {
    pods.iter().map(|pod| pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_update_fails_nothing_over_http1_http2_and_websocket() -> Result<()> {
    let shop = Namespace::alone("drain").await?;
    shop.service("web", json!({"replicas": 3})).await?;
    shop.ready("web").await?;
    let old = uids(&shop.settled("web", 3, &[]).await?);
    let address = shop.address("web").await?;
    let load = |protocol| Load::over(protocol, &address, CLIENTS, PERIOD);
    let (http1, http2, websocket) = (load(Protocol::Http1), load(Protocol::Http2), load(Protocol::WebSocket));
    websocket.more(500).await?;
    shop.edit("GoodGoService", "web", json!({"spec": {"restartToken": "again"}})).await?;
    shop.settled("web", 3, &old).await?;
    stop("HTTP/1.1 keep-alive, GET and POST", http1).await?;
    stop("HTTP/2, GET and POST", http2).await?;
    stop("WebSocket messages", websocket).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_update_of_a_grpc_service_fails_no_call() -> Result<()> {
    let shop = Namespace::alone("drain-grpc").await?;
    shop.service("web", json!({"replicas": 3, "protocol": "GRPC"})).await?;
    shop.ready("web").await?;
    let old = uids(&shop.settled("web", 3, &[]).await?);
    let load = Load::over(Protocol::Grpc(None), &shop.address("web").await?, CLIENTS, PERIOD);
    load.more(500).await?;
    shop.edit("GoodGoService", "web", json!({"spec": {"restartToken": "again"}})).await?;
    shop.settled("web", 3, &old).await?;
    stop("gRPC", load).await
}
