//! Who has a path keeps it.

use super::site::{SOON, Site, route};
use anyhow::{Result, ensure};
use goodgo_e2e::scenario::eventually;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_holds_a_path_keeps_it() -> Result<()> {
    let site = Site::new("claims", 2).await?;
    let gateway = site.gateway(&json!([route("who", "/whoami", json!({}))]));
    site.shop.service("first", json!({"replicas": 1, "gateway": gateway})).await?;
    site.shop.ready("first").await?;
    site.answers("/whoami", 200).await?;
    site.shop.service("a-second", json!({"replicas": 1, "gateway": gateway})).await?;
    site.shop.until("a-second", "RoutesReady", "False", &["first"], SOON).await?;
    for _ in 0..20 {
        assert!(site.https.get("/whoami").await?.body.contains("\"service\":\"first\""));
    }
    site.shop.delete("GoodGoService", "first").await?;
    eventually("the second one serves", SOON, || async {
        let answer = site.https.get("/whoami").await?;
        ensure!(answer.body.contains("\"service\":\"a-second\""), "{answer:?}");
        Ok(())
    })
    .await
}
