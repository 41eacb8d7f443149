//! What protects a caller and a callee from each other, through real listeners: deadlines, breaker, bulkhead.

#![cfg(test)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use goodgo_runtime_config::{
    Call, CallPolicy, CallRoute, CircuitBreaker, Priority, Retries, Target, TargetService,
};
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use support::{
    Body, Running, assert_problem, config, full, get, json, mirror, nobody, saying, send, text, to, upstream,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The same call, to a GoodGoService.
fn service(call: Call) -> Call {
    let service = Some(TargetService { pods: None, identity: false });
    Call { target: call.target.map(|target| Target { service, ..target }), ..call }
}

/// A policy with two tries at most, `per_try` and `whole` milliseconds.
fn timed(whole: u64, per_try: Option<u64>) -> CallPolicy {
    let retries = Retries { attempts: 2, backoff_ms: 1, ..Retries::default() };
    CallPolicy {
        timeout_ms: whole,
        per_try_timeout_ms: per_try,
        retries: Some(retries),
        ..CallPolicy::default()
    }
}

/// Never answers; counts.
async fn silent() -> (support::Upstream, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let callee = upstream(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<Response<Body>>()
    })
    .await;
    (callee, seen)
}

async fn problem(response: Response<Incoming>) -> (u16, String, Option<String>) {
    let problem = json(response).await;
    let text = |name: &str| problem[name].as_str().map(str::to_owned);
    (u16::try_from(problem["status"].as_u64().unwrap()).unwrap(), text("reason").unwrap(), text("policy"))
}

#[tokio::test]
async fn each_timeout_names_the_field_that_decided() {
    let (callee, seen) = silent().await;
    let route = CallRoute { path: "/slow".to_owned(), methods: vec![], timeout_ms: Some(20), retries: None };
    let calls = [
        ("whole", service(to(callee.address).with(timed(60, None)))),
        ("try", service(to(callee.address).with(timed(5_000, Some(30))))),
        ("external", to(callee.address).with(timed(60, None))),
        (
            "idle",
            service(
                to(callee.address).with(CallPolicy { idle_timeout_ms: Some(40), ..CallPolicy::default() }),
            ),
        ),
        (
            "route",
            service(to(callee.address).with(CallPolicy { routes: vec![route], ..CallPolicy::default() })),
        ),
    ];
    let running = Running::start(nobody().await, &config(calls)).await;
    for (call, path, tries, reason, policy) in [
        ("whole", "/", 1, "CallTimeout", "calls.whole.timeout"),
        ("try", "/", 2, "TryTimeout", "calls.try.perTryTimeout"),
        ("external", "/", 1, "CallTimeout", "externalCalls.external.timeout"),
        ("idle", "/", 1, "IdleTimeout", "calls.idle.idleTimeout"),
        ("route", "/slow/1", 1, "CallTimeout", "calls.route.routes[0].timeout"),
    ] {
        seen.store(0, Ordering::SeqCst);
        let told = problem(send(running.call(call), get(path)).await).await;
        assert_eq!(told, (504, reason.to_owned(), Some(policy.to_owned())));
        assert_eq!(seen.load(Ordering::SeqCst), tries, "{call}");
    }
    running.stop().await;
}

/// `x-goodgo-timeout-ms`, as the callee saw it.
fn told(seen: &str) -> Option<u64> {
    seen.lines().find_map(|line| line.strip_prefix("x-goodgo-timeout-ms: ")).map(|ms| ms.parse().unwrap())
}

#[tokio::test]
async fn the_deadline_travels_is_never_extended_and_ends_the_call() {
    let callee = mirror().await;
    let calls = [("iam-service", service(to(callee.address))), ("payments", to(callee.address))];
    let running = Running::start(nobody().await, &config(calls)).await;
    let asking = |ms: &str| Request::get("/").header("x-goodgo-timeout-ms", ms).body(full("")).unwrap();
    let own = told(&text(send(running.call("iam-service"), get("/")).await).await).unwrap();
    assert!((1..=5_000).contains(&own), "{own}");
    let shorter = told(&text(send(running.call("iam-service"), asking("3000")).await).await).unwrap();
    assert!((1..=3_000).contains(&shorter), "{shorter}");
    let longer = told(&text(send(running.call("iam-service"), asking("60000")).await).await).unwrap();
    assert!((1..=5_000).contains(&longer), "{longer}");
    assert_eq!(told(&text(send(running.call("payments"), asking("3000")).await).await), None);
    assert_problem(send(running.call("iam-service"), asking("0")).await, 504, "DeadlineExceeded").await;
    running.stop().await;
}

