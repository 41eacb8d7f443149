//! Requests without a pause, while something happens.

use anyhow::{Result, ensure};
use goodgo_e2e::https::{Answer, Https};
use goodgo_e2e::oracle::{Times, tell};
use goodgo_e2e::workload::load::is_left_out;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use serde_json::Value;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// Asks without a pause until told to stop: how many were answered by whom, and what went wrong.
async fn ask(https: Https, go: Arc<AtomicBool>) -> Result<(BTreeMap<String, usize>, Vec<String>)> {
    let mut sender = https.http2().await?;
    let (mut pods, mut failures) = (BTreeMap::new(), Vec::new());
    let uri = format!("https://{}/whoami", https.host());
    while go.load(Ordering::Relaxed) {
        if sender.ready().await.is_err() {
            sender = https.http2().await?; // the gateway said goodbye
        }
        let request = Request::get(&uri).body(Full::default())?;
        match sender.send_request(request).await {
            Err(error) if is_left_out(&error) => sender = https.http2().await?,
            Err(error) => failures.push(error.to_string()),
            Ok(response) => {
                let answer = Answer::read(response).await?;
                if answer.status == 200 {
                    let said: Value = serde_json::from_str(&answer.body)?;
                    *pods.entry(said["pod"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
                } else {
                    failures.push(format!("{} {}", answer.status, answer.body));
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok((pods, failures))
}

/// Requests at a constant rate from so many connections, each at times of its own whatever the answers take: how long each
/// took from the time that it was due.
pub(super) async fn constant(
    connections: u32,
    every: Duration,
    length: Duration,
    open: impl AsyncFn() -> Result<SendRequest<Full<Bytes>>>,
    request: &Request<Full<Bytes>>,
) -> Result<Times> {
    let mut clients = JoinSet::new();
    let began = tokio::time::Instant::now() + Duration::from_millis(100);
    for number in 0..connections {
        let (mut sender, request) = (open().await?, request.clone());
        clients.spawn(async move {
            let (mut due, mut times) = (began + every * number / connections, Times::default());
            while due < began + length {
                tokio::time::sleep_until(due).await;
                let answer = Answer::read(sender.send_request(request.clone()).await?).await?;
                ensure!(answer.status == 200, "{answer:?}");
                times.add(due.elapsed());
                due += every;
            }
            Ok::<_, anyhow::Error>(times)
        });
    }
    let mut all = Times::default();
    while let Some(client) = clients.join_next().await {
        all.merge(&client??);
    }
    Ok(all)
}

/// Four clients ask while something happens: how many each pod answered, once all is over.
pub(super) async fn meanwhile<T>(
    what: &str,
    https: &Https,
    happens: impl Future<Output = Result<T>>,
) -> Result<(T, BTreeMap<String, usize>)> {
    let go = Arc::new(AtomicBool::new(true));
    let clients: Vec<_> = (0..4).map(|_| tokio::spawn(ask(https.clone(), Arc::clone(&go)))).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let happened = happens.await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    go.store(false, Ordering::Relaxed);
    let (mut pods, mut failures) = (BTreeMap::<String, usize>::new(), Vec::new());
    for client in clients {
        let (answered, failed) = client.await??;
        failures.extend(failed);
        for (pod, count) in answered {
            *pods.entry(pod).or_default() += count;
        }
    }
    tell(&format!("{what}: {} answered by {} pods", pods.values().sum::<usize>(), pods.len()));
    ensure!(failures.is_empty(), "{} failed: {:?}", failures.len(), failures.first());
    Ok((happened, pods))
}
