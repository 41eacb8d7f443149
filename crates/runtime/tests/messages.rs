//! HTTP's letter, byte for byte: old versions, missing bodies, and requests that must not be understood two ways.

#![cfg(test)]

mod support;

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Request, Response};
use support::{Running, config, full, http1, mirror, text, upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Without what the runtime tells the app, which is the matter of tests/context.rs.
fn untold(answer: &str) -> String {
    let told = |line: &&str| line.starts_with("x-goodgo-context: ") || line.starts_with("x-correlation-id: ");
    answer.split('\n').filter(|line| !told(line)).collect::<Vec<_>>().join("\n")
}

/// Writes raw bytes on a new connection and reads until the other end closes it.
async fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    match tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await {
        // A connection that is reset after the answer has told what it had to tell.
        Ok(Ok(_) | Err(_)) => String::from_utf8_lossy(&answer).into_owned(),
        Err(_) => panic!("still open after: {}", String::from_utf8_lossy(&answer)),
    }
}

#[tokio::test]
async fn http10_is_served_as_it_asks() {
    let app = mirror().await;
    let running = Running::start(app.address, &config([])).await;
    let answer = raw(running.service(), "GET /a HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    let answer = untold(&answer);
    assert!(answer.ends_with(&format!("GET /a\nhost: 127.0.0.1:{}\n\n", app.address.port())), "{answer}");
    running.stop().await;
}

#[tokio::test]
async fn answers_without_a_body_keep_their_headers_and_the_connection() {
    let app = upstream(|request| async move {
        let response = match request.uri().path() {
            "/head" => Response::builder().header("content-length", "1234"),
            "/unchanged" => Response::builder().status(304).header("etag", "a"),
            _ => Response::builder().status(204),
        };
        response.body(full("")).unwrap()
    })
    .await;
    let running = Running::start(app.address, &config([])).await;
    let mut client = http1(running.service()).await;
    for (method, path, status, length) in
        [("HEAD", "/head", 200, Some("1234")), ("GET", "/unchanged", 304, None), ("DELETE", "/", 204, None)]
    {
        let request = Request::builder().method(method).uri(path).header("host", "a").body(full("")).unwrap();
        client.ready().await.unwrap();
        let response = client.send_request(request).await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers().get("content-length").map(|v| v.to_str().unwrap()), length, "{path}");
        assert_eq!(text(response).await, "");
    }
    assert_eq!(app.connections.load(Ordering::SeqCst), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_client_that_waits_to_be_asked_for_its_body_is_asked() {
    let app = mirror().await;
    let running = Running::start(app.address, &config([])).await;
    let mut stream = TcpStream::connect(running.service()).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\n\nabc"), "{answer}");
    running.stop().await;
}

#[tokio::test]
async fn requests_with_ambiguous_framing_are_refused_or_made_unambiguous() {
    let app = mirror().await;
    let running = Running::start(app.address, &config([])).await;
    for refused in [
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3, 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n folded: b\r\n\r\n",
    ] {
        let answer = raw(running.service(), refused).await;
        assert!(
            answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.0 400"),
            "{refused:?} got {answer:?}"
        );
    }
    for refused in ["GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n"] {
        let answer = raw(running.service(), &format!("{refused}connection: close\r\n\r\n")).await;
        assert!(answer.contains("MalformedRequest"), "{refused:?} got {answer:?}");
    }
    assert_eq!(app.connections.load(Ordering::SeqCst), 0, "nothing of it reached the app");

    // RFC 9112 6.1: with both, the transfer coding alone counts, and the length is not passed on.
    for both in [
        "content-length: 100\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 100",
    ] {
        let request =
            format!("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{both}\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        let answer = raw(running.service(), &request).await;
        assert!(
            untold(&answer).ends_with("POST /\nhost: a\ntransfer-encoding: chunked\n\nabc"),
            "{both:?} got {answer:?}"
        );
    }
    running.stop().await;
}

#[tokio::test]
async fn connect_is_not_served() {
    let app = mirror().await;
    let running = Running::start(app.address, &config([])).await;
    let answer =
        raw(running.service(), "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 501") && answer.contains("MethodNotSupported"), "{answer}");
    running.stop().await;
}
