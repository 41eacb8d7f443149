//! Pods that count what they get, and clients that ask until they are told to stop.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use goodgo_runtime_config::Call;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use tokio::task::JoinHandle;

use super::{Body, full, get, to_service, upstream};

/// The SRV name of the pods behind [`iam`].
pub(crate) const PODS: &str = "_service._tcp.iam--pods.shop.svc.cluster.local.";

/// A call to a service that is found by its pods alone.
pub(crate) fn iam() -> Call {
    to_service("iam.shop.svc.cluster.local.", 1, PODS)
}

/// A pod that counts its requests and answers after `time`, with 500 while it is bad. gRPC gets a message and a status.
pub(crate) struct Pod {
    pub(crate) address: SocketAddr,
    pub(crate) requests: Arc<AtomicUsize>,
    pub(crate) bad: Arc<AtomicBool>,
    pub(crate) connections: Arc<AtomicUsize>,
}

async fn pod(time: Duration) -> Pod {
    let (requests, bad) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, is_bad) = (Arc::clone(&requests), Arc::clone(&bad));
    let upstream = upstream(move |request: Request<Incoming>| {
        count.fetch_add(1, Ordering::SeqCst);
        let bad = is_bad.load(Ordering::SeqCst);
        let is_grpc = request.headers().get("content-type").is_some_and(|kind| kind == GRPC);
        async move {
            tokio::time::sleep(time).await;
            let (request, body) = request.into_parts();
            // Whole, as servers of gRPC do: what comes after an answer counts as a fault with some.
            let _ = body.collect().await;
            let mut response =
                if is_grpc { grpc_answer(&request.headers) } else { Response::new(full("ok")) };
            if bad {
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            }
            response
        }
    })
    .await;
    Pod { address: upstream.address, requests, bad, connections: upstream.connections }
}

/// Pods that answer after `time`.
pub(crate) async fn pods<const N: usize>(time: Duration) -> [Pod; N] {
    futures::future::join_all((0..N).map(|_| pod(time))).await.try_into().ok().unwrap()
}

pub(crate) fn addresses(pods: &[Pod]) -> Vec<SocketAddr> {
    pods.iter().map(|pod| pod.address).collect()
}

/// Requests of each pod since it was asked last.
pub(crate) fn taken(pods: &[Pod]) -> Vec<usize> {
    pods.iter().map(|pod| pod.requests.swap(0, Ordering::SeqCst)).collect()
}

/// Asserts that each has its even share of `got`, within five percent of all.
pub(crate) fn assert_even(got: &[usize], what: &str) {
    let all: usize = got.iter().sum();
    let even = 100 / got.len();
    for share in got {
        assert!((all * (even - 5) / 100..=all * (even + 5) / 100).contains(share), "{what}: {got:?}");
    }
}

/// What clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// Each client on a connection of its own.
    Http1,
    /// All clients on one connection.
    Http2,
    /// The same with unary calls of gRPC, which succeed when their trailers say so.
    Grpc,
}

const GRPC: &str = "application/grpc";
/// A message of five bytes, uncompressed.
const MESSAGE: &[u8] = b"\0\0\0\0\x05hello";

fn grpc_answer(request: &HeaderMap) -> Response<Body> {
    let te = request.get("te").map(HeaderValue::as_bytes);
    let status = if te == Some(b"trailers") { "0" } else { "13" };
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static(status))]);
    let frames = [Ok(Frame::data(Bytes::from_static(MESSAGE))), Ok(Frame::trailers(trailers))];
    let mut response = Response::new(StreamBody::new(futures::stream::iter(frames)).boxed());
    response.headers_mut().insert("content-type", HeaderValue::from_static(GRPC));
    response
}

/// Clients under way.
pub(crate) struct Load {
    go: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Done>>,
}

/// What clients have seen.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) sent: usize,
    pub(crate) failed: usize,
    /// Of each request, until the end of its answer's body.
    pub(crate) took: Vec<Duration>,
    /// Some of what was not 200.
    pub(crate) said: Vec<String>,
}

impl Done {
    /// The duration that `percent` of the requests did not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut took = self.took.clone();
        took.sort_unstable();
        took[(took.len() - 1) * percent / 100]
    }

    fn add(mut self, other: Self) -> Self {
        self.sent += other.sent;
        self.failed += other.failed;
        self.took.extend(other.took);
        self.said.extend(other.said);
        self
    }
}

enum Connection {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>, Speaks),
}

impl Connection {
    async fn ask(&mut self) -> Response<Incoming> {
        match self {
            Self::Http1(own) => {
                own.ready().await.unwrap();
                let mut request = get("/");
                request.headers_mut().insert("host", HeaderValue::from_static("iam"));
                own.send_request(request).await.unwrap()
            }
            Self::Http2(shared, Speaks::Grpc) => {
                let request = Request::post("http://iam/shop.Iam/Get")
                    .header("content-type", GRPC)
                    .header("te", "trailers")
                    .body(full(MESSAGE))
                    .unwrap();
                shared.clone().send_request(request).await.unwrap()
            }
            Self::Http2(shared, _) => {
                let request = Request::get("http://iam/").body(full("")).unwrap();
                shared.clone().send_request(request).await.unwrap()
            }
        }
    }
}

impl Load {
    /// `clients` that ask one after the other, with `pause` in between.
    pub(crate) async fn start(to: SocketAddr, clients: usize, speaks: Speaks, pause: Duration) -> Self {
        let shared = if speaks == Speaks::Http1 { None } else { Some(super::http2(to).await) };
        let mut load = Self {
            go: Arc::new(AtomicBool::new(true)),
            sent: Arc::new(AtomicUsize::new(0)),
            clients: Vec::with_capacity(clients),
        };
        for _ in 0..clients {
            let (go, sent) = (Arc::clone(&load.go), Arc::clone(&load.sent));
            let mut connection = match &shared {
                Some(shared) => Connection::Http2(shared.clone(), speaks),
                None => Connection::Http1(super::http1(to).await),
            };
            load.clients.push(tokio::spawn(async move {
                let mut done = Done::default();
                while go.load(Ordering::SeqCst) {
                    let start = Instant::now();
                    let response = connection.ask().await;
                    let status = response.status();
                    let body = response.into_body().collect().await.unwrap();
                    let is_well = match speaks {
                        Speaks::Grpc => body.trailers().is_some_and(|said| said["grpc-status"] == "0"),
                        Speaks::Http1 | Speaks::Http2 => true,
                    };
                    done.took.push(start.elapsed());
                    done.sent += 1;
                    sent.fetch_add(1, Ordering::SeqCst);
                    if status != StatusCode::OK || !is_well {
                        done.failed += 1;
                        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
                        done.said.push(format!("{status} after {:?}: {text}", start.elapsed()));
                        done.said.truncate(3);
                    }
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                }
                done
            }));
        }
        load
    }

    /// Requests that have been answered so far.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }

    pub(crate) async fn stop(self) -> Done {
        self.go.store(false, Ordering::SeqCst);
        let ended = futures::future::join_all(self.clients).await;
        ended.into_iter().map(Result::unwrap).fold(Done::default(), Done::add)
    }
}
