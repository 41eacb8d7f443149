//! How many pods there are, and how they are replaced.

use crate::rules::{cel, exactly_one_of};
use crate::types::{Duration, HttpPath, IntOrPercent, Port, PortName, Text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When the kubelet pulls an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the names are Kubernetes'")]
pub enum PullPolicy {
    Always,
    #[default]
    IfNotPresent,
    Never,
}

/// A further port of the app, reached by declared callers only and straight, without the runtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdditionalPort {
    /// Name of the port.
    pub name: PortName,
    /// The port, the same in pod and Service.
    pub port: Port,
    /// TCP or UDP.
    #[serde(default)]
    pub protocol: PortProtocol,
}

/// Transport of a port.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "the names are Kubernetes'")]
pub enum PortProtocol {
    #[default]
    Tcp,
    Udp,
}

/// Automatic scaling. Utilisation is the app container's alone, in percent of its requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = cel(&[
    ("!has(self.min) || self.min <= self.max", "min must not be greater than max"),
])))]
pub struct Scaling {
    /// Fewest pods; the profile's number unless set (1 local, 2 staging, 3 production).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub min: Option<i32>,
    /// Most pods.
    #[schemars(range(min = 1, max = 1000))]
    pub max: i32,
    /// Wanted CPU utilisation in percent; 70 when no other metric is set either.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub cpu_percent: Option<i32>,
    /// Wanted memory utilisation in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub memory_percent: Option<i32>,
    /// Wanted number of waiting events a pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub consumer_lag: Option<i64>,
    /// How long the need must be lower before pods are taken away, at most 1 hour.
    #[serde(default = "five_minutes")]
    pub scale_down_after: Duration,
}

fn five_minutes() -> Duration {
    "5m".into()
}

/// How many pods a voluntary disruption, such as draining a node, may take at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = exactly_one_of(&["maxUnavailable", "minAvailable", "disabled"])))]
pub struct Disruption {
    /// Most pods that may be away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrPercent>,
    /// Fewest pods that must stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_available: Option<IntOrPercent>,
    /// `true`: no budget at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = [true]))]
    pub disabled: Option<bool>,
}

/// How pods of a new template replace the old ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = cel(&[
    ("!has(self.rollingUpdate) || self.type == 'RollingUpdate'", "rollingUpdate has a meaning for type: RollingUpdate only"),
])))]
pub struct Strategy {
    /// `RollingUpdate` replaces them one after another, `Recreate` ends all old ones first.
    #[serde(default, rename = "type")]
    pub type_: StrategyType,
    /// How many at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolling_update: Option<RollingUpdate>,
}

/// Kind of replacement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the names are Kubernetes'")]
pub enum StrategyType {
    #[default]
    RollingUpdate,
    Recreate,
}

/// How many pods are replaced at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollingUpdate {
    /// Pods beyond the wanted number; 25 % unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_surge: Option<IntOrPercent>,
    /// Pods that may be missing meanwhile; none unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<IntOrPercent>,
}

/// What the app does before it is asked to end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = exactly_one_of(&["http", "exec"])))]
pub struct PreStop {
    /// A request to the app; with the runtime on it is made at the end of the drain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<PreStopHttp>,
    /// A command in the app's container; only with the runtime off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<PreStopExec>,
}

/// A request to the app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreStopHttp {
    /// Path of the request.
    pub path: HttpPath,
    /// Port of the request; the app's own unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
}

/// A command in the app's container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreStopExec {
    /// The command and its arguments.
    #[schemars(length(min = 1, max = 64))]
    pub command: Vec<Text>,
}
