//! A callee with several pods: even shares, bad ones left out, and scaling that no request notices.

#![cfg(test)]

mod support;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use goodgo_runtime_config::CallPolicy;
use http::{Request, Response, StatusCode};
use support::dns::Dns;
use support::load::{Load, PODS, Pod, Speaks, addresses, assert_even, iam, pods, taken};
use support::{Running, config, full, http2, upstream};

#[tokio::test]
async fn four_pods_get_a_quarter_each_within_the_ttl_of_a_scale_up() {
    for speaks in [Speaks::Http1, Speaks::Http2, Speaks::Grpc] {
        let pods: [Pod; 4] = pods(Duration::from_millis(2)).await;
        let dns = Dns::start().await;
        dns.pods(PODS, &addresses(&pods[..1]), 2);
        let running = Running::start_with_dns(&dns, &config([("iam", iam())])).await;
        let load = Load::start(running.call("iam"), 16, speaks, Duration::ZERO).await;
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
        assert_even(&taken(&pods), &format!("{speaks:?}"));
        let done = load.stop().await;
        assert_eq!(done.failed, 0, "{speaks:?}: {:?}", done.said);
        running.stop().await;
    }
}

#[tokio::test]
async fn pods_appear_and_vanish_under_load_and_no_request_fails() {
    for speaks in [Speaks::Http1, Speaks::Http2, Speaks::Grpc] {
        let dns = Dns::start().await;
        let pods: [Pod; 6] = pods(Duration::from_millis(2)).await;
        dns.pods(PODS, &addresses(&pods[..2]), 1);
        let running = Running::start_with_dns(&dns, &config([("iam", iam())])).await;
        let load = Load::start(running.call("iam"), 8, speaks, Duration::ZERO).await;
        for names in [&pods[..4], &pods[2..], &pods[3..5], &pods[4..], &pods[..1]] {
            dns.pods(PODS, &addresses(names), 1);
            tokio::time::sleep(Duration::from_millis(1_200)).await;
        }
        taken(&pods);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let got = taken(&pods);
        assert!(got[0] > 0 && got[1..] == [0; 5], "those that are gone get requests: {got:?}");
        let done = load.stop().await;
        assert_eq!(done.failed, 0, "of {}, {speaks:?}: {:?}", done.sent, done.said);
        running.stop().await;
    }
}

#[tokio::test]
async fn a_slow_pod_gets_less() {
    let quick: [Pod; 3] = pods(Duration::from_millis(5)).await;
    let slow: [Pod; 1] = pods(Duration::from_millis(100)).await;
    let all: Vec<_> = quick.into_iter().chain(slow).collect();
    let dns = Dns::start().await;
    dns.pods(PODS, &addresses(&all), 5);
    let running = Running::start_with_dns(&dns, &config([("iam", iam())])).await;
    let load = Load::start(running.call("iam"), 8, Speaks::Http1, Duration::ZERO).await;
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
    let load = Load::start(running.call("iam"), 8, Speaks::Http1, Duration::ZERO).await;
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
