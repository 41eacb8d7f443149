//! The autoscaler follows real CPU, and nobody else writes the number of replicas.

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt};
use goodgo_e2e::http;
use goodgo_e2e::oracle::tell;
use goodgo_e2e::scenario::{Namespace, eventually};
use goodgo_e2e::workload::load::{Load, Protocol};
use kube::api::{WatchEvent, WatchParams};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_pods_that_the_autoscaler_made_get_a_quarter_each_under_grpc_load() -> Result<()> {
    /// Enough that chance alone keeps each share within a fraction of the five percent.
    const WINDOW: u64 = 1_200;
    const LIMIT: Duration = Duration::from_secs(15);
    let shop = Namespace::alone("spread").await?;
    // The load is some hundred times what a pod may use, so that the autoscaler wants all four at its first look.
    let callee = json!({"port": 3003, "protocol": "GRPC",
        "resources": {"requests": {"cpu": "1m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        "scaling": {"min": 1, "max": 4, "cpuPercent": 50}});
    shop.service("product-service", callee).await?;
    let caller = json!({"port": 3002, "protocol": "GRPC", "calls": [{"service": "product-service"}]});
    shop.service("user-service", caller).await?;
    shop.ready("product-service").await?;
    shop.ready("user-service").await?;
    let address = shop.address("user-service").await?;
    let load = Load::over(Protocol::Grpc(Some("product-service")), &address, 16, Duration::from_millis(40));

    let began = Instant::now();
    if let Err(error) = shop.settled("product-service", 4, &[]).await {
        let hpa = shop.kubectl(&["describe", "hpa", "product-service--hpa"]).await?;
        anyhow::bail!("{error:#}\n{hpa}");
    }
    tell(&format!("from the first gRPC call to four ready pods: {:.1?}", began.elapsed()));
    let ready = Instant::now();
    load.take_pods();
    let even = loop {
        load.more(WINDOW).await?;
        let pods = load.take_pods();
        let sum: u64 = pods.values().sum();
        let is_even =
            pods.len() == 4 && pods.values().all(|count| (200..=300).contains(&(count * 1_000 / sum.max(1))));
        if is_even {
            break pods;
        }
        ensure!(ready.elapsed() < LIMIT, "not even shares {LIMIT:?} after four pods were ready: {pods:?}");
    };
    let took = ready.elapsed();
    let report = load.stop().await?;
    tell(&format!(
        "four pods share gRPC calls evenly {took:.1?} after they were ready: {:?}; {report}",
        even.values()
    ));
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
