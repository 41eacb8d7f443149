//! The endpoints: those that every service has, and those of the service that is played.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::{CallFailed, Callees};
use crate::{grpc, websocket};

/// Longest that one `/burn` may keep a core busy.
const MAX_BURN: Duration = Duration::from_secs(10);

/// What the endpoints need.
#[derive(Debug)]
pub(crate) struct Demo {
    pub(crate) service: String,
    pub(crate) pod: String,
    pub(crate) callees: Callees,
    /// Whether `/health/live` fails, until this process is restarted.
    pub(crate) sick: AtomicBool,
}

type Shared = State<Arc<Demo>>;

/// The endpoints of `demo.service` and the common ones.
pub(crate) fn router(demo: Arc<Demo>) -> Router {
    let common = Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/whoami", get(whoami))
        .route("/headers", get(headers))
        .route("/graphql", post(graphql))
        .route("/echo", post(echo))
        .route("/burn", get(burn))
        .route("/sick", get(fall_sick))
        .route("/ws", get(websocket::echo))
        .merge(grpc::routes());
    let own = match demo.service.as_str() {
        "iam-service" => Router::new()
            .route("/internal/permissions/{id}", get(permissions))
            .route("/auth/verify", get(verify)),
        "user-service" => Router::new().route("/users/{id}", get(user)),
        "product-service" => Router::new().route("/products/{id}", get(product)),
        "order-service" => Router::new().route("/orders/{id}", get(order)),
        "notification-service" => Router::new().route("/notifications", post(notify)),
        _ => Router::new(),
    };
    common.merge(own).with_state(demo)
}

async fn live(State(demo): Shared) -> Response {
    if demo.sick.load(Ordering::Relaxed) {
        return (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "status": "sick" }))).into_response();
    }
    Json(json!({ "status": "ok", "timestamp": jiff::Timestamp::now().to_string() })).into_response()
}

/// From now on the liveness probe fails: what a hung app does, to see it restarted.
async fn fall_sick(State(demo): Shared) -> Json<Value> {
    demo.sick.store(true, Ordering::Relaxed);
    Json(json!({ "status": "sick" }))
}

async fn ready() -> Json<Value> {
    Json(json!({ "ready": true, "checks": {} }))
}

async fn whoami(State(demo): Shared) -> Json<Value> {
    Json(json!({ "service": demo.service, "pod": demo.pod }))
}

/// What came before the body, by lower-case name.
async fn headers(headers: HeaderMap) -> Json<BTreeMap<String, Vec<String>>> {
    let mut seen = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in &headers {
        seen.entry(name.to_string())
            .or_default()
            .push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    Json(seen)
}

/// The one question of a schema that has no other: `{ whoami { service pod } }`.
async fn graphql(State(demo): Shared, Json(request): Json<Value>) -> Json<Value> {
    let query = request.get("query").and_then(Value::as_str).unwrap_or_default();
    let words: Vec<_> = query.split_whitespace().collect();
    Json(if words == ["{", "whoami", "{", "service", "pod", "}", "}"] {
        json!({ "data": { "whoami": { "service": demo.service, "pod": demo.pod } } })
    } else {
        json!({ "errors": [{ "message": "ask { whoami { service pod } }" }] })
    })
}

/// Who has any token is who it names; a real service would look at it.
async fn verify(headers: HeaderMap) -> Response {
    let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    match token.map(HeaderValue::from_str) {
        Some(Ok(user)) => ([(HeaderName::from_static("x-user-id"), user)], "let through").into_response(),
        _ => (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], "who are you?").into_response(),
    }
}

