//! What the runtime checks on behalf of the service.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Milliseconds;

/// Checks for `/health/ready`, and the app's own probes where the runtime asks them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Health {
    /// PostgreSQL, at the URL in the mounted file `database`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<Check>,
    /// Redis, at the URL in the mounted file `redis`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<Check>,
    /// Kafka.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaCheck>,
    /// Probes of an app that listens on 127.0.0.1 alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<AppProbes>,
}

/// One dependency's check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Check {
    /// Whether three failures in a row make the pod unready.
    pub required: bool,
    /// Time between checks.
    pub every_ms: Milliseconds,
}

/// Kafka's check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KafkaCheck {
    /// Whether three failures in a row make the pod unready.
    pub required: bool,
    /// Time between checks.
    pub every_ms: Milliseconds,
    /// `host:port` of brokers; one that answers is enough.
    #[schemars(length(min = 1, max = 32))]
    pub bootstrap: Vec<String>,
}

/// How the runtime asks the app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppProbes {
    /// Whether it is alive, at `/app/live` of the admin port.
    pub live: AppProbe,
    /// Whether it takes requests, at `/app/ready`.
    pub ready: AppProbe,
    /// Whether it has started, at `/app/startup`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<AppProbe>,
}

/// One question to the app: an HTTP GET of `path`, gRPC's health protocol, or, with neither, a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppProbe {
    /// Port on 127.0.0.1.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Path that answers 200–399 when well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Service that is asked for with gRPC's health protocol; empty for the server as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<String>,
    /// Time for the answer.
    pub timeout_ms: Milliseconds,
}