#[tokio::test]
async fn what_is_left_shrinks_from_try_to_try_and_a_passed_deadline_makes_none() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let callee = upstream(move |request: Request<Incoming>| {
        let left = request.headers()["x-goodgo-timeout-ms"].to_str().unwrap().parse::<u64>().unwrap();
        log.lock().unwrap().push(left);
        std::future::pending::<Response<Body>>()
    })
    .await;
    let call = service(to(callee.address).with(timed(5_000, Some(50))));
    let running = Running::start(nobody().await, &config([("iam-service", call)])).await;
    assert_problem(send(running.call("iam-service"), get("/")).await, 504, "TryTimeout").await;
    let left = std::mem::take(&mut *seen.lock().unwrap());
    assert!(left.len() == 2 && left[0] <= 5_000 && left[1] + 50 <= left[0], "{left:?}");
    let brought = Request::get("/").header("x-goodgo-timeout-ms", "40").body(full("")).unwrap();
    assert_problem(send(running.call("iam-service"), brought).await, 504, "DeadlineExceeded").await;
    assert_eq!(seen.lock().unwrap().drain(..).count(), 1);
    let passed = Request::get("/").header("x-goodgo-timeout-ms", "0").body(full("")).unwrap();
    assert_problem(send(running.call("iam-service"), passed).await, 504, "DeadlineExceeded").await;
    assert!(seen.lock().unwrap().is_empty(), "not started");
    running.stop().await;
}

#[tokio::test]
async fn strangers_get_nothing_of_the_platform_and_services_get_their_priority() {
    let callee = mirror().await;
    let low = CallPolicy { priority: Priority::Low, ..CallPolicy::default() };
    let calls = [
        ("iam-service", service(to(callee.address).with(low.clone()))),
        ("payments", to(callee.address).with(low)),
    ];
    let running = Running::start(nobody().await, &config(calls)).await;
    let request = || {
        Request::get("/")
            .header("x-goodgo-context", "secret")
            .header("x-goodgo-caller", "forged")
            .header("x-service-auth", "t")
            .header("x-correlation-id", "c")
            .header("authorization", "Bearer mine")
            .body(full(""))
            .unwrap()
    };
    let seen = text(send(running.call("payments"), request()).await).await;
    assert_eq!(seen, format!("GET /\nauthorization: Bearer mine\nhost: {}\n\n", callee.address));
    let seen = text(send(running.call("iam-service"), request()).await).await;
    assert!(seen.contains("x-goodgo-priority: low\n") && seen.contains("x-correlation-id: c\n"), "{seen}");
    assert!(!seen.contains("secret") && !seen.contains("forged"), "{seen}");
    running.stop().await;
}

