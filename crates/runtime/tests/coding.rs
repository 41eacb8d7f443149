//! gzip between two runtimes: the caller's encodes, the callee's decodes, and no app notices but for the time it takes.

#![cfg(test)]

mod support;

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flate2::read::GzDecoder;
use goodgo_runtime_config::{Call, Target, TargetService};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use support::{
    Running, Upstream, assert_problem, config, full, get, mirror, nobody, send, text, to, upstream,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn service(call: Call) -> Call {
    let service = Some(TargetService { pods: None, identity: false });
    Call { target: call.target.map(|target| Target { service, ..target }), ..call }
}

/// A wire to `to` that counts the bytes which go there.
async fn wire(to: std::net::SocketAddr) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (mut from_client, mut to_client) = stream.into_split();
            let (mut from_server, mut to_server) = TcpStream::connect(to).await.unwrap().into_split();
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                let mut buffer = vec![0; 16 * 1024];
                while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
                    count.fetch_add(length, Ordering::SeqCst);
                    to_server.write_all(&buffer[..length]).await.unwrap();
                }
            });
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        }
    });
    (address, seen)
}

fn post(body: &str) -> Request<support::Body> {
    Request::post("/orders").header("content-type", "application/json").body(full(body.to_owned())).unwrap()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// As a runtime sends it.
fn encoded(body: Vec<u8>, length: usize) -> Request<support::Body> {
    Request::post("/orders")
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .header("x-goodgo-decoded-length", length)
        .body(full(body))
        .unwrap()
}

#[tokio::test]
async fn a_large_request_arrives_as_it_was_and_is_small_on_the_wire() {
    let app = mirror().await;
    let callee = Running::start(app.address, &config([])).await;
    let (address, seen) = wire(callee.service()).await;
    let caller = Running::start(nobody().await, &config([("orders", service(to(address)))])).await;
    let large = format!("[{}0]", r#"{"id": 1, "name": "something"},"#.repeat(10_000));
    let first = send(caller.call("orders"), post(&large)).await;
    assert!(!first.headers().contains_key("accept-encoding"), "that is between the runtimes");
    let plain = text(first).await;
    let on_the_wire = seen.swap(0, Ordering::SeqCst);
    assert!(on_the_wire > large.len(), "nothing is known of the callee yet: {on_the_wire}");
    let second = text(send(caller.call("orders"), post(&large)).await).await;
    let on_the_wire = seen.load(Ordering::SeqCst);
    assert!(on_the_wire * 10 < large.len(), "{on_the_wire} bytes for {}", large.len());
    let app_saw = |text: &str| {
        let (head, body) = text.split_once("\n\n").unwrap();
        assert!(body == large, "the body is another one");
        let differs = ["traceparent", "x-correlation-id", "x-goodgo-", "host"];
        let lines = head.lines().filter(|line| !differs.iter().any(|name| line.starts_with(name)));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(app_saw(&second), app_saw(&plain));
    assert!(!second.contains("x-goodgo-decoded-length"));
    caller.stop().await;
    callee.stop().await;
}

#[tokio::test]
async fn what_an_app_encoded_itself_reaches_the_app_as_it_is() {
    let app = upstream(|request: Request<Incoming>| async move {
        assert_eq!(request.headers()["content-encoding"], "gzip");
        Response::new(full(request.into_body().collect().await.unwrap().to_bytes()))
    })
    .await;
    let running = Running::start(app.address, &config([])).await;
    let sent = gzip(&b"[]".repeat(1000));
    let mut request = encoded(sent.clone(), 2000);
    request.headers_mut().remove("x-goodgo-decoded-length");
    let echoed = send(running.service(), request).await.into_body().collect().await.unwrap().to_bytes();
    assert!(echoed == sent);
    running.stop().await;
}

#[tokio::test]
async fn a_body_that_is_more_than_it_says_or_may_be_is_refused() {
    let app = mirror().await;
    let running = Running::start(app.address, &config([])).await;
    let bomb = gzip(&vec![b' '; 80 * 1024 * 1024]);
    assert!(bomb.len() < 200 * 1024);
    for (what, announced) in
        [("honest", 80 * 1024 * 1024), ("a lie", 1000), ("a larger lie", 60 * 1024 * 1024)]
    {
        let response = send(running.service(), encoded(bomb.clone(), announced)).await;
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE, "{what}");
        assert_problem(response, 413, "BodyTooLarge").await;
    }
    let broken = send(running.service(), encoded(b"no gzip".to_vec(), 7)).await;
    assert_problem(broken, 400, "MalformedRequest").await;
    let answer = text(send(running.service(), encoded(gzip(b"[1]"), 3)).await).await;
    assert!(answer.ends_with("\n\n[1]"), "and all is well: {answer}");
    running.stop().await;
}

/// An app that answers with a body of `kind` in two pieces: the second one only when it is told to.
async fn in_two_pieces(kind: &'static str, first: Bytes, go_on: Arc<tokio::sync::Notify>) -> Upstream {
    upstream(move |_| {
        let (first, go_on) = (first.clone(), Arc::clone(&go_on));
        async move {
            let pieces = futures::stream::once(async move { Ok(Frame::data(first)) });
            let rest = futures::stream::once(async move {
                go_on.notified().await;
                Ok(Frame::data(Bytes::from_static(b"the end")))
            });
            use futures::StreamExt;
            let body = BodyExt::boxed(StreamBody::new(pieces.chain(rest)));
            Response::builder().header("content-type", kind).body(body).unwrap()
        }
    })
    .await
}

#[tokio::test]
async fn answers_are_encoded_for_who_takes_it_and_no_piece_is_held_back() {
    for (kind, is_encoded) in
        [("text/event-stream", false), ("application/x-ndjson", true), ("image/png", false)]
    {
        let go_on = Arc::new(tokio::sync::Notify::new());
        let first = Bytes::from("data: 1\n\n");
        let app = in_two_pieces(kind, first.clone(), Arc::clone(&go_on)).await;
        let callee = Running::start(app.address, &config([])).await;
        let caller = Running::start(nobody().await, &config([("app", service(to(callee.service())))])).await;
        let mut request = get("/events");
        request.headers_mut().insert("accept-encoding", "gzip, br".parse().unwrap());
        let response = send(caller.call("app"), request).await;
        assert_eq!(response.headers().contains_key("content-encoding"), is_encoded, "{kind}");
        let mut body = response.into_body();
        let (mut raw, mut plain) = (Vec::new(), Vec::new());
        // The app sends the rest only once this has been read.
        let piece = async {
            while plain != first {
                raw.extend_from_slice(&body.frame().await.unwrap().unwrap().into_data().unwrap());
                plain = decoded_so_far(&raw, is_encoded);
            }
        };
        tokio::time::timeout(Duration::from_secs(30), piece).await.expect("the first piece is held back");
        go_on.notify_one();
        raw.extend_from_slice(&body.collect().await.unwrap().to_bytes());
        assert_eq!(decoded_so_far(&raw, is_encoded), b"data: 1\n\nthe end", "{kind}");
        caller.stop().await;
        callee.stop().await;
    }
}

fn decoded_so_far(raw: &[u8], is_encoded: bool) -> Vec<u8> {
    if !is_encoded {
        return raw.to_vec();
    }
    let mut plain = Vec::new();
    // Of an unfinished stream it says what it has, and then that more is expected.
    let _ = GzDecoder::new(raw).read_to_end(&mut plain);
    plain
}

#[tokio::test]
async fn a_whole_answer_is_smaller_and_says_so() {
    let large = format!("[{}0]", "1,".repeat(20_000));
    let answer = large.clone();
    let app = upstream(move |_| {
        let answer = answer.clone();
        async move {
            let response =
                Response::builder().header("content-type", "application/json").header("etag", "\"7\"");
            response.body(full(answer)).unwrap()
        }
    })
    .await;
    let running = Running::start(app.address, &config([])).await;
    let mut request = get("/");
    request.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
    let response = send(running.service(), request).await;
    for (name, value) in [("content-encoding", "gzip"), ("vary", "accept-encoding"), ("etag", "W/\"7\"")] {
        assert_eq!(response.headers()[name], value);
    }
    assert!(!response.headers().contains_key("content-length"));
    let raw = response.into_body().collect().await.unwrap().to_bytes();
    assert!(raw.len() * 10 < large.len() && decoded_so_far(&raw, true) == large.as_bytes());
    let response = send(running.service(), get("/")).await;
    assert_eq!(
        (&response.headers()["vary"], &response.headers()["etag"]),
        (&"accept-encoding".parse().unwrap(), &"\"7\"".parse().unwrap())
    );
    assert!(text(response).await == large);
    running.stop().await;
}
