//! The platform's request metrics: names, types, labels, what counts, and that no client can make them grow.

#![cfg(test)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use goodgo_runtime_config::{Call, CallPolicy, CallRoute, Caller, CircuitBreaker, Scheme};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use support::{Running, config, full, get, http1, nobody, saying, send, text, to, upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Samples by their text before the value.
fn samples(metrics: &str) -> BTreeMap<String, f64> {
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

async fn scrape(running: &Running) -> BTreeMap<String, f64> {
    samples(&running.admin("/metrics").await.1)
}

fn labels(peer: &str, direction: &str, method: &str, route: &str, class: &str) -> String {
    format!(
        r#"{{service="user-service",peer="{peer}",direction="{direction}",method="{method}",route="{route}",status_class="{class}"}}"#
    )
}

#[tokio::test]
async fn names_types_and_labels_are_the_platforms() {
    let app = upstream(|request| async move {
        let status = if request.uri().path() == "/broken" { 500 } else { 200 };
        Response::builder().status(status).body(full("")).unwrap()
    })
    .await;
    let route = CallRoute { path: "/users".to_owned(), methods: Vec::new(), timeout_ms: None, retries: None };
    let policy = CallPolicy { routes: vec![route], ..CallPolicy::default() };
    let mut config = config([("iam", to(app.address).with(policy)), ("gone", to(nobody().await))]);
    let caller = |name: &str| Caller { name: name.to_owned(), subject: name.to_owned() };
    config.inbound.callers = vec![caller("shop/web"), caller("shop/order")];
    let running = Running::start(app.address, &config).await;
    send(running.service(), get("/")).await;
    send(running.service(), get("/broken")).await;
    send(running.call("iam"), get("/users/7?x=1")).await;
    send(running.call("iam"), Request::post("/other").body(full("")).unwrap()).await;
    send(running.call("gone"), get("/")).await;

    let metrics = running.admin("/metrics").await.1;
    for line in [
        "# TYPE http_request_duration_seconds histogram",
        "# UNIT http_request_duration_seconds seconds",
        "# TYPE http_requests counter",
        "# TYPE http_request_errors counter",
        "# TYPE service_client_timeout counter",
        "# TYPE goodgo_runtime_requests counter",
        "# EOF",
    ] {
        assert!(metrics.lines().any(|one| one == line), "{line} is not in\n{metrics}");
    }
    let samples = samples(&metrics);
    let expected = [
        (labels("unknown", "inbound", "GET", "", "2xx"), 0.0),
        (labels("unknown", "inbound", "GET", "", "5xx"), 1.0),
        (labels("iam", "outbound", "GET", "/users", "2xx"), 0.0),
        (labels("iam", "outbound", "POST", "", "2xx"), 0.0),
        (labels("gone", "outbound", "GET", "", "5xx"), 1.0),
    ];
    for (labels, errors) in &expected {
        assert_eq!(samples[&format!("http_requests_total{labels}")], 1.0, "{labels}");
        assert_eq!(samples[&format!("http_request_errors_total{labels}")], *errors, "{labels}");
        assert_eq!(samples[&format!("http_request_duration_seconds_count{labels}")], 1.0, "{labels}");
        let timeouts = samples.get(&format!("service_client_timeout_total{labels}"));
        assert_eq!(timeouts.copied(), labels.contains("outbound").then_some(0.0), "{labels}");
    }
    let counted = samples.keys().filter(|name| name.starts_with("http_requests_total")).count();
    assert_eq!(counted, expected.len(), "{metrics}");
    running.stop().await;
}

#[tokio::test]
async fn a_duration_ends_with_the_last_byte_and_buckets_add_up() {
    const PAUSE: Duration = Duration::from_millis(30);
    let app = upstream(|_| async {
        let body = futures::stream::once(async {
            tokio::time::sleep(PAUSE).await;
            Ok::<_, hyper::Error>(Frame::data("late".into()))
        });
        Response::new(StreamBody::new(body).boxed())
    })
    .await;
    let running = Running::start(app.address, &config([])).await;
    for _ in 0..3 {
        assert_eq!(text(send(running.service(), get("/")).await).await, "late");
    }
    let of = labels("unknown", "inbound", "GET", "", "2xx");
    let counted = || async { scrape(&running).await.get(&format!("http_requests_total{of}")) == Some(&3.0) };
    running.eventually("all three are counted", counted).await;
    let samples = scrape(&running).await;
    let sum = samples[&format!("http_request_duration_seconds_sum{of}")];
    assert!(sum >= 3.0 * PAUSE.as_secs_f64(), "{sum}");
    let bucket = |bound: &str| {
        let labels = of.trim_start_matches('{');
        samples[&format!(r#"http_request_duration_seconds_bucket{{le="{bound}",{labels}"#)]
    };
    assert_eq!((bucket("0.025"), bucket("+Inf")), (0.0, 3.0));
    running.stop().await;
}

#[tokio::test]
async fn bad_grpc_results_are_errors_and_4xx_are_not() {
    let app = upstream(|request| async move {
        let path = request.uri().path().to_owned();
        let (status, frames) = match path.as_str() {
            "/refused" => (StatusCode::UNAUTHORIZED, Vec::new()),
            "/grpc-bad" | "/grpc-good" => {
                let status = if path == "/grpc-bad" { "14" } else { "5" };
                let trailers = [("grpc-status".parse().unwrap(), status.parse().unwrap())];
                (StatusCode::OK, vec![Ok(Frame::trailers(trailers.into_iter().collect()))])
            }
            _ => (StatusCode::OK, Vec::new()),
        };
        let body = StreamBody::new(futures::stream::iter(frames)).boxed();
        let mut response = Response::builder().status(status);
        if path.starts_with("/grpc") {
            response = response.header("content-type", "application/grpc");
        }
        response.body(body).unwrap()
    })
    .await;
    let running = Running::start(app.address, &config([])).await;
    let errors = async |class: &str, method: &str| {
        let labels = labels("unknown", "inbound", method, "", class);
        scrape(&running).await.get(&format!("http_request_errors_total{labels}")).copied()
    };
    text(send(running.service(), get("/refused")).await).await;
    assert_eq!(errors("4xx", "GET").await, Some(0.0));
    for path in ["/grpc-good", "/grpc-bad"] {
        let request = Request::post(format!("http://user-service{path}")).body(full("")).unwrap();
        let mut client = support::http2(running.service()).await;
        client.send_request(request).await.unwrap().into_body().collect().await.unwrap();
    }
    running
        .eventually("UNAVAILABLE counts, NOT_FOUND does not", || async {
            errors("2xx", "POST").await == Some(1.0)
        })
        .await;
    running.stop().await;
}

#[tokio::test]
async fn only_a_limit_of_ours_is_a_timeout_and_whoever_goes_away_is_no_error() {
    // Accepts and never shakes hands.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stuck = Call::to(Scheme::Https, "127.0.0.1", silent.local_addr().unwrap().port());
    stuck.policy.connect_timeout_ms = 200;
    let app = upstream(|request| async move {
        if request.uri().path() == "/hangs" {
            std::future::pending::<()>().await;
        }
        Response::builder().status(504).body(full("")).unwrap()
    })
    .await;
    let running = Running::start(app.address, &config([("stuck", stuck), ("late", to(app.address))])).await;
    for call in ["stuck", "late"] {
        assert_eq!(send(running.call(call), get("/")).await.status(), 504, "{call}");
    }
    let gone = tokio::spawn(send(running.service(), get("/hangs")));
    let samples = || scrape(&running);
    let in_flight = r#"goodgo_runtime_requests_in_flight{listener="service"}"#;
    running.eventually("it hangs", || async { samples().await.get(in_flight) == Some(&1.0) }).await;
    gone.abort();
    let none = labels("unknown", "inbound", "GET", "", "none");
    let counted = || async { samples().await.get(&format!("http_requests_total{none}")) == Some(&1.0) };
    running.eventually("the client that went away is counted", counted).await;

    let samples = samples().await;
    for (peer, timeouts) in [("stuck", 1.0), ("late", 0.0)] {
        let labels = labels(peer, "outbound", "GET", "", "5xx");
        assert_eq!(samples[&format!("service_client_timeout_total{labels}")], timeouts, "{peer}");
        assert_eq!(samples[&format!("http_request_errors_total{labels}")], 1.0, "{peer}");
    }
    assert_eq!(samples[&format!("http_request_errors_total{none}")], 0.0);
    running.stop().await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = listener.local_addr().unwrap();
    let breaking = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 4096];
        let _ = stream.read(&mut head).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc").await.unwrap();
    });
    let running = Running::start(app, &config([])).await;
    let answer = send(running.service(), get("/")).await;
    assert!(answer.into_body().collect().await.is_err());
    breaking.await.unwrap();
    let labels = labels("unknown", "inbound", "GET", "", "2xx");
    let name = format!("http_request_errors_total{labels}");
    running.eventually("it counts", || async { scrape(&running).await.get(&name) == Some(&1.0) }).await;
    running.stop().await;
}