#[tokio::test]
async fn the_breaker_opens_on_final_results_says_when_to_come_back_and_survives_a_hot_change() {
    let healthy = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = Arc::new(AtomicUsize::new(0));
    let (state, count) = (Arc::clone(&healthy), Arc::clone(&seen));
    let callee = upstream(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let status = if state.load(Ordering::SeqCst) { 200 } else { 500 };
        async move { Response::builder().status(status).body(full("")).unwrap() }
    })
    .await;
    let breaker = CircuitBreaker { min_requests: 3, reset_after_ms: 1_500, ..CircuitBreaker::default() };
    let policy = CallPolicy { circuit_breaker: Some(breaker), ..CallPolicy::default() };
    let mut file = config([("iam-service", service(to(callee.address).with(policy.clone())))]);
    let running = Running::start(nobody().await, &file).await;
    for _ in 0..3 {
        assert_eq!(send(running.call("iam-service"), get("/")).await.status(), 500);
    }
    let refused = send(running.call("iam-service"), get("/")).await;
    let after: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&after), "{after}");
    assert_eq!(
        problem(refused).await,
        (503, "CircuitOpen".to_owned(), Some("calls.iam-service.circuitBreaker".to_owned()))
    );
    assert_eq!(seen.load(Ordering::SeqCst), 3);
    // Another timeout is no reason to forget that the callee fails.
    file.revision = "b2".to_owned();
    let call = service(to(callee.address).with(CallPolicy { timeout_ms: 4_000, ..policy.clone() }));
    file.calls.insert("iam-service".to_owned(), call);
    running.put(&file);
    running
        .eventually("b2 is in force", || async {
            running.admin("/config").await.1.contains(r#""revision":"b2""#)
        })
        .await;
    assert_problem(send(running.call("iam-service"), get("/")).await, 503, "CircuitOpen").await;
    let metrics = running.admin("/metrics").await.1;
    assert!(metrics.contains(r#"call_breaker_state{call="iam-service"} 2"#), "{metrics}");
    healthy.store(true, Ordering::SeqCst);
    running
        .eventually("it closes", || async {
            send(running.call("iam-service"), get("/")).await.status() == 200
        })
        .await;
    assert_eq!(send(running.call("iam-service"), get("/")).await.status(), 200);
    // What is declared no more has no state to tell.
    let call = service(to(callee.address).with(CallPolicy { circuit_breaker: None, ..policy }));
    file.calls.insert("iam-service".to_owned(), call);
    running.put(&file);
    running
        .eventually("the breaker's state is gone", || async {
            let metrics = running.admin("/metrics").await.1;
            metrics.contains("call_retries") && !metrics.contains(r#"call_breaker_state{call="iam-service"}"#)
        })
        .await;
    running.stop().await;
}

#[tokio::test]
async fn a_client_whose_body_breaks_closes_no_breaker() {
    let callee = upstream(|request| async move {
        let whole = request.into_body().collect().await.is_ok();
        Response::builder().status(if whole { 500 } else { 400 }).body(full("")).unwrap()
    })
    .await;
    let breaker = CircuitBreaker { min_requests: 3, reset_after_ms: 200, ..CircuitBreaker::default() };
    let policy = CallPolicy { circuit_breaker: Some(breaker), ..CallPolicy::default() };
    let file = config([("iam-service", service(to(callee.address).with(policy)))]);
    let running = Running::start(nobody().await, &file).await;
    for _ in 0..3 {
        assert_eq!(send(running.call("iam-service"), get("/")).await.status(), 500);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    // Half-open: the one call that is let through has a chunk size that is none.
    let mut client = TcpStream::connect(running.call("iam-service")).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: iam\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\nzz\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let metrics = running.admin("/metrics").await.1;
    assert!(!metrics.contains(r#"call_breaker_state{call="iam-service"} 0"#), "{metrics}");
    running.stop().await;
}

/// A body that sends one chunk and goes on when told, or never.
fn held(go_on: tokio::sync::oneshot::Receiver<()>) -> Body {
    let first = futures::stream::iter([Ok(Frame::data(Bytes::from_static(b"first ")))]);
    let rest = futures::stream::once(async move {
        let _ = go_on.await;
        Ok(Frame::data(Bytes::from_static(b"last")))
    });
    StreamBody::new(futures::StreamExt::chain(first, rest)).boxed()
}

#[tokio::test]
async fn the_bulkhead_holds_a_place_until_the_last_byte_and_its_refusals_open_no_breaker() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let told = Arc::new(std::sync::Mutex::new(Some(told)));
    let callee = upstream(move |_| {
        let held_back = told.lock().unwrap().take();
        async move { Response::new(held_back.map_or_else(|| full("free"), held)) }
    })
    .await;
    let breaker = CircuitBreaker { min_requests: 1, error_percent: 0, ..CircuitBreaker::default() };
    let policy = CallPolicy { concurrency: 1, circuit_breaker: Some(breaker), ..CallPolicy::default() };
    let running =
        Running::start(nobody().await, &config([("iam-service", service(to(callee.address).with(policy)))]))
            .await;
    let first = send(running.call("iam-service"), get("/")).await;
    assert_eq!(first.status(), 200, "its head is here, its body is not");
    for _ in 0..5 {
        let refused = send(running.call("iam-service"), get("/")).await;
        assert_eq!(refused.headers()["retry-after"], "1");
        let policy = Some("calls.iam-service.concurrency".to_owned());
        assert_eq!(problem(refused).await, (503, "BulkheadFull".to_owned(), policy));
    }
    tell.send(()).unwrap();
    assert_eq!(text(first).await, "first last");
    running
        .eventually("there is a place", || async {
            send(running.call("iam-service"), get("/")).await.status() == 200
        })
        .await;
    running.stop().await;
}

#[tokio::test]
async fn a_stream_outlives_the_calls_timeout_and_ends_when_it_falls_silent() {
    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    let told = Arc::new(std::sync::Mutex::new(Some(told)));
    let callee = upstream(move |_| {
        let told = told.lock().unwrap().take().unwrap();
        async move { Response::new(held(told)) }
    })
    .await;
    let policy = CallPolicy { timeout_ms: 500, idle_timeout_ms: Some(1_000), ..CallPolicy::default() };
    let running =
        Running::start(nobody().await, &config([("events", service(to(callee.address).with(policy)))])).await;
    let mut response = send(running.call("events"), get("/")).await;
    let first = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "first ");
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(
        tokio::time::timeout(Duration::from_millis(10), response.body_mut().frame()).await.is_err(),
        "it is still open after the timeout"
    );
    assert!(response.body_mut().frame().await.unwrap().is_err(), "broken off, not ended as if complete");
    drop(tell);
    running.stop().await;
}

#[tokio::test]
async fn an_upgraded_connection_that_falls_silent_is_ended() {
    let callee = upstream(|mut request| async move {
        let switched = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = hyper_util::rt::TokioIo::new(switched.await.unwrap());
            stream.write_all(b"hello").await.unwrap();
            std::future::pending::<()>().await;
        });
        Response::builder()
            .status(101)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .body(full(""))
            .unwrap()
    })
    .await;
    let policy = CallPolicy { idle_timeout_ms: Some(200), concurrency: 1, ..CallPolicy::default() };
    let running =
        Running::start(nobody().await, &config([("chat", service(to(callee.address).with(policy)))])).await;
    let request = Request::get("/")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .body(full(""))
        .unwrap();
    let response = send(running.call("chat"), request).await;
    assert_eq!(response.status(), 101);
    let mut stream = hyper_util::rt::TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    assert_problem(send(running.call("chat"), get("/")).await, 503, "BulkheadFull").await;
    let mut read = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut read)).await;
    assert!(ended.is_ok(), "it still stands");
    assert_eq!(read, b"hello");
    running.stop().await;
}

