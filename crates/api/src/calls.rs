//! The calls and externalCalls groups: whom the service calls, and how.

use crate::rules::cel;
use crate::types::{
    CallName, Cidr, Duration, Host, HttpMethod, HttpPath, NamespaceName, Percent, ServiceName,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A call to another GoodGoService. It gives the app `<SERVICE>_URL` and opens both sides' policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// The callee, which gives the app `IAM_SERVICE_URL` for `iam-service`.
    pub service: ServiceName,
    /// Namespace of the callee; the own one unless set. Another one must list ours in `access.namespaces`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<NamespaceName>,
    /// Another name for the variable: `as: directory` gives `DIRECTORY_URL`. Two callees of one name need it.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub as_: Option<CallName>,
    /// Time for the whole call, retries included.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
    /// Time to connect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<Duration>,
    /// Time for one try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_try_timeout: Option<Duration>,
    /// Time without a byte in either direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Duration>,
    /// `Low` is shed first when the callee is overloaded.
    #[serde(default)]
    pub priority: Priority,
    /// When and how often a failed call is tried again; the defaults of its fields unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// When calls are refused at once because the callee fails; the defaults of its fields unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<CircuitBreaker>,
    /// Keeps answers to GET; off unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// Most calls under way at once from one pod; further ones are refused.
    #[serde(default = "default_concurrency")]
    #[schemars(range(min = 1, max = 65536))]
    pub concurrency: u32,
    /// Whether the `Authorization` of the request being served goes on to the callee.
    #[serde(default)]
    pub forward_authorization: bool,
    /// Exceptions for single routes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub routes: Vec<CallRoute>,
}

impl Call {
    /// What the call is named in the app's environment and in the runtime: `as`, or the callee.
    #[must_use]
    pub fn name(&self) -> CallName {
        self.as_.clone().unwrap_or_else(|| CallName(self.service.0.clone()))
    }
}

/// Which work is shed first under overload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Priority {
    /// As all others.
    #[default]
    Normal,
    /// Shed first.
    Low,
}

/// When and how often a failed call is tried again. Only what is safe to repeat is repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retries {
    /// Tries in total, the first included; 1 is none.
    #[serde(default = "default_attempts")]
    #[schemars(range(min = 1, max = 10))]
    pub attempts: u32,
    /// Wait before the first repetition; doubled each time, with full jitter.
    #[serde(default = "default_backoff")]
    pub backoff: Duration,
    /// Longest wait.
    #[serde(default = "default_max_backoff")]
    pub max_backoff: Duration,
    /// What is tried again.
    #[serde(default = "default_retry_on")]
    #[schemars(length(max = 8))]
    pub retry_on: Vec<RetryOn>,
    /// Most repetitions, in percent of all calls to this callee.
    #[serde(default = "default_budget")]
    pub budget_percent: Percent,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: default_attempts(),
            backoff: default_backoff(),
            max_backoff: default_max_backoff(),
            retry_on: default_retry_on(),
            budget_percent: default_budget(),
        }
    }
}

/// What is tried again: `connect`, or a status. YAML writes statuses as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RetryOn {
    /// The connection could not be made, or broke before the callee saw the request.
    Connect(ConnectFailure),
    /// A status: 429 and 503 after their Retry-After, 502, 504.
    Status(u16),
}

/// The word `connect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ConnectFailure {
    /// The connection could not be made, or broke before the callee saw the request.
    #[serde(rename = "connect")]
    Connect,
}

impl JsonSchema for RetryOn {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "RetryOn".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "What is tried again: connect, 429, 502, 503 or 504.",
            "x-kubernetes-int-or-string": true,
            "enum": ["connect", 429, 502, 503, 504],
        })
    }
}

