//! The runtime's own endpoints, apart from the data path: probes, running configuration, the callees' endpoints, metrics,
//! and the drain. All but the drain are answered [aside](crate::aside), so that a scrape holds up no request and a busy pod
//! still answers its probes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::runtime::Handle;

use crate::config::Hot;
use crate::drain::Drain;
use crate::health::{Checks, endpoints as health_endpoints};
use crate::metrics::Metrics;

const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long the executor of traffic may take to begin a task. Milliseconds are usual, under the highest load too.
const PULSE_LIMIT: Duration = Duration::from_secs(2);

/// What the endpoints tell about.
#[derive(Debug)]
pub(crate) struct Admin {
    pub(crate) hot: Arc<Hot>,
    pub(crate) drain: Arc<Drain>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) checks: Checks,
    /// All listeners are bound and a valid configuration is loaded.
    pub(crate) started: AtomicBool,
    /// The executor that carries traffic.
    pub(crate) traffic: Handle,
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

/// Alive is who carries traffic: that this thread answers says nothing of the other one.
async fn live(State(admin): State<Arc<Admin>>) -> Response {
    if has_pulse(&admin.traffic, PULSE_LIMIT).await {
        answer(StatusCode::OK, "alive")
    } else {
        answer(StatusCode::SERVICE_UNAVAILABLE, "the executor that carries traffic begins no task")
    }
}

/// Whether `executor` begins a task within `limit`.
async fn has_pulse(executor: &Handle, limit: Duration) -> bool {
    matches!(tokio::time::timeout(limit, executor.spawn(async {})).await, Ok(Ok(())))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_executor_that_is_stuck_has_no_pulse() {
        let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        assert!(has_pulse(executor.handle(), Duration::from_secs(10)).await);
        let (go_on, stuck) = std::sync::mpsc::channel::<()>();
        executor.spawn(async move {
            let _ = stuck.recv();
        });
        assert!(!has_pulse(executor.handle(), Duration::from_millis(50)).await);
        drop(go_on);
        assert!(has_pulse(executor.handle(), Duration::from_secs(10)).await);
        executor.shutdown_background();
    }
}
