//! HTTP/2 in clear text with prior knowledge, and unary gRPC over it. Several clients share a connection. After GOAWAY (RFC
//! 9113 6.8) requests go over a new one, also those whose stream it leaves out: "not processed" is what that means, and
//! clients of gRPC send them again by themselves. Every other stream must be answered.

use super::{Report, Talk, http1};
use crate::http::{KEY, KEY_HEADER};
use anyhow::{Context, Result, bail, ensure};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, TE};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

/// Connections that one request may find going away.
const MOVES: usize = 50;

/// Where several clients send their requests.
pub(super) struct Connection {
    address: String,
    sender: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Connection {
    pub(super) fn new(address: &str) -> Self {
        Self { address: address.to_owned(), sender: Mutex::new(None) }
    }

    /// Sends a request once; only one that no server has begun goes to another connection.
    async fn send(&self, request: Request<Full<Bytes>>, report: &mut Report) -> Result<Response<Incoming>> {
        for _ in 0..MOVES {
            let mut sender = self.sender(report).await?;
            let mut error = match sender.try_send_request(request.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let unsent = error.take_message().is_some();
            let error = error.into_error();
            if !unsent && !is_left_out(&error) {
                bail!(error);
            }
            report.moved += 1;
        }
        bail!("failed to find a connection that does not go away, of {MOVES}")
    }

    async fn sender(&self, report: &mut Report) -> Result<SendRequest<Full<Bytes>>> {
        let mut current = self.sender.lock().await;
        if let Some(sender) = &mut *current
            && sender.ready().await.is_ok()
            && !sender.is_closed()
        {
            return Ok(sender.clone());
        }
        report.connections += 1;
        let stream = TcpStream::connect(&self.address).await.context("failed to connect")?;
        stream.set_nodelay(true).context("failed to set TCP_NODELAY")?;
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, driver) = handshake.context("failed to begin HTTP/2")?;
        // Its error is the request's error too, which tells it.
        tokio::spawn(driver);
        *current = Some(sender.clone());
        Ok(sender)
    }
}

/// Whether the server's GOAWAY said that it goes in peace and has not begun this stream. It answers those that it has.
pub fn is_left_out(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    source.is_some_and(|error| {
        error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
    })
}

pub(super) struct Client {
    connection: Arc<Connection>,
    number: u32,
}

impl Client {
    pub(super) fn new(connection: Arc<Connection>, number: u32) -> Self {
        Self { connection, number }
    }
}

impl Talk for Client {
    async fn ask(&mut self, turn: u64, report: &mut Report) -> Result<Option<String>> {
        let address = &self.connection.address;
        let (mut request, expected) = http1::question(address, self.number, turn)?;
        let what = format!("{} {}", request.method(), request.uri().path());
        request.headers_mut().remove(HOST);
        *request.uri_mut() = absolute(address, request.uri().path())?;
        let answer = self.connection.send(request, report).await.with_context(|| what.clone())?;
        let (head, answered) = answer.into_parts();
        let answered = answered.collect().await.with_context(|| format!("{what}: its answer"))?.to_bytes();
        http1::check(&what, head.status, &answered, expected)
    }

    async fn drop_connection(&mut self) {
        *self.connection.sender.lock().await = None;
    }
}

pub(super) struct GrpcClient {
    connection: Arc<Connection>,
    /// The callee that the service is to ask; none to ask itself.
    callee: Option<&'static str>,
}

impl GrpcClient {
    pub(super) fn new(connection: Arc<Connection>, callee: Option<&'static str>) -> Self {
        Self { connection, callee }
    }
}

impl Talk for GrpcClient {
    async fn ask(&mut self, _: u64, report: &mut Report) -> Result<Option<String>> {
        let address = &self.connection.address;
        let (method, message) = match self.callee {
            Some(callee) => {
                let length = u8::try_from(callee.len()).context("the callee's name is too long")?;
                // Field 1, a string.
                ("Ask", [&[0x0a, length][..], callee.as_bytes()].concat())
            }
            None => ("WhoAmI", Vec::new()),
        };
        let length = u32::try_from(message.len()).context("the message is too long")?;
        let framed = [&[0][..], &length.to_be_bytes()[..], &message].concat();
        let request = Request::post(absolute(address, &format!("/goodgo.demo.v1.Demo/{method}"))?)
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .header(KEY_HEADER, KEY)
            .body(Full::new(Bytes::from(framed)))
            .context("failed to make the request")?;
        let answer = self.connection.send(request, report).await.context(method)?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.with_context(|| format!("{method}: its answer"))?;
        let said = body.trailers().unwrap_or(&head.headers).clone();
        let fine =
            head.status == StatusCode::OK && said.get("grpc-status").is_some_and(|status| status == "0");
        ensure!(fine, "{method}: {} {said:?} {:?}", head.status, body.to_bytes());
        // A prefix of five bytes; field 1, a string.
        let pod = body.to_bytes().get(7..).map(|pod| String::from_utf8_lossy(pod).into_owned());
        pod.context("the answer names no pod").map(Some)
    }

    async fn drop_connection(&mut self) {
        *self.connection.sender.lock().await = None;
    }
}

fn absolute(address: &str, path: &str) -> Result<Uri> {
    format!("http://{address}{path}").parse().context("failed to make the URL")
}
