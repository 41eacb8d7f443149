//! What the platform asks for in figures. They are told and not asserted: machines differ.

use super::load::constant;
use super::site::{Site, route};
use anyhow::{Context, Result};
use goodgo_e2e::oracle::{Times, tell};
use goodgo_e2e::scenario::Namespace;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Every step of the example, with limits that no request meets.
fn all_steps() -> Value {
    json!({"stripPrefix": "/api", "methods": ["GET"], "retries": {"attempts": 3}, "compress": true, "timeout": "5s",
        "rateLimit": {"average": 1_000_000, "burst": 1_000_000}, "inFlight": 10_000, "maxBody": "1Mi",
        "cors": {"origins": ["https://app.goodgo.example"], "credentials": true}, "ipAllow": ["0.0.0.0/0"],
        "circuitBreaker": {"errorPercent": 50}, "headers": {"X-Content-Type-Options": "nosniff"}})
}

/// The same requests through the gateway by TLS, and straight to the pods' gateway port, in turns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_gateway_adds_is_measured() -> Result<()> {
    const CONNECTIONS: u32 = 16;
    const TURNS: usize = 3;
    let site = Site::on(Namespace::alone("overhead").await?).await?;
    let routes = json!([route("who", "/api/whoami", all_steps())]);
    site.shop.service("web", json!({"replicas": 2, "gateway": site.gateway(&routes)})).await?;
    site.shop.ready("web").await?;
    site.answers("/api/whoami", 200).await?;
    let ip = site.shop.get("Service", "web--gateway").await?["spec"]["clusterIP"]
        .as_str()
        .context("address")?
        .to_owned();
    let direct = format!("{ip}:14002");
    let request = site.request("GET", "/api/whoami", &[])?;
    let (every, length) = (Duration::from_millis(16), Duration::from_secs(10));
    let (mut through, mut straight) = (Times::default(), Times::default());
    for _ in 0..TURNS {
        through
            .merge(&constant(CONNECTIONS, every, length, async || site.https.http1().await, &request).await?);
        let open = async || {
            let stream = TcpStream::connect(&direct).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            Ok(sender)
        };
        straight.merge(&constant(CONNECTIONS, every, length, open, &request).await?);
    }
    tell(&format!("1,000 requests/s through the gateway with TLS and every step: {through}"));
    tell(&format!("the same straight to the pods' gateway port: {straight} (wanted: p95 at most 5 ms more)"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_route_is_live_soon() -> Result<()> {
    const TURNS: usize = 20;
    let site = Site::on(Namespace::alone("live").await?).await?;
    let gateway = |path: &str| site.gateway(&json!([route("who", path, json!({"stripPrefix": "/x"}))]));
    site.shop.service("web", json!({"replicas": 1, "gateway": gateway("/x/whoami")})).await?;
    site.shop.ready("web").await?;
    site.answers("/x/whoami", 200).await?;
    let mut live = Times::default();
    for turn in 0..TURNS {
        let path = if turn % 2 == 0 { "/x/health/live" } else { "/x/whoami" };
        site.shop.edit("GoodGoService", "web", json!({"spec": {"gateway": gateway(path)}})).await?;
        let began = Instant::now();
        site.answers(path, 200).await?;
        live.add(began.elapsed());
    }
    tell(&format!("a new route, from its apply to its first 200: {live} (wanted: p95 ≤ 2 s)"));
    Ok(())
}
