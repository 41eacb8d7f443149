//! The autoscaler follows real CPU, and nobody else writes the number of replicas.

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt};
use goodgo_e2e::http;
use goodgo_e2e::oracle::tell;
use goodgo_e2e::scenario::{Namespace, eventually};
use kube::api::{WatchEvent, WatchParams};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a watch on the Deployment saw: each new number of replicas, and who ever owned the field.
#[derive(Debug, Clone, Default)]
struct Seen {
    replicas: Vec<i64>,
    owners: BTreeSet<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_cpu_scales_up_and_down_and_the_operator_never_writes_replicas() -> Result<()> {
    let shop = Namespace::new("scaling", 4).await?;
    let spec = json!({"port": 3003,
        "resources": {"requests": {"cpu": "20m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        "scaling": {"min": 1, "max": 3, "cpuPercent": 70, "scaleDownAfter": "15s"}});
    shop.service("product-service", spec).await?;
    shop.ready("product-service").await?;
    let seen = watch(&shop).await?;

    let url = format!("http://{}/burn?ms=50", shop.address("product-service").await?);
    let stop = Arc::new(AtomicBool::new(false));
    // About a tenth of a core: 500 % of the request, whose autoscaling needs no busy machine.
    let burning = tokio::spawn(burn(url, Arc::clone(&stop)));
    let up = eventually("the autoscaler made more pods", Duration::from_secs(180), || async {
        let service = shop.get("GoodGoService", "product-service").await?;
        ensure!(
            service["status"]["replicas"]["ready"].as_i64() >= Some(2),
            "{}",
            service["status"]["replicas"]
        );
        Ok(())
    });
    if let Err(error) = up.await {
        let hpa = shop.kubectl(&["describe", "hpa", "product-service--hpa"]).await?;
        let top = shop.kubectl_says(&["top", "pods", "--containers"], None).await?;
        anyhow::bail!("{error:#}\n{hpa}\n{}{}", top.stdout, top.stderr);
    }
    stop.store(true, Ordering::Relaxed);
    burning.await??;
    shop.settled("product-service", 1, &[]).await?;

    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    tell(&format!("replicas over time: {:?}, written by {:?}", seen.replicas, seen.owners));
    assert!(!seen.owners.contains("goodgo-operator"), "{:?}", seen.owners);
    assert!(seen.owners.contains("kube-controller-manager"), "the autoscaler wrote it: {:?}", seen.owners);
    let peak = seen.replicas.iter().position(|count| Some(count) == seen.replicas.iter().max());
    let (up, down) = seen.replicas.split_at(peak.unwrap_or_default());
    assert!(
        up.is_sorted() && down.iter().rev().is_sorted(),
        "up, then down, never reset: {:?}",
        seen.replicas
    );
    assert_eq!(seen.replicas.last(), Some(&1));
    assert_eq!(seen.replicas.first(), Some(&1));
    shop.ready("product-service").await?;
    Ok(())
}

/// Keeps pods busy until told to stop.
async fn burn(url: String, stop: Arc<AtomicBool>) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let (status, body) = http::get(&url, Duration::from_secs(20)).await?;
        ensure!(status == 200, "{status} {body}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Ok(())
}

/// Watches the Deployment from now on, every version of it.
async fn watch(shop: &Namespace) -> Result<Arc<Mutex<Seen>>> {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (api, into) = (shop.api("Deployment")?, Arc::clone(&seen));
    note(&into, &shop.get("Deployment", "product-service").await?);
    tokio::spawn(async move {
        let mut version = "0".to_owned();
        loop {
            let params = WatchParams::default().fields("metadata.name=product-service").timeout(290);
            let Ok(events) = api.watch(&params, &version).await else { return };
            let mut events = events.boxed();
            while let Ok(Some(event)) = events.try_next().await {
                let (WatchEvent::Added(object) | WatchEvent::Modified(object)) = event else { continue };
                version = object.metadata.resource_version.clone().unwrap_or_default();
                if let Ok(object) = serde_json::to_value(&object) {
                    note(&into, &object);
                }
            }
        }
    });
    Ok(seen)
}

fn note(seen: &Mutex<Seen>, deployment: &Value) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let count = deployment["spec"]["replicas"].as_i64().unwrap_or_default();
    if seen.replicas.last() != Some(&count) {
        seen.replicas.push(count);
    }
    for manager in deployment["metadata"]["managedFields"].as_array().into_iter().flatten() {
        if manager["fieldsV1"]["f:spec"].get("f:replicas").is_some() {
            seen.owners.insert(manager["manager"].as_str().unwrap_or_default().to_owned());
        }
    }
}
