//! The dependencies group: external state that the service needs.

use crate::rules::cel;
use crate::types::{Cidr, ConfigMapKey, Duration, LabelValue, NamespaceName, ObjectName, Port};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Databases and the like: the operator opens the egress, the runtime checks them for `/health/ready`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dependencies {
    /// PostgreSQL, such as Neon: TLS, primary and replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<Dependency>,
    /// Redis, single or cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<Dependency>,
    /// The platform's Kafka, reached whenever there are events; here only whether it gates readiness.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaDependency>,
}

/// One dependency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// Where its URL is kept; the runtime mounts it for the check.
    pub url_from: SecretKey,
    /// Addresses that the pods may open connections to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub to: Vec<EgressTarget>,
    /// Whether the service is unready while this is away (three failures in a row).
    #[serde(default = "yes")]
    pub required: bool,
    /// Time between checks; long ones let a serverless database sleep.
    #[serde(default = "thirty_seconds")]
    pub every: Duration,
}

/// Kafka as a dependency.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaDependency {
    /// Whether the service is unready while Kafka is away. An event outage should not take HTTP down.
    #[serde(default)]
    pub required: bool,
}

/// A key of a Secret of the service's namespace. The operator never reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// Name of the Secret.
    pub secret: ObjectName,
    /// Key in it.
    pub key: ConfigMapKey,
}

/// Addresses behind one port: ranges, or pods of this cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = cel(&[
    ("!(has(self.cidrs) && (has(self.podLabels) || has(self.namespace)))", "set cidrs, or namespace and podLabels, not both"),
    ("!has(self.namespace) || has(self.podLabels)", "namespace needs podLabels beside it"),
])))]
pub struct EgressTarget {
    /// Name under which the app reaches it; for people, policies work by address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub host: Option<String>,
    /// Port of the connections.
    pub port: Port,
    /// Address ranges; everywhere but the platform's private ranges unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub cidrs: Option<Vec<Cidr>>,
    /// Namespace of the pods; the service's own unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<NamespaceName>,
    /// Labels of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1, "maxProperties" = 16))]
    pub pod_labels: Option<BTreeMap<String, LabelValue>>,
}

fn yes() -> bool {
    true
}

fn thirty_seconds() -> Duration {
    "30s".into()
}
