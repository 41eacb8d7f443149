//! Retries through real listeners: what is repeated, what is not, and under which limits.

#![cfg(test)]

mod support;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use goodgo_runtime_config::{Call, CallPolicy, CallRoute, Retries, TargetService};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use support::dns::Dns;
use support::{Body, Running, config, full, get, http2, json, nobody, send, text, to, upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Three tries with short waits.
fn thrice() -> Retries {
    Retries { attempts: 3, backoff_ms: 1, max_backoff_ms: 5, ..Retries::default() }
}

fn retrying(retries: Retries) -> CallPolicy {
    CallPolicy { retries: Some(retries), ..CallPolicy::default() }
}

/// The same call, to a GoodGoService.
fn service(call: Call) -> Call {
    let target = call.target.map(|target| goodgo_runtime_config::Target {
        service: Some(TargetService { pods: None, identity: false }),
        ..target
    });
    Call { target, ..call }
}

/// Answers the first `bad` requests with `status`, and then what it was sent.
async fn failing(bad: usize, status: u16) -> (support::Upstream, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let callee = upstream(move |request: Request<hyper::body::Incoming>| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            if number < bad {
                return Response::builder().status(status).body(full("not now")).unwrap();
            }
            Response::new(full(body))
        }
    })
    .await;
    (callee, seen)
}

#[tokio::test]
async fn an_idempotent_request_is_repeated_with_its_body_and_the_answer_says_so() {
    let (callee, seen) = failing(2, 503).await;
    let call = to(callee.address).with(retrying(thrice()));
    let running = Running::start(nobody().await, &config([("iam-service", call)])).await;
    let request = Request::put("/users/1").body(full("the body")).unwrap();
    let response = send(running.call("iam-service"), request).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["x-goodgo-retried"], "3");
    assert_eq!(text(response).await, "the body");
    assert_eq!(seen.load(Ordering::SeqCst), 3);
    let response = send(running.call("iam-service"), get("/")).await;
    assert!(!response.headers().contains_key("x-goodgo-retried"));
    let metrics = running.admin("/metrics").await.1;
    assert!(metrics.contains(r#"call_retries_total{call="iam-service"} 2"#), "{metrics}");
    running.stop().await;
}

#[tokio::test]
async fn a_post_reaches_the_callee_once_unless_it_has_a_key() {
    let (callee, seen) = failing(usize::MAX, 503).await;
    let call = to(callee.address).with(retrying(thrice()));
    let running = Running::start(nobody().await, &config([("payments", call)])).await;
    let response = send(running.call("payments"), Request::post("/").body(full("x")).unwrap()).await;
    assert_eq!(response.status(), 503);
    assert_eq!(text(response).await, "not now", "the callee's own answer");
    assert_eq!(seen.swap(0, Ordering::SeqCst), 1);
    let keyed = Request::post("/").header("idempotency-key", "\"1\"").body(full("x")).unwrap();
    assert_eq!(send(running.call("payments"), keyed).await.headers()["x-goodgo-retried"], "3");
    assert_eq!(seen.swap(0, Ordering::SeqCst), 3);
    for (body, tries) in [(r#"{"query":"{ a }"}"#, 3), (r#"{"query":"mutation { a }"}"#, 1)] {
        let request =
            Request::post("/graphql").header("content-type", "application/json").body(full(body)).unwrap();
        send(running.call("payments"), request).await;
        assert_eq!(seen.swap(0, Ordering::SeqCst), tries, "{body}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_post_that_was_never_processed_is_repeated_and_one_that_may_have_been_is_not() {
    // Takes a request and closes the connection without an answer.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let callee = listener.local_addr().unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            count.fetch_add(1, Ordering::SeqCst);
            let _ = stream.shutdown().await;
        }
    });
    let calls = [
        ("closing", to(callee).with(retrying(thrice()))),
        ("down", to(nobody().await).with(retrying(thrice()))),
    ];
    let running = Running::start(nobody().await, &config(calls)).await;
    let post = || Request::post("/").body(full("x")).unwrap();
    assert_eq!(send(running.call("closing"), post()).await.status(), 502);
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    assert_eq!(send(running.call("closing"), get("/")).await.headers()["x-goodgo-retried"], "3");
    assert_eq!(seen.load(Ordering::SeqCst), 4);
    let response = send(running.call("down"), post()).await;
    assert_eq!(response.headers()["x-goodgo-retried"], "3");
    let problem = json(response).await;
    assert_eq!((problem["reason"].as_str(), problem["status"].as_u64()), (Some("ConnectFailed"), Some(502)));
    assert!(problem["detail"].as_str().unwrap().ends_with("the last of 3 tries"), "{problem}");
    running.stop().await;
}

#[tokio::test]
async fn a_layer_below_that_repeated_is_not_repeated() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let callee = upstream(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        async { Response::builder().status(503).header("x-goodgo-retried", "2").body(full("")).unwrap() }
    })
    .await;
    let call = to(callee.address).with(retrying(thrice()));
    let running = Running::start(nobody().await, &config([("iam-service", call)])).await;
    let response = send(running.call("iam-service"), get("/")).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-goodgo-retried"]),
        (503, &"2".parse().unwrap())
    );
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    running.stop().await;
}

