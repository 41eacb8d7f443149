//! Constant load from the host over keep-alive connections, with nothing between the test and the wire
//! that would repeat a request: a request that was sent and not answered well has failed.
//!
//! Each connection sends at its own fixed times, GET and POST in turn, whatever the answers take;
//! latency counts from those times. `Connection: close` is honoured as RFC 9112 section 9.6 asks: the
//! next request goes over a new connection. A server that closes an idle connection without a word
//! is counted apart.
#![allow(clippy::indexing_slicing, reason = "JSON answers null where nothing is; no slice is indexed")]

use crate::http::{KEY, KEY_HEADER};
use crate::oracle::Times;
use anyhow::{Context, Result, bail, ensure};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONNECTION, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Longest that one request may take, connecting included.
const PATIENCE: Duration = Duration::from_secs(10);
/// Failures that are told in words.
const TOLD: usize = 20;

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Requests that were sent, or that no connection could be opened for.
    pub requests: u64,
    /// Those that were not answered with 200 and the expected body.
    pub failed: u64,
    /// When (since the beginning) and why the first of them failed.
    pub failures: Vec<String>,
    /// Connections that were opened.
    pub connections: u64,
    /// Connections that the server closed while nothing was under way and without announcing it.
    pub closed_idle: u64,
    /// Pods that answered.
    pub pods: BTreeSet<String>,
    /// From the time that a request was due to its answer's end.
    pub times: Times,
}

impl Report {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.failures.extend(other.failures);
        self.failures.truncate(TOLD);
        self.connections += other.connections;
        self.closed_idle += other.closed_idle;
        self.pods.extend(other.pods);
        self.times.merge(&other.times);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} requests over {} connections, {} failed, {} connections closed while idle, {} pods answered, {}",
            self.requests,
            self.connections,
            self.failed,
            self.closed_idle,
            self.pods.len(),
            self.times
        )?;
        self.failures.iter().try_for_each(|failure| write!(formatter, "\n  {failure}"))
    }
}

/// Load that is on until [`Load::stop`].
#[derive(Debug)]
pub struct Load {
    clients: JoinSet<Report>,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl Load {
    /// Loads `address` (`host:port` of a demo service) over so many connections, each of which sends a
    /// request every `period`.
    pub fn start(address: &str, connections: u32, period: Duration) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut clients = JoinSet::new();
        let began = Instant::now();
        for number in 0..connections {
            let client = Client {
                address: address.to_owned(),
                number,
                connection: None,
                report: Report::default(),
                began,
            };
            let offset = period * number / connections.max(1);
            clients.spawn(client.run(began + offset, period, Arc::clone(&stop), Arc::clone(&sent)));
        }
        Self { clients, stop, sent }
    }

    /// Waits until so many further requests were answered or failed.
    ///
    /// # Errors
    /// When that takes longer than a minute.
    pub async fn more(&self, requests: u64) -> Result<()> {
        let (wanted, began) = (self.sent.load(Ordering::Relaxed) + requests, Instant::now());
        while self.sent.load(Ordering::Relaxed) < wanted {
            ensure!(
                began.elapsed() < Duration::from_secs(60),
                "failed to send {requests} requests in a minute"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Ends it and says what came of it.
    ///
    /// # Errors
    /// When a client panicked.
    pub async fn stop(mut self) -> Result<Report> {
        self.stop.store(true, Ordering::Relaxed);
        let mut report = Report::default();
        while let Some(client) = self.clients.join_next().await {
            report.add(client.context("failed to end a client")?);
        }
        Ok(report)
    }
}

struct Client {
    address: String,
    number: u32,
    connection: Option<SendRequest<Full<Bytes>>>,
    report: Report,
    began: Instant,
}

impl Client {
    async fn run(
        mut self,
        first: Instant,
        period: Duration,
        stop: Arc<AtomicBool>,
        sent: Arc<AtomicU64>,
    ) -> Report {
        let mut due = first;
        for turn in 0_u64.. {
            tokio::time::sleep_until(due).await;
            if stop.load(Ordering::Relaxed) {
                break;
            }
            self.report.requests += 1;
            let outcome = match timeout(PATIENCE, self.request(turn)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(anyhow::anyhow!("no answer within {PATIENCE:?}")),
            };
            match outcome {
                Ok(()) => self.report.times.add(due.elapsed()),
                Err(error) => {
                    self.connection = None;
                    self.report.failed += 1;
                    if self.report.failures.len() < TOLD {
                        let at = self.began.elapsed();
                        self.report.failures.push(format!("{at:.2?}, client {}: {error:#}", self.number));
                    }
                }
            }
            sent.fetch_add(1, Ordering::Relaxed);
            // A slow answer delays what was due meanwhile, and its latency counts from when it was due.
            due += period;
        }
        self.report
    }

    async fn request(&mut self, turn: u64) -> Result<()> {
        let mut connection = match self.idle_connection().await {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let post = turn % 2 == 1;
        let body = if post { body(self.number, turn) } else { Bytes::new() };
        let (method, path) = if post { (Method::POST, "/echo") } else { (Method::GET, "/whoami") };
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header(HOST, &self.address)
            .header(KEY_HEADER, KEY)
            .body(Full::new(body.clone()))
            .context("failed to make the request")?;
        let answer = connection.send_request(request).await.with_context(|| format!("{method} {path}"))?;
        let (head, answered) = answer.into_parts();
        let answered =
            answered.collect().await.with_context(|| format!("{method} {path}: its answer"))?.to_bytes();
        if head.status != StatusCode::OK {
            bail!("{method} {path}: {} {}", head.status, String::from_utf8_lossy(&answered));
        }
        if post {
            ensure!(answered == body, "{method} {path}: {} bytes came back, not the same", answered.len());
        } else {
            let who: serde_json::Value =
                serde_json::from_slice(&answered).context("failed to read the answer")?;
            self.report.pods.insert(who["pod"].as_str().unwrap_or_default().to_owned());
        }
        let closes = head
            .headers
            .get_all(CONNECTION)
            .iter()
            .any(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
        self.connection = (!closes).then_some(connection);
        Ok(())
    }

    /// The connection of the last request, unless the server closed it since.
    async fn idle_connection(&mut self) -> Option<SendRequest<Full<Bytes>>> {
        let mut connection = self.connection.take()?;
        if connection.ready().await.is_ok() && !connection.is_closed() {
            return Some(connection);
        }
        self.report.closed_idle += 1;
        None
    }

    async fn connect(&mut self) -> Result<SendRequest<Full<Bytes>>> {
        self.report.connections += 1;
        let stream = TcpStream::connect(&self.address).await.context("failed to connect")?;
        stream.set_nodelay(true).context("failed to set TCP_NODELAY")?;
        let (sender, driver) =
            http1::handshake(TokioIo::new(stream)).await.context("failed to begin HTTP")?;
        // Its error is the request's error too, which tells it.
        tokio::spawn(driver);
        Ok(sender)
    }
}

/// 1 KiB that differs from request to request.
fn body(number: u32, turn: u64) -> Bytes {
    let mut body = format!("client {number} turn {turn} ").into_bytes();
    body.resize(1024, b'.');
    Bytes::from(body)
}

#[cfg(test)]
mod tests;
