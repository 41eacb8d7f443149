//! What the platform asks for in figures, measured on real pods. They are told and not asserted: machines differ.

use anyhow::{Context, Result, ensure};
use goodgo_e2e::oracle::{Times, metrics, tell};
use goodgo_e2e::scenario::Namespace;
use goodgo_e2e::workload::chain;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Looks at DNS that make a percentile worth telling.
const LOOKS: u64 = 200;
const LOOKUPS: &str = "goodgo_runtime_discovery_lookup_duration_seconds";
const CALLERS: [&str; 2] = ["order-service", "user-service"];

/// Three services deep: order-service asks user-service, which asks iam-service, and product-service beside it.
async fn platform() -> Result<Namespace> {
    let shop = Namespace::alone("figures").await?;
    let calls = |services: &[&str]| -> Vec<Value> {
        services.iter().map(|service| json!({"service": service})).collect()
    };
    shop.service("iam-service", json!({"port": 3001, "replicas": 1})).await?;
    shop.service("product-service", json!({"port": 3003, "replicas": 1})).await?;
    let user = json!({"port": 3002, "replicas": 3, "calls": calls(&["iam-service"])});
    shop.service("user-service", user).await?;
    let order = json!({"port": 3004, "replicas": 3, "calls": calls(&["user-service", "product-service"])});
    shop.service("order-service", order).await?;
    for service in ["iam-service", "product-service", "user-service", "order-service"] {
        shop.ready(service).await?;
    }
    Ok(shop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_of_three_services_and_lookups_through_cluster_dns_are_measured() -> Result<()> {
    const LONGEST: Duration = Duration::from_secs(240);
    let shop = platform().await?;
    let address = shop.address("order-service").await?;
    let (mut times, began) = (Times::default(), Instant::now());
    // Names are looked up again while they are used: TTL 5 s in CoreDNS, less what its own cache has used up.
    let lookups = loop {
        times.merge(&chain::measure(&address, 300).await?);
        let lookups = lookups(&shop).await?;
        if lookups.count() >= LOOKS {
            break lookups;
        }
        ensure!(began.elapsed() < LONGEST, "only {} looks at DNS in {LONGEST:?}", lookups.count());
    };
    tell(&chain::described(&times));
    tell(&format!(
        "lookups through cluster DNS: p50 ≤ {:.2} ms, p95 ≤ {:.2} ms of {} (wanted: p95 ≤ 5 ms)",
        lookups.percentile(50)? * 1_000.0,
        lookups.percentile(95)? * 1_000.0,
        lookups.count()
    ));
    let endpoints = shop.runtimes("order-service", "endpoints").await?;
    let seen: Value = serde_json::from_str(endpoints.first().context("order-service has a pod")?)?;
    let users = seen["calls"]["user-service"]["endpoints"].as_array().context("endpoints")?;
    assert_eq!(users.len(), 3, "each pod of user-service: {seen}");
    Ok(())
}

/// The looks of all callers' runtimes that found something.
async fn lookups(shop: &Namespace) -> Result<metrics::Buckets> {
    let mut all = metrics::Buckets::default();
    for caller in CALLERS {
        for text in shop.runtimes(caller, "metrics").await? {
            all.add(&text, LOOKUPS, &["result=\"found\""]);
        }
    }
    Ok(all)
}
