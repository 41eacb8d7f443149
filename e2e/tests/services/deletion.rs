//! What is deleted goes whole, and in time.

use anyhow::{Result, ensure};
use goodgo_e2e::oracle::{children, tell};
use goodgo_e2e::scenario::{Namespace, eventually};
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_one_service_removes_its_children_and_nobody_elses() -> Result<()> {
    let shop = Namespace::new("delete-one", 3).await?;
    shop.service("web", json!({"scaling": {"min": 1, "max": 2}})).await?;
    shop.service("web-2", json!({})).await?;
    shop.ready("web").await?;
    shop.ready("web-2").await?;
    let others = children(&shop, "web-2").await?;
    ensure!(children(&shop, "web").await?.len() >= 6, "there is something to remove");

    let began = Instant::now();
    shop.kubectl(&["delete", "goodgoservice", "web", "--timeout=60s"]).await?;
    eventually("every child is gone", Duration::from_secs(90), || async {
        let left = children(&shop, "web").await?;
        ensure!(left.is_empty(), "{:?}", left.keys());
        let pods = shop.pods("web").await?;
        ensure!(pods.is_empty(), "{} pods", pods.len());
        Ok(())
    })
    .await?;
    tell(&format!("deleting one service took {:.1?}, its pods included", began.elapsed()));
    assert_eq!(children(&shop, "web-2").await?, others, "the neighbour was not touched");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_with_services_in_it_can_be_deleted() -> Result<()> {
    let shop = Namespace::new("delete-all", 4).await?;
    shop.service("iam-service", json!({"port": 3001, "replicas": 2})).await?;
    shop.service("user-service", json!({"port": 3002, "calls": [{"service": "iam-service"}]})).await?;
    shop.service("waiting", json!({"calls": [{"service": "nobody"}]})).await?;
    shop.ready("iam-service").await?;
    shop.ready("user-service").await?;
    let began = Instant::now();
    let said = shop.kubectl_says(&["delete", "namespace", &shop.name, "--timeout=90s"], None).await?;
    if !said.success {
        let stuck = shop.kubectl(&["get", "namespace", &shop.name, "-o", "jsonpath={.status}"]).await?;
        anyhow::bail!("{}\n{stuck}\n{}", said.stderr, shop.state("user-service").await);
    }
    tell(&format!("deleting a namespace with three services took {:.1?}", began.elapsed()));
    Ok(())
}
