//! The gateway port: what a route lets through, and that nothing else gets through.

#![cfg(test)]

mod support;

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use goodgo_runtime_config::{Route, RouteAuth, RuntimeConfig};
use http::{HeaderValue, Request, Response};
use http_body_util::StreamBody;
use hyper::body::Frame;
use support::{Running, assert_problem, config, full, get, http2, mirror, saying, send, text, upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn open(name: &str, path: &str) -> Route {
    Route {
        name: name.to_owned(),
        path: path.to_owned(),
        exact: false,
        methods: Vec::new(),
        strip_prefix: None,
        auth: RouteAuth { none: true, ..RouteAuth::default() },
        timeout_ms: None,
        max_body_bytes: None,
        content_types: Vec::new(),
    }
}

fn routed(routes: Vec<Route>) -> RuntimeConfig {
    let mut config = config([]);
    config.inbound.routes = routes;
    config
}

fn methods(route: Route, methods: &[&str]) -> Route {
    Route { methods: methods.iter().map(|method| (*method).to_owned()).collect(), ..route }
}

fn request(method: &str, path: &str, body: &'static str) -> Request<support::Body> {
    Request::builder().method(method).uri(path).body(full(body)).unwrap()
}

async fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn only_declared_routes_are_reached_and_the_most_specific_one_decides() {
    let app = mirror().await;
    let mut exact = methods(open("me-exact", "/users/me"), &["DELETE"]);
    exact.exact = true;
    let routes = vec![
        methods(open("users", "/users"), &["GET", "POST"]),
        exact,
        methods(open("me", "/users/me"), &["GET"]),
        methods(open("me-write", "/users/me"), &["PUT"]),
        open("caf", "/caf%c3%a9"),
    ];
    let running = Running::start(app.address, &routed(routes)).await;
    let at = running.addresses.gateway.unwrap();
    for (method, path) in [
        ("GET", "/users"),
        ("POST", "/users/"),
        ("GET", "/users/1?x=/../%2f"),
        ("DELETE", "/users/me"),
        ("GET", "/users/me/photo"),
        ("PUT", "/users/me/photo"),
        ("PATCH", "/caf%C3%A9/x"),
    ] {
        let seen = text(send(at, request(method, path, "")).await).await;
        assert!(seen.starts_with(&format!("{method} {path}\n")), "{seen}");
    }
    assert!(text(send(at, get("/%75sers/%7Ejo")).await).await.starts_with("GET /users/~jo\n"));
    for path in ["/", "/usersx", "/Users", "/internal/users", "/user"] {
        assert_problem(send(at, get(path)).await, 404, "RouteNotDeclared").await;
    }
    let not_allowed = async |method, path, allow| {
        let response = send(at, request(method, path, "")).await;
        assert_eq!(response.headers()["allow"], allow, "{method} {path}");
        assert_problem(response, 405, "MethodNotDeclared").await;
    };
    not_allowed("DELETE", "/users/1", "GET, POST").await;
    not_allowed("POST", "/users/me", "DELETE").await;
    not_allowed("POST", "/users/me/photo", "GET, PUT").await;
    running.stop().await;
}

#[tokio::test]
async fn a_path_that_could_be_read_in_two_ways_is_refused() {
    let app = saying("reached").await;
    let running = Running::start(app.address, &routed(vec![open("public", "/public")])).await;
    let at = running.addresses.gateway.unwrap();
    for target in [
        "/public/../internal",
        "/public/%2e%2e/internal",
        "/public/.%2E/internal",
        "/public/..%2finternal",
        "/public/%2e%2e%5cinternal",
        "/public/..\\internal",
        "/public//internal",
        "//internal/public",
        "/public/..;/internal",
        "/public;/x",
        "/public/%3bx",
        "/public/%00",
        "/public/%zz",
        "/public/%",
        "http://a/public/../internal",
        "*",
    ] {
        let method = if target == "*" { "OPTIONS" } else { "GET" };
        let answer =
            raw(at, &format!("{method} {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{target}: {answer}");
    }
    assert_eq!(app.connections.load(Ordering::SeqCst), 0, "none of it reached the app");
    // Absolute form and hosts in any case are the same request.
    for line in [
        "GET http://API.Example/public/x HTTP/1.1\r\nhost: other",
        "GET /public/x HTTP/1.1\r\nhost: API.example",
    ] {
        let answer = raw(at, &format!("{line}\r\nconnection: close\r\n\r\n")).await;
        assert!(answer.ends_with("reached"), "{answer}");
    }
    running.stop().await;
}

#[tokio::test]
async fn the_app_sees_the_path_without_its_prefix_and_is_told_of_it() {
    let app = mirror().await;
    let mut route = open("users", "/api/v1/users");
    route.strip_prefix = Some("/api/v1".to_owned());
    let mut whole = open("whole", "/app");
    whole.strip_prefix = Some("/app/".to_owned());
    let mut config = routed(vec![route, whole]);
    config.inbound.event_paths = vec!["/users/created".to_owned()];
    let running = Running::start(app.address, &config).await;
    let at = running.addresses.gateway.unwrap();
    for (asked, seen, prefix) in [
        ("/api/v1/users/1?a=b%20c", "/users/1?a=b%20c", "/api/v1"),
        ("/api/v1/users", "/users", "/api/v1"),
        ("/app", "/", "/app"),
        ("/app/?q", "/?q", "/app"),
    ] {
        let mut request = get(asked);
        request.headers_mut().insert("x-forwarded-prefix", HeaderValue::from_static("/evil"));
        let text = text(send(at, request).await).await;
        assert!(text.starts_with(&format!("GET {seen}\n")), "{text}");
        assert!(
            text.contains(&format!("x-forwarded-prefix: {prefix}\n")) && !text.contains("evil"),
            "{text}"
        );
    }
    let request = Request::get(format!("http://{at}/api/v1/users/2?x")).body(full("")).unwrap();
    let response = http2(at).await.send_request(request).await.unwrap();
    let seen = text(response).await;
    assert!(seen.starts_with(&format!("GET http://{at}/users/2?x\n")), "{seen}");
    // An event path does not become reachable by a prefix that is taken off.
    assert_problem(send(at, get("/api/v1/users/created")).await, 404, "EventPath").await;
    assert_problem(send(at, get("/api/v1/Users/created")).await, 404, "RouteNotDeclared").await;
    running.stop().await;
}

#[tokio::test]
async fn bodies_are_of_a_declared_type_and_size() {
    let app = mirror().await;
    let mut route = open("upload", "/upload");
    route.content_types = vec!["application/json".to_owned()];
    route.max_body_bytes = Some(8);
    let running = Running::start(app.address, &routed(vec![route])).await;
    let at = running.addresses.gateway.unwrap();
    let post = |kind: Option<&'static str>, body: support::Body| {
        let mut request = Request::post("/upload").body(body).unwrap();
        if let Some(kind) = kind {
            request.headers_mut().insert("content-type", HeaderValue::from_static(kind));
        }
        request
    };
    let ok = post(Some("Application/JSON; charset=utf-8"), full("12345678"));
    assert_eq!(send(at, ok).await.status(), 200);
    assert_eq!(send(at, get("/upload")).await.status(), 200, "no body, no type");
    for kind in [None, Some("text/plain"), Some("application/jsonx"), Some("application/json-patch+json")] {
        assert_problem(send(at, post(kind, full("{}"))).await, 415, "MediaTypeNotDeclared").await;
    }
    // Known at once, before a byte of it is read.
    let head =
        "POST /upload HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n";
    let answer = raw(at, head).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("BodyTooLarge"), "{answer}");
    // Known while it streams.
    let frames = ["1234", "5678", "9"].map(|part| Ok::<_, hyper::Error>(Frame::data(part.into())));
    let body = http_body_util::BodyExt::boxed(StreamBody::new(futures::stream::iter(frames)));
    assert_problem(send(at, post(Some("application/json"), body)).await, 413, "BodyTooLarge").await;
    running.stop().await;
}

