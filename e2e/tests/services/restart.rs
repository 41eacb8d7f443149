//! The kubelet restarts an app whose liveness probe fails, and runs its preStop hook before: the pod is drained and then
//! goes on living. It has to come back into service without anybody's help.

use anyhow::{Result, ensure};
use goodgo_e2e::http;
use goodgo_e2e::oracle::tell;
use goodgo_e2e::scenario::{Namespace, eventually};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How often the container of this name was restarted.
fn restarts(pod: &Value, list: &str, container: &str) -> i64 {
    let statuses = pod["status"][list].as_array().into_iter().flatten();
    statuses
        .filter(|status| status["name"] == container)
        .filter_map(|status| status["restartCount"].as_i64())
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_its_liveness_probe_restarted_is_served_again() -> Result<()> {
    let shop = Namespace::new("liveness", 1).await?;
    let probe = json!({"path": "/health/live", "initialDelay": "1s", "period": "1s"});
    let spec = json!({"replicas": 1, "health": {"live": probe}, "terminationGracePeriod": "20s"});
    shop.service("web", spec).await?;
    shop.ready("web").await?;
    let before = shop.settled("web", 1, &[]).await?;
    let address = shop.address("web").await?;

    let began = Instant::now();
    let (status, _) = http::get(&format!("http://{address}/sick"), Duration::from_secs(5)).await?;
    ensure!(status == 200, "the app did not fall sick: {status}");
    let after = eventually("the restarted app is served again", Duration::from_secs(120), || async {
        let pods = shop.pods("web").await?;
        let restarted = pods.first().is_some_and(|pod| restarts(pod, "containerStatuses", "app") > 0);
        ensure!(restarted, "the app was not restarted yet");
        let answer = http::get(&format!("http://{address}/whoami"), Duration::from_secs(2)).await;
        ensure!(matches!(answer, Ok((200, _))), "{answer:?}\n{}", shop.state("web").await);
        Ok(pods)
    })
    .await?;
    tell(&format!("an app restarted by its liveness probe was served again after {:.1?}", began.elapsed()));
    ensure!(before[0]["metadata"]["uid"] == after[0]["metadata"]["uid"], "another pod took its place");
    ensure!(restarts(&after[0], "initContainerStatuses", "goodgo-runtime") == 0, "the runtime was restarted");
    shop.ready("web").await?;
    Ok(())
}
