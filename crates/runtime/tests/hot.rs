//! The configuration file changes while traffic flows.

#![cfg(test)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use goodgo_runtime_config::{
    Call, CallPolicy, CallRoute, Caller, CircuitBreaker, Priority, Retries, RuntimeConfig,
};
use http::{Response, StatusCode};
use serde_json::Value;
use support::load::{Done, Load, Pod, Speaks, pods};
use support::{Running, assert_problem, config, full, get, nobody, saying, send, text, to, upstream};
use tokio::sync::Semaphore;

async fn reported(running: &Running) -> Value {
    serde_json::from_str(&running.admin("/config").await.1).unwrap()
}

#[tokio::test]
async fn nothing_is_served_before_the_first_good_file() {
    let app = saying("hello").await;
    let running = Running::launch(app.address, &[], &[]).await;
    assert_eq!(running.admin("/live").await.0, 200);
    assert_eq!(running.admin("/startup").await.0, 503);
    assert_eq!(running.admin("/ready").await.0, 503);
    running
        .eventually("the missing file is reported", || async {
            reported(&running).await["lastError"]["message"]
                .as_str()
                .is_some_and(|m| m.contains("No such file"))
        })
        .await;
    // Waits in the accept queue.
    let early = tokio::spawn(send(running.service(), get("/")));
    running.put(&config([]));
    running.started().await;
    assert_eq!(running.admin("/ready").await.0, 200);
    assert_eq!(text(early.await.unwrap()).await, "hello");
    assert_eq!(reported(&running).await["lastError"], Value::Null);
    running.stop().await;
}