#[tokio::test]
async fn retry_after_is_honoured_and_capped() {
    for (after, max_backoff_ms, at_least, at_most) in
        [("1", 2_000, 1_000, 4_000), ("100000", 300, 300, 4_000)]
    {
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        let callee = upstream(move |_| {
            let first = count.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                let status = if first { 503 } else { 200 };
                Response::builder().status(status).header("retry-after", after).body(full("")).unwrap()
            }
        })
        .await;
        let retries = Retries { max_backoff_ms, ..thrice() };
        let call = to(callee.address).with(retrying(retries));
        let running = Running::start(nobody().await, &config([("iam-service", call)])).await;
        let start = Instant::now();
        assert_eq!(send(running.call("iam-service"), get("/")).await.status(), 200);
        let took = start.elapsed().as_millis();
        assert!((at_least..at_most).contains(&took), "{after}: {took} ms");
        running.stop().await;
    }
}

#[tokio::test]
async fn the_budget_bounds_what_a_callee_that_is_down_gets() {
    let (callee, seen) = failing(usize::MAX, 503).await;
    let call = to(callee.address).with(retrying(thrice()));
    let running = Running::start(nobody().await, &config([("iam-service", call)])).await;
    for _ in 0..200 {
        assert_eq!(send(running.call("iam-service"), get("/")).await.status(), 503);
    }
    let attempts = seen.load(Ordering::SeqCst);
    assert!((210..=240).contains(&attempts), "{attempts} attempts for 200 calls");
    let metrics = running.admin("/metrics").await.1;
    assert!(metrics.contains(r#"call_retries_denied_total{call="iam-service"} "#), "{metrics}");
    assert!(!metrics.contains(r#"call_retries_denied_total{call="iam-service"} 0"#), "{metrics}");
    running.stop().await;
}

#[tokio::test]
async fn bodies_up_to_64_kib_are_repeated_and_larger_ones_stream_through() {
    let (callee, seen) = failing(usize::MAX, 503).await;
    let call = to(callee.address).with(retrying(thrice()));
    let running = Running::start(nobody().await, &config([("files", call)])).await;
    for (bytes, tries) in [(64 * 1024, 3), (64 * 1024 + 1, 1)] {
        for announced in [true, false] {
            let body: Body = if announced {
                full(vec![b'x'; bytes])
            } else {
                let half = Bytes::from(vec![b'x'; bytes / 2]);
                let rest = Bytes::from(vec![b'x'; bytes - bytes / 2]);
                let frames = [half, rest].map(|chunk| Ok(Frame::data(chunk)));
                StreamBody::new(futures::stream::iter(frames)).boxed()
            };
            send(running.call("files"), Request::put("/").body(body).unwrap()).await;
            assert_eq!(seen.swap(0, Ordering::SeqCst), tries, "{bytes} bytes, announced: {announced}");
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn a_route_has_its_own_rules() {
    let (callee, seen) = failing(usize::MAX, 503).await;
    let exception = |path: &str, methods: &[&str], retries| CallRoute {
        path: path.to_owned(),
        methods: methods.iter().map(|m| (*m).to_owned()).collect(),
        timeout_ms: None,
        retries: Some(retries),
    };
    let routes = vec![
        exception("/users", &["DELETE"], Retries { attempts: 1, ..thrice() }),
        exception("/users/search", &[], Retries { attempts: 2, ..thrice() }),
    ];
    let call = to(callee.address).with(CallPolicy { routes, ..retrying(thrice()) });
    let running = Running::start(nobody().await, &config([("user-service", call)])).await;
    for (method, path, tries) in [
        ("GET", "/users", 3),
        ("DELETE", "/users/1", 1),
        ("DELETE", "/usersx", 3),
        ("GET", "/users/search?q=/users", 2),
    ] {
        let request = Request::builder().method(method).uri(path).body(full("")).unwrap();
        send(running.call("user-service"), request).await;
        assert_eq!(seen.swap(0, Ordering::SeqCst), tries, "{method} {path}");
    }
    running.stop().await;
}

#[tokio::test]
async fn grpc_is_repeated_when_nothing_was_sent() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let callee = upstream(move |request: Request<hyper::body::Incoming>| {
        let first = count.fetch_add(1, Ordering::SeqCst) % 3 < 2;
        async move {
            let sent = request.into_body().collect().await.unwrap().to_bytes();
            let unavailable = Response::builder().header("content-type", "application/grpc");
            if first {
                return unavailable.header("grpc-status", "14").body(full("")).unwrap();
            }
            let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "14".parse().unwrap())]);
            let frames = [Ok(Frame::data(sent)), Ok(Frame::trailers(trailers))];
            Response::new(StreamBody::new(futures::stream::iter(frames)).boxed())
        }
    })
    .await;
    let call = to(callee.address).with(retrying(thrice()));
    let running = Running::start(nobody().await, &config([("greeter", call)])).await;
    let mut client = http2(running.call("greeter")).await;
    let request = Request::post("http://greeter/greet.Greeter/Hello")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(full("message"))
        .unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.headers()["x-goodgo-retried"], "3");
    let answer = response.into_body().collect().await.unwrap();
    assert_eq!(answer.trailers().unwrap()["grpc-status"], "14", "a message was sent: this one is final");
    assert_eq!(answer.to_bytes(), "message");
    running.stop().await;
}

/// Answers HTTP/2 by hand: refuses the first stream, and answers the next.
#[tokio::test]
async fn a_refused_stream_is_repeated_for_a_post_too() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let callee = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let mut refused = false;
        while let Some(request) = connection.accept().await {
            let (_, mut respond) = request.unwrap();
            if refused {
                respond.send_response(Response::new(()), true).unwrap();
            } else {
                respond.send_reset(h2::Reason::REFUSED_STREAM);
                refused = true;
            }
        }
    });
    let call = service(to(callee).with(retrying(thrice())));
    let running = Running::start(nobody().await, &config([("iam-service", call)])).await;
    let mut client = http2(running.call("iam-service")).await;
    let request = Request::post("http://iam-service/").body(full("x")).unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-goodgo-retried"], "2");
    running.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_not_taken_costs_no_connection() {
    let (callee, _) = failing(2, 503).await;
    let retries = Retries { backoff_ms: 100, max_backoff_ms: 100, ..thrice() };
    let call = to(callee.address).with(retrying(retries));
    let running = Running::start(nobody().await, &config([("iam-service", call)])).await;
    assert_eq!(send(running.call("iam-service"), get("/")).await.status(), 200);
    // Fully jittered, so a wait may be too short for the connection to turn around; never all of them.
    assert!(callee.connections.load(Ordering::SeqCst) <= 2);
    running.stop().await;
}