#[tokio::test]
async fn ten_thousand_hostile_requests_add_no_series() {
    const REQUESTS: usize = 10_000;
    let app = saying("hello").await;
    let mut config = config([("iam", to(app.address))]);
    config.inbound.callers = vec![Caller { name: "shop/web".to_owned(), subject: "web".to_owned() }];
    let running = Running::start(app.address, &config).await;
    for address in [running.service(), running.call("iam")] {
        let mut client = http1(address).await;
        for number in 0..REQUESTS / 2 {
            let method = Method::from_bytes(format!("M{number}").as_bytes()).unwrap();
            let request = Request::builder()
                .method(method)
                .uri(format!("/path/{number}"))
                .header("host", format!("host-{number}"))
                .header("x-goodgo-caller", format!("shop/caller-{number}"))
                .header("x-correlation-id", format!("id-{number}"))
                .body(full(""))
                .unwrap();
            client.ready().await.unwrap();
            assert_eq!(text(client.send_request(request).await.unwrap()).await, "hello");
        }
    }
    let samples = scrape(&running).await;
    let series: Vec<_> = samples.keys().filter(|name| name.starts_with("http_requests_total")).collect();
    let expected =
        [labels("iam", "outbound", "OTHER", "", "2xx"), labels("unknown", "inbound", "OTHER", "", "2xx")];
    assert_eq!(
        series,
        expected.map(|labels| format!("http_requests_total{labels}")).iter().collect::<Vec<_>>()
    );
    let total: f64 = series.iter().map(|name| samples[*name]).sum();
    assert!(total >= (REQUESTS - 1) as f64, "{total}");
    running.stop().await;
}

