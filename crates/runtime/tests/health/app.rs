//! The app's own probes and metrics, asked by the runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use bytes::Bytes;
use goodgo_runtime_config::{AppMetrics, AppProbe, AppProbes, RuntimeConfig};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::body::Incoming;

use crate::support::{Running, config, full, get, nobody, send, upstream};

fn probes(live: AppProbe, ready: AppProbe) -> RuntimeConfig {
    let mut config = config([]);
    config.health.app = Some(AppProbes { live, ready, startup: None });
    config
}

fn probe(port: u16) -> AppProbe {
    AppProbe { port, path: None, grpc: None, timeout_ms: 500 }
}

#[tokio::test]
async fn http_and_connections() {
    let status = Arc::new(AtomicU16::new(204));
    let says = Arc::clone(&status);
    let app = upstream(move |request: Request<Incoming>| {
        assert_eq!(request.uri(), "/health/live");
        let status = says.load(Ordering::SeqCst);
        async move {
            if status == 0 {
                std::future::pending::<()>().await;
            }
            Response::builder().status(status).body(full("")).unwrap()
        }
    })
    .await;
    let port = app.address.port();
    let http = AppProbe { path: Some("/health/live".to_owned()), ..probe(port) };
    let running = Running::start(app.address, &probes(http, probe(port))).await;
    for (says, answered) in [(204, 200), (302, 200), (404, 503), (500, 503), (0, 503)] {
        status.store(says, Ordering::SeqCst);
        assert_eq!(running.admin("/app/live").await.0, answered, "{says}");
    }
    assert_eq!(running.admin("/app/ready").await.0, 200);
    assert_eq!(running.admin("/app/startup").await.0, 404);
    running.put(&RuntimeConfig {
        revision: "b2".to_owned(),
        ..probes(probe(port), probe(nobody().await.port()))
    });
    running.eventually("nobody listens", || async { running.admin("/app/ready").await.0 == 503 }).await;
    running.stop().await;
}

#[tokio::test]
async fn grpc_health_protocol() {
    let app = upstream(|request: Request<Incoming>| async move {
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        let asked = request.into_body().collect().await.unwrap().to_bytes();
        // HealthCheckResponse: 1 is SERVING, 2 is NOT_SERVING; 5 of gRPC is NOT_FOUND.
        let (status, result) = match &asked[5..] {
            [0x0a, 2, b'u', b'p'] => (1, "0"),
            [0x0a, 4, b'd', b'o', b'w', b'n'] => (2, "0"),
            _ => (1, "5"),
        };
        let frames = [
            Ok(Frame::data(Bytes::from(vec![0, 0, 0, 0, 2, 8, status]))),
            Ok(Frame::trailers(
                [("grpc-status".parse().unwrap(), result.parse().unwrap())].into_iter().collect(),
            )),
        ];
        let body = StreamBody::new(futures::stream::iter(frames)).boxed();
        Response::builder().header("content-type", "application/grpc").body(body).unwrap()
    })
    .await;
    let asking = |service: &str| AppProbe { grpc: Some(service.to_owned()), ..probe(app.address.port()) };
    let running = Running::start(app.address, &probes(asking("up"), asking("down"))).await;
    assert_eq!(running.admin("/app/live").await.0, 200);
    let (status, why) = running.admin("/app/ready").await;
    assert!(status == 503 && why.contains("SERVING"), "{why}");
    running.put(&RuntimeConfig { revision: "b2".to_owned(), ..probes(asking("up"), asking("unknown")) });
    running
        .eventually("NOT_FOUND is told", || async {
            running.admin("/app/ready").await.1.contains("grpc-status 5")
        })
        .await;
    running.stop().await;
}

#[tokio::test]
async fn metrics_are_relayed_as_they_are_and_not_without_end() {
    const CHUNK: usize = 64 * 1024;
    let app = upstream(|request: Request<Incoming>| async move {
        assert_eq!(request.headers()["accept"], "application/openmetrics-text");
        let response =
            Response::builder().header("content-type", "application/openmetrics-text; version=1.0.0");
        match request.uri().path() {
            "/metrics" => response.body(full("up 1\n# EOF\n")).unwrap(),
            "/endless" => {
                let chunks = futures::stream::repeat_with(|| Ok(Frame::data(Bytes::from(vec![b'x'; CHUNK]))));
                response.body(StreamBody::new(chunks).boxed()).unwrap()
            }
            _ => response.status(StatusCode::NOT_FOUND).body(full("")).unwrap(),
        }
    })
    .await;
    let from = |path: &str| {
        let mut config = config([]);
        config.observability.app_metrics =
            Some(AppMetrics { port: app.address.port(), path: path.to_owned() });
        config
    };
    let scrape = async |running: &Running| {
        let mut request = get("/app/metrics");
        request.headers_mut().insert("accept", "application/openmetrics-text".parse().unwrap());
        send(running.addresses.admin, request).await
    };
    let running = Running::start(app.address, &from("/metrics")).await;
    let response = scrape(&running).await;
    assert_eq!(response.headers()["content-type"], "application/openmetrics-text; version=1.0.0");
    assert_eq!(crate::support::text(response).await, "up 1\n# EOF\n");
    running.stop().await;

    let running = Running::start(app.address, &from("/endless")).await;
    let mut body = scrape(&running).await.into_body();
    let mut length = 0;
    let broken = loop {
        match body.frame().await {
            Some(Ok(frame)) => length += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    assert!(broken && length <= 16 * 1024 * 1024, "{length} bytes, broken: {broken}");
    running.stop().await;
    assert_eq!(Running::start(nobody().await, &config([])).await.admin("/app/metrics").await.0, 404);
}
