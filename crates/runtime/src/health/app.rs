//! Asks the app on 127.0.0.1, as the kubelet would if the app listened on the pod's address.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use goodgo_runtime_config::AppProbe;
use http::header::{CONTENT_TYPE, HOST, TE, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::proxy::Body;

/// Largest answer of gRPC's health protocol that is read, in bytes; a right one has seven.
const MOST_GRPC: usize = 1024;

/// Why the app is not well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to connect to the app on port {port}: {source}")]
    Connect { port: u16, source: std::io::Error },
    #[error("failed to get an answer from the app: {0}")]
    Exchange(#[from] hyper::Error),
    #[error("failed to ask the app: {0}")]
    Request(#[from] http::Error),
    #[error("failed to get an answer from the app within {0} ms")]
    Timeout(u64),
    #[error("failed: the app answered {0}")]
    Status(StatusCode),
    #[error("failed: the app's gRPC health service does not say SERVING ({0})")]
    NotServing(String),
}

/// Asks once, within the probe's time.
///
/// # Errors
/// Why the answer is no.
pub(super) async fn ask(probe: &AppProbe) -> Result<(), Error> {
    let AppProbe { port, path, grpc, timeout_ms } = probe;
    let asking = async {
        match (path, grpc) {
            (Some(path), _) => {
                let status = get(*port, path, &HeaderMap::new()).await?.status();
                // As the kubelet: a redirect is an answer.
                if (200..400).contains(&status.as_u16()) { Ok(()) } else { Err(Error::Status(status)) }
            }
            (None, Some(service)) => serving(*port, service).await,
            (None, None) => connect(*port).await.map(|_| ()),
        }
    };
    let limit = Duration::from_millis(*timeout_ms);
    tokio::time::timeout(limit, asking).await.unwrap_or(Err(Error::Timeout(*timeout_ms)))
}

/// What the app answers to `GET path`, once it has said all of it.
///
/// # Errors
/// When there is no whole answer.
pub(crate) async fn tell(port: u16, path: &str) -> Result<StatusCode, Error> {
    let (head, mut body) = get(port, path, &HeaderMap::new()).await?.into_parts();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        frame?;
    }
    Ok(head.status)
}

/// `GET path` over HTTP/1.1 on a new connection.
pub(super) async fn get(port: u16, path: &str, headers: &HeaderMap) -> Result<Response<Incoming>, Error> {
    let stream = TokioIo::new(connect(port).await?);
    let (mut sender, connection) = http1::handshake::<_, Body>(stream).await?;
    tokio::spawn(connection);
    let mut request = Request::get(path)
        .header(HOST, format!("127.0.0.1:{port}"))
        .header(USER_AGENT, "goodgo-runtime")
        .body(Body::empty())?;
    request.headers_mut().extend(headers.clone());
    Ok(sender.send_request(request).await?)
}

async fn connect(port: u16) -> Result<TcpStream, Error> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect(address).await.map_err(|source| Error::Connect { port, source })
}

/// <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>
async fn serving(port: u16, service: &str) -> Result<(), Error> {
    let stream = TokioIo::new(connect(port).await?);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
    tokio::spawn(connection);
    let request = Request::post(format!("http://127.0.0.1:{port}/grpc.health.v1.Health/Check"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .header(USER_AGENT, "goodgo-runtime")
        .body(Body::whole(question(service)))?;
    let response = sender.send_request(request).await?;
    if response.status() != StatusCode::OK {
        return Err(Error::Status(response.status()));
    }
    let (head, mut body) = response.into_parts();
    let (mut message, mut status) = (Vec::new(), grpc_status(&head.headers));
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame?;
        status = frame.trailers_ref().and_then(grpc_status).or(status);
        if let Some(data) = frame.data_ref().filter(|data| message.len() + data.len() <= MOST_GRPC) {
            message.extend_from_slice(data);
        }
    }
    match status.as_deref() {
        Some("0") if is_serving(&message) => Ok(()),
        Some("0") => Err(Error::NotServing("it answered another status".to_owned())),
        Some(status) => Err(Error::NotServing(format!("grpc-status {status}"))),
        None => Err(Error::NotServing("it answered without a grpc-status".to_owned())),
    }
}

fn grpc_status(headers: &HeaderMap) -> Option<String> {
    Some(headers.get("grpc-status")?.to_str().ok()?.to_owned())
}

/// A length-prefixed `HealthCheckRequest { service = 1 }`.
fn question(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        let mut length = service.len();
        loop {
            // Seven bits at a time, the lowest first; the eighth says that more follow.
            let [low, ..] = length.to_le_bytes();
            length >>= 7;
            message.push(if length == 0 { low } else { low | 0x80 });
            if length == 0 {
                break;
            }
        }
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], length.to_be_bytes().as_slice(), &message].concat()
}

/// Whether it is an uncompressed `HealthCheckResponse { status = 1: SERVING }`.
fn is_serving(message: &[u8]) -> bool {
    message == [0, 0, 0, 0, 2, 0x08, 0x01]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_a_protobuf_message_with_its_length() {
        assert_eq!(question(""), [0, 0, 0, 0, 0]);
        assert_eq!(question("a.B"), [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B']);
        let long = question(&"x".repeat(300));
        assert_eq!(long.get(..8), Some([0, 0, 0, 1, 47, 0x0a, 0xac, 0x02].as_slice()));
    }
}