/// Asks the admin port, and blocks this thread meanwhile.
fn ask_blocking(admin: SocketAddr, path: &str) -> String {
    use std::io::{Read, Write};

    let mut stream = std::net::TcpStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The runtime's traffic runs on the one thread of this test.
#[tokio::test]
async fn the_admin_port_needs_nothing_of_the_thread_that_carries_traffic() {
    let running = Running::start(nobody().await, &config([])).await;
    let metrics = ask_blocking(running.addresses.admin, "/metrics");
    assert!(
        metrics.starts_with("HTTP/1.1 200 ") && metrics.contains("goodgo_runtime_config_good 1"),
        "{metrics}"
    );
    assert!(ask_blocking(running.addresses.admin, "/ready").starts_with("HTTP/1.1 200 "));
    let live = ask_blocking(running.addresses.admin, "/live");
    assert!(live.starts_with("HTTP/1.1 503 "), "nobody carries traffic: {live}");
    assert_eq!(running.admin("/live").await.0, 200);
    running.stop().await;
}

/// Whoever looks a metric up finds it, and nothing is told of that is not there.
#[tokio::test]
async fn every_metric_is_written_down_and_none_besides() {
    let app = upstream(|_| async { Response::new(full("")) }).await;
    let policy = CallPolicy { circuit_breaker: Some(CircuitBreaker::default()), ..CallPolicy::default() };
    let running = Running::start(app.address, &config([("iam", to(app.address).with(policy))])).await;
    send(running.call("iam"), get("/")).await;
    let metrics = running.admin("/metrics").await.1;
    running.stop().await;
    let page = include_str!("../../../docs/metrics.md");
    let (runtime, _operator) = page.split_once("## The operator").unwrap();
    // Counters have their suffix in samples alone.
    let told: BTreeSet<&str> = runtime
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.strip_suffix("_total").unwrap_or(name))
        .filter(|name| name.contains('_') && *name != "status_class")
        .collect();
    let served: BTreeSet<&str> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, _)| name.strip_suffix("_total").unwrap_or(name))
        .collect();
    // These have series only once there is what they speak of: a check, a name, a failure, a collector.
    let later = ["check_up", "discovery_lookup_duration_seconds", "problems", "spans"];
    let later: BTreeSet<String> = later.map(|name| format!("goodgo_runtime_{name}")).into();
    let later: BTreeSet<&str> = later.iter().map(String::as_str).collect();
    assert_eq!(told, served.union(&later).copied().collect());
}