#[tokio::test]
async fn a_route_that_takes_too_long_is_answered_for_the_app() {
    let app = upstream(|request| async move {
        if request.uri().path() == "/slow" {
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        let left = request.headers().get("x-goodgo-timeout-ms").cloned();
        Response::builder()
            .header("left", left.unwrap_or(HeaderValue::from_static("none")))
            .body(full(""))
            .unwrap()
    })
    .await;
    let mut route = open("slow", "/slow");
    route.timeout_ms = Some(300);
    let quick = Route {
        name: "quick".to_owned(),
        path: "/quick".to_owned(),
        timeout_ms: Some(9000),
        ..route.clone()
    };
    let running = Running::start(app.address, &routed(vec![route, quick, open("free", "/free")])).await;
    let at = running.addresses.gateway.unwrap();
    assert_problem(send(at, get("/slow")).await, 504, "RouteTimeout").await;
    // Whoever is outside has no say in it.
    for (path, left) in [("/quick", "9000"), ("/free", "none")] {
        let mut request = get(path);
        request.headers_mut().insert("x-goodgo-timeout-ms", HeaderValue::from_static("1"));
        assert_eq!(send(at, request).await.headers()["left"], left);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_route_with_no_authentication_still_lets_no_identity_through() {
    let app = mirror().await;
    let call = support::to(app.address);
    let mut guarded = open("guarded", "/guarded");
    guarded.auth = RouteAuth {
        forward: Some(goodgo_runtime_config::ForwardAuth {
            call: "iam".to_owned(),
            path: "/verify".to_owned(),
            headers: vec!["X-User-Id".to_owned()],
        }),
        ..RouteAuth::default()
    };
    let mut config = config([("iam", call)]);
    config.inbound.routes = vec![open("public", "/public"), guarded];
    let running = Running::start(app.address, &config).await;
    let mut request = get("/public");
    for name in
        ["X-User-Id", "X_User_Id", "x-user_id", "x-goodgo-caller", "x-service-auth", "x-internal-api-key"]
    {
        request.headers_mut().insert(
            http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_static("admin"),
        );
    }
    request.headers_mut().insert("authorization", HeaderValue::from_static("Bearer x"));
    let seen = text(send(running.addresses.gateway.unwrap(), request).await).await;
    assert!(!seen.contains("admin") && seen.contains("authorization: Bearer x"), "{seen}");
    running.stop().await;
}

#[tokio::test]
async fn what_the_gateway_authenticates_is_served_with_its_word_alone() {
    let app = mirror().await;
    let mut edge = open("edge", "/edge");
    let headers = vec!["X-User-Id".to_owned()];
    edge.auth =
        RouteAuth { gateway: Some(goodgo_runtime_config::GatewayAuth { headers }), ..RouteAuth::default() };
    let running = Running::start(app.address, &routed(vec![edge, open("public", "/public")])).await;
    let at = running.addresses.gateway.unwrap();
    let asked = |path: &str, set: &[(&'static str, &'static str)]| {
        let mut request = get(path);
        for (name, value) in set {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        request
    };
    let word = ("x-goodgo-authenticated", "gateway");
    let refused: [&[_]; 4] =
        [&[], &[("x-user-id", "eve")], &[("x-goodgo-authenticated", "yes")], &[word, word]];
    for set in refused {
        assert_problem(send(at, asked("/edge", set)).await, 503, "GatewayNotAsked").await;
    }
    let seen = text(send(at, asked("/edge", &[word, ("x-user-id", "42")])).await).await;
    assert!(seen.contains("x-user-id: 42") && !seen.contains("authenticated"), "{seen}");
    let seen = text(send(at, asked("/edge", &[word, ("x_user_id", "eve")])).await).await;
    assert!(!seen.contains("eve"), "{seen}");
    let seen = text(send(at, asked("/public", &[word, ("x-user-id", "eve")])).await).await;
    assert!(!seen.contains("eve") && !seen.contains("authenticated"), "{seen}");
    running.stop().await;
}

/// A route that covers the path asks for more than the gateway has to say.
#[tokio::test]
async fn the_gateway_asks_at_its_own_host_and_path_alone() {
    let app = mirror().await;
    let mut closed = open("all", "/");
    closed.auth = RouteAuth { gateway: Some(Default::default()), ..RouteAuth::default() };
    let mut config = routed(vec![closed]);
    config.inbound.asked = Some(goodgo_runtime_config::Asked {
        host: "iam.shop.svc.cluster.local".to_owned(),
        paths: vec!["/auth/verify".to_owned()],
    });
    let running = Running::start(app.address, &config).await;
    let at = running.addresses.gateway.unwrap();
    for (host, path, status) in [
        ("iam.shop.svc.cluster.local:14002", "/auth/verify", 200),
        ("IAM.shop.svc.cluster.local", "/auth/verify", 200),
        ("iam.shop.svc.cluster.local:14002", "/auth/verify/", 503),
        ("iam.shop.svc.cluster.local:14002", "/auth/verify/all", 503),
        ("iam.shop.svc.cluster.local:14002", "/auth", 503),
        ("api.shop.example", "/auth/verify", 503),
        ("iam.shop.svc.cluster.local.evil.example", "/auth/verify", 503),
        ("x-iam.shop.svc.cluster.local", "/auth/verify", 503),
    ] {
        let mut request = get(path);
        request.headers_mut().insert("host", HeaderValue::from_static(host));
        assert_eq!(send(at, request).await.status(), status, "{host} {path}");
    }
    running.stop().await;
}

#[tokio::test]
async fn clients_outside_learn_nothing_of_what_stands_inside() {
    let app = support::nobody().await;
    let running = Running::start(app, &routed(vec![open("all", "/")])).await;
    for (address, told) in [(running.addresses.gateway.unwrap(), false), (running.service(), true)] {
        let response = send(address, get("/")).await;
        assert_eq!(response.status(), 502);
        let problem = support::json(response).await;
        assert_eq!(problem["reason"], "ConnectFailed");
        assert_eq!(problem["detail"].as_str().unwrap().contains(&app.to_string()), told, "{problem}");
    }
    running.stop().await;
}

/// A gateway that asks with its client's headers judges by the status.
#[tokio::test]
async fn a_refusal_over_http1_has_its_status_whatever_the_client_says_it_speaks() {
    let app = support::nobody().await;
    let running = Running::start(app, &routed(vec![open("users", "/users")])).await;
    for kind in ["application/grpc", "application/grpc+proto", "Application/gRPC"] {
        let request = Request::get("/elsewhere").header("content-type", kind).body(full("")).unwrap();
        assert_eq!(send(running.addresses.gateway.unwrap(), request).await.status(), 404, "{kind}");
    }
    running.stop().await;
}
