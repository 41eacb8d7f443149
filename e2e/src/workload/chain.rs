//! A chain of three services, as the platform means its figure for calls between services: a client asks order-service, which
//! asks user-service and product-service, and user-service asks iam-service, each hop through two runtimes.

use crate::http;
use crate::oracle::Times;
use anyhow::{Result, ensure};
use std::time::Duration;
use tokio::time::Instant;

/// Between the beginnings of two requests: the chain's time is asked for, not its throughput.
const PERIOD: Duration = Duration::from_millis(20);
/// Longest that one request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks order-service at `address` (`host:port`) for so many orders, each over a new connection.
///
/// # Errors
/// When one is not answered with 200.
pub async fn measure(address: &str, requests: usize) -> Result<Times> {
    let url = format!("http://{address}/orders/7");
    let mut times = Times::default();
    for _ in 0..requests {
        let began = Instant::now();
        let (status, body) = http::get(&url, PATIENCE).await?;
        ensure!(status == 200, "{url}: {status} {body}");
        times.add(began.elapsed());
        tokio::time::sleep_until(began + PERIOD).await;
    }
    Ok(times)
}

/// What was measured, beside what the platform asks for.
pub fn described(times: &Times) -> String {
    format!("chain of three services through their runtimes: {times} (the platform asks for p95 < 100 ms)")
}
