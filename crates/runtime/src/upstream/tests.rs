//! What a request looks like when it leaves, and what is said about one that failed.

use std::net::TcpListener as StdListener;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::discovery::Metrics;
use crate::proxy::Processed;

fn callee(scheme: Scheme, host: &str, port: u16) -> Origin {
    Origin::Callee(Target { scheme, host: host.to_owned(), port, service: None })
}

fn addressed(origin: Origin, version: Version, uri: &str, host: Option<&str>) -> Request<Body> {
    let mut request = Request::builder().version(version).uri(uri);
    if let Some(host) = host {
        request = request.header(HOST, host);
    }
    let mut request = request.body(Body::empty()).unwrap();
    Upstream::new(origin, Tls::new(None).unwrap(), Resolver::new(None, Metrics::default()).unwrap())
        .address(&mut request)
        .unwrap();
    request
}

#[test]
fn a_callee_sees_its_own_name() {
    for (origin, host) in [
        (callee(Scheme::Http, "iam.shop.svc.cluster.local.", 3001), "iam.shop.svc.cluster.local:3001"),
        (callee(Scheme::Http, "iam", 80), "iam"),
        (callee(Scheme::Https, "api.example.com", 443), "api.example.com"),
        (callee(Scheme::Https, "::1", 8443), "[::1]:8443"),
    ] {
        let request = addressed(origin.clone(), Version::HTTP_11, "/a?b=c", Some("127.0.0.1:14100"));
        assert_eq!(request.headers()[HOST], host);
        assert_eq!(request.uri(), "/a?b=c");
        let request = addressed(origin, Version::HTTP_2, "http://127.0.0.1:14100/a?b=c", None);
        assert_eq!(request.uri().authority().unwrap(), host);
        assert!(!request.headers().contains_key(HOST));
    }
}

#[test]
fn the_app_sees_the_clients_host() {
    let app = Origin::App { port: 3000 };
    let request = addressed(app.clone(), Version::HTTP_11, "/", Some("user-service:3000"));
    assert_eq!(request.headers()[HOST], "user-service:3000");
    // RFC 9112 3.2.2: the absolute form wins over Host.
    let request = addressed(app.clone(), Version::HTTP_11, "http://a.example/x", Some("b.example"));
    assert_eq!(request.headers()[HOST], "a.example");
    assert_eq!(request.uri(), "/x");
    let request = addressed(app.clone(), Version::HTTP_2, "http://user-service:3000/x", None);
    assert_eq!(request.uri(), "http://user-service:3000/x");
    let request = addressed(app, Version::HTTP_10, "/", None);
    assert_eq!(request.headers()[HOST], "127.0.0.1:3000");
}

fn upstream(address: SocketAddr) -> Upstream {
    let origin = callee(Scheme::Http, &address.ip().to_string(), address.port());
    Upstream::new(origin, Tls::new(None).unwrap(), Resolver::new(None, Metrics::default()).unwrap())
}

fn post(version: Version) -> Request<Body> {
    Request::post("http://iam/").version(version).body(Body::whole("x")).unwrap()
}

/// Says whether the callee can have seen a POST that failed.
async fn processed(address: SocketAddr, version: Version) -> (String, Processed) {
    let failure = upstream(address).send(post(version), &Try::default()).await.unwrap_err();
    (failure.reason().to_owned(), failure.was_processed())
}

/// An HTTP/2 callee that does `serve` with each connection.
async fn http2<F, R>(serve: F) -> SocketAddr
where
    F: Fn(h2::server::Connection<tokio::net::TcpStream, bytes::Bytes>) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = h2::server::handshake(stream).await.unwrap();
            tokio::spawn(serve(connection));
        }
    });
    address
}

#[tokio::test]
async fn what_could_not_be_connected_was_not_processed() {
    let nobody = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for version in [Version::HTTP_11, Version::HTTP_2] {
        assert_eq!(processed(nobody, version).await, ("ConnectFailed".to_owned(), Processed::No));
    }
}