#[tokio::test]
async fn a_swapped_file_is_in_force_within_a_second_and_restarts_nothing() {
    let (first, second) = (saying("first").await, saying("second").await);
    let missing = Call::unavailable("CalleeMissing", "create it");
    let before = config([("changes", to(first.address)), ("appears", missing), ("stays", to(first.address))]);
    let running = Running::start(nobody().await, &before).await;
    assert_eq!(text(send(running.call("changes"), get("/")).await).await, "first");
    assert_eq!(text(send(running.call("stays"), get("/")).await).await, "first");
    assert_problem(send(running.call("appears"), get("/")).await, 503, "CalleeMissing").await;

    let mut after = config([("changes", to(second.address)), ("appears", to(second.address))]);
    after.calls.insert("stays".to_owned(), to(first.address));
    after.revision = "b2".to_owned();
    let swapped = Instant::now();
    running.put(&after);
    running.eventually("b2 is in force", || async { reported(&running).await["revision"] == "b2" }).await;
    assert!(swapped.elapsed() < Duration::from_secs(1), "{:?}", swapped.elapsed());
    assert_eq!(text(send(running.call("changes"), get("/")).await).await, "second");
    assert_eq!(text(send(running.call("appears"), get("/")).await).await, "second");
    let before = first.connections.load(Ordering::SeqCst);
    assert_eq!(text(send(running.call("stays"), get("/")).await).await, "first");
    assert_eq!(first.connections.load(Ordering::SeqCst), before, "an unchanged target lost its connections");
    assert!(running.admin("/metrics").await.1.contains(r#"config_info{revision="b2"} 1"#));
    running.stop().await;
}

#[tokio::test]
async fn a_bad_file_is_refused_and_reported_while_the_old_one_stays() {
    let callee = saying("still here").await;
    let good = config([("iam-service", to(callee.address))]);
    let running = Running::start(nobody().await, &good).await;
    for (text_of_file, says) in [
        ("{", "EOF"),
        (
            r#"{"version":"v1alpha1","revision":"c3","service":{"name":"a","namespace":"b"},"port":1}"#,
            "unknown field `port`",
        ),
        (r#"{"version":"v1alpha1","revision":"c3","service":{"name":"A","namespace":"b"}}"#, "service.name"),
    ] {
        running.volume.put(text_of_file);
        running
            .eventually(says, || async {
                reported(&running).await["lastError"]["message"].as_str().is_some_and(|m| m.contains(says))
            })
            .await;
        assert_eq!(reported(&running).await["revision"], "a1");
        assert!(running.admin("/metrics").await.1.contains("goodgo_runtime_config_good 0"));
        assert_eq!(text(send(running.call("iam-service"), get("/")).await).await, "still here");
        assert_eq!(running.admin("/ready").await.0, 200, "a bad file takes no pod out of service");
    }
    running.put(&good);
    running
        .eventually("the error is gone", || async { reported(&running).await["lastError"].is_null() })
        .await;
    let metrics = running.admin("/metrics").await.1;
    assert!(metrics.contains("goodgo_runtime_config_good 1"), "{metrics}");
    assert!(metrics.contains(r#"config_loads_total{result="refused"} "#), "{metrics}");
    running.stop().await;
}

#[tokio::test]
async fn a_listener_whose_call_left_the_file_says_so() {
    let callee = saying("hello").await;
    let running = Running::start(nobody().await, &config([("iam-service", to(callee.address))])).await;
    running.put(&config([]));
    running
        .eventually("the call is gone", || async {
            send(running.call("iam-service"), get("/")).await.status() == 503
        })
        .await;
    assert_problem(send(running.call("iam-service"), get("/")).await, 503, "CallNotConfigured").await;
    running.stop().await;
}

/// Answers once it may; counts who waits for that.
async fn waiting(may: Arc<Semaphore>, asked: Arc<AtomicUsize>) -> SocketAddr {
    let waiting = upstream(move |_| {
        let (may, asked) = (Arc::clone(&may), Arc::clone(&asked));
        async move {
            asked.fetch_add(1, Ordering::SeqCst);
            let _may = may.acquire().await.unwrap();
            Response::new(full("answered"))
        }
    })
    .await;
    waiting.address
}

#[tokio::test]
async fn a_request_in_flight_keeps_the_policy_and_the_target_that_it_began_with() {
    let (may, asked) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let callee = waiting(Arc::clone(&may), Arc::clone(&asked)).await;
    let elsewhere = saying("elsewhere").await;
    let patient = |ms| CallPolicy { timeout_ms: ms, ..CallPolicy::default() };
    let running = Running::start(nobody().await, &config([("iam", to(callee).with(patient(60_000)))])).await;
    #[allow(clippy::async_yields_async, reason = "the request goes on while the configuration changes")]
    let begin = async || {
        let before = asked.load(Ordering::SeqCst);
        let request = tokio::spawn(send(running.call("iam"), get("/")));
        running.eventually("it waits", || async { asked.load(Ordering::SeqCst) > before }).await;
        request
    };
    let swap = async |revision: &str, call: Call| {
        let mut next = config([("iam", call)]);
        next.revision = revision.to_owned();
        running.put(&next);
        let in_force = || async { reported(&running).await["revision"] == revision };
        running.eventually("the next one is in force", in_force).await;
    };
    let with_much_time = begin().await;
    swap("b2", to(callee).with(patient(500))).await;
    let with_little_time = begin().await;
    swap("c3", to(elsewhere.address).with(patient(60_000))).await;
    assert_eq!(text(send(running.call("iam"), get("/")).await).await, "elsewhere");
    assert_problem(with_little_time.await.unwrap(), 504, "CallTimeout").await;
    may.add_permits(2);
    assert_eq!(text(with_much_time.await.unwrap()).await, "answered");
    running.stop().await;
}

const SWAPS: usize = 1_000;

/// Number `n` of many, each different from the one before in everything that is hot.
fn varied(n: usize, pods: &[Pod; 2]) -> RuntimeConfig {
    let odd = n % 2 == 1;
    let retries = Retries { attempts: 2 + u32::from(odd), ..Retries::default() };
    let route = CallRoute {
        path: "/shop.Iam".to_owned(),
        methods: Vec::new(),
        timeout_ms: Some(20_000 + n as u64),
        retries: None,
    };
    let policy = CallPolicy {
        timeout_ms: 30_000 + n as u64,
        connect_timeout_ms: 10_000,
        per_try_timeout_ms: odd.then_some(20_000),
        idle_timeout_ms: n.is_multiple_of(3).then_some(20_000),
        priority: if odd { Priority::Low } else { Priority::Normal },
        retries: (!n.is_multiple_of(5)).then_some(retries),
        circuit_breaker: (!n.is_multiple_of(7))
            .then(|| CircuitBreaker { min_requests: 5 + u32::from(odd), ..CircuitBreaker::default() }),
        concurrency: 64 + u32::from(odd),
        routes: if n % 4 < 2 { vec![route] } else { Vec::new() },
        ..CallPolicy::default()
    };
    // Most leave the target, and with it the connections, as they are.
    let target = to(pods[n / 10 % 2].address);
    let mut config = config([("iam", target.with(policy))]);
    if n.is_multiple_of(6) {
        config.calls.insert("sometimes".to_owned(), to(pods[0].address));
    }
    config.inbound.callers = vec![Caller { name: format!("shop/caller-{n}"), subject: format!("s-{n}") }];
    config.revision = format!("{n:04x}");
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_swaps_under_load_fail_no_request_and_the_last_one_is_in_force() {
    let pods: [Pod; 2] = pods(Duration::from_millis(10)).await;
    let app = pods[0].address;
    let running = Running::launch(app, &["iam", "sometimes"], &["--config-interval", "10"]).await;
    running.put(&varied(0, &pods));
    running.started().await;
    let pause = Duration::from_millis(10);
    let (call, service) = (running.call("iam"), running.service());
    let mut loads = Vec::new();
    for to in [call, service] {
        for speaks in [Speaks::Http1, Speaks::Http2, Speaks::Grpc] {
            loads.push((to == call, speaks, Load::start(to, 3, speaks, pause).await));
        }
    }
    let start = Instant::now();
    for n in 1..=SWAPS {
        running.put(&varied(n, &pods));
        let revision = format!("{n:04x}");
        let swapped = Instant::now();
        while reported(&running).await["revision"] != *revision {
            assert!(swapped.elapsed() < Duration::from_secs(10), "{revision} does not come into force");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let took = start.elapsed();
    for (is_call, speaks, load) in loads {
        let done: Done = load.stop().await;
        let side = if is_call { "calls" } else { "callers" };
        println!("{side}, {speaks:?}: {} requests, {} failed", done.sent, done.failed);
        assert_eq!(done.failed, 0, "{side}, {speaks:?}: {:?}", done.said);
        assert!(done.sent > 100, "{side}, {speaks:?}: only {} in {took:?}", done.sent);
    }
    println!("{SWAPS} swaps in {took:?}");
    let report = reported(&running).await;
    assert_eq!(report["revision"], *format!("{SWAPS:04x}"));
    assert_eq!(report["lastError"], Value::Null);
    assert!(
        running.admin("/metrics").await.1.contains(&format!(r#"config_info{{revision="{SWAPS:04x}"}} 1"#))
    );
    assert_eq!(send(call, get("/")).await.status(), StatusCode::OK);
    running.stop().await;
}
