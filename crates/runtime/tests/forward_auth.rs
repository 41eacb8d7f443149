//! Users from outside of whom another service says whether they may pass, and who they are.

#![cfg(test)]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use goodgo_runtime_config::{ForwardAuth, Route, RouteAuth, RuntimeConfig};
use http::{HeaderValue, Request, Response};
use support::{Running, assert_problem, config, full, mirror, nobody, send, text, to, upstream};

fn bearer(token: &str) -> Request<support::Body> {
    Request::get("/me").header("authorization", format!("Bearer {token}")).body(full("")).unwrap()
}

/// An app, and an authority that lets `token-1` pass as user-1.
async fn forwarding(headers: &[&str]) -> (support::Upstream, RuntimeConfig) {
    let authority = upstream(|request| async move {
        let head = request.headers();
        let says =
            |name: &str| head.get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or("-".to_owned());
        let asked = format!(
            "{} {} {} {} {} {} {}",
            request.method(),
            request.uri().path(),
            says("x-forwarded-method"),
            says("x-forwarded-uri"),
            says("x-forwarded-host"),
            says("x-forwarded-for"),
            says("x-user-id")
        );
        match says("authorization").as_str() {
            "Bearer token-1" => Response::builder()
                .header("x-user-id", "user-1")
                .header("x-secret", "not listed")
                .header("x-asked", asked)
                .body(full("ignored"))
                .unwrap(),
            "Bearer slow" => {
                tokio::time::sleep(Duration::from_secs(30)).await;
                Response::new(full(""))
            }
            _ => Response::builder()
                .status(if says("cookie") == "-" { 401 } else { 302 })
                .header("www-authenticate", "Bearer realm=\"shop\"")
                .header("location", "https://login.example/")
                .header("set-cookie", "a=1")
                .header("set-cookie", "b=2")
                .header("x-user-id", "admin")
                .body(full("who are you?"))
                .unwrap(),
        }
    })
    .await;
    let mut call = to(authority.address);
    call.policy.timeout_ms = 500;
    let mut config = config([("iam", call)]);
    let forward = ForwardAuth {
        call: "iam".to_owned(),
        path: "/auth/verify".to_owned(),
        headers: headers.iter().map(|name| (*name).to_owned()).collect(),
    };
    config.inbound.routes = vec![Route {
        name: "me".to_owned(),
        path: "/me".to_owned(),
        exact: false,
        methods: Vec::new(),
        strip_prefix: Some("/me".to_owned()),
        auth: RouteAuth { forward: Some(forward), ..RouteAuth::default() },
        timeout_ms: None,
        max_body_bytes: None,
        content_types: Vec::new(),
    }];
    (authority, config)
}

#[tokio::test]
async fn another_service_lets_pass_and_says_who_it_is() {
    let app = mirror().await;
    let (_authority, config) = forwarding(&["X-User-Id", "X-Asked", "X-Absent"]).await;
    let running = Running::start(app.address, &config).await;
    let at = running.addresses.gateway.unwrap();
    let mut request = Request::post("/me/orders?a=b").body(full("body")).unwrap();
    for (name, value) in [
        ("authorization", "Bearer token-1"),
        ("host", "api.example"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-user-id", "admin"),
        ("x-absent", "admin"),
    ] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let seen = text(send(at, request).await).await;
    assert!(seen.starts_with("POST /orders?a=b\n") && seen.ends_with("\n\nbody"), "{seen}");
    assert!(seen.contains("x-user-id: user-1\n") && !seen.contains("admin"), "{seen}");
    assert!(!seen.contains("x-secret"), "{seen}");
    let asked = "x-asked: GET /auth/verify POST /me/orders?a=b api.example 192.0.2.1 -\n";
    assert!(seen.contains(asked), "{seen}");
    running.stop().await;
}

#[tokio::test]
async fn another_services_refusal_reaches_the_user_and_its_absence_is_503() {
    let app = mirror().await;
    let (_authority, mut config) = forwarding(&["X-User-Id"]).await;
    let running = Running::start(app.address, &config).await;
    let at = running.addresses.gateway.unwrap();
    let response = send(at, bearer("wrong")).await;
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"shop\"");
    assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
    assert!(!response.headers().contains_key("x-user-id"));
    assert_eq!(text(response).await, "who are you?");
    let mut browser = bearer("wrong");
    browser.headers_mut().insert("cookie", HeaderValue::from_static("c=1"));
    let response = send(at, browser).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["location"]),
        (302, &HeaderValue::from_static("https://login.example/"))
    );
    assert_problem(send(at, bearer("slow")).await, 503, "AuthUnavailable").await;
    assert_eq!(app.connections.load(Ordering::SeqCst), 0);
    config.calls.insert("iam".to_owned(), to(nobody().await));
    config.revision = "b2".to_owned();
    running.put(&config);
    let gone = || async { send(at, bearer("token-1")).await.status() == 503 };
    running.eventually("the authority is away", gone).await;
    assert_problem(send(at, bearer("token-1")).await, 503, "AuthUnavailable").await;
    running.stop().await;
}

/// What the authority is asked belongs to the user's request, and counts as a call.
#[tokio::test]
async fn a_question_goes_the_way_of_a_call() {
    let app = mirror().await;
    let (authority, mut config) = forwarding(&["X-Asked-With"]).await;
    drop(authority);
    let authority = upstream(|request| async move {
        let says = |name: &str| request.headers().get(name).map_or("-", |v| v.to_str().unwrap()).to_owned();
        let left: u64 = says("x-goodgo-timeout-ms").parse().unwrap();
        assert!(left <= 300, "the route has less time than the call: {left}");
        let asked = format!("{} {}", says("x-correlation-id"), says("x-service-auth"));
        Response::builder().header("x-asked-with", asked).body(full("")).unwrap()
    })
    .await;
    let mut call = to(authority.address);
    call.target.as_mut().unwrap().service =
        Some(goodgo_runtime_config::TargetService { pods: None, identity: false });
    config.calls.insert("iam".to_owned(), call);
    config.inbound.routes[0].timeout_ms = Some(300);
    let running = Running::start(app.address, &config).await;
    let at = running.addresses.gateway.unwrap();
    for correlation_id in [None, Some("of-the-client")] {
        let mut request = bearer("token-1");
        if let Some(id) = correlation_id {
            request.headers_mut().insert("x-correlation-id", HeaderValue::from_static(id));
        }
        let seen = text(send(at, request).await).await;
        let line = |name: &str| seen.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        let id = line("x-correlation-id: ").expect(&seen);
        assert_eq!(line("x-asked-with: ").expect(&seen), format!("{id} -"));
        assert!(correlation_id.is_none_or(|sent| sent == id));
    }
    let metrics = running.admin("/metrics").await.1;
    let counted = r#"goodgo_runtime_requests_total{listener="iam",code_class="2xx"} 2"#;
    assert!(metrics.contains(counted), "{metrics}");
    running.stop().await;
}