#[tokio::test]
async fn requests_in_flight_keep_the_policy_that_they_began_with() {
    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    let told = Arc::new(tokio::sync::Mutex::new(Some(told)));
    let callee = upstream(move |_| {
        let told = Arc::clone(&told);
        async move {
            if let Some(told) = told.lock().await.take() {
                let _ = told.await;
            }
            Response::new(full("done"))
        }
    })
    .await;
    let mut file = config([("iam-service", service(to(callee.address)))]);
    let running = Running::start(nobody().await, &file).await;
    let under_way = tokio::spawn(send(running.call("iam-service"), get("/")));
    running
        .eventually("it is under way", || async {
            running.admin("/metrics").await.1.contains(r#"requests_in_flight{listener="iam-service"} 1"#)
        })
        .await;
    file.revision = "b2".to_owned();
    let impatient = CallPolicy { timeout_ms: 1, ..CallPolicy::default() };
    file.calls.insert("iam-service".to_owned(), service(to(callee.address).with(impatient)));
    running.put(&file);
    running
        .eventually("b2 is in force", || async {
            running.admin("/config").await.1.contains(r#""revision":"b2""#)
        })
        .await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    tell.send(()).unwrap();
    assert_eq!(text(under_way.await.unwrap()).await, "done");
    running.stop().await;
}

/// A listener whose accept queue is full: the kernel answers no further handshake.
async fn deaf() -> (tokio::net::TcpListener, Vec<tokio::net::TcpStream>) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let connect = || tokio::net::TcpStream::connect(listener.local_addr().unwrap());
    let mut queue = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(200), connect()).await {
        queue.push(stream.unwrap());
    }
    (listener, queue)
}

#[tokio::test]
async fn the_time_to_connect_is_the_policys_and_a_post_may_be_tried_again_after_it() {
    let (listener, _queue) = deaf().await;
    let policy = CallPolicy { connect_timeout_ms: 50, ..timed(20_000, None) };
    let call = service(to(listener.local_addr().unwrap()).with(policy));
    let running = Running::start(nobody().await, &config([("iam-service", call)])).await;
    let response = send(running.call("iam-service"), Request::post("/").body(full("x")).unwrap()).await;
    assert_eq!(response.headers()["x-goodgo-retried"], "2");
    let policy = Some("calls.iam-service.connectTimeout".to_owned());
    assert_eq!(problem(response).await, (504, "ConnectTimeout".to_owned(), policy));
    running.stop().await;
}

#[tokio::test]
async fn a_call_without_any_policy_still_works() {
    let callee = saying("hello").await;
    let running = Running::start(nobody().await, &config([("iam-service", to(callee.address))])).await;
    assert_eq!(text(send(running.call("iam-service"), get("/")).await).await, "hello");
    running.stop().await;
}
