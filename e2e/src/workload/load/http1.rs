//! HTTP/1.1. `Connection: close` is honoured as RFC 9112 section 9.6 asks: the next request goes over a new connection. A
//! server that closes an idle connection without a word is counted apart.

use super::{Report, Talk, body};
use crate::http::{KEY, KEY_HEADER};
use anyhow::{Context, Result, bail, ensure};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONNECTION, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

pub(super) struct Client {
    address: String,
    number: u32,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub(super) fn new(address: &str, number: u32) -> Self {
        Self { address: address.to_owned(), number, connection: None }
    }

    /// The connection of the last request, unless the server closed it since.
    async fn idle_connection(&mut self, report: &mut Report) -> Option<SendRequest<Full<Bytes>>> {
        let mut connection = self.connection.take()?;
        if connection.ready().await.is_ok() && !connection.is_closed() {
            return Some(connection);
        }
        report.closed_idle += 1;
        None
    }

    async fn connect(&self, report: &mut Report) -> Result<SendRequest<Full<Bytes>>> {
        report.connections += 1;
        let stream = TcpStream::connect(&self.address).await.context("failed to connect")?;
        stream.set_nodelay(true).context("failed to set TCP_NODELAY")?;
        let (sender, driver) =
            http1::handshake(TokioIo::new(stream)).await.context("failed to begin HTTP")?;
        // Its error is the request's error too, which tells it.
        tokio::spawn(driver);
        Ok(sender)
    }
}

impl Talk for Client {
    async fn ask(&mut self, turn: u64, report: &mut Report) -> Result<Option<String>> {
        let mut connection = match self.idle_connection(report).await {
            Some(connection) => connection,
            None => self.connect(report).await?,
        };
        let (request, expected) = question(&self.address, self.number, turn)?;
        let what = format!("{} {}", request.method(), request.uri().path());
        let answer = connection.send_request(request).await.with_context(|| what.clone())?;
        let (head, answered) = answer.into_parts();
        let answered = answered.collect().await.with_context(|| format!("{what}: its answer"))?.to_bytes();
        let closes = head
            .headers
            .get_all(CONNECTION)
            .iter()
            .any(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
        self.connection = (!closes).then_some(connection);
        check(&what, head.status, &answered, expected)
    }

    async fn drop_connection(&mut self) {
        self.connection = None;
    }
}

/// GET and POST in turn, and what a POST must bring back.
pub(super) fn question(
    address: &str,
    number: u32,
    turn: u64,
) -> Result<(Request<Full<Bytes>>, Option<Bytes>)> {
    let sent = (turn % 2 == 1).then(|| body(number, turn));
    let (method, path) = if sent.is_some() { (Method::POST, "/echo") } else { (Method::GET, "/whoami") };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, address)
        .header(KEY_HEADER, KEY)
        .body(Full::new(sent.clone().unwrap_or_default()))
        .context("failed to make the request")?;
    Ok((request, sent))
}

/// Whether the answer is the one to that question; the pod that gave it, where it says so.
pub(super) fn check(
    what: &str,
    status: StatusCode,
    answered: &Bytes,
    expected: Option<Bytes>,
) -> Result<Option<String>> {
    if status != StatusCode::OK {
        bail!("{what}: {status} {}", String::from_utf8_lossy(answered));
    }
    if let Some(expected) = expected {
        ensure!(*answered == expected, "{what}: {} bytes came back, not the same", answered.len());
        return Ok(None);
    }
    let who: serde_json::Value = serde_json::from_slice(answered).context("failed to read the answer")?;
    Ok(Some(who["pod"].as_str().unwrap_or_default().to_owned()))
}
