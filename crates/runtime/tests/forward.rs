//! What passes through unchanged, what is changed as an intermediary must, and what is answered when nothing can pass.

#![cfg(test)]

mod support;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use goodgo_runtime_config::Call;
use http::header::{CONNECTION, TE, TRAILER, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use support::{
    Running, assert_problem, config, full, get, http1, http2, json, mirror, nobody, saying, send, text, to,
    upstream,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

#[tokio::test]
async fn connections_are_kept_alive_on_both_sides() {
    let app = saying("hello").await;
    let running = Running::start(app.address, &config([])).await;
    let mut client = http1(running.service()).await;
    for _ in 0..50 {
        client.ready().await.unwrap();
        let mut request = get("/");
        request.headers_mut().insert("host", HeaderValue::from_static("user-service"));
        assert_eq!(text(client.send_request(request).await.unwrap()).await, "hello");
    }
    assert_eq!(app.connections.load(Ordering::SeqCst), 1);
    running.stop().await;
}

#[tokio::test]
async fn an_idle_connection_that_the_peer_closed_is_replaced_for_a_post_too() {
    // Closes each connection after its answer without saying so beforehand.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        }
    });
    let running = Running::start(app, &config([])).await;
    for _ in 0..5 {
        let response = send(running.service(), Request::post("/").body(full("x")).unwrap()).await;
        assert_eq!(response.status(), StatusCode::OK);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn a_request_that_may_have_been_written_is_not_sent_twice() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = listener.local_addr().unwrap();
    let (seen, mut requests) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            // Takes the request and hangs up.
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 1024];
            seen.send(stream.read(&mut buffer).await.unwrap()).unwrap();
        }
    });
    let running = Running::start(app, &config([])).await;
    assert_problem(send(running.service(), get("/")).await, 502, "ConnectionClosed").await;
    assert!(requests.try_recv().is_ok());
    assert!(requests.try_recv().is_err(), "the request was sent again");
    running.stop().await;
}

#[tokio::test]
async fn the_app_sees_its_clients_host_and_no_hop_by_hop_header() {
    let app = mirror().await;
    let running = Running::start(app.address, &config([])).await;
    let request = Request::post("/users?x=1")
        .header("host", "user-service.shop:3000")
        .header("connection", "keep-alive, x-drop-me")
        .header("x-drop-me", "1")
        .header("keep-alive", "timeout=5")
        .header("proxy-connection", "keep-alive")
        .header("te", "trailers, deflate")
        .header("x-keep-me", "2")
        .body(full("body"))
        .unwrap();
    let seen = text(send(running.service(), request).await).await;
    // What the runtime tells the app is the matter of tests/context.rs.
    let told = ["x-goodgo-context: ", "x-correlation-id: "];
    let seen: Vec<_> = seen.lines().filter(|line| !told.iter().any(|name| line.starts_with(name))).collect();
    assert_eq!(
        seen.join("\n"),
        "POST /users?x=1\ncontent-length: 4\nhost: user-service.shop:3000\nte: trailers\nx-keep-me: 2\n\nbody"
    );
    running.stop().await;
}

#[tokio::test]
async fn hop_by_hop_headers_of_a_response_end_here() {
    let app = upstream(|_| async {
        Response::builder()
            .header("connection", "close, x-internal")
            .header("x-internal", "1")
            .header("keep-alive", "timeout=5")
            .header("x-public", "2")
            .body(full("ok"))
            .unwrap()
    })
    .await;
    let running = Running::start(app.address, &config([])).await;
    let response = send(running.service(), get("/")).await;
    let mut names: Vec<_> = response.headers().keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "date", "x-public"], "the client's connection stays open");
    running.stop().await;
}

#[tokio::test]
async fn a_call_reaches_its_target_under_the_targets_name() {
    let callee = mirror().await;
    let running = Running::start(nobody().await, &config([("iam-service", to(callee.address))])).await;
    let request =
        Request::get("/internal/permissions/1").header("host", "127.0.0.1:14100").body(full("")).unwrap();
    let seen = text(send(running.call("iam-service"), request).await).await;
    assert_eq!(seen, format!("GET /internal/permissions/1\nhost: {}\n\n", callee.address));
    running.stop().await;
}

