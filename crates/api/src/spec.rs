//! The resource: one GoodGoService is everything that a service needs, written by its team.

#![allow(clippy::duplicated_attributes, reason = "every printer column is a `printcolumn(type_ = …)`")]

use crate::access::Access;
use crate::calls::{Call, ExternalCall};
use crate::dependencies::Dependencies;
use crate::events::Events;
use crate::gateway::{Canary, Gateway};
use crate::health::Health;
use crate::rules::cel;
use crate::status::GoodGoServiceStatus;
use crate::types::{
    ClusterObjectName, Duration, HttpPath, ImageRef, LabelValue, ObjectName, PercentText, Port, Text,
};
use crate::workload::{
    AdditionalPort, Affinity, Disruption, EnvFrom, EnvVar, File, InitContainer, Migrate, PreStop, PullPolicy,
    Resources, Scaling, Strategy, Toleration, TopologySpread,
};
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a service needs. Everything but `image` has a default.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "goodgo.io",
    version = "v1alpha1",
    kind = "GoodGoService",
    plural = "goodgoservices",
    shortname = "ggs",
    category = "goodgo",
    namespaced,
    status = "GoodGoServiceStatus",
    derive = "PartialEq",
    doc = "One microservice of the GoodGo platform: declare what it runs, whom it calls and what it publishes; Deployment, Service, policies, scaling, routes and topics are derived and kept so.",
    crates(kube_core = "::kube_core"),
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas.current",
        label_selector_path = ".status.selector"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.summary.ready",
        description = "True when the current generation is applied, the workload is available and no declared part is False"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.summary.reason",
        description = "Why it is or is not ready"
    ),
    printcolumn(
        name = "Replicas",
        type_ = "string",
        json_path = ".status.summary.replicas",
        description = "Ready and desired pods"
    ),
    printcolumn(
        name = "URL",
        type_ = "string",
        json_path = ".status.url",
        description = "Address from outside"
    ),
    printcolumn(
        name = "Calls",
        type_ = "string",
        json_path = ".status.summary.calls",
        description = "Calls that work and calls that are declared"
    ),
    printcolumn(
        name = "Topics",
        type_ = "string",
        json_path = ".status.summary.topics",
        description = "Topics that are ready and topics that are declared"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image", priority = 1),
    printcolumn(
        name = "Runtime",
        type_ = "string",
        json_path = ".status.summary.runtime",
        priority = 1,
        description = "Whether the communication runtime is on"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.summary.message",
        priority = 1,
        description = "What to do next"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = cel(&[
    ("!(has(self.replicas) && has(self.scaling))", "set replicas or scaling, not both"),
    ("!has(self.canary) || has(self.gateway)", "a canary needs a gateway, which splits the traffic"),
    (
        "!has(self.gateway) || (has(self.runtime) && has(self.runtime.enabled) && !self.runtime.enabled) || self.gateway.routes.all(r, !has(r.auth.forward) || (has(r.auth.at) && r.auth.at == 'Gateway') || (has(self.calls) && self.calls.exists(c, c.service == r.auth.forward.service && (!has(c.__namespace__) || !has(r.auth.forward.__namespace__) || c.__namespace__ == r.auth.forward.__namespace__))))",
        "a route's forward auth asks a service of no call: declare it in calls, with its namespace",
    ),
    ("self.protocol != 'TCP' || !has(self.gateway)", "the gateway routes HTTP, GRPC and GRAPHQL; a TCP service can't have one"),
    ("!has(self.additionalPorts) || self.additionalPorts.all(p, p.port != self.port)", "an additional port is the app's own port: choose another"),
    ("!has(self.preStop) || !has(self.preStop.exec) || (has(self.runtime) && has(self.runtime.enabled) && !self.runtime.enabled)",
     "preStop.exec works with the runtime off only: use preStop.http, or set runtime.enabled: false"),
    ("!has(self.calls) || self.calls.all(a, self.calls.exists_one(b, (has(a.__as__) ? a.__as__ : a.service) == (has(b.__as__) ? b.__as__ : b.service)))",
     "two calls would give the app the same variable: rename one with 'as'"),
    ("!has(self.calls) || !has(self.externalCalls) || self.externalCalls.all(e, self.calls.all(c, (has(c.__as__) ? c.__as__ : c.service) != e.name))",
     "a call and an external call would give the app the same variable: rename one"),
    ("!has(self.calls) || self.calls.all(c, !((has(c.__as__) ? c.__as__ : c.service) in ['events', 'goodgo']))",
     "EVENTS_ and GOODGO_ variables are the platform's own: rename the call with 'as'"),
    ("!has(self.externalCalls) || self.externalCalls.all(c, !(c.name in ['events', 'goodgo']))",
     "EVENTS_ and GOODGO_ variables are the platform's own: rename the external call"),
    (
        "!has(self.env) || self.env.all(e, !e.name.startsWith('GOODGO_') && e.name != 'EVENTS_URL')",
        "EVENTS_URL and GOODGO_ variables are the platform's own: choose another name",
    ),
    (
        "!has(self.env) || !has(self.calls) || self.calls.all(c, !self.env.exists(e, e.name == (has(c.__as__) ? c.__as__ : c.service).upperAscii().replace('-', '_') + '_URL'))",
        "a variable in env has the name that a call gives: take it out of env, or rename the call with 'as'",
    ),
    (
        "!has(self.env) || !has(self.externalCalls) || self.externalCalls.all(c, !self.env.exists(e, e.name == c.name.upperAscii().replace('-', '_') + '_URL'))",
        "a variable in env has the name that an external call gives: take it out of env, or rename the external call",
    ),
    (
        "!has(self.additionalPorts) || self.additionalPorts.all(a, self.additionalPorts.exists_one(b, a.port == b.port && a.protocol == b.protocol))",
        "two additional ports are the same: take one out",
    ),
    (
        "!has(self.additionalPorts) || !has(self.servicePort) || self.additionalPorts.all(p, p.port != self.servicePort)",
        "an additional port is the Service's own port: choose another",
    ),
    (
        "!has(self.health) || self.health.via != 'Runtime' || !has(self.runtime) || self.runtime.enabled",
        "health.via: Runtime needs the runtime: set runtime.enabled: true, or via: App",
    ),
    ("!has(self.labels) || self.labels.all(k, !k.startsWith('goodgo.io/') && !k.startsWith('app.kubernetes.io/'))",
     "labels goodgo.io/… and app.kubernetes.io/… are the operator's own: choose another key"),
    ("!has(self.podLabels) || self.podLabels.all(k, !k.startsWith('goodgo.io/') && !k.startsWith('app.kubernetes.io/'))",
     "labels goodgo.io/… and app.kubernetes.io/… are the operator's own: choose another key"),
    ("!has(self.podAnnotations) || self.podAnnotations.all(k, !k.startsWith('goodgo.io/'))",
     "annotations goodgo.io/… are the operator's own: choose another key"),
])))]
pub struct GoodGoServiceSpec {
    /// The app's container image, with a tag or digest.
    pub image: ImageRef,
    /// Entry point, instead of the image's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub command: Vec<Text>,
    /// Arguments, instead of the image's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub args: Vec<Text>,
    /// Variables of the app. They win over derived ones of the same name only by being refused: rename the call instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub env: Vec<EnvVar>,
    /// ConfigMaps and Secrets whose keys all become variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub env_from: Vec<EnvFrom>,
    /// Files and folders in the app's container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["path"]))]
    pub files: Vec<File>,
    /// Labels of every object that is derived.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub labels: BTreeMap<String, LabelValue>,
    /// When the image is pulled.
    #[serde(default)]
    pub image_pull_policy: PullPolicy,
    /// Secrets with registry credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub image_pull_secrets: Vec<ObjectName>,
    /// An existing ServiceAccount; one of the service's own unless set. Services that share one can't be told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<ObjectName>,
    /// Compute resources of the app's container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// User id of the app, 1 or more; the image's own, which must not be root, unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub run_as_user: Option<i64>,
    /// Group id of the app.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub run_as_group: Option<i64>,
    /// Group that owns mounted files.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub fs_group: Option<i64>,
    /// Whether the container's own file system is read-only; mount an emptyDir where the app writes.
    #[serde(default = "yes")]
    pub read_only_root_filesystem: bool,
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: BTreeMap<String, LabelValue>,
    /// Taints that the pods bear.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// Which nodes and neighbours the pods want.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// Priority of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<ClusterObjectName>,
    /// How evenly pods spread; over nodes and zones, as far as possible, unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub topology_spread: Option<Vec<TopologySpread>>,
    /// How pods of a new template replace the old ones; one after another without a missing pod unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// What the app does before it is asked to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_stop: Option<PreStop>,
    /// Time for a pod to end, drain included; 60s unless set, at least 10s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub termination_grace_period: Option<Duration>,
    /// Further labels of the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub pod_labels: BTreeMap<String, LabelValue>,
    /// Further annotations of the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub pod_annotations: BTreeMap<String, Text>,
    /// Containers that run to their end before the app starts; the runtime is up already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub init_containers: Vec<InitContainer>,
    /// A Job that must succeed before pods of a new template start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migrate: Option<Migrate>,
    /// Change it to replace all pods; any text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub restart_token: Option<String>,
    /// Port that the app listens on.
    #[serde(default = "default_port")]
    pub port: Port,
    /// Port of the Service; the app's unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_port: Option<Port>,
    /// What the app speaks.
    #[serde(default)]
    pub protocol: Protocol,
    /// Further ports, reached by declared callers only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub additional_ports: Vec<AdditionalPort>,
    /// Number of pods; the profile's number unless set (1 local, 2 staging, 3 production). Not together with `scaling`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,
    /// Automatic scaling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
    /// How many pods a voluntary disruption may take at once; one unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disruption: Option<Disruption>,
    /// How the kubelet and the runtime know that the app is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// External state that the service needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<Dependencies>,
    /// Other GoodGoServices that the service calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub calls: Vec<Call>,
    /// Callees that are not GoodGoServices: payment, mail, SMS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub external_calls: Vec<ExternalCall>,
    /// Who may call the service; every service of its namespace that declares the call unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// What the service publishes and subscribes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Events>,
    /// What is reached from outside; nothing unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Gateway>,
    /// A second version that gets a share of the traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// The communication runtime beside the app; on unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
    /// What is measured and traced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observability: Option<Observability>,
    /// `true`: the operator stops reconciling and leaves everything as it is.
    #[serde(default)]
    pub suspend: bool,
}

