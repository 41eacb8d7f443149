//! What clients may take of the runtime: time for heads and bodies, header fields, connections.

#![cfg(test)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use support::{
    Running, Upstream, assert_problem, config, full, get, http1, http2, mirror, saying, send, text, upstream,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One second for heads and for bodies.
async fn impatient(app: &Upstream, more: &[&str]) -> Running {
    let mut line = vec!["--head-timeout", "1", "--body-timeout", "1"];
    line.extend(more);
    let running = Running::launch(app.address, &[], &line).await;
    running.put(&config([]));
    running.started().await;
    running
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the connection is still open");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_head_that_does_not_come_to_its_end_gets_408() {
    let app = saying("served").await;
    let running = impatient(&app, &[]).await;
    for start in ["G", "P", "PR", "GET / HTTP/1.1\r\nhost: a\r\nx-slow: "] {
        let mut stream = connect(running.service()).await;
        stream.write_all(start.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(
            answer.starts_with("HTTP/1.1 408 ") && answer.contains("connection: close"),
            "{start}: {answer}"
        );
    }
    // A byte now and then does not help.
    let mut stream = connect(running.service()).await;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(5) && stream.write_all(b"x").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(started.elapsed() < Duration::from_secs(5), "still open");
    running.stop().await;
}

#[tokio::test]
async fn idle_connections_and_second_requests_have_all_the_time() {
    let app = saying("served").await;
    let running = impatient(&app, &[]).await;
    let silent = connect(running.service()).await;
    let mut client = http1(running.service()).await;
    for _ in 0..3 {
        client.ready().await.unwrap();
        let mut request = get("/");
        request.headers_mut().insert("host", HeaderValue::from_static("a"));
        assert_eq!(text(client.send_request(request).await.unwrap()).await, "served");
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    // Silent for much longer than a head may take, and served all the same.
    let mut stream = silent;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    stream.write_all(b"\r\n").await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    // The second head of a connection has its limit too.
    tokio::time::sleep(Duration::from_millis(200)).await;
    stream.write_all(b"GET /second").await.unwrap();
    assert!(rest(&mut stream).await.contains("HTTP/1.1 408 "));
    running.stop().await;
}

#[tokio::test]
async fn an_answer_may_take_longer_than_a_head() {
    let app = support::upstream(|_| async {
        tokio::time::sleep(Duration::from_millis(2500)).await;
        http::Response::new(full("late"))
    })
    .await;
    let running = impatient(&app, &[]).await;
    assert_eq!(text(send(running.service(), get("/")).await).await, "late");
    running.stop().await;
}

#[tokio::test]
async fn a_body_that_stops_gets_408_and_one_that_is_merely_slow_is_served() {
    let app = mirror().await;
    let running = impatient(&app, &[]).await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 6\r\n\r\nabc";
    let mut stalled = connect(running.service()).await;
    stalled.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(&mut stalled).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("BodyStalled"), "{answer}");
    let mut slow = connect(running.service()).await;
    slow.write_all(head.as_bytes()).await.unwrap();
    for byte in [b"d", b"e", b"f"] {
        tokio::time::sleep(Duration::from_millis(600)).await;
        slow.write_all(byte).await.unwrap();
    }
    let answer = rest(&mut slow).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("abcdef"), "{answer}");
    running.stop().await;
}

#[tokio::test]
async fn as_many_header_fields_as_an_app_takes_are_served_and_more_get_431() {
    let app = mirror().await;
    let running = impatient(&app, &[]).await;
    let at = running.service();
    let with_fields = |count: usize, host: bool| {
        let mut request = Request::get(format!("http://{at}/")).body(full("")).unwrap();
        if host {
            request.headers_mut().insert("host", HeaderValue::from_static("a"));
        }
        for index in request.headers().len()..count {
            let name = HeaderName::try_from(format!("x-{index}")).unwrap();
            request.headers_mut().insert(name, HeaderValue::from_static("1"));
        }
        request
    };
    assert_eq!(http1(at).await.send_request(with_fields(96, true)).await.unwrap().status(), 200);
    assert_eq!(http1(at).await.send_request(with_fields(97, true)).await.unwrap().status(), 431);
    assert_eq!(http2(at).await.send_request(with_fields(96, false)).await.unwrap().status(), 200);
    let refused = http2(at).await.send_request(with_fields(97, false)).await.unwrap();
    assert_problem(refused, 431, "TooManyHeaders").await;
    // By size: 64 KiB for all of them together.
    let large = |bytes: usize| {
        let mut request = with_fields(1, true);
        request.headers_mut().insert("x-large", HeaderValue::try_from("x".repeat(bytes)).unwrap());
        request
    };
    assert_eq!(http1(at).await.send_request(large(60_000)).await.unwrap().status(), 200);
    assert_eq!(http1(at).await.send_request(large(70_000)).await.unwrap().status(), 431);
    let mut large = large(70_000);
    large.headers_mut().remove("host");
    assert_eq!(http2(at).await.send_request(large).await.unwrap().status(), 431);
    running.stop().await;
}