#[tokio::test]
async fn another_try_goes_to_another_pod() {
    // Each pod refuses the calls that it is the first one to see.
    let first: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let pod = |number: usize| {
        let first = Arc::clone(&first);
        upstream(move |request: Request<hyper::body::Incoming>| {
            let call = request.uri().path().to_owned();
            let refused = *first.lock().unwrap().entry(call).or_insert(number) == number;
            async move { Response::builder().status(if refused { 503 } else { 200 }).body(full("")).unwrap() }
        })
    };
    let pods = [pod(0).await.address, pod(1).await.address];
    let dns = Dns::start().await;
    let name = "_service._tcp.iam--pods.shop.svc.cluster.local.";
    dns.pods(name, &pods, 30);
    let policy = retrying(Retries { attempts: 2, budget_percent: 100, ..thrice() });
    let call = support::to_service("iam.shop.svc.cluster.local.", 1, name).with(policy);
    let running = Running::start_with_dns(&dns, &config([("iam-service", call)])).await;
    for number in 0..10 {
        let response = send(running.call("iam-service"), get(&format!("/{number}"))).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-goodgo-retried"]),
            (200, &"2".parse().unwrap())
        );
    }
    running.stop().await;
}

/// user-service asks order-service, whose app asks stock-service: both runtimes would repeat, and only the lower one does.
#[tokio::test]
async fn tries_of_two_layers_do_not_multiply() {
    let (stock, seen) = failing(usize::MAX, 503).await;
    let ask: Arc<OnceLock<SocketAddr>> = Arc::default();
    let address = Arc::clone(&ask);
    // Knows nothing of retries: it passes on the context, and answers with the status that it got.
    let app = upstream(move |request: Request<hyper::body::Incoming>| {
        let at = *address.get().unwrap();
        async move {
            let mut question = get("/stock");
            question.headers_mut().insert("x-goodgo-context", request.headers()["x-goodgo-context"].clone());
            Response::builder().status(send(at, question).await.status()).body(full("")).unwrap()
        }
    })
    .await;
    let below = service(to(stock.address).with(retrying(thrice())));
    let order = Running::start(app.address, &config([("stock", below)])).await;
    ask.set(order.call("stock")).unwrap();
    let above = service(to(order.service()).with(retrying(thrice())));
    let user = Running::start(nobody().await, &config([("order", above)])).await;
    assert_eq!(send(user.call("order"), get("/orders/1")).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(seen.load(Ordering::SeqCst), 3);
    user.stop().await;
    order.stop().await;
}
