//! What is measured and traced.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is measured and traced.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Observability {
    /// Traces; the context is passed on even without them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
    /// The app's own metrics, relayed at `/app/metrics` of the admin port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_metrics: Option<AppMetrics>,
}

/// Traces, exported with OTLP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tracing {
    /// `http://host:port` of the collector.
    #[schemars(length(min = 1, max = 512))]
    pub endpoint: String,
    /// Share of requests that start a trace, in percent; a trace that the caller began is followed as it decided.
    #[schemars(range(max = 100))]
    pub sampling_percent: u8,
}

/// Where the app's own metrics are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppMetrics {
    /// Port on 127.0.0.1.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Path.
    #[schemars(length(min = 1, max = 512))]
    pub path: String,
}
