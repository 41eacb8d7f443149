//! Spans reach an OTLP collector, and a collector that does not work is felt by nobody.

#![cfg(test)]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use goodgo_runtime_config::{ForwardAuth, Route, RouteAuth, RuntimeConfig, TargetService, Tracing};
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use support::{Running, Upstream, config, full, get, mirror, nobody, saying, send, text, to, upstream};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector that keeps what it gets.
struct Collector {
    server: Upstream,
    received: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

impl Collector {
    async fn start() -> Self {
        let received: Arc<Mutex<Vec<_>>> = Arc::default();
        let kept = Arc::clone(&received);
        let server = upstream(move |request: Request<Incoming>| {
            let kept = Arc::clone(&kept);
            async move {
                let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
                assert_eq!(request.uri().path(), path);
                let body = request.into_body().collect().await.unwrap().to_bytes();
                // A byte of compression and four of length come before the message.
                let export = ExportTraceServiceRequest::decode(body.slice(5..)).unwrap();
                kept.lock().unwrap().push(export);
                let trailers = [("grpc-status".parse().unwrap(), "0".parse().unwrap())];
                let frames = [
                    Ok(Frame::data(Bytes::from_static(&[0; 5]))),
                    Ok(Frame::trailers(trailers.into_iter().collect())),
                ];
                let body = StreamBody::new(futures::stream::iter(frames)).boxed();
                Response::builder().header("content-type", "application/grpc").body(body).unwrap()
            }
        })
        .await;
        Self { server, received }
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.server.address)
    }