#[tokio::test]
async fn http2_passes_with_streaming_and_trailers() {
    let app = upstream(|request| async move {
        assert_eq!(request.version(), Version::HTTP_2);
        assert_eq!(request.uri().authority().unwrap(), "greeter:3000");
        assert_eq!(request.headers()[TE], "trailers");
        let sent = request.into_body().collect().await.unwrap();
        assert_eq!(sent.trailers().unwrap()["x-checksum"], "7");
        let data = sent.to_bytes();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let frames = [Ok(Frame::data(data)), Ok(Frame::trailers(trailers))];
        Response::new(StreamBody::new(futures::stream::iter(frames)).boxed())
    })
    .await;
    let callers = config([("greeter", to(app.address))]);
    let running = Running::start(app.address, &callers).await;
    let mut client = http2(running.service()).await;
    let mut checksum = HeaderMap::new();
    checksum.insert("x-checksum", HeaderValue::from_static("7"));
    let frames = [Ok(Frame::data(Bytes::from_static(b"hello"))), Ok(Frame::trailers(checksum))];
    let request = Request::post("http://greeter:3000/greet.Greeter/Hello")
        .header(TE, "trailers")
        .header("content-type", "application/grpc")
        .body(StreamBody::new(futures::stream::iter(frames)).boxed())
        .unwrap();
    let answer = client.send_request(request).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(answer.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(answer.to_bytes(), "hello");
    running.stop().await;
}

#[tokio::test]
async fn http1_trailers_pass_too() {
    let app = upstream(|_| async {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("1"));
        let frames = [Ok(Frame::data(Bytes::from_static(b"data"))), Ok(Frame::trailers(trailers))];
        let mut response = Response::new(StreamBody::new(futures::stream::iter(frames)).boxed());
        response.headers_mut().insert(TRAILER, HeaderValue::from_static("x-sum"));
        response
    })
    .await;
    let running = Running::start(app.address, &config([])).await;
    let request = Request::get("/").header(TE, "trailers").body(full("")).unwrap();
    let answer = send(running.service(), request).await.into_body().collect().await.unwrap();
    assert_eq!(answer.trailers().unwrap()["x-sum"], "1");
    running.stop().await;
}

#[tokio::test]
async fn a_protocol_switch_joins_both_ends() {
    let app = upstream(|mut request| async move {
        assert_eq!(request.headers()[UPGRADE], "websocket");
        assert_eq!(request.headers()[CONNECTION], "upgrade");
        let switched = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(switched.await.unwrap());
            let mut word = [0; 5];
            stream.read_exact(&mut word).await.unwrap();
            word.reverse();
            stream.write_all(&word).await.unwrap();
        });
        Response::builder()
            .status(101)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header("sec-websocket-accept", "key")
            .body(full(""))
            .unwrap()
    })
    .await;
    let running = Running::start(app.address, &config([("peer", to(app.address))])).await;
    for address in [running.service(), running.call("peer")] {
        let request = Request::get("/ws")
            .header(CONNECTION, "keep-alive, Upgrade")
            .header(UPGRADE, "websocket")
            .body(full(""))
            .unwrap();
        let response = send(address, request).await;
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()["sec-websocket-accept"], "key");
        let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        stream.write_all(b"abcde").await.unwrap();
        let mut word = Vec::new();
        stream.read_to_end(&mut word).await.unwrap();
        assert_eq!(word, b"edcba");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_request_with_it() {
    let (gone, mut told) = tokio::sync::mpsc::unbounded_channel();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // Never answers; sees the end of the connection.
        let mut request = Vec::new();
        let _ = stream.read_to_end(&mut request).await;
        gone.send(request.len()).unwrap();
    });
    let running = Running::start(app, &config([])).await;
    let client = tokio::time::timeout(Duration::from_millis(200), send(running.service(), get("/"))).await;
    assert!(client.is_err(), "nobody answered");
    let length =
        tokio::time::timeout(Duration::from_secs(2), told.recv()).await.expect("the app still waits");
    assert!(length.unwrap() > 0);
    running.stop().await;
}

