//! Pods come and go, of services and of the gateway, and no request is lost.

use super::load::meanwhile;
use super::site::{Site, route};
use anyhow::{Result, ensure};
use goodgo_e2e::product;
use goodgo_e2e::scenario::Namespace;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_updates_behind_and_of_the_gateway_fail_nothing_and_pods_get_even_shares() -> Result<()> {
    let site = Site::on(Namespace::alone("roll").await?).await?;
    let gateway = site.gateway(&json!([route("who", "/whoami", json!({}))]));
    site.shop.service("web", json!({"replicas": 4, "gateway": gateway})).await?;
    site.shop.ready("web").await?;
    site.answers("/whoami", 200).await?;
    let old = site.shop.settled("web", 4, &[]).await?;
    let rest = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok(())
    };
    let ((), pods) = meanwhile("four pods at rest", &site.https, rest).await?;
    let all: usize = pods.values().sum();
    ensure!(
        pods.len() == 4 && pods.values().all(|count| (20..=30).contains(&(count * 100 / all))),
        "{pods:?}"
    );

    let uid = |pod: &Value| pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let old: Vec<_> = old.iter().map(uid).collect();
    let update = async {
        site.shop.edit("GoodGoService", "web", json!({"spec": {"restartToken": "again"}})).await?;
        site.shop.settled("web", 4, &old).await
    };
    let (_, pods) = meanwhile("rolling update behind the gateway", &site.https, update).await?;
    ensure!(pods.len() >= 6, "{pods:?}");

    let kubectl = site.shop.platform.cluster.kubectl();
    let update = async {
        let of = ["-n", product::NAMESPACE, "rollout"];
        kubectl.run(&[&of[..], &["restart", "deployment/goodgo-gateway"]].concat())?;
        let status = [&of[..], &["status", "deployment/goodgo-gateway", "--timeout=60s"]].concat();
        tokio::task::block_in_place(|| kubectl.run(&status))?;
        // Until the old one has let go of its connections.
        tokio::time::sleep(Duration::from_secs(12)).await;
        Ok(())
    };
    meanwhile("rolling update of the gateway", &site.https, update).await.map(drop)
}