impl GoodGoServiceSpec {
    /// Whether the communication runtime runs beside the app. A TCP service has none on its port.
    #[must_use]
    pub fn runtime_enabled(&self) -> bool {
        self.runtime.as_ref().is_none_or(|runtime| runtime.enabled)
    }
}

/// What the app speaks on its port.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// HTTP/1.1 or HTTP/2.
    #[default]
    Http,
    /// gRPC over cleartext HTTP/2.
    Grpc,
    /// GraphQL over HTTP; only queries are repeated.
    Graphql,
    /// Anything else: no runtime on the port, no route.
    Tcp,
}

/// The communication runtime beside the app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Runtime {
    /// Off: URLs point at cluster DNS, and events are not delivered.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Compute resources of the runtime; small requests and no CPU limit unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// What is measured and traced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Observability {
    /// The app's own metrics, which the runtime relays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// Traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
}

/// The app's own metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Path in Prometheus' text format.
    #[serde(default = "metrics_path")]
    pub path: HttpPath,
    /// Port; the app's own unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
}

/// Traces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tracing {
    /// Share of requests that start a trace.
    #[serde(default = "sampling")]
    pub sampling: PercentText,
}

fn yes() -> bool {
    true
}
fn default_port() -> Port {
    Port(3000)
}
fn metrics_path() -> HttpPath {
    "/metrics".into()
}
fn sampling() -> PercentText {
    "10%".into()
}