#[tokio::test]
async fn failures_are_problems_that_name_their_reason() {
    let gone = nobody().await;
    let calls = [
        (
            "missing",
            Call::unavailable("CalleeMissing", "no GoodGoService missing in namespace shop; create it"),
        ),
        ("down", to(gone)),
        ("unknown", Call::to(goodgo_runtime_config::Scheme::Http, "no-such-name.invalid.", 80)),
    ];
    let running = Running::start(gone, &config(calls)).await;
    assert_problem(send(running.service(), get("/")).await, 502, "ConnectFailed").await;
    let missing = send(running.call("missing"), get("/")).await;
    assert_eq!(missing.headers()["retry-after"], "1");
    assert_problem(missing, 503, "CalleeMissing").await;
    let problem = json(send(running.call("missing"), get("/")).await).await;
    assert_eq!(problem["policy"], "calls.missing");
    assert_problem(send(running.call("down"), get("/")).await, 502, "ConnectFailed").await;
    assert_problem(send(running.call("unknown"), get("/")).await, 502, "NameNotResolved").await;
    assert_problem(send(running.addresses.gateway.unwrap(), get("/")).await, 404, "RouteNotDeclared").await;
    let metrics = running.admin("/metrics").await.1;
    assert!(metrics.contains(r#"problems_total{listener="missing",reason="CalleeMissing"} 2"#), "{metrics}");
    assert!(metrics.contains(r#"requests_total{listener="down",code_class="5xx"} 1"#), "{metrics}");
    running.stop().await;
}

/// A listener whose accept queue is full: the kernel answers no further handshake.
async fn deaf() -> io::Result<(tokio::net::TcpListener, Vec<TcpStream>)> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let listener = socket.listen(1)?;
    let address = listener.local_addr()?;
    let mut queue = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        queue.push(stream?);
    }
    Ok((listener, queue))
}

#[tokio::test]
async fn a_callee_that_does_not_accept_in_time_is_a_504() {
    let (listener, _queue) = deaf().await.unwrap();
    let callee = listener.local_addr().unwrap();
    let running = Running::start(nobody().await, &config([("deaf", to(callee))])).await;
    let start = Instant::now();
    assert_problem(send(running.call("deaf"), get("/")).await, 504, "ConnectTimeout").await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    running.stop().await;
}

#[tokio::test]
async fn clients_of_grpc_are_told_of_failures_in_its_own_way() {
    let calls =
        [("gone", to(nobody().await)), ("closed", Call::unavailable("CalleeMissing", "create 100 % of it"))];
    let running = Running::start(nobody().await, &config(calls)).await;
    for (call, status, message) in [
        ("gone", "14", "failed to connect to "),
        ("closed", "14", "failed to call closed: CalleeMissing: create 100 %25 of it"),
    ] {
        for kind in ["application/grpc+proto", "application/grpc"] {
            let request = Request::post("http://greeter/greet.Greeter/Hello").header("content-type", kind);
            let request = request.body(full("")).unwrap();
            let response = http2(running.call(call)).await.send_request(request).await.unwrap();
            assert_eq!(
                (response.status().as_u16(), &response.headers()["content-type"]),
                (200, &kind.parse().unwrap())
            );
            assert_eq!(response.headers()["grpc-status"], status);
            let said = response.headers()["grpc-message"].to_str().unwrap();
            assert!(said.starts_with(message), "{said}");
            assert!(
                response.headers()["proxy-status"].to_str().unwrap().starts_with("goodgo-runtime; error=")
            );
            assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
        }
    }
    let metrics = running.admin("/metrics").await.1;
    let counted = r#"problems_total{listener="gone",reason="ConnectFailed"} 2"#;
    assert!(metrics.contains(counted), "{metrics}");
    running.stop().await;
}