/// When calls are refused at once, with opossum's meaning of each field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CircuitBreaker {
    /// Share of failures at which the breaker opens.
    #[serde(default = "default_error_percent")]
    pub error_percent: Percent,
    /// Time over which failures are counted.
    #[serde(default = "default_window")]
    pub window: Duration,
    /// Fewest calls in the window for the breaker to open.
    #[serde(default = "default_min_requests")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_requests: u32,
    /// Time until one call is let through to see whether the callee is well again.
    #[serde(default = "default_reset_after")]
    pub reset_after: Duration,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            error_percent: default_error_percent(),
            window: default_window(),
            min_requests: default_min_requests(),
            reset_after: default_reset_after(),
        }
    }
}

/// Keeps answers to GET, as their own headers permit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cache {
    /// Longest time that an answer is kept, whatever it says itself.
    pub max_age: Duration,
}

/// An exception for one route of the callee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallRoute {
    /// Whole segments: `/users` means `/users` and below, never `/usersx`.
    pub path: HttpPath,
    /// Methods; all of them unless set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub methods: Vec<HttpMethod>,
    /// Time for the whole call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// When and how often a failed call is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
}

/// A call to something that is not a GoodGoService: `payments` gives the app `PAYMENTS_URL`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = cel(&[
    ("self.protocol == 'TCP' || has(self.host)", "name the host of the call; only protocol: TCP works by address"),
    ("self.protocol != 'TCP' || has(self.host) || (has(self.cidrs) && size(self.cidrs) > 0)", "protocol TCP needs a host or cidrs"),
    ("self.protocol != 'TCP' || has(self.port) || (has(self.ports) && size(self.ports) > 0)", "protocol TCP needs port or ports"),
    ("self.protocol == 'TCP' || !has(self.ports)", "ports is for protocol: TCP; write port"),
    ("!(has(self.port) && has(self.ports))", "set port or ports, not both"),
    ("self.protocol != 'TCP' || !(has(self.retries) || has(self.circuitBreaker) || has(self.timeout) || has(self.concurrency))",
     "timeout, retries, circuitBreaker and concurrency need a protocol that the runtime reads: HTTPS or HTTP"),
])))]
pub struct ExternalCall {
    /// Name of the call, which names its variables.
    pub name: CallName,
    /// HTTPS verifies certificate and name, always. TCP only opens the egress.
    #[serde(default)]
    pub protocol: ExternalProtocol,
    /// DNS name of the callee.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// Port of the callee; 443 for HTTPS and 80 for HTTP unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<ExternalPort>,
    /// Ports of a TCP callee; the first one becomes `<NAME>_PORT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub ports: Option<Vec<ExternalPort>>,
    /// Address ranges; everywhere but the platform's private ranges unless set, on that port only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub cidrs: Option<Vec<Cidr>>,
    /// Time for the whole call; 5s unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// When and how often a failed call is tried again; never unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// When calls are refused at once; never unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<CircuitBreaker>,
    /// Most calls under way at once from one pod; 256 unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65536))]
    pub concurrency: Option<u32>,
}

/// A port of somebody else's machine, 1–65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct ExternalPort(#[schemars(range(min = 1, max = 65535))] pub u16);

/// What an external callee speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ExternalProtocol {
    /// HTTP over TLS 1.2 or later; the runtime makes the TLS.
    #[default]
    Https,
    /// HTTP in the clear.
    Http,
    /// Anything else: LDAP, SFTP, SQL.
    Tcp,
}

fn default_timeout() -> Duration {
    "5s".into()
}
fn default_concurrency() -> u32 {
    256
}
fn default_attempts() -> u32 {
    3
}
fn default_backoff() -> Duration {
    "100ms".into()
}
fn default_max_backoff() -> Duration {
    "2s".into()
}
fn default_retry_on() -> Vec<RetryOn> {
    vec![
        RetryOn::Connect(ConnectFailure::Connect),
        RetryOn::Status(502),
        RetryOn::Status(503),
        RetryOn::Status(504),
    ]
}
fn default_budget() -> Percent {
    Percent(20)
}
fn default_error_percent() -> Percent {
    Percent(50)
}
fn default_window() -> Duration {
    "10s".into()
}
fn default_min_requests() -> u32 {
    5
}
fn default_reset_after() -> Duration {
    "30s".into()
}