    fn spans(&self) -> Vec<Span> {
        let received = self.received.lock().unwrap();
        let scopes = received.iter().flat_map(|r| &r.resource_spans).flat_map(|r| &r.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    fn resource(&self) -> BTreeMap<String, String> {
        let received = self.received.lock().unwrap();
        attributes(&received[0].resource_spans[0].resource.as_ref().unwrap().attributes)
    }
}

fn attributes(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.clone()) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    attributes.iter().map(|one| (one.key.clone(), text(&one.value))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn traced(mut config: RuntimeConfig, endpoint: String, sampling_percent: u8) -> RuntimeConfig {
    config.observability.tracing = Some(Tracing { endpoint, sampling_percent });
    config
}

#[tokio::test]
async fn both_legs_of_a_request_are_spans_of_one_trace() {
    let collector = Collector::start().await;
    let callee = saying("hello").await;
    let mut call = to(callee.address);
    call.target.as_mut().unwrap().service = Some(TargetService { pods: None, identity: false });
    let (sender, address) = tokio::sync::watch::channel(None);
    let app = upstream(move |request: Request<Incoming>| {
        let iam: std::net::SocketAddr = address.borrow().unwrap();
        async move {
            let mut call = get("/users/7?token=secret");
            call.headers_mut().insert("x-goodgo-context", request.headers()["x-goodgo-context"].clone());
            Response::new(full(text(send(iam, call).await).await))
        }
    })
    .await;
    let config = traced(config([("iam", call), ("gone", to(nobody().await))]), collector.endpoint(), 0);
    let running = Running::start(app.address, &config).await;
    sender.send_replace(Some(running.call("iam")));
    let mut request = get("/me?token=secret");
    let parent = format!("00-{TRACE}-{PARENT}-01");
    request.headers_mut().insert("traceparent", parent.parse().unwrap());
    request.headers_mut().insert("tracestate", "vendor=1".parse().unwrap());
    assert_eq!(text(send(running.service(), request).await).await, "hello");
    let mut request = get("/");
    request.headers_mut().insert("traceparent", parent.parse().unwrap());
    assert_eq!(send(running.call("gone"), request).await.status(), 502);
    // Not sampled: no span.
    send(running.call("gone"), get("/")).await;

    running.eventually("three spans", || async { collector.spans().len() == 3 }).await;
    let spans = collector.spans();
    let find = |kind: i32, peer: &str| {
        let is =
            |span: &&Span| span.kind == kind && attributes(&span.attributes)["service.peer.name"] == peer;
        spans.iter().find(is).unwrap()
    };
    let (server, client, failed) = (find(2, "unknown"), find(3, "iam"), find(3, "gone"));
    for span in [server, client, failed] {
        assert_eq!(hex(&span.trace_id), TRACE);
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano && span.start_time_unix_nano > 0);
    }
    assert_eq!(hex(&server.parent_span_id), PARENT);
    assert_eq!(client.parent_span_id, server.span_id);
    assert_eq!((&*server.trace_state, &*client.trace_state), ("vendor=1", "vendor=1"));
    assert_eq!((&*server.name, &*client.name), ("GET", "GET"));

    let said = attributes(&server.attributes);
    let expected = [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("network.protocol.version", "1.1"),
        ("url.path", "/me"),
        ("url.scheme", "http"),
    ];
    for (key, value) in expected {
        assert_eq!(said[key], value, "{said:?}");
    }
    let said = attributes(&client.attributes);
    let port = callee.address.port();
    assert_eq!(said["url.full"], format!("http://127.0.0.1:{port}/users/7"));
    assert_eq!((&*said["server.address"], &said["server.port"]), ("127.0.0.1", &port.to_string()));
    let said = attributes(&failed.attributes);
    assert_eq!((&*said["error.type"], &*said["http.response.status_code"]), ("ConnectFailed", "502"));
    assert_eq!(failed.status.as_ref().unwrap().code, 2);
    assert_eq!(server.status.as_ref().map_or(0, |status| status.code), 0);

    let resource = collector.resource();
    assert_eq!((&*resource["service.name"], &*resource["service.namespace"]), ("user-service", "shop"));
    running.stop().await;
}

#[tokio::test]
async fn the_share_and_the_endpoint_are_hot_and_the_last_spans_are_not_lost() {
    let (first, second) = (Collector::start().await, Collector::start().await);
    let app = saying("hello").await;
    let mut config = traced(config([]), first.endpoint(), 100);
    let running = Running::start(app.address, &config).await;
    send(running.service(), get("/")).await;
    running.eventually("the first collector has it", || async { first.spans().len() == 1 }).await;
    config = traced(config, second.endpoint(), 100);
    config.revision = "b2".to_owned();
    running.put(&config);
    running
        .eventually("the second collector gets spans", || async {
            text(send(running.service(), get("/")).await).await;
            !second.spans().is_empty()
        })
        .await;
    let before = first.spans().len() + second.spans().len();
    for _ in 0..5 {
        text(send(running.service(), get("/")).await).await;
    }
    running.stop().await;
    assert!(first.spans().len() + second.spans().len() >= before + 5, "lost at the end");
}

#[tokio::test]
async fn a_dead_or_hanging_collector_is_felt_by_no_request() {
    const REQUESTS: usize = 5000;
    let hanging = upstream(|_| std::future::pending()).await;
    for endpoint in [nobody().await, hanging.address] {
        let app = saying("hello").await;
        let config = traced(config([]), format!("http://{endpoint}"), 100);
        let running = Running::start(app.address, &config).await;
        let mut client = support::http1(running.service()).await;
        let mut slowest = Duration::ZERO;
        for _ in 0..REQUESTS {
            let mut request = get("/");
            request.headers_mut().insert("host", "user-service".parse().unwrap());
            let start = Instant::now();
            client.ready().await.unwrap();
            let response = client.send_request(request).await.unwrap();
            assert_eq!(text(response).await, "hello");
            slowest = slowest.max(start.elapsed());
        }
        // An export takes up to five seconds to be given up.
        assert!(slowest < Duration::from_secs(4), "{slowest:?}");
        let counted = async |result: &str| {
            let name = format!(r#"goodgo_runtime_spans_total{{result="{result}"}} "#);
            let metrics = running.admin("/metrics").await.1;
            metrics.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |n| n.parse::<u64>().unwrap())
        };
        // An export that hangs is given up after five seconds.
        for _ in 0..100 {
            if counted("failed").await + counted("dropped").await > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(counted("failed").await + counted("dropped").await > 0, "nobody is told");
        assert_eq!(counted("exported").await, 0);
        running.stop().await;
    }
}

#[tokio::test]
async fn a_collector_behind_tls_gets_spans_where_it_is_trusted() {
    let collector = Collector::start().await;
    let folder = tempfile::tempdir().unwrap();
    let anchors = folder.path().join("ca.pem");
    let address = support::tls::front("localhost", &anchors, collector.server.address).await;
    let app = saying("hello").await;
    let config = traced(config([]), format!("https://localhost:{}", address.port()), 100);
    let strange = Running::start(app.address, &config).await;
    let trusting = Running::launch(app.address, &[], &["--tls-ca-file", anchors.to_str().unwrap()]).await;
    trusting.put(&config);
    trusting.started().await;
    for running in [&strange, &trusting] {
        text(send(running.service(), get("/")).await).await;
    }
    trusting.eventually("the span is there", || async { collector.spans().len() == 1 }).await;
    let lost = || async { strange.admin("/metrics").await.1.contains(r#"spans_total{result="failed"} 1"#) };
    strange.eventually("the other one is lost", lost).await;
    strange.stop().await;
    trusting.stop().await;
    assert_eq!(collector.spans().len(), 1);
}

/// From outside, a trace goes on under its name, and how many of them are exported is not the clients' choice.
#[tokio::test]
async fn clients_outside_do_not_decide_what_is_sampled() {
    let collector = Collector::start().await;
    let app = mirror().await;
    for (percent, asked, sampled) in [(0, "01", "00"), (100, "00", "01"), (100, "01", "01")] {
        let mut config = traced(config([]), collector.endpoint(), percent);
        config.inbound.routes = vec![open_route()];
        let running = Running::start(app.address, &config).await;
        let mut request = get("/");
        request.headers_mut().insert("traceparent", format!("00-{TRACE}-{PARENT}-{asked}").parse().unwrap());
        let seen = text(send(running.addresses.gateway.unwrap(), request).await).await;
        let parent = seen.lines().find_map(|line| line.strip_prefix("traceparent: ")).unwrap();
        assert!(parent.starts_with(&format!("00-{TRACE}-")) && parent.ends_with(sampled), "{parent}");
        running.stop().await;
    }
    assert_eq!(collector.spans().len(), 2);
}

fn open_route() -> Route {
    Route {
        name: "all".to_owned(),
        path: "/".to_owned(),
        exact: false,
        methods: Vec::new(),
        strip_prefix: None,
        auth: RouteAuth { none: true, ..RouteAuth::default() },
        timeout_ms: None,
        max_body_bytes: None,
        content_types: Vec::new(),
    }
}

#[tokio::test]
async fn asking_who_a_user_is_has_a_span_of_its_own() {
    let (collector, app, authority) = (Collector::start().await, mirror().await, saying("yes").await);
    let mut config = traced(config([("iam", to(authority.address))]), collector.endpoint(), 100);
    let forward = ForwardAuth { call: "iam".to_owned(), path: "/verify".to_owned(), headers: Vec::new() };
    config.inbound.routes =
        vec![Route { auth: RouteAuth { forward: Some(forward), ..RouteAuth::default() }, ..open_route() }];
    let running = Running::start(app.address, &config).await;
    assert_eq!(send(running.addresses.gateway.unwrap(), get("/me")).await.status(), 200);
    running.eventually("both spans are there", || async { collector.spans().len() == 2 }).await;
    let spans = collector.spans();
    let (client, server): (Vec<_>, Vec<_>) = spans.iter().partition(|span| span.kind == 3);
    assert_eq!(client[0].trace_id, server[0].trace_id);
    assert_eq!(client[0].parent_span_id, server[0].span_id);
    running.stop().await;
}
