//! The status: what the operator saw and did, for people and for programs.

use crate::conditions::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator saw and did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GoodGoServiceStatus {
    /// Generation of the spec that was applied last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions; `Ready` first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<ReplicaStatus>,
    /// Address from outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Name in cluster DNS, with the Service's port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Declared calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallStatus>,
    /// Declared topics.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<TopicStatus>,
    /// Declared routes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteStatus>,
    /// The canary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryStatus>,
    /// Label selector of the pods, for the scale subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Revision of the runtime's configuration that InForce speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_revision: Option<String>,
    /// What `kubectl get goodgoservices` shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

/// Pods of the service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaStatus {
    /// Pods that there should be.
    pub desired: i32,
    /// Pods that there are, of any template.
    pub current: i32,
    /// Pods that take requests.
    pub ready: i32,
    /// Pods of the current template.
    pub updated: i32,
}

/// One declared call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallStatus {
    /// The callee: `service` in the own namespace, `namespace/service` in another, or an external call's name.
    pub service: String,
    /// Whether it works.
    pub state: PartState,
    /// Why not, in CamelCase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why not and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// One declared topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopicStatus {
    /// Name as declared, without the platform's prefix.
    pub name: String,
    /// Kafka's id of the topic (KIP-516).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Partitions that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Whether this service holds its settings.
    #[serde(default)]
    pub owner: bool,
    /// Whether it is there and as declared.
    pub state: PartState,
    /// Why not, in CamelCase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One declared route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteStatus {
    /// Name of the route.
    pub name: String,
    /// Host and path that it holds.
    pub claims: Vec<String>,
    /// Whether it is served.
    pub state: PartState,
    /// Why not, in CamelCase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The canary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CanaryStatus {
    /// Its share of the gateway's requests now, in percent: nothing before a pod of it takes any.
    pub weight: u8,
    /// Its pods that there should be.
    #[serde(default)]
    pub desired: i32,
    /// Its pods that take requests.
    pub ready: i32,
}

/// State of one declared part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PartState {
    /// It works.
    Ok,
    /// It does not; see the reason.
    Failed,
    /// It is not known, or this version does not do it yet.
    Unknown,
}

/// Preformatted texts for `kubectl get`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Summary {
    /// Status of the Ready condition.
    pub ready: String,
    /// Its reason.
    pub reason: String,
    /// Ready and desired pods, such as `2/3`.
    pub replicas: String,
    /// Calls that work and calls that are declared, such as `1/2`.
    pub calls: String,
    /// Topics that are ready and topics that are declared, such as `1/2`.
    pub topics: String,
    /// `on` or `off`.
    pub runtime: String,
    /// What to do next.
    pub message: String,
}
