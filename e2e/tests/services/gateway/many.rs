//! Many routes: what Traefik serves is what is declared.

use super::site::{SOON, Site, route};
use anyhow::{Context, Result, ensure};
use goodgo_e2e::oracle::tell;
use goodgo_e2e::product;
use goodgo_e2e::scenario::{Namespace, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const SERVICES: usize = 8;
const ROUTES: usize = 64;

type Rules = BTreeSet<(String, u64)>;

/// Rules and priorities as Traefik has them, of one host.
async fn served(site: &Site, pod: &str) -> Result<Rules> {
    let path = format!(
        "/api/v1/namespaces/{}/pods/{pod}:9000/proxy/api/http/routers?per_page=10000",
        product::NAMESPACE
    );
    let answer = site.shop.kubectl(&["get", "--raw", &path]).await?;
    let routers: Vec<Value> = serde_json::from_str(&answer)?;
    let own =
        routers.iter().filter(|router| router["rule"].as_str().is_some_and(|rule| rule.contains(&site.host)));
    own.map(|router| {
        ensure!(router["status"] == "enabled", "{router}");
        Ok((
            router["rule"].as_str().context("rule")?.to_owned(),
            router["priority"].as_u64().context("priority")?,
        ))
    })
    .collect()
}

/// The same as the operator's objects say it.
async fn declared(site: &Site) -> Result<Rules> {
    let objects = site.shop.list("IngressRoute", "app.kubernetes.io/managed-by=goodgo-operator").await?;
    let routes = objects.iter().flat_map(|object| object["spec"]["routes"].as_array().into_iter().flatten());
    routes
        .map(|route| {
            let priority = route["priority"].as_u64().context("priority")?;
            Ok((route["match"].as_str().context("match")?.to_owned(), priority))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_routes_are_served_as_they_are_declared() -> Result<()> {
    let site = Site::on(Namespace::alone("many").await?).await?;
    let began = Instant::now();
    for service in 0..SERVICES {
        let routes: Vec<_> = (0..ROUTES)
            .map(|number| {
                let more = if number % 4 == 0 {
                    json!({"rateLimit": {"average": 100}, "compress": true})
                } else {
                    json!({})
                };
                route(&format!("r{number}"), &format!("/s{service}/r{number}"), more)
            })
            .collect();
        // No pod has to run for that.
        let spec = json!({"replicas": 0, "gateway": site.gateway(&json!(routes))});
        site.shop.service(&format!("web-{service}"), spec).await?;
    }
    let pods = site
        .shop
        .kubectl(&[
            "get",
            "pods",
            "-n",
            product::NAMESPACE,
            "-l",
            "app.kubernetes.io/name=traefik",
            "-o",
            "name",
        ])
        .await?;
    let pod = pods
        .lines()
        .next()
        .and_then(|name| name.strip_prefix("pod/"))
        .context("a pod of Traefik")?
        .to_owned();
    let count = eventually("Traefik's view is ours", SOON, || async {
        let (served, declared) = (served(&site, &pod).await?, declared(&site).await?);
        // Each service redirects from http once.
        ensure!(declared.len() == SERVICES * ROUTES + 1, "{} are declared", declared.len());
        let (missing, more) = (declared.difference(&served).count(), served.difference(&declared).count());
        ensure!(missing == 0 && more == 0, "{missing} are missing, {more} are too much");
        Ok(served.len())
    })
    .await?;
    tell(&format!(
        "{count} rules of {SERVICES} services served {:.1?} after the first apply",
        began.elapsed()
    ));
    // One of them goes, and nothing else.
    site.shop.delete("GoodGoService", "web-0").await?;
    eventually("its routes are gone", Duration::from_secs(60), || async {
        let served = served(&site, &pod).await?;
        ensure!(served.len() == (SERVICES - 1) * ROUTES + 1, "{}", served.len());
        Ok(())
    })
    .await
}
