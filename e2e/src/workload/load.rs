//! Constant load from the host over connections that are kept, with nothing between the test and the wire
//! that would repeat a request: a request that was sent and not answered well has failed.
//!
//! Each client sends at its own fixed times, whatever the answers take; latency counts from those times.
//! What a protocol says about the end of a connection is honoured, and that alone: see [`http1`], [`http2`]
//! and [`websocket`]. A request that this takes to another connection was never begun by the server, and
//! is counted apart.
#![allow(clippy::indexing_slicing, reason = "JSON answers null where nothing is; no slice is indexed")]

mod http1;
mod http2;
mod websocket;

pub use self::http2::is_left_out;
use crate::oracle::Times;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Longest that one request may take, connecting included.
const PATIENCE: Duration = Duration::from_secs(10);
/// Failures that are told in words.
const TOLD: usize = 20;
/// Clients that share one HTTP/2 connection.
const STREAMS: usize = 4;

/// How a demo service is asked.
#[derive(Debug, Clone, Copy)]
pub enum Protocol {
    /// `GET /whoami` and `POST /echo` in turn, each client over a connection of its own.
    Http1,
    /// The same over HTTP/2 in clear text, four clients a connection.
    Http2,
    /// Unary gRPC: who it is, or with a callee's name who that is.
    Grpc(Option<&'static str>),
    /// Messages that come back, each client over a WebSocket of its own.
    WebSocket,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Requests that were sent, or that no connection could be opened for.
    pub requests: u64,
    /// Those that were not answered as expected.
    pub failed: u64,
    /// When (since the beginning) and why the first of them failed.
    pub failures: Vec<String>,
    /// Connections that were opened.
    pub connections: u64,
    /// Connections that the server closed while nothing was under way and without announcing it.
    pub closed_idle: u64,
    /// Requests that went to another connection because the server said that it had not begun them.
    pub moved: u64,
    /// Pods that answered, and how often.
    pub pods: BTreeMap<String, u64>,
    /// From the time that a request was due to its answer's end.
    pub times: Times,
}

impl Report {
    fn add(&mut self, other: Self) {
        let Self { requests, failed, failures, connections, closed_idle, moved, pods, times } = other;
        self.requests += requests;
        self.failed += failed;
        self.failures.extend(failures);
        self.failures.truncate(TOLD);
        self.connections += connections;
        self.closed_idle += closed_idle;
        self.moved += moved;
        for (pod, count) in pods {
            *self.pods.entry(pod).or_default() += count;
        }
        self.times.merge(&times);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} requests over {} connections, {} failed, {} moved, {} connections closed while idle, {} pods answered, {}",
            self.requests,
            self.connections,
            self.failed,
            self.moved,
            self.closed_idle,
            self.pods.len(),
            self.times
        )?;
        self.failures.iter().try_for_each(|failure| write!(formatter, "\n  {failure}"))
    }
}

/// A client's way to speak with the service.
trait Talk: Send + 'static {
    /// One request and its answer, which must be as expected; notes connections in `report`, and returns the pod that
    /// answered if that is known.
    fn ask(&mut self, turn: u64, report: &mut Report) -> impl Future<Output = Result<Option<String>>> + Send;
    /// The connection is not to be used again.
    fn drop_connection(&mut self) -> impl Future<Output = ()> + Send;
}

/// What the clients and the one who started them have in common.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    sent: AtomicU64,
    pods: Mutex<BTreeMap<String, u64>>,
}

/// Load that is on until [`Load::stop`].
#[derive(Debug)]
pub struct Load {
    clients: JoinSet<Report>,
    shared: Arc<Shared>,
}

impl Load {
    /// Loads `address` (`host:port` of a demo service) over so many HTTP/1.1 connections, each of which sends a
    /// request every `period`.
    pub fn start(address: &str, connections: u32, period: Duration) -> Self {
        Self::over(Protocol::Http1, address, connections, period)
    }

    /// The same in another protocol, with so many clients.
    pub fn over(protocol: Protocol, address: &str, clients: u32, period: Duration) -> Self {
        let mut load = Self { clients: JoinSet::new(), shared: Arc::default() };
        let began = Instant::now();
        let connections: Vec<_> =
            (0..clients).step_by(STREAMS).map(|_| Arc::new(http2::Connection::new(address))).collect();
        for number in 0..clients {
            let shared = Arc::clone(&load.shared);
            let schedule =
                Schedule { number, began, first: began + period * number / clients.max(1), period };
            let connection = connections.get(number as usize / STREAMS).map(Arc::clone);
            match (protocol, connection) {
                (Protocol::Http2, Some(connection)) => {
                    load.clients.spawn(run(http2::Client::new(connection, number), schedule, shared))
                }
                (Protocol::Grpc(callee), Some(connection)) => {
                    load.clients.spawn(run(http2::GrpcClient::new(connection, callee), schedule, shared))
                }
                (Protocol::WebSocket, _) => {
                    load.clients.spawn(run(websocket::Client::new(address, number), schedule, shared))
                }
                _ => load.clients.spawn(run(http1::Client::new(address, number), schedule, shared)),
            };
        }
        load
    }

    /// Waits until so many further requests were answered or failed.
    ///
    /// # Errors
    /// When that takes longer than a minute.
    pub async fn more(&self, requests: u64) -> Result<()> {
        let (wanted, began) = (self.shared.sent.load(Ordering::Relaxed) + requests, Instant::now());
        while self.shared.sent.load(Ordering::Relaxed) < wanted {
            ensure!(
                began.elapsed() < Duration::from_secs(60),
                "failed to send {requests} requests in a minute"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Pods that have answered since this was asked last, and how often.
    pub fn take_pods(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *self.shared.pods.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends it and says what came of it.
    ///
    /// # Errors
    /// When a client panicked.
    pub async fn stop(mut self) -> Result<Report> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut report = Report::default();
        while let Some(client) = self.clients.join_next().await {
            report.add(client.context("failed to end a client")?);
        }
        Ok(report)
    }
}

/// When one client sends.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    number: u32,
    /// When the load began.
    began: Instant,
    first: Instant,
    period: Duration,
}

async fn run(mut client: impl Talk, schedule: Schedule, shared: Arc<Shared>) -> Report {
    let Schedule { number, began, first: mut due, period } = schedule;
    let mut report = Report::default();
    for turn in 0_u64.. {
        tokio::time::sleep_until(due).await;
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        report.requests += 1;
        let outcome = match timeout(PATIENCE, client.ask(turn, &mut report)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(anyhow::anyhow!("no answer within {PATIENCE:?}")),
        };
        match outcome {
            Ok(pod) => {
                report.times.add(due.elapsed());
                if let Some(pod) = pod {
                    *report.pods.entry(pod.clone()).or_default() += 1;
                    *shared.pods.lock().unwrap_or_else(PoisonError::into_inner).entry(pod).or_default() += 1;
                }
            }
            Err(error) => {
                client.drop_connection().await;
                report.failed += 1;
                if report.failures.len() < TOLD {
                    report.failures.push(format!("{:.2?}, client {number}: {error:#}", began.elapsed()));
                }
            }
        }
        shared.sent.fetch_add(1, Ordering::Relaxed);
        // A slow answer delays what was due meanwhile, and its latency counts from when it was due.
        due += period;
    }
    report
}

/// 1 KiB that differs from request to request.
fn body(number: u32, turn: u64) -> hyper::body::Bytes {
    let mut body = format!("client {number} turn {turn} ").into_bytes();
    body.resize(1024, b'.');
    body.into()
}

#[cfg(test)]
mod tests;
