//! A live collector: takes OTLP over gRPC, counts the spans, and keeps nothing.
//!
//! Jaeger in its place would spend as much of two cores on storing and indexing spans as the proxies spend on requests,
//! and the figures would be those of Jaeger's neighbours. What the runtime does is the same: it encodes, sends and waits
//! for the answer.

use anyhow::{Context, Result};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpListener;

type Body = BoxBody<Bytes, Infallible>;

/// A gRPC message without content: one byte says that it is not compressed, four that it is empty.
static EMPTY_MESSAGE: [u8; 5] = [0; 5];

/// Serves until the process is ended. `GET /spans` (HTTP/2) answers how many spans have come.
///
/// # Errors
/// When the port is taken.
pub async fn serve(port: u16) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("failed to listen on {address}"))?;
    let spans = Arc::new(AtomicU64::new(0));
    loop {
        let (stream, _) = listener.accept().await.context("failed to accept a connection")?;
        let spans = Arc::clone(&spans);
        let service = service_fn(move |request| answer(request, Arc::clone(&spans)));
        let connection =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            let _ = connection.await;
        });
    }
}

async fn answer(request: Request<Incoming>, spans: Arc<AtomicU64>) -> Result<Response<Body>, Infallible> {
    if request.uri().path() == "/spans" {
        let count = spans.load(Ordering::Relaxed).to_string();
        return Ok(Response::new(Full::new(Bytes::from(count)).boxed()));
    }
    if let Ok(body) = request.into_body().collect().await {
        // Five bytes of gRPC stand before the message.
        let message = body.to_bytes();
        spans.fetch_add(count(message.get(5..).unwrap_or_default(), &[1, 2, 2]), Ordering::Relaxed);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [Frame::data(Bytes::from_static(&EMPTY_MESSAGE)), Frame::trailers(trailers)];
    let stream = futures::stream::iter(frames.map(Ok::<_, Infallible>));
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(stream)));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    Ok(response)
}

/// How many fields lie at `path` of a protobuf message: 1, 2, 2 are the resource, scope and spans of an
/// `ExportTraceServiceRequest`. What is not protobuf has none.
fn count(mut message: &[u8], path: &[u64]) -> u64 {
    let Some((wanted, below)) = path.split_first() else { return 1 };
    let mut found = 0;
    while let Some(tag) = varint(&mut message) {
        let (field, kind) = (tag >> 3, tag & 7);
        let length = match kind {
            0 => {
                varint(&mut message);
                continue;
            }
            1 => 8,
            2 => varint(&mut message).unwrap_or(u64::MAX),
            5 => 4,
            _ => return found,
        };
        let Some((value, rest)) =
            usize::try_from(length).ok().and_then(|length| message.split_at_checked(length))
        else {
            return found;
        };
        if kind == 2 && field == *wanted {
            found += count(value, below);
        }
        message = rest;
    }
    found
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        [&[number << 3 | 2, length], content].concat()
    }

    #[test]
    fn spans_are_counted_below_resource_and_scope() {
        let span = field(2, b"span");
        let scope = field(2, &[field(1, b"name"), span.clone(), span].concat());
        let resource = field(1, &[field(1, b"attributes"), scope.clone(), scope].concat());
        assert_eq!(count(&[resource.clone(), vec![0x10, 0x96, 0x01], resource].concat(), &[1, 2, 2]), 8);
    }

    #[test]
    fn what_is_not_protobuf_holds_no_span() {
        for bytes in [&b""[..], b"\x0a\xff", b"\x0f", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
            assert_eq!(count(bytes, &[1, 2, 2]), 0, "{bytes:?}");
        }
    }
}