#[tokio::test]
async fn a_stream_that_a_peer_refused_was_not_processed() {
    let refusing = http2(|mut connection| async move {
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
        }
    })
    .await;
    assert_eq!(processed(refusing, Version::HTTP_2).await, ("ProtocolError".to_owned(), Processed::No));
    let failing = http2(|mut connection| async move {
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_reset(h2::Reason::INTERNAL_ERROR);
        }
    })
    .await;
    assert_eq!(processed(failing, Version::HTTP_2).await.1, Processed::Unknown);
}

#[tokio::test]
async fn what_a_goaway_leaves_out_was_not_processed() {
    for (error_code, said) in [(0_u8, Processed::No), (1, Processed::Unknown)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            // The frame that carries the body's only byte: length 1, DATA, END_STREAM, stream 1.
            while !seen.ends_with(&[0, 0, 1, 0, 1, 0, 0, 0, 1, b'x']) {
                stream.read_buf(&mut seen).await.unwrap();
            }
            // SETTINGS, then a GOAWAY whose last stream is 0 (RFC 9113 6.8).
            stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
            stream.write_all(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, error_code]).await.unwrap();
            let _ = stream.read_to_end(&mut seen).await;
        });
        assert_eq!(processed(address, Version::HTTP_2).await.1, said, "error code {error_code}");
    }
}

#[tokio::test]
async fn what_was_written_may_have_been_processed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
        }
    });
    assert_eq!(
        processed(address, Version::HTTP_11).await,
        ("ConnectionClosed".to_owned(), Processed::Unknown)
    );
}

/// The future of every request is as large as its largest part, which is not to be one that most never come by.
#[tokio::test]
async fn a_request_does_not_carry_the_making_of_connections() {
    let upstream = upstream("127.0.0.1:1".parse().unwrap());
    let how = Try::default();
    let size = size_of_val(&upstream.send(post(Version::HTTP_11), &how));
    assert!(size < 4096, "{size} bytes");
}

#[tokio::test]
async fn a_try_says_which_endpoint_it_went_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    });
    let how = Try::default();
    assert_eq!(how.endpoint(), None);
    upstream(address).send(post(Version::HTTP_11), &how).await.unwrap();
    assert_eq!(how.endpoint(), Some(address));
}

#[tokio::test]
async fn a_try_says_how_long_connecting_may_take() {
    // Handshakes of clients beyond a full accept queue are dropped.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    for _ in 0..8 {
        let connecting = tokio::net::TcpStream::connect(address);
        queued.extend(tokio::time::timeout(Duration::from_millis(100), connecting).await);
    }
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let how = Try::new(Duration::from_millis(50), Avoid::default());
        let failure = upstream(address).send(post(version), &how).await.unwrap_err();
        assert!(
            matches!(failure, Failure::ConnectTimeout { limit, .. } if limit <= Duration::from_millis(50))
        );
        assert_eq!(failure.was_processed(), Processed::No);
    }
}

/// A lost SYN of one connection is one silence, however many requests wait for that connection.
#[tokio::test]
async fn of_a_burst_that_waits_for_one_connection_only_who_makes_it_tells_of_the_peer() {
    // Nobody accepts and the queue is full: the kernel drops what comes.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let limit = Duration::from_millis(300);
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(limit, tokio::net::TcpStream::connect(address)).await {
        queued.push(stream);
        assert!(queued.len() < 8, "the queue does not fill");
    }
    let connectors = Connectors::new(&callee(Scheme::Http, "iam", 80), Tls::new(None).unwrap());
    let channel = http2::Channel::new(Arc::new(connectors.at(address)));
    let sends = (0..5).map(|_| channel.send(post(Version::HTTP_2), limit));
    let failed = futures::future::join_all(sends).await;
    let telling = failed.into_iter().map(|result| result.unwrap_err().telling).filter(|telling| *telling);
    assert_eq!(telling.count(), 1);
}
