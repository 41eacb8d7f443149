//! Health on the admin port: `/health/…` for people and dashboards, `/app/…` for a kubelet or a monitoring that can't
//! reach the app's own port.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, http};
use goodgo_runtime_config::{AppMetrics, AppProbe, AppProbes};
use serde_json::json;

use super::{app, relay};
use crate::admin::{Admin, answer};

pub(crate) fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/app/metrics", get(metrics))
        .route("/app/{probe}", get(ask_app))
}

async fn live() -> Response {
    Json(json!({ "status": "ok", "timestamp": jiff::Timestamp::now().to_string() })).into_response()
}

async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    let readiness = admin.readiness();
    let mut body = json!({ "ready": readiness.is_ok(), "checks": admin.checks.report() });
    let status = match readiness {
        Ok(()) => StatusCode::OK,
        Err(reason) => {
            if let Some(body) = body.as_object_mut() {
                body.insert("reason".to_owned(), reason.into());
            }
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    (status, Json(body)).into_response()
}

async fn ask_app(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Response {
    let Some(probe) = probe(&admin, &name) else {
        return answer(StatusCode::NOT_FOUND, "no such probe is configured under health.app");
    };
    match app::ask(&probe).await {
        Ok(()) => answer(StatusCode::OK, "ok"),
        Err(error) => answer(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

fn probe(admin: &Admin, name: &str) -> Option<AppProbe> {
    let snapshot = admin.hot.current();
    let AppProbes { live, ready, startup } = snapshot.as_ref()?.config.health.app.as_ref()?;
    match name {
        "live" => Some(live.clone()),
        "ready" => Some(ready.clone()),
        "startup" => startup.clone(),
        _ => None,
    }
}

async fn metrics(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    let Some(source) = app_metrics(&admin) else {
        return answer(StatusCode::NOT_FOUND, "no observability.appMetrics is configured");
    };
    match relay::metrics(&source, headers.get(http::header::ACCEPT)).await {
        Ok(response) => response,
        Err(error) => answer(StatusCode::BAD_GATEWAY, &error.to_string()),
    }
}

fn app_metrics(admin: &Admin) -> Option<AppMetrics> {
    admin.hot.current().as_ref()?.config.observability.app_metrics.clone()
}
