//! Unary gRPC by hand, as far as the demo needs it: messages with one field each.
//!
//! | method | request | answer |
//! | --- | --- | --- |
//! | `goodgo.demo.v1.Demo/WhoAmI` | – | `string pod = 1` |
//! | `goodgo.demo.v1.Demo/Ask` | `string service = 1` | the answer of that callee's `WhoAmI` |
//! | `grpc.health.v1.Health/Check` | – | `SERVING` |

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response};
use axum::routing::post;
use http_body_util::StreamBody;
use hyper::body::Frame;

use crate::routes::Demo;

/// The callee's answer, whole: a prefix of five bytes and the message.
pub(crate) const WHO_AM_I: &str = "/goodgo.demo.v1.Demo/WhoAmI";
pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(crate) const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// Field 1, length-delimited: a string.
const STRING: u8 = 0x0a;
/// `status = SERVING` of a HealthCheckResponse.
const SERVING: &[u8] = &[0x08, 0x01];

const INVALID_ARGUMENT: u8 = 3;
const UNAVAILABLE: u8 = 14;

pub(crate) fn routes() -> Router<Arc<Demo>> {
    Router::new()
        .route(WHO_AM_I, post(who_am_i))
        .route("/goodgo.demo.v1.Demo/Ask", post(ask))
        .route("/grpc.health.v1.Health/Check", post(async || answer(framed(SERVING))))
}

async fn who_am_i(State(demo): State<Arc<Demo>>) -> Response<Body> {
    let Ok(length) = u8::try_from(demo.pod.len()) else {
        return refusal(INVALID_ARGUMENT, "the pod's name is too long");
    };
    answer(framed(&[&[STRING, length][..], demo.pod.as_bytes()].concat()))
}

async fn ask(State(demo): State<Arc<Demo>>, request: Bytes) -> Response<Body> {
    let Some(service) = request.get(7..).and_then(|name| std::str::from_utf8(name).ok()) else {
        return refusal(INVALID_ARGUMENT, "there is no service in the request");
    };
    match demo.callees.who_am_i(service).await {
        Ok(said) => answer(said),
        Err(failed) => refusal(UNAVAILABLE, &failed),
    }
}

/// Not compressed, and how long it is (gRPC over HTTP/2, Length-Prefixed-Message).
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0][..], &length.to_be_bytes()[..], message].concat().into()
}

fn answer(message: Bytes) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
    let frames = [Frame::data(message), Frame::trailers(trailers)].map(Ok::<_, Infallible>);
    let mut response = Response::new(Body::new(StreamBody::new(futures::stream::iter(frames))));
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

/// A status and no message: Trailers-Only.
fn refusal(status: u8, why: &str) -> Response<Body> {
    tracing::warn!(status, why, "gRPC call failed");
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response.headers_mut().insert(GRPC_STATUS, HeaderValue::from(u16::from(status)));
    if let Ok(why) = HeaderValue::from_str(why) {
        response.headers_mut().insert(GRPC_MESSAGE, why);
    }
    response
}