#[tokio::test]
async fn connections_above_the_bound_wait_until_there_is_a_place() {
    let app = saying("served").await;
    let running = impatient(&app, &["--max-connections", "2"]).await;
    let first = connect(running.service()).await;
    let _second = connect(running.service()).await;
    let waiting = tokio::spawn(send(running.service(), get("/")));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished(), "a third connection was served");
    drop(first);
    assert_eq!(text(waiting.await.unwrap()).await, "served");
    // A listener that is full drains as any other.
    let _third = connect(running.service()).await;
    let drained = running.drain().await;
    assert_eq!(drained["drained"], true, "{drained}");
    running.stop().await;
}

#[tokio::test]
async fn a_request_whose_deadline_has_passed_is_not_started() {
    let app = saying("served").await;
    let running = impatient(&app, &[]).await;
    let within = async |left: &'static str| {
        let mut request = get("/");
        request.headers_mut().insert("x-goodgo-timeout-ms", HeaderValue::from_static(left));
        send(running.service(), request).await
    };
    assert_problem(within("0").await, 504, "DeadlinePassed").await;
    assert_eq!(app.connections.load(Ordering::SeqCst), 0);
    assert_eq!(within("5000").await.status(), 200);
    running.stop().await;
}

#[tokio::test]
async fn a_switched_connection_has_no_heads_to_wait_for() {
    // Switches, then echoes.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 1024];
        let _ = stream.read(&mut head).await.unwrap();
        let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(switch.as_bytes()).await.unwrap();
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    });
    let app = Upstream { address, connections: Arc::default() };
    let running = impatient(&app, &[]).await;
    let mut stream = connect(running.service()).await;
    let ask = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut byte = [0];
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).await.unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    for _ in 0..3 {
        stream.write_all(b"!").await.unwrap();
        stream.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"!");
        tokio::time::sleep(Duration::from_millis(800)).await;
    }
    drop(stream);
    running.stop().await;
}

/// Tells when it is dropped.
struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Answers with a body that has no end, and counts those that are being read or waited for.
async fn endless() -> (Upstream, Arc<AtomicUsize>) {
    let held = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&held);
    let app = upstream(move |_| {
        let count = Arc::clone(&count);
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            let frames = futures::stream::unfold(Held(count), |held| async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Some((Ok(Frame::data(Bytes::from_static(&[b'x'; 16 * 1024]))), held))
            });
            Response::new(BodyExt::boxed(StreamBody::new(frames)))
        }
    })
    .await;
    (app, held)
}

#[tokio::test]
async fn a_stream_whose_client_takes_nothing_ends_and_its_neighbour_goes_on() {
    let (app, held) = endless().await;
    let running = impatient(&app, &[]).await;
    let mut client = http2(running.service()).await;
    let request = || Request::get("http://app/").body(full("")).unwrap();
    let stuck = client.send_request(request()).await.unwrap();
    let mut read = client.send_request(request()).await.unwrap().into_body();
    let deadline = Instant::now() + Duration::from_secs(30);
    while held.load(Ordering::SeqCst) != 1 {
        assert!(Instant::now() < deadline, "nothing ended the answer that nobody reads");
        // Slowly, but it reads.
        read.frame().await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..200 {
        read.frame().await.unwrap().unwrap();
    }
    let mut stuck = stuck.into_body();
    let broken = loop {
        match stuck.frame().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break Some(error),
            None => break None,
        }
    };
    assert!(broken.is_some(), "cut off, and not at its end");
    running.stop().await;
}

/// A frame of HTTP/2 (RFC 9113 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[tokio::test]
async fn bodies_that_come_after_their_answers_never_end_the_connection_of_other_streams() {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    const END_STREAM: u8 = 1;
    // POST, http, "/" (RFC 7541 appendix A), and an authority of three letters.
    const POST: &[u8] = b"\x83\x86\x84\x01\x03app";
    let app = saying("not read").await;
    let running = impatient(&app, &[]).await;
    let mut client = connect(running.service()).await;
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    client.write_all(&frame(SETTINGS, 0, 0, b"")).await.unwrap();
    client.write_all(&frame(SETTINGS, 1, 0, b"")).await.unwrap();
    for round in 0..15 {
        let streams = (0..100).map(|number| round * 200 + number * 2 + 1);
        let heads: Vec<u8> = streams.clone().flat_map(|id| frame(HEADERS, 4, id, POST)).collect();
        client.write_all(&heads).await.unwrap();
        let mut answered = 0;
        while answered < 100 {
            let mut head = [0; 9];
            let read = tokio::time::timeout(Duration::from_secs(10), client.read_exact(&mut head)).await;
            read.expect("no answer").expect("the connection is closed");
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            client.read_exact(&mut payload).await.unwrap();
            let (kind, flags) = (head[3], head[4]);
            assert_ne!(kind, GOAWAY, "after {answered} answers of round {round}: {payload:?}");
            answered += usize::from(matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0);
        }
        let bodies: Vec<u8> = streams.flat_map(|id| frame(DATA, END_STREAM, id, b"late")).collect();
        client.write_all(&bodies).await.unwrap();
    }
    running.stop().await;
}
