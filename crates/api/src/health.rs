//! The health group: how the kubelet and the runtime know that the app is well.

use crate::rules::{at_most_one_of, cel};
use crate::types::{Duration, HttpPath, Port, Text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Probes of the app. What is not set follows the platform's convention.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = cel(&[
    ("!has(self.live) || !has(self.live.successThreshold) || self.live.successThreshold == 1", "live.successThreshold can only be 1: leave it out"),
    ("!has(self.startup) || !has(self.startup.successThreshold) || self.startup.successThreshold == 1", "startup.successThreshold can only be 1: leave it out"),
    ("self.via != 'Runtime' || !((has(self.live) && has(self.live.exec)) || (has(self.ready) && has(self.ready.exec)) || (has(self.startup) && has(self.startup.exec)))",
     "the runtime can't run a command in the app's container: use path or grpc, or via: App"),
])))]
pub struct Health {
    /// Whether the app is alive; it is restarted when not. `GET /health/live` after 30s, every 10s, unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<Probe>,
    /// Whether the app takes requests. `GET /health/ready` after 5s, every 5s, unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<Probe>,
    /// Whether the app has started; the other probes wait for it. None unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup: Option<Probe>,
    /// Who asks the app: `App`: the kubelet, at the app's port; `Runtime`: the runtime, so that the app may listen on 127.0.0.1 only.
    #[serde(default)]
    pub via: ProbeVia,
}

/// Who asks the app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProbeVia {
    /// The kubelet, at the app's own port.
    #[default]
    App,
    /// The runtime, over loopback.
    Runtime,
}

/// One probe: an HTTP GET unless `grpc` or `exec` is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = at_most_one_of(&["path", "grpc", "exec"])))]
pub struct Probe {
    /// Path of an HTTP GET that answers 200–399 when well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<HttpPath>,
    /// The gRPC health protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcProbe>,
    /// A command in the app's container that ends with 0 when well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecProbe>,
    /// Port that is asked; the app's own unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// Wait before the first probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_delay: Option<Duration>,
    /// Time between probes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<Duration>,
    /// Time for an answer; 1s unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Failures in a row before it counts; 3 unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub failure_threshold: Option<i32>,
    /// Successes in a row before it counts, for `ready` only; 1 unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub success_threshold: Option<i32>,
}

/// The gRPC health protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrpcProbe {
    /// Service to ask for; the server as a whole unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub service: Option<String>,
}

/// A command in the app's container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecProbe {
    /// The command and its arguments.
    #[schemars(length(min = 1, max = 64))]
    pub command: Vec<Text>,
}
