//! The runtime's own endpoints, apart from the data path: probes, running configuration, the callees' endpoints,
//! metrics, and the drain.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::config::Hot;
use crate::drain::Drain;
use crate::health::{Checks, endpoints as health_endpoints};
use crate::metrics::Metrics;

const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the endpoints tell about.
#[derive(Debug)]
pub(crate) struct Admin {
    pub(crate) hot: Arc<Hot>,
    pub(crate) drain: Arc<Drain>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) checks: Checks,
    /// All listeners are bound and a valid configuration is loaded.
    pub(crate) started: AtomicBool,
}

impl Admin {
    fn is_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// Whether the pod takes requests, or why not.
    pub(crate) fn readiness(&self) -> Result<(), String> {
        if self.drain.is_draining() {
            return Err("draining".to_owned());
        }
        if !self.is_started() {
            return Err("starting".to_owned());
        }
        let failing = self.checks.failing();
        if failing.is_empty() { Ok(()) } else { Err(format!("required but down: {}", failing.join(", "))) }
    }
}

/// Port 14010.
pub(crate) fn admin(state: Arc<Admin>) -> Router {
    Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/startup", get(startup))
        .route("/config", get(config))
        .route("/endpoints", get(endpoints))
        .route("/metrics", get(metrics))
        .merge(health_endpoints::routes())
        .with_state(state)
}

/// Port 14011, on its own so that a policy can keep everybody but the kubelet away.
pub(crate) fn drain(state: Arc<Admin>) -> Router {
    Router::new().route("/drain", get(run_drain)).with_state(state)
}

async fn live() -> Response {
    answer(StatusCode::OK, "alive")
}

async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    match admin.readiness() {
        Ok(()) => answer(StatusCode::OK, "ready"),
        Err(why) => answer(StatusCode::SERVICE_UNAVAILABLE, &why),
    }
}

async fn startup(State(admin): State<Arc<Admin>>) -> Response {
    if admin.is_started() {
        answer(StatusCode::OK, "started")
    } else {
        answer(StatusCode::SERVICE_UNAVAILABLE, "waiting for a valid configuration; /config says why")
    }
}

async fn config(State(admin): State<Arc<Admin>>) -> Response {
    Json(admin.hot.report()).into_response()
}

async fn endpoints(State(admin): State<Arc<Admin>>) -> Response {
    Json(json!({ "calls": admin.hot.endpoints() })).into_response()
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    match admin.metrics.encode() {
        Ok(text) => ([(CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(error) => {
            answer(StatusCode::INTERNAL_SERVER_ERROR, &format!("failed to encode metrics: {error}"))
        }
    }
}

async fn run_drain(State(admin): State<Arc<Admin>>) -> Response {
    admin.metrics.draining();
    let drained = admin.drain.run(admin.hot.drain()).await;
    Json(drained).into_response()
}

pub(crate) fn answer(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "status": text }))).into_response()
}
