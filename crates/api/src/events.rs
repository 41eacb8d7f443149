//! The events group: what the service publishes and what it subscribes to.

use crate::calls::Retries;
use crate::rules::cel;
use crate::types::{Duration, HttpPath, NamespaceName, ObjectName, Quantity, Text, TopicName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Events, declared by the service that needs them; topics and access are derived.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Events {
    /// Topics that the service publishes to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["topic"]))]
    pub publishes: Vec<Publish>,
    /// Topics whose events are delivered to the app.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["topic"]))]
    pub subscribes: Vec<Subscribe>,
}

/// A topic that the service publishes to. Settings stand on the owner only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = cel(&[
    ("!has(self.minInSync) || !has(self.replication) || self.minInSync <= self.replication", "minInSync must not be greater than replication"),
    ("!has(self.external) || !self.external || !(has(self.partitions) || has(self.replication) || has(self.minInSync) || has(self.retention) || has(self.cleanup) || has(self.maxMessage) || has(self.config))",
     "an external topic is made elsewhere: leave its settings out"),
])))]
pub struct Publish {
    /// Name of the topic.
    pub topic: TopicName,
    /// Whether this service owns the topic's settings; a sole publisher owns without saying so.
    #[serde(default)]
    pub owner: bool,
    /// Number of partitions. It can grow, never shrink; the platform's number unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub partitions: Option<i32>,
    /// Copies of each partition; the profile's number unless set (1 local, 3 otherwise).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 15))]
    pub replication: Option<i32>,
    /// Copies that must have a message before it counts; the profile's number unless set (1 local, 2 otherwise).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 15))]
    pub min_in_sync: Option<i32>,
    /// How long messages are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Duration>,
    /// `Delete` drops old messages, `Compact` keeps the newest of each key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleanup: Option<Cleanup>,
    /// Largest message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_message: Option<Quantity>,
    /// Any further topic configuration of Kafka.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub config: BTreeMap<String, Text>,
    /// Permits growing partitions though that moves keys under ordered subscribers.
    #[serde(default)]
    pub allow_rekey: bool,
    /// Seals the payload before it leaves the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// What becomes of the topic when nobody declares it any more.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Other namespaces that may use the topic.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["namespace"]))]
    pub shared_with: Vec<SharedWith>,
    /// Whether the topic is made and owned elsewhere and only used here.
    #[serde(default)]
    pub external: bool,
}

/// How a topic gets rid of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Cleanup {
    /// Old ones go.
    Delete,
    /// The newest of each key stays.
    Compact,
}

/// Keys that seal payloads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Encryption {
    /// The keys.
    pub keys: KeyRing,
}

/// A Secret with keys, each value named by its key id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRing {
    /// Name of the Secret, in the service's namespace.
    pub secret: ObjectName,
}

/// What becomes of a topic that nobody declares any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It stays.
    #[default]
    Retain,
    /// It is deleted with all its messages.
    Delete,
}

/// Another namespace that may use a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SharedWith {
    /// The namespace.
    pub namespace: NamespaceName,
    /// What its services may do.
    #[serde(default = "subscribe_only")]
    #[schemars(length(min = 1, max = 2))]
    pub allow: Vec<TopicAccess>,
}

/// What may be done with a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum TopicAccess {
    /// Read it.
    Subscribe,
    /// Write to it.
    Publish,
}

/// A topic whose events are delivered as POST to the app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subscribe {
    /// Name of the topic.
    pub topic: TopicName,
    /// Path of the app that takes the events; `/events/` and the topic, other characters than letters and digits as `-`, unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<HttpPath>,
    /// CloudEvents types that are delivered; all of them unless set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 128)))]
    pub types: Vec<String>,
    /// Consumer group; `<namespace>.<service>` unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249), extend("x-kubernetes-validations" = cel(&[(
        "self.matches('^[a-zA-Z0-9._-]+$')", "a group's name has letters, digits, '.', '_' and '-'",
    )])))]
    pub group: Option<String>,
    /// What stays in order: events of one key, of one partition, or nothing.
    #[serde(default)]
    pub ordering: Ordering,
    /// Most deliveries under way at once in one pod.
    #[serde(default = "default_deliveries")]
    #[schemars(range(min = 1, max = 4096))]
    pub concurrency: u32,
    /// Time for the app's answer.
    #[serde(default = "default_delivery_timeout")]
    pub timeout: Duration,
    /// How often a failed delivery is tried again; 5 tries unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// What happens after the last try.
    #[serde(default)]
    pub on_exhausted: OnExhausted,
    /// The topic for events that could not be delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<DeadLetter>,
    /// Where a new group begins.
    #[serde(default)]
    pub from: StartFrom,
    /// Keys that open sealed events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeyRing>,
}

/// What stays in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Ordering {
    /// Events of one key; keys go in parallel.
    #[default]
    Key,
    /// Events of one partition.
    Partition,
    /// Nothing.
    None,
}

/// What happens after the last try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnExhausted {
    /// The event goes to the dead-letter topic.
    #[default]
    DeadLetter,
    /// The key (or partition) waits.
    Block,
}

/// The dead-letter topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// How long its messages are kept.
    #[serde(default = "default_dead_letter_retention")]
    pub retention: Duration,
}

/// Where a new group begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StartFrom {
    /// With the oldest message that is kept.
    #[default]
    Earliest,
    /// With the next message.
    Latest,
}

fn subscribe_only() -> Vec<TopicAccess> {
    vec![TopicAccess::Subscribe]
}
fn default_deliveries() -> u32 {
    32
}
fn default_delivery_timeout() -> Duration {
    "30s".into()
}
fn default_dead_letter_retention() -> Duration {
    "30d".into()
}
