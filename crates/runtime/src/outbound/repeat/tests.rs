//! Who is repeated and who is not, case by case.

use std::io;
use std::time::Duration;

use goodgo_runtime_config::{ConnectFailure, Retries};
use http::Request;
use http_body_util::BodyExt;

use super::*;

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn answered(status: u16, headers: &[(&str, &str)]) -> Result<Response<Body>, Failure> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    Ok(response.body(Body::empty()).unwrap())
}

fn refused() -> Result<Response<Body>, Failure> {
    Err(Failure::Connect { to: "there".to_owned(), source: io::ErrorKind::ConnectionRefused.into() })
}

fn broken_off() -> Result<Response<Body>, Failure> {
    let (to, detail) = ("there".to_owned(), String::new());
    Err(Failure::Exchange { to, detail, closed: true, processed: Processed::Unknown })
}

fn try_timeout() -> Result<Response<Body>, Failure> {
    Err(Failure::TryTimeout { policy: String::new(), limit: Duration::ZERO })
}

/// By the default policy, after the callee had this body.
async fn wanted_with(head: &Parts, body: &'static str, result: &Result<Response<Body>, Failure>) -> bool {
    let replay = Replay::new(Body::whole(body));
    replay.next().collect().await.unwrap();
    is_wanted(&Retries::default().retry_on, result, Safety::of(head), head, &replay)
}

async fn wanted(method: &str, result: &Result<Response<Body>, Failure>) -> bool {
    wanted_with(&request(method, "/", &[]), "", result).await
}

#[tokio::test]
async fn idempotent_methods_are_repeated_and_others_only_when_nothing_was_done() {
    for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
        for result in
            [answered(502, &[]), answered(503, &[]), answered(504, &[]), broken_off(), try_timeout()]
        {
            assert!(wanted(method, &result).await, "{method} {result:?}");
        }
        assert!(wanted(method, &refused()).await, "{method}");
    }
    for method in ["POST", "PATCH", "CUSTOM", "get"] {
        for result in
            [answered(502, &[]), answered(503, &[]), answered(504, &[]), broken_off(), try_timeout()]
        {
            assert!(!wanted(method, &result).await, "{method} {result:?}");
        }
        assert!(wanted(method, &refused()).await, "{method}: nobody has seen it");
    }
}

#[tokio::test]
async fn a_key_makes_a_post_idempotent() {
    let head = request("POST", "/payments", &[("idempotency-key", "\"8e03978e\"")]);
    assert!(wanted_with(&head, "x", &answered(503, &[])).await);
}

#[tokio::test]
async fn what_the_client_did_wrong_is_not_repeated() {
    for status in [200, 304, 400, 401, 404, 408, 409, 425, 429, 500, 501] {
        assert!(!wanted("GET", &answered(status, &[])).await, "{status}");
    }
    let head = request("GET", "/", &[]);
    let on = [RetryOn::Status(429)];
    let (replay, safety) = (Replay::new(Body::empty()), Safety::of(&head));
    assert!(is_wanted(&on, &answered(429, &[]), safety, &head, &replay), "429 where it is asked for");
    assert!(!is_wanted(&on, &answered(503, &[]), safety, &head, &replay));
    assert!(!is_wanted(&on, &refused(), safety, &head, &replay));
    let on = [RetryOn::Connect(ConnectFailure::Connect)];
    assert!(is_wanted(&on, &refused(), safety, &head, &replay));
    assert!(!is_wanted(&on, &broken_off(), safety, &head, &replay));
}

#[tokio::test]
async fn one_layer_repeats() {
    assert!(!wanted("GET", &answered(503, &[("x-goodgo-retried", "3")])).await);
}

#[tokio::test]
async fn the_end_of_the_call_is_the_end() {
    let timeout = Failure::CallTimeout { policy: String::new(), limit: Duration::ZERO };
    assert!(!wanted("GET", &Err(timeout)).await);
    assert!(!wanted("GET", &Err(Failure::DeadlineExceeded)).await);
}

#[tokio::test]
async fn a_grpc_status_is_repeated_only_where_it_is_declared() {
    let head = request("POST", "/iam.Users/Charge", &[("content-type", "application/grpc")]);
    let replay = Replay::new(Body::empty());
    let on = [RetryOn::Connect(ConnectFailure::Connect)];
    let unavailable = answered(200, &[("grpc-status", "14")]);
    assert!(!is_wanted(&on, &unavailable, Safety::of(&head), &head, &replay), "the handler may have charged");
    assert!(is_wanted(&on, &refused(), Safety::of(&head), &head, &replay));
    let declared = [RetryOn::Status(503)];
    assert!(is_wanted(&declared, &unavailable, Safety::of(&head), &head, &replay));
}

#[tokio::test]
async fn grpc_is_repeated_when_nothing_was_sent() {
    for content_type in ["application/grpc", "application/grpc+proto", "Application/gRPC"] {
        let head =
            request("POST", "/iam.Users/Get", &[("content-type", content_type), ("idempotency-key", "1")]);
        assert!(wanted_with(&head, "", &answered(200, &[("grpc-status", "14")])).await);
        assert!(wanted_with(&head, "", &refused()).await);
        for status in ["0", "4", "13", "1"] {
            assert!(!wanted_with(&head, "", &answered(200, &[("grpc-status", status)])).await, "{status}");
        }
        for result in [answered(200, &[]), answered(503, &[]), broken_off(), try_timeout()] {
            assert!(!wanted_with(&head, "", &result).await, "{result:?}");
        }
    }
}

#[tokio::test]
async fn graphql_is_repeated_when_it_reads() {
    let json = &[("content-type", "application/json"), ("idempotency-key", "1")];
    let post = request("POST", "/graphql", json);
    assert!(wanted_with(&post, r#"{"query":"{ users }"}"#, &answered(503, &[])).await);
    assert!(!wanted_with(&post, r#"{"query":"mutation { a }"}"#, &answered(503, &[])).await);
    assert!(wanted_with(&post, r#"{"query":"mutation { a }"}"#, &refused()).await, "nobody has seen it");
    let both = request("POST", "/graphql?query=mutation%7Ba%7D", json);
    assert!(!wanted_with(&both, r#"{"query":"{ users }"}"#, &answered(503, &[])).await);
    let get = request("GET", "/graphql?query=%7Busers%7D", &[]);
    assert!(wanted_with(&get, "", &answered(503, &[])).await);
    let get = request("GET", "/graphql?query=mutation%7Ba%7D", &[]);
    assert!(!wanted_with(&get, "", &answered(503, &[])).await);
    let elsewhere = request("POST", "/search", &json[..1]);
    assert!(!wanted_with(&elsewhere, r#"{"query":"{ users }"}"#, &answered(503, &[])).await);
}

#[test]
fn a_body_that_was_not_read_to_its_end_is_not_taken_for_a_query() {
    let head = request("POST", "/graphql", &[("content-type", "application/json")]);
    let unread = Replay::new(Body::whole(r#"{"query":"{ users }"}"#));
    assert!(!is_wanted(&Retries::default().retry_on, &answered(503, &[]), Safety::of(&head), &head, &unread));
}
