//! A callee with several pods: even shares, bad ones left out, and scaling that no request notices.

#![cfg(test)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use goodgo_runtime_config::{Call, CallPolicy};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use support::dns::Dns;
use support::{Running, config, full, get, http1, http2, to_service, upstream};
use tokio::task::JoinHandle;

const PODS: &str = "_service._tcp.iam--pods.shop.svc.cluster.local.";

fn iam() -> Call {
    to_service("iam.shop.svc.cluster.local.", 1, PODS)
}

/// A pod that counts its requests and answers after `time`, with 500 while it is bad.
struct Pod {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    bad: Arc<AtomicBool>,
}

async fn pod(time: Duration) -> Pod {
    let (requests, bad) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, is_bad) = (Arc::clone(&requests), Arc::clone(&bad));
    let upstream = upstream(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let bad = is_bad.load(Ordering::SeqCst);
        async move {
            tokio::time::sleep(time).await;
            let mut response = Response::new(full("ok"));
            if bad {
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            }
            response
        }
    })
    .await;
    Pod { address: upstream.address, requests, bad }
}

async fn pods<const N: usize>(time: Duration) -> [Pod; N] {
    futures::future::join_all((0..N).map(|_| pod(time))).await.try_into().ok().unwrap()
}

fn addresses(pods: &[Pod]) -> Vec<SocketAddr> {
    pods.iter().map(|pod| pod.address).collect()
}

/// Requests of each pod since it was asked last.
fn taken(pods: &[Pod]) -> Vec<usize> {
    pods.iter().map(|pod| pod.requests.swap(0, Ordering::SeqCst)).collect()
}

/// Clients that call until they are told to stop, and say how often they did and how often not with 200.
struct Load {
    go: Arc<AtomicBool>,
    clients: Vec<JoinHandle<(usize, usize)>>,
}

impl Load {
    /// HTTP/1.1 connections, or as many requests at a time on one HTTP/2 connection.
    async fn start(to: SocketAddr, clients: usize, over_http2: bool) -> Self {
        let go = Arc::new(AtomicBool::new(true));
        let shared = if over_http2 { Some(http2(to).await) } else { None };
        let mut load = Self { go, clients: Vec::new() };
        for _ in 0..clients {
            let (go, shared) = (Arc::clone(&load.go), shared.clone());
            load.clients.push(tokio::spawn(async move {
                let mut own = if shared.is_none() { Some(http1(to).await) } else { None };
                let (mut sent, mut failed) = (0, 0);
                while go.load(Ordering::SeqCst) {
                    let response = match (&shared, &mut own) {
                        (Some(shared), _) => {
                            let request = Request::get("http://iam/").body(full("")).unwrap();
                            shared.clone().send_request(request).await.unwrap()
                        }
                        (_, Some(own)) => {
                            own.ready().await.unwrap();
                            let mut request = get("/");
                            request.headers_mut().insert("host", "iam".parse().unwrap());
                            own.send_request(request).await.unwrap()
                        }
                        _ => unreachable!(),
                    };
                    sent += 1;
                    failed += usize::from(response.status() != StatusCode::OK);
                    response.into_body().collect().await.unwrap();
                }
                (sent, failed)
            }));
        }
        load
    }

    async fn stop(self) -> (usize, usize) {
        self.go.store(false, Ordering::SeqCst);
        let ended = futures::future::join_all(self.clients).await;
        ended.into_iter().map(Result::unwrap).fold((0, 0), |(a, b), (c, d)| (a + c, b + d))
    }
}

