//! Failures that the load must not miss, from servers on loopback that misbehave on purpose.

use super::*;
use futures::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

const WHOAMI: &str = "{\"pod\":\"one\"}";

/// What a server does with a request.
#[derive(Clone, Copy)]
enum Answer {
    /// 200 with this header line added.
    Good(&'static str),
    /// This status.
    Status(&'static str),
    /// A good status and another body than the one sent.
    Garbled,
    /// Closes instead.
    Nothing,
    /// A good answer, and then closes without having said so.
    GoodThenClose,
}

/// Serves every connection with `answer`; returns the address.
async fn serve(answer: Answer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut request).await {
                    let text = String::from_utf8_lossy(&request[..length]).into_owned();
                    let sent = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
                    let body = if text.starts_with("GET") { WHOAMI } else { sent };
                    let (status, header, body) = match answer {
                        Answer::Good(header) => ("200 OK", header, body),
                        Answer::Status(status) => (status, "", body),
                        Answer::Garbled => ("200 OK", "", "{}"),
                        Answer::GoodThenClose => ("200 OK", "", body),
                        Answer::Nothing => return,
                    };
                    let head = format!("HTTP/1.1 {status}\r\n{header}content-length: {}\r\n\r\n", body.len());
                    stream.write_all((head + body).as_bytes()).await.unwrap();
                    if matches!(answer, Answer::GoodThenClose) || header.starts_with("connection") {
                        return;
                    }
                }
            });
        }
    });
    address
}

async fn load(address: &str) -> Report {
    let load = Load::start(address, 2, Duration::from_millis(10));
    load.more(40).await.unwrap();
    load.stop().await.unwrap()
}

#[tokio::test]
async fn a_good_server_fails_nothing_and_connections_are_kept() {
    let report = load(&serve(Answer::Good("")).await).await;
    assert_eq!((report.failed, report.connections, report.closed_idle), (0, 2, 0), "{report}");
    assert!(report.requests >= 40 && report.pods.contains_key("one"), "{report}");
}

#[tokio::test]
async fn an_announced_close_is_honoured_with_a_new_connection() {
    let report = load(&serve(Answer::Good("connection: Close\r\n")).await).await;
    assert_eq!((report.failed, report.closed_idle), (0, 0), "{report}");
    assert_eq!(report.connections, report.requests, "{report}");
}

#[tokio::test]
async fn an_unannounced_close_between_requests_is_counted_apart() {
    let report = load(&serve(Answer::GoodThenClose).await).await;
    assert_eq!(report.failed, 0, "{report}");
    assert!(report.closed_idle > 30, "{report}");
}

#[tokio::test]
async fn errors_garbled_bodies_dropped_and_refused_connections_are_failures() {
    for answer in [Answer::Status("503 Service Unavailable"), Answer::Nothing] {
        let report = load(&serve(answer).await).await;
        assert_eq!(report.failed, report.requests, "{report}");
        assert!(!report.failures.is_empty(), "{report}");
    }
    let report = load(&serve(Answer::Garbled).await).await;
    assert!(report.failed >= report.requests / 3, "every POST: {report}");

    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let report = load(&unused).await;
    assert_eq!(report.failed, report.requests, "{report}");
}

/// Loads `address` in another protocol.
async fn load_over(protocol: Protocol, address: &str) -> Report {
    let load = Load::over(protocol, address, 5, Duration::from_millis(10));
    load.more(60).await.unwrap();
    load.stop().await.unwrap()
}

/// What an HTTP/2 server does with a request, and with the connection after so many.
#[derive(Clone, Copy)]
enum Http2 {
    /// Answers well, and says goodbye after seven requests.
    GoesAway,
    /// Answers well, and drops the connection with the seventh request.
    Breaks,
    /// Answers 200 with gRPC status 14.
    Unavailable,
}

/// Serves HTTP/2 in clear text: `/whoami`, `/echo`, and what else is asked as a gRPC method that names pod `one`.
async fn serve_http2(manner: Http2) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let seventh = Arc::new(tokio::sync::Notify::new());
                let (count, told) = (Arc::new(AtomicU64::new(0)), Arc::clone(&seventh));
                let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let is_seventh = count.fetch_add(1, Ordering::SeqCst) == 6;
                    if is_seventh {
                        told.notify_one();
                    }
                    async move {
                        if is_seventh && matches!(manner, Http2::Breaks) {
                            std::future::pending::<()>().await;
                        }
                        let status = if matches!(manner, Http2::Unavailable) { "14" } else { "0" };
                        let body = match request.uri().path() {
                            "/whoami" => Full::from(WHOAMI),
                            "/echo" => Full::new(request.into_body().collect().await?.to_bytes()),
                            _ => Full::from("\0\0\0\0\x05\x0a\x03one"),
                        };
                        let answer = Response::builder().header("grpc-status", status).body(body);
                        Ok::<_, hyper::Error>(answer.unwrap())
                    }
                });
                let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service);
                let mut connection = std::pin::pin!(connection);
                tokio::select! {
                    _ = connection.as_mut() => return,
                    () = seventh.notified() => {}
                }
                if matches!(manner, Http2::GoesAway) {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_goodbye_over_http2_moves_requests_and_a_broken_connection_fails_them() {
    for protocol in [Protocol::Http2, Protocol::Grpc(None), Protocol::Grpc(Some("product-service"))] {
        let report = load_over(protocol, &serve_http2(Http2::GoesAway).await).await;
        assert_eq!(report.failed, 0, "{protocol:?}: {report}");
        assert!(report.connections > 5 && report.pods.contains_key("one"), "{protocol:?}: {report}");
        let report = load_over(protocol, &serve_http2(Http2::Breaks).await).await;
        assert!(report.failed > 0 && report.failed < report.requests, "{protocol:?}: {report}");
    }
}

#[tokio::test]
async fn a_grpc_status_is_a_failure() {
    let report = load_over(Protocol::Grpc(None), &serve_http2(Http2::Unavailable).await).await;
    assert_eq!(report.failed, report.requests, "{report}");
}

/// How a WebSocket server ends a connection, with the seventh message.
#[derive(Debug, Clone, Copy)]
enum End {
    /// With a Close frame of this status.
    Close(u16),
    /// Without a word.
    Nothing,
    /// Not at all, but something else comes back.
    Garbled,
}

async fn serve_websocket(end: End) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                for turn in 0.. {
                    let Some(Ok(message)) = socket.next().await else { return };
                    match end {
                        End::Close(code) if turn == 6 => {
                            let frame = CloseFrame { code: code.into(), reason: "".into() };
                            socket.close(Some(frame)).await.unwrap();
                            while let Some(Ok(_)) = socket.next().await {}
                            return;
                        }
                        End::Nothing if turn == 6 => return,
                        End::Garbled if turn == 6 => socket.send("something".into()).await.unwrap(),
                        _ => socket.send(message).await.unwrap(),
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_websocket_may_end_in_one_way_alone() {
    let report = load_over(Protocol::WebSocket, &serve_websocket(End::Close(1001)).await).await;
    assert_eq!(report.failed, 0, "{report}");
    assert!(report.moved >= 5 && report.connections > 5, "{report}");
    for end in [End::Close(1000), End::Close(1011), End::Nothing, End::Garbled] {
        let report = load_over(Protocol::WebSocket, &serve_websocket(end).await).await;
        assert!(report.failed > 0 && report.failed < report.requests, "{end:?}: {report}");
    }
}
