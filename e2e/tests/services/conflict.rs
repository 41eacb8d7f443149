//! An object that the operator did not create stands where a child belongs: it is left alone.

use anyhow::{Result, ensure};
use goodgo_e2e::scenario::{Namespace, condition, eventually};
use serde_json::{Value, json};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(60);

async fn is_left_alone(kind: &str, name: &str, foreign: Value) -> Result<()> {
    let shop = Namespace::new("conflict", 1).await?;
    let mut foreign = foreign;
    foreign["metadata"] = json!({"name": name, "namespace": shop.name, "labels": {"made": "by-hand"}});
    shop.apply(&foreign).await?;
    let before = shop.get(kind, name).await?;

    shop.service("web", json!({})).await?;
    let conflict = shop.until("web", "ChildConflict", "True", &[kind, name], SOON).await?;
    let ready = condition(&conflict, "Ready").map(|ready| ready["status"].clone());
    assert_eq!(ready, Some(json!("False")), "{}", conflict["status"]);
    assert_eq!(shop.get(kind, name).await?, before, "not a byte of it changed");
    let told = shop.kubectl(&["describe", "goodgoservice", "web"]).await?;
    let events = told.split_once("Events:").map_or("", |(_, events)| events);
    assert!(events.contains(name), "an event names it:\n{told}");

    // Recovers by itself once it is gone.
    shop.delete(kind, name).await?;
    shop.ready("web").await?;
    eventually("the conflict is no longer told", SOON, || async {
        let web = shop.get("GoodGoService", "web").await?;
        ensure!(
            condition(&web, "ChildConflict").is_none_or(|found| found["status"] == "False"),
            "{}",
            web["status"]
        );
        Ok(())
    })
    .await?;
    let own = shop.get(kind, name).await?;
    assert_eq!(own["metadata"]["labels"]["app.kubernetes.io/managed-by"], "goodgo-operator");
    assert_eq!(own["metadata"]["ownerReferences"][0]["kind"], "GoodGoService");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_config_map_is_left_alone_and_named() -> Result<()> {
    let foreign = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"runtime.json": "mine"}});
    is_left_alone("ConfigMap", "web--runtime", foreign).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_service_is_left_alone_and_named() -> Result<()> {
    let foreign = json!({"apiVersion": "v1", "kind": "Service",
        "spec": {"selector": {"app": "mine"}, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}});
    is_left_alone("Service", "web", foreign).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn borrowed_labels_do_not_make_an_object_ours() -> Result<()> {
    let shop = Namespace::new("borrowed", 1).await?;
    let labels = json!({"app.kubernetes.io/managed-by": "goodgo-operator", "goodgo.io/service": "web"});
    shop.apply(&json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"key": "mine"},
        "metadata": {"name": "precious", "namespace": shop.name, "labels": labels}}))
        .await?;
    let before = shop.get("ConfigMap", "precious").await?;
    shop.service("web", json!({})).await?;
    shop.ready("web").await?;
    // A change of the service makes the operator look for what is no longer rendered.
    shop.service("web", json!({"labels": {"team": "shop"}})).await?;
    shop.ready("web").await?;
    assert_eq!(
        shop.get("ConfigMap", "precious").await?,
        before,
        "it was not made by the operator: not its to prune"
    );
    Ok(())
}
