//! Clients as they are published, in programs as people write them, through a running runtime. The guide
//! `docs/guides/calling-other-services.md` shows these programs' lines, and a test compares them.

#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod program;
mod rust;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use goodgo_runtime_config::{Call, CallPolicy, TargetService};
use http::Response;
use program::Program;
use serde_json::Value;
use support::{Running, config, full, get, send, to, upstream};
use tokio::process::Command;

/// An iam-service that tells which headers it got.
async fn iam() -> SocketAddr {
    let iam = upstream(|request| async move {
        let said: BTreeMap<_, _> = request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        let body = serde_json::to_string(&said).unwrap();
        Response::builder().header("content-type", "application/json").body(full(body)).unwrap()
    })
    .await;
    iam.address
}

fn call(address: SocketAddr) -> Call {
    let mut call = to(address).with(CallPolicy { forward_authorization: true, ..CallPolicy::default() });
    call.target.as_mut().unwrap().service = Some(TargetService { pods: None, identity: false });
    call
}

/// What iam-service got when a user asks for `path`.
async fn ask(running: &Running, path: &str, user: usize) -> Value {
    let mut request = get(path);
    let headers = request.headers_mut();
    headers.insert("authorization", format!("Bearer user-{user}").parse().unwrap());
    headers.insert("x-correlation-id", format!("request-of-{user}").parse().unwrap());
    let trace = format!("00-{:032x}-00f067aa0ba902b7-01", user + 1);
    headers.insert("traceparent", trace.parse().unwrap());
    let response = send(running.service(), request).await;
    assert_eq!(response.status(), 200, "{path}");
    support::json(response).await
}

/// Every client's calls continue their request, however many are under way, and plain ones work as well.
async fn carries_on(running: &Running, clients: &[&str]) {
    for path in clients {
        let asked = (0..20).map(|user| async move { (user, ask(running, path, user).await) });
        for (user, got) in futures::future::join_all(asked).await {
            assert_eq!(got["authorization"], format!("Bearer user-{user}"), "{path}");
            assert_eq!(got["x-correlation-id"], format!("request-of-{user}"), "{path}");
            let trace = got["traceparent"].as_str().unwrap();
            assert!(trace.starts_with(&format!("00-{:032x}-", user + 1)), "{path}: {trace}");
            assert_eq!(got["x-goodgo-context"], Value::Null, "{path}");
        }
    }
    let got = ask(running, "/plain", 7).await;
    assert_eq!(got["authorization"], Value::Null);
    assert_eq!(got["x-correlation-id"].as_str().map(str::len), Some(32), "one is made: {got}");
}

async fn through_a_runtime(program: Command, clients: &[&str]) {
    let app = SocketAddr::from(([127, 0, 0, 1], support::port_for_later()));
    let running = Running::start(app, &config([("iam-service", call(iam().await))])).await;
    let iam = format!("http://{}", running.call("iam-service"));
    let _program = Program::start(program, app, &iam).await;
    carries_on(&running, clients).await;
    running.stop().await;
}

#[tokio::test]
async fn axios_and_fetch() {
    through_a_runtime(program::node().await, &["/axios", "/fetch"]).await;
}

#[tokio::test]
async fn requests_and_httpx() {
    through_a_runtime(program::python().await, &["/requests", "/httpx"]).await;
}

#[tokio::test]
async fn go() {
    through_a_runtime(program::go().await, &["/http"]).await;
}

#[tokio::test]
async fn reqwest_in_axum() {
    let (app, iam_url) = rust::app().await;
    let running = Running::start(app, &config([("iam-service", call(iam().await))])).await;
    iam_url.set(format!("http://{}", running.call("iam-service"))).unwrap();
    carries_on(&running, &["/reqwest"]).await;
    running.stop().await;
}

#[test]
fn the_guide_shows_what_is_tested() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let guide = std::fs::read_to_string(format!("{root}/docs/guides/calling-other-services.md")).unwrap();
    for file in ["node/app.mjs", "python/app.py", "go/continued/continued.go", "rust.rs"] {
        let text = std::fs::read_to_string(format!("{root}/crates/runtime/tests/clients/{file}")).unwrap();
        let lines = text.lines().skip_while(|line| !line.ends_with("guide: begin")).skip(1);
        let shown: Vec<_> = lines.take_while(|line| !line.ends_with("guide: end")).collect();
        assert!(shown.len() > 5, "{file} has no lines for the guide");
        let shown = shown.join("\n");
        assert!(guide.contains(shown.trim()), "the guide does not show what {file} does:\n{shown}");
    }
}
