//! Calls to other services: plain HTTP or gRPC to the URL in the environment, one try, five seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, TE};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::grpc;

const LIMIT: Duration = Duration::from_secs(5);
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Services that some endpoint calls.
const CALLEES: [&str; 3] = ["iam-service", "user-service", "product-service"];

/// The callees' URLs and a client.
#[derive(Debug)]
pub(crate) struct Callees {
    urls: BTreeMap<&'static str, String>,
    client: Client<HttpConnector, Empty<Bytes>>,
    grpc: Client<HttpConnector, Full<Bytes>>,
}

/// A call that brought no answer that could be used; told as 502 with the callee's name.
#[derive(Debug)]
pub(crate) struct CallFailed {
    callee: &'static str,
    detail: String,
    /// What the callee answered, when it did.
    answer: Option<(StatusCode, Value)>,
}

impl Callees {
    /// Asks `url` for each callee's base URL.
    pub(crate) fn new(url: impl Fn(&'static str) -> Option<String>) -> Self {
        let urls = CALLEES.into_iter().filter_map(|callee| Some((callee, url(callee)?))).collect();
        let builder = || Client::builder(TokioExecutor::new());
        Self { urls, client: builder().build_http(), grpc: builder().http2_only(true).build_http() }
    }

    /// `iam-service` → `IAM_SERVICE_URL`.
    pub(crate) fn variable(callee: &str) -> String {
        format!("{}_URL", callee.to_uppercase().replace('-', "_"))
    }

    /// `GET path` of `callee`, whose answer must be JSON with a status of success.
    pub(crate) async fn get(&self, callee: &'static str, path: &str) -> Result<Value, CallFailed> {
        let failed = |detail| CallFailed { callee, detail, answer: None };
        let Some(url) = self.urls.get(callee) else {
            return Err(failed(format!("{} is not set", Self::variable(callee))));
        };
        let request = Request::get(format!("{}{path}", url.trim_end_matches('/')))
            .body(Empty::new())
            .map_err(|error| failed(format!("{url}{path}: {error}")))?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| error.to_string())?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
            Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
        };
        let (status, body): (StatusCode, Bytes) = tokio::time::timeout(LIMIT, exchange)
            .await
            .map_err(|_| failed(format!("no answer within {} s", LIMIT.as_secs())))?
            .map_err(failed)?;
        let value = serde_json::from_slice(&body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
        if status.is_success() {
            Ok(value)
        } else {
            let detail = format!("answered {status}");
            Err(CallFailed { callee, detail, answer: Some((status, value)) })
        }
    }
}

impl Callees {
    /// What the gRPC method `WhoAmI` of `callee` answers, prefix included; else why there is no answer.
    pub(crate) async fn who_am_i(&self, callee: &str) -> Result<Bytes, String> {
        let url = self.urls.get(callee).ok_or_else(|| format!("{} is not set", Self::variable(callee)))?;
        let request = Request::post(format!("{}{}", url.trim_end_matches('/'), grpc::WHO_AM_I))
            .header(CONTENT_TYPE, grpc::GRPC)
            .header(TE, "trailers")
            .body(Full::new(grpc::framed(&[])))
            .map_err(|error| error.to_string())?;
        let exchange = async {
            let response = self.grpc.request(request).await.map_err(|error| error.to_string())?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| error.to_string())?;
            let status = body.trailers().unwrap_or(&head.headers).get(grpc::GRPC_STATUS).cloned();
            if head.status == StatusCode::OK && status.as_ref().is_some_and(|status| status == "0") {
                return Ok(body.to_bytes());
            }
            Err(format!("{callee} answered {} with gRPC status {status:?}", head.status))
        };
        let answered = tokio::time::timeout(LIMIT, exchange).await;
        answered.map_err(|_| format!("no answer of {callee} within {} s", LIMIT.as_secs()))?
    }
}

impl IntoResponse for CallFailed {
    fn into_response(self) -> Response {
        let Self { callee, detail, answer } = self;
        tracing::warn!(callee, detail, "call failed");
        let answer = answer.map(|(status, body)| json!({ "status": status.as_u16(), "body": body }));
        let body = json!({ "error": "call failed", "callee": callee, "detail": detail, "answer": answer });
        (StatusCode::BAD_GATEWAY, Json(body)).into_response()
    }
}