#[tokio::test]
async fn four_pods_get_a_quarter_each_within_the_ttl_of_a_scale_up() {
    for over_http2 in [false, true] {
        let pods: [Pod; 4] = pods(Duration::from_millis(2)).await;
        let dns = Dns::start().await;
        dns.pods(PODS, &addresses(&pods[..1]), 2);
        let running = Running::start_with_dns(&dns, &config([("iam", iam())])).await;
        let load = Load::start(running.call("iam"), 16, over_http2).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(taken(&pods)[1..], [0; 3]);
        dns.pods(PODS, &addresses(&pods), 2);
        let scaled = Instant::now();
        while pods[3].requests.load(Ordering::SeqCst) == 0 {
            assert!(scaled.elapsed() < Duration::from_secs(15), "a new pod got nothing");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        taken(&pods);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let got = taken(&pods);
        let all: usize = got.iter().sum();
        for share in &got {
            assert!((all * 20 / 100..=all * 30 / 100).contains(share), "HTTP/2 {over_http2}: {got:?}");
        }
        let (_, failed) = load.stop().await;
        assert_eq!(failed, 0);
        running.stop().await;
    }
}

#[tokio::test]
async fn pods_appear_and_vanish_under_load_and_no_request_fails() {
    for over_http2 in [false, true] {
        let dns = Dns::start().await;
        let pods: [Pod; 6] = pods(Duration::from_millis(2)).await;
        dns.pods(PODS, &addresses(&pods[..2]), 1);
        let running = Running::start_with_dns(&dns, &config([("iam", iam())])).await;
        let load = Load::start(running.call("iam"), 8, over_http2).await;
        for names in [&pods[..4], &pods[2..], &pods[3..5], &pods[4..], &pods[..1]] {
            dns.pods(PODS, &addresses(names), 1);
            tokio::time::sleep(Duration::from_millis(1_200)).await;
        }
        taken(&pods);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let got = taken(&pods);
        assert!(got[0] > 0 && got[1..] == [0; 5], "those that are gone get requests: {got:?}");
        let (sent, failed) = load.stop().await;
        assert_eq!(failed, 0, "of {sent}");
        running.stop().await;
    }
}

#[tokio::test]
async fn a_slow_pod_gets_less() {
    let quick: [Pod; 3] = pods(Duration::from_millis(5)).await;
    let slow = pod(Duration::from_millis(100)).await;
    let all: Vec<_> = quick.into_iter().chain([slow]).collect();
    let dns = Dns::start().await;
    dns.pods(PODS, &addresses(&all), 5);
    let running = Running::start_with_dns(&dns, &config([("iam", iam())])).await;
    let load = Load::start(running.call("iam"), 8, false).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    load.stop().await;
    let got = taken(&all);
    assert!(got[3] * 5 < got[0], "{got:?}");
    running.stop().await;
}

#[tokio::test]
async fn a_pod_that_answers_500_is_left_out_and_comes_back_when_it_is_well() {
    let pods: [Pod; 4] = pods(Duration::from_millis(2)).await;
    pods[2].bad.store(true, Ordering::SeqCst);
    let dns = Dns::start().await;
    dns.pods(PODS, &addresses(&pods), 1);
    let running = Running::start_with_dns(&dns, &config([("iam", iam())])).await;
    let load = Load::start(running.call("iam"), 8, false).await;
    // Before the first ejection is over, and across refreshes of discovery.
    tokio::time::sleep(Duration::from_secs(1)).await;
    taken(&pods);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let got = taken(&pods);
    let all: usize = got.iter().sum();
    assert!(got[2] * 50 < all, "2 % or more: {got:?}");
    assert!(got[2] <= 2, "more than the probe: {got:?}");
    pods[2].bad.store(false, Ordering::SeqCst);
    // The second ejection lasts ten seconds.
    let well = Instant::now();
    while pods[2].requests.load(Ordering::SeqCst) < 100 {
        assert!(well.elapsed() < Duration::from_secs(20), "it does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    load.stop().await;
    running.stop().await;
}

#[tokio::test]
async fn more_calls_than_a_connection_has_streams_open_another_one() {
    // Permits two hundred streams a connection, which is hyper's own default.
    let busy = upstream(|_| async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        Response::new(full("ok"))
    })
    .await;
    let call = support::to(busy.address).with(CallPolicy { concurrency: 300, ..CallPolicy::default() });
    let running = Running::start(support::nobody().await, &config([("iam", call)])).await;
    let client = http2(running.call("iam")).await;
    let call = || async {
        let request = Request::get("http://iam/").body(full("")).unwrap();
        client.clone().send_request(request).await.unwrap().status()
    };
    // The peer's settings have arrived, and are known, after these.
    for _ in 0..2 {
        assert_eq!(call().await, StatusCode::OK);
    }
    assert_eq!(busy.connections.load(Ordering::SeqCst), 1);
    let burst = futures::future::join_all((0..150).map(|_| call())).await;
    assert!(burst.iter().all(|status| *status == StatusCode::OK));
    assert_eq!(busy.connections.load(Ordering::SeqCst), 1);
    let burst = futures::future::join_all((0..300).map(|_| call())).await;
    assert!(burst.iter().all(|status| *status == StatusCode::OK));
    assert_eq!(busy.connections.load(Ordering::SeqCst), 2);
    running.stop().await;
}
