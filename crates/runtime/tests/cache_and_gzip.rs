//! What changes content on the way, through real listeners: the cache of answers, and compressed requests.

#![cfg(test)]

mod support;

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use goodgo_runtime_config::{Cache, Call, CallPolicy, Target, TargetService};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use support::{Running, config, full, get, nobody, send, text, to, upstream};

/// The same call, to a GoodGoService.
fn service(call: Call) -> Call {
    let service = Some(TargetService { pods: None, identity: false });
    Call { target: call.target.map(|target| Target { service, ..target }), ..call }
}

/// Answers each request with its number, and lets it be kept.
async fn counting() -> support::Upstream {
    let seen = Arc::new(AtomicUsize::new(0));
    upstream(move |_| {
        let number = seen.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            Response::builder()
                .header("cache-control", "public, max-age=60")
                .body(full(number.to_string()))
                .unwrap()
        }
    })
    .await
}

#[tokio::test]
async fn answers_are_kept_where_the_call_asks_for_it_and_never_across_identities() {
    let callee = counting().await;
    let cached = CallPolicy { cache: Some(Cache { max_age_ms: 60_000 }), ..CallPolicy::default() };
    let calls = [("cached", to(callee.address).with(cached)), ("plain", to(callee.address))];
    let running = Running::start(nobody().await, &config(calls)).await;
    let of = |user: &str| Request::get("/me").header("authorization", user).body(full("")).unwrap();
    let (alice, bob) = ("Bearer alice", "Bearer bob");
    for (call, user, says, status) in [
        ("cached", alice, "1", "fwd=uri-miss"),
        ("cached", alice, "1", "hit"),
        ("cached", bob, "2", "fwd=uri-miss"),
        ("cached", bob, "2", "hit"),
        ("cached", alice, "1", "hit"),
        ("plain", alice, "3", ""),
        ("plain", alice, "4", ""),
    ] {
        let response = send(running.call(call), of(user)).await;
        let told = response.headers().get("cache-status").map_or("", |value| value.to_str().unwrap());
        assert!(told.contains(status) && told.is_empty() == status.is_empty(), "{told:?} is not {status:?}");
        assert_eq!(response.headers().contains_key("age"), status == "hit");
        assert_eq!(text(response).await, says, "{call} {user}");
    }
    let write = Request::post("/me").body(full("x")).unwrap();
    assert_eq!(text(send(running.call("cached"), write).await).await, "5");
    assert_eq!(text(send(running.call("cached"), of(alice)).await).await, "6");
    let metrics = running.admin("/metrics").await.1;
    assert!(metrics.contains(r#"call_cache_hits_total{call="cached"} 3"#), "{metrics}");
    assert!(metrics.contains(r#"call_cache_misses_total{call="cached"} 3"#), "{metrics}");
    running.stop().await;
}

#[tokio::test]
async fn what_one_target_said_is_not_served_for_another() {
    let (first, second) = (counting().await, counting().await);
    let cached = CallPolicy { cache: Some(Cache { max_age_ms: 60_000 }), ..CallPolicy::default() };
    let mut file = config([("moves", to(first.address).with(cached.clone()))]);
    let running = Running::start(nobody().await, &file).await;
    for _ in 0..3 {
        assert_eq!(text(send(running.call("moves"), get("/")).await).await, "1");
    }
    file.revision = "b2".to_owned();
    file.calls.insert("moves".to_owned(), to(second.address).with(cached));
    running.put(&file);
    running
        .eventually("b2 is in force", || async {
            running.admin("/config").await.1.contains(r#""revision":"b2""#)
        })
        .await;
    let response = send(running.call("moves"), get("/")).await;
    assert!(response.headers()["cache-status"].to_str().unwrap().contains("uri-miss"));
    running.stop().await;
}

/// Says whether it takes gzip, and answers with how the body came and what was in it.
async fn decoding(accepts: &'static str, refuses: bool) -> support::Upstream {
    upstream(move |request: Request<Incoming>| async move {
        let encoded = request.headers().contains_key("content-encoding");
        let announced = request.headers().contains_key("content-length");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let mut response = Response::builder().header("accept-encoding", accepts);
        if encoded && refuses {
            response = response.status(415);
            return response.body(full("no gzip here")).unwrap();
        }
        let mut plain = String::new();
        if encoded {
            flate2::read::GzDecoder::new(&*body).read_to_string(&mut plain).unwrap();
        } else {
            plain = String::from_utf8(body.to_vec()).unwrap();
        }
        let smaller = body.len() < plain.len();
        response.body(full(format!("{encoded} {announced} {smaller} {plain}"))).unwrap()
    })
    .await
}

fn post(body: &str) -> Request<support::Body> {
    Request::post("/").header("content-type", "application/json").body(full(body.to_owned())).unwrap()
}

#[tokio::test]
async fn requests_are_compressed_once_the_callee_is_known_to_take_it() {
    let callee = decoding("gzip", false).await;
    let calls = [("iam-service", service(to(callee.address))), ("payments", to(callee.address))];
    let running = Running::start(nobody().await, &config(calls)).await;
    let large = format!("[{}0]", "1,".repeat(2_000));
    for (call, body, expected) in [
        ("iam-service", large.as_str(), "false true false"),
        ("iam-service", &large, "true false true"),
        ("iam-service", "[]", "false true false"),
        ("iam-service", &large, "true false true"),
        ("payments", &large, "false true false"),
        ("payments", &large, "false true false"),
    ] {
        let said = text(send(running.call(call), post(body)).await).await;
        assert_eq!(said, format!("{expected} {body}"), "{call}");
    }
    running.stop().await;
}

#[tokio::test]
async fn who_refuses_gzip_after_all_gets_the_same_request_plain() {
    let callee = decoding("gzip", true).await;
    let running =
        Running::start(nobody().await, &config([("iam-service", service(to(callee.address)))])).await;
    let large = format!("[{}0]", "1,".repeat(2_000));
    for _ in 0..3 {
        let response = send(running.call("iam-service"), post(&large)).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(!response.headers().contains_key("x-goodgo-retried"));
        assert_eq!(text(response).await, format!("false true false {large}"));
    }
    running.stop().await;
}
