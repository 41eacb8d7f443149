//! Names become addresses: against a DNS server of the test's own.

#![cfg(test)]

mod support;

use std::net::Ipv4Addr;
use std::time::Duration;

use goodgo_runtime_config::{Call, CallPolicy, Scheme};
use hickory_resolver::proto::rr::RecordType;
use http::StatusCode;
use support::dns::{Dns, Mood};
use support::{Running, assert_problem, config, get, nobody, saying, send, text, to_service, upstream};

const HOST: &str = "iam.shop.svc.cluster.local.";
const PODS: &str = "_service._tcp.iam--pods.shop.svc.cluster.local.";

fn localhost(ip: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, ip)
}

async fn answer(running: &Running) -> String {
    text(send(running.call("iam"), get("/")).await).await
}

/// Polls until the call is answered with `text`.
async fn eventually_says(running: &Running, text: &str) {
    running.eventually(text, || async { answer(running).await == text }).await;
}

#[tokio::test]
async fn each_pod_is_called_at_the_port_that_its_srv_record_names() {
    for additional in [true, false] {
        let (one, two) = (saying("one").await, saying("two").await);
        let dns = Dns::start().await;
        if !additional {
            dns.sends_no_additional_records();
        }
        dns.pods(PODS, &[one.address, two.address], 5);
        let running = Running::start_with_dns(&dns, &config([("iam", to_service(HOST, 1, PODS))])).await;
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..40 {
            seen.insert(answer(&running).await);
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(dns.queries(PODS, RecordType::SRV), 1);
        assert_eq!(dns.queries(HOST, RecordType::A), 0);
        running.stop().await;
    }
}

#[tokio::test]
async fn without_a_pods_name_the_host_is_looked_up() {
    let callee = saying("hello").await;
    let dns = Dns::start().await;
    dns.host(HOST, &[localhost(1)], 5);
    let call = Call::to(Scheme::Http, HOST, callee.address.port());
    let running = Running::start_with_dns(&dns, &config([("iam", call)])).await;
    for _ in 0..10 {
        assert_eq!(answer(&running).await, "hello");
    }
    assert_eq!(dns.queries(HOST, RecordType::A), 1);
    running.stop().await;
}

#[tokio::test]
async fn an_address_is_no_name() {
    let callee = saying("hello").await;
    let dns = Dns::start().await;
    dns.is(Mood::Silent);
    let running = Running::start_with_dns(&dns, &config([("iam", support::to(callee.address))])).await;
    assert_eq!(answer(&running).await, "hello");
    running.stop().await;
}

#[tokio::test]
async fn a_callee_without_ready_pods_fails_at_its_service_and_is_served_again_when_it_has_one() {
    let callee = saying("hello").await;
    let closed = nobody().await;
    let dns = Dns::start().await;
    dns.host(HOST, &[localhost(1)], 1);
    let call = to_service(HOST, closed.port(), PODS);
    let running = Running::start_with_dns(&dns, &config([("iam", call)])).await;
    assert_problem(send(running.call("iam"), get("/")).await, 502, "ConnectFailed").await;
    dns.pods(PODS, &[callee.address], 1);
    running
        .eventually("the pod is called", || async {
            send(running.call("iam"), get("/")).await.status() == StatusCode::OK
        })
        .await;
    assert_eq!(answer(&running).await, "hello");
    running.stop().await;
}

#[tokio::test]
async fn a_name_that_is_absent_is_said_to_be_and_found_once_it_is_there() {
    let callee = saying("hello").await;
    let dns = Dns::start().await;
    let call = to_service(HOST, callee.address.port(), PODS);
    let running = Running::start_with_dns(&dns, &config([("iam", call)])).await;
    for _ in 0..20 {
        assert_problem(send(running.call("iam"), get("/")).await, 502, "NameNotResolved").await;
    }
    assert!(dns.queries(PODS, RecordType::SRV) <= 3, "twenty requests asked more than once a second");
    dns.host(HOST, &[localhost(1)], 5);
    running
        .eventually("the name is found", || async {
            send(running.call("iam"), get("/")).await.status() == StatusCode::OK
        })
        .await;
    running.stop().await;
}

#[tokio::test]
async fn changed_answers_are_followed() {
    let (old, new) = (saying("old").await, saying("new").await);
    let dns = Dns::start().await;
    dns.pods(PODS, &[old.address], 1);
    let running = Running::start_with_dns(&dns, &config([("iam", to_service(HOST, 1, PODS))])).await;
    assert_eq!(answer(&running).await, "old");
    dns.pods(PODS, &[new.address], 1);
    eventually_says(&running, "new").await;
    running.stop().await;
}

#[tokio::test]
async fn a_dns_that_fails_or_is_silent_takes_no_request_with_it() {
    let (old, new) = (saying("old").await, saying("new").await);
    for mood in [Mood::Failing, Mood::Silent] {
        let dns = Dns::start().await;
        dns.pods(PODS, &[old.address], 1);
        let running = Running::start_with_dns(&dns, &config([("iam", to_service(HOST, 1, PODS))])).await;
        assert_eq!(answer(&running).await, "old");
        dns.is(mood);
        // Several times the TTL. What a minute does is shown on a paused clock, in the module's own tests.
        let asked = dns.queries(PODS, RecordType::SRV);
        for _ in 0..40 {
            assert_eq!(answer(&running).await, "old");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(dns.queries(PODS, RecordType::SRV) > asked, "it was not asked meanwhile");
        dns.pods(PODS, &[new.address], 1);
        dns.is(Mood::Answering);
        // The longest pause between looks, and the time of the one that is under way, are not yet over after five seconds.
        let mut left = 100;
        while answer(&running).await != "new" {
            left -= 1;
            assert!(left > 0, "the news did not arrive within ten seconds");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        running.stop().await;
    }
}

#[tokio::test]
async fn a_dead_dns_at_the_first_request_is_named_within_the_time_to_connect() {
    let dns = Dns::start().await;
    dns.is(Mood::Silent);
    let policy = CallPolicy { connect_timeout_ms: 4_000, ..CallPolicy::default() };
    let call = to_service(HOST, 1, PODS).with(policy);
    let running = Running::start_with_dns(&dns, &config([("iam", call)])).await;
    let response = send(running.call("iam"), get("/")).await;
    assert_problem(response, 502, "NameNotResolved").await;
    running.stop().await;
}

#[tokio::test]
async fn a_large_answer_comes_over_tcp() {
    let callee = saying("hello").await;
    let dns = Dns::start().await;
    dns.pods(PODS, &[callee.address; 100], 5);
    let running = Running::start_with_dns(&dns, &config([("iam", to_service(HOST, 1, PODS))])).await;
    assert_eq!(answer(&running).await, "hello");
    assert!(dns.over_tcp() >= 1);
    running.stop().await;
}

#[tokio::test]
async fn a_burst_on_a_cold_name_is_one_lookup() {
    let callee = upstream(|_| async { http::Response::new(support::full("hello")) }).await;
    let dns = Dns::start().await;
    dns.pods(PODS, &[callee.address], 5);
    let running = Running::start_with_dns(&dns, &config([("iam", to_service(HOST, 1, PODS))])).await;
    let burst = (0..100).map(|_| answer(&running));
    for text in futures::future::join_all(burst).await {
        assert_eq!(text, "hello");
    }
    assert_eq!(dns.queries(PODS, RecordType::SRV), 1);
    running.stop().await;
}

#[tokio::test]
async fn looks_are_timed_and_what_is_at_hand_is_not() {
    let callee = saying("hello").await;
    let dns = Dns::start().await;
    dns.is(Mood::Failing);
    let running = Running::start_with_dns(&dns, &config([("iam", to_service(HOST, 1, PODS))])).await;
    let looks = async |result: &str| -> u64 {
        let sample =
            format!("goodgo_runtime_discovery_lookup_duration_seconds_count{{result=\"{result}\"}} ");
        let text = running.admin("/metrics").await.1;
        text.lines().find_map(|line| line.strip_prefix(&sample)).map_or(0, |count| count.parse().unwrap())
    };
    assert_eq!((looks("found").await, looks("failed").await), (0, 0), "nobody has called yet");
    assert_problem(send(running.call("iam"), get("/")).await, 502, "NameNotResolved").await;
    assert_eq!((looks("found").await, looks("failed").await), (0, 1));
    dns.pods(PODS, &[callee.address], 30);
    dns.is(Mood::Answering);
    eventually_says(&running, "hello").await;
    let failed = looks("failed").await;
    for _ in 0..20 {
        assert_eq!(answer(&running).await, "hello");
    }
    assert_eq!((looks("found").await, looks("failed").await), (1, failed), "an answer was at hand");
    let text = running.admin("/metrics").await.1;
    assert!(text.contains("goodgo_runtime_discovery_waits_total 1\n"), "{text}");
    let absent =
        Running::start_with_dns(&Dns::start().await, &config([("iam", to_service(HOST, 1, PODS))])).await;
    assert_problem(send(absent.call("iam"), get("/")).await, 502, "NameNotResolved").await;
    let text = absent.admin("/metrics").await.1;
    assert!(text.contains("discovery_lookup_duration_seconds_count{result=\"absent\"} 1\n"), "{text}");
    absent.stop().await;
    running.stop().await;
}