/// The same bytes back, streamed.
async fn echo(request: Request) -> Response {
    let content_type = request.headers().get(CONTENT_TYPE).cloned();
    let mut response = Response::new(Body::new(request.into_body()));
    let content_type = content_type.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

#[derive(Deserialize)]
struct Burn {
    /// How long to keep one core busy, in milliseconds.
    #[serde(default = "Burn::default_ms")]
    ms: u64,
}

impl Burn {
    const fn default_ms() -> u64 {
        100
    }
}

async fn burn(Query(Burn { ms }): Query<Burn>) -> Response {
    let length = Duration::from_millis(ms).min(MAX_BURN);
    let burnt = tokio::task::spawn_blocking(move || {
        let start = Instant::now();
        let mut turns = 0_u64;
        while start.elapsed() < length {
            turns = black_box(turns.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    });
    match burnt.await {
        Ok(()) => Json(json!({ "burntMs": length.as_millis() })).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn permissions(State(demo): Shared, Path(id): Path<String>) -> Json<Value> {
    Json(json!({ "userId": id, "permissions": ["orders:read", "orders:write"], "pod": demo.pod }))
}

async fn user(State(demo): Shared, Path(id): Path<String>) -> Result<Json<Value>, CallFailed> {
    let permissions = demo.callees.get("iam-service", &format!("/internal/permissions/{id}")).await?;
    Ok(Json(json!({ "id": id, "name": format!("User {id}"), "permissions": permissions, "pod": demo.pod })))
}

async fn product(State(demo): Shared, Path(id): Path<String>) -> Json<Value> {
    Json(json!({ "id": id, "name": format!("Product {id}"), "priceCents": 1999, "pod": demo.pod }))
}

async fn order(State(demo): Shared, Path(id): Path<String>) -> Result<Json<Value>, CallFailed> {
    let (user, product) = (format!("/users/{id}"), format!("/products/{id}"));
    let (user, product) = tokio::try_join!(
        demo.callees.get("user-service", &user),
        demo.callees.get("product-service", &product)
    )?;
    Ok(Json(json!({ "id": id, "user": user, "product": product, "pod": demo.pod })))
}

/// Takes a notification and says so; nothing is sent anywhere.
async fn notify(State(demo): Shared, Json(notification): Json<Value>) -> Response {
    let accepted = json!({ "accepted": notification, "pod": demo.pod });
    (StatusCode::ACCEPTED, Json(accepted)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use http_body_util::{BodyExt, Full};
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;
    use tokio::net::TcpListener;

    use super::*;

    /// Serves `service` on a free port; `callees` has the URLs of others.
    async fn serve(service: &str, callees: &[(&'static str, &str)]) -> String {
        let url = |callee| callees.iter().find(|(name, _)| *name == callee).map(|(_, url)| (*url).to_owned());
        let demo = Demo {
            service: service.to_owned(),
            pod: "pod-1".to_owned(),
            callees: Callees::new(url),
            sick: AtomicBool::new(false),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(crate::serve::serve(listener, router(Arc::new(demo)), std::future::pending()));
        format!("http://{address}")
    }

    async fn send(request: Request<Full<Bytes>>) -> (StatusCode, Bytes) {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let response = client.request(request).await.unwrap();
        (response.status(), response.into_body().collect().await.unwrap().to_bytes())
    }

    async fn get_json(url: String) -> (StatusCode, Value) {
        let (status, body) = send(Request::get(url).body(Full::default()).unwrap()).await;
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn the_platforms_health_endpoints_answer_in_their_format() {
        let base = serve("notification-service", &[]).await;
        let (status, live) = get_json(format!("{base}/health/live")).await;
        assert_eq!((status, &live["status"]), (StatusCode::OK, &json!("ok")));
        assert!(live["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
        assert_eq!(get_json(format!("{base}/health/ready")).await.1, json!({ "ready": true, "checks": {} }));
        assert_eq!(get_json(format!("{base}/whoami")).await.1["pod"], "pod-1");
    }

    #[tokio::test]
    async fn an_order_brings_the_whole_chain_together() {
        let iam = serve("iam-service", &[]).await;
        let user = serve("user-service", &[("iam-service", &iam)]).await;
        let product = serve("product-service", &[]).await;
        let order = serve("order-service", &[("user-service", &user), ("product-service", &product)]).await;
        let (status, body) = get_json(format!("{order}/orders/7")).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body["user"]["permissions"]["userId"], "7");
        assert_eq!(body["product"]["id"], "7");
    }

    #[tokio::test]
    async fn a_failed_call_is_a_502_that_names_the_callee() {
        let unset = serve("user-service", &[]).await;
        let (status, body) = get_json(format!("{unset}/users/1")).await;
        assert_eq!(status, StatusCode::BAD_GATEWAY);
        assert_eq!(body["callee"], "iam-service");
        assert_eq!(body["detail"], "IAM_SERVICE_URL is not set");

        let wrong = serve("product-service", &[]).await;
        let base = serve("user-service", &[("iam-service", &wrong)]).await;
        let (status, body) = get_json(format!("{base}/users/1")).await;
        assert_eq!(status, StatusCode::BAD_GATEWAY);
        assert_eq!(body["answer"]["status"], 404);
    }

    #[tokio::test]
    async fn echo_and_burn_do_what_they_say() {
        let base = serve("demo", &[]).await;
        let body = Bytes::from(vec![7_u8; 100_000]);
        let request = Request::post(format!("{base}/echo")).body(Full::new(body.clone())).unwrap();
        assert_eq!(send(request).await, (StatusCode::OK, body));
        let start = Instant::now();
        assert_eq!(get_json(format!("{base}/burn?ms=30")).await.1, json!({ "burntMs": 30 }));
        assert!(start.elapsed() >= Duration::from_millis(30));
    }

    #[tokio::test]
    async fn a_question_is_passed_on_over_grpc() {
        let callee = serve("product-service", &[]).await;
        let base = serve("user-service", &[("product-service", &callee)]).await;
        let client: Client<_, Full<Bytes>> =
            Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        for (service, pod, status) in [("product-service", "pod-1", "0"), ("iam-service", "", "14")] {
            let length = u8::try_from(service.len()).unwrap();
            let question = [&[0, 0, 0, 0, length + 2, 0x0a, length][..], service.as_bytes()].concat();
            let request = Request::post(format!("{base}/goodgo.demo.v1.Demo/Ask"));
            let response = client.request(request.body(Full::from(question)).unwrap()).await.unwrap();
            let (head, body) = response.into_parts();
            let body = body.collect().await.unwrap();
            let trailers = body.trailers().unwrap_or(&head.headers);
            assert_eq!(trailers["grpc-status"], status, "{trailers:?}");
            assert_eq!(body.to_bytes().get(7..).unwrap_or_default(), pod.as_bytes());
        }
    }

    #[tokio::test]
    async fn a_websocket_echoes_and_closes() {
        use futures::{SinkExt, StreamExt};
        use tokio_tungstenite::tungstenite::Message;

        let base = serve("demo", &[]).await;
        let address = base.strip_prefix("http://").unwrap();
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut socket, _) =
            tokio_tungstenite::client_async(format!("ws://{address}/ws"), stream).await.unwrap();
        socket.send(Message::text("hello")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
        socket.close(None).await.unwrap();
        assert!(matches!(socket.next().await.unwrap(), Ok(Message::Close(None))));
        assert!(socket.next().await.is_none());
    }
}
