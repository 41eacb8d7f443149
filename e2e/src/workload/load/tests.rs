//! Failures that the load must not miss, from servers on loopback that misbehave on purpose.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

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
    assert!(report.requests >= 40 && report.pods.contains("one"), "{report}");
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
