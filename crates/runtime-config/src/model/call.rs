//! One declared call: where it goes, and the policy under which it goes there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Milliseconds, is_default};

/// One declared call: exactly one of `target` and `unavailable`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["target"]}, {"required": ["unavailable"]}]))]
pub struct Call {
    /// Where requests go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Why there is nowhere to go; the runtime answers 503 with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<Unavailable>,
    /// How they go there.
    #[serde(default, skip_serializing_if = "is_default")]
    pub policy: CallPolicy,
}

impl Call {
    /// A call that goes to `scheme://host:port` under the default policy.
    pub fn to(scheme: Scheme, host: impl Into<String>, port: u16) -> Self {
        let target = Target { scheme, host: host.into(), port, service: None };
        Self { target: Some(target), ..Self::default() }
    }

    /// A call that can't be made; `reason` is one CamelCase word, `message` a sentence that says what to do.
    pub fn unavailable(reason: impl Into<String>, message: impl Into<String>) -> Self {
        let unavailable = Unavailable { reason: reason.into(), message: message.into() };
        Self { unavailable: Some(unavailable), ..Self::default() }
    }

    /// The same call under another policy.
    #[must_use]
    pub fn with(self, policy: CallPolicy) -> Self {
        Self { policy, ..self }
    }
}

/// Where a call goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// `https` verifies the certificate and its name.
    #[serde(default)]
    pub scheme: Scheme,
    /// DNS name or IP address. A final dot (a fully qualified name) skips the resolver's search list.
    #[schemars(length(min = 1, max = 254))]
    pub host: String,
    /// Port of the callee.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Set when the callee is a GoodGoService: who it is and where its pods are. Absent for anything else, which never
    /// gets a token, a deadline, a user's context or any other header of the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<TargetService>,
}

/// A callee that is a GoodGoService.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetService {
    /// SRV name (RFC 2782) of its pods: the headless Service's named port. Each answer carries the port that this very
    /// pod serves, so that both sides of a runtime that is being switched on or off are reached. Absent: `host` is one
    /// address behind which somebody else balances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 254))]
    pub pods: Option<String>,
    /// Whether its runtime asks who calls: the token of this call is sent as `x-service-auth`. The token's file is
    /// named after the call and frozen in the pod template.
    #[serde(default)]
    pub identity: bool,
}

/// Transport of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Clear text, inside the cluster.
    #[default]
    Http,
    /// TLS with certificate and name verified.
    Https,
}

/// Why a call can't be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Unavailable {
    /// One CamelCase word, the same as in the caller's status: `CalleeMissing`.
    #[schemars(regex(pattern = r"^[A-Z][A-Za-z0-9]{0,63}$"))]
    pub reason: String,
    /// A sentence for the developer who reads the answer; may be empty.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// How a call is made. The defaults are the API's: five seconds, 256 at once, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CallPolicy {
    /// Time for the whole call, retries included. A deadline that came with the request being served can only shorten it.
    pub timeout_ms: Milliseconds,
    /// Time to connect: name resolution, TCP and TLS together.
    pub connect_timeout_ms: Milliseconds,
    /// Time for one try until its head is there; bounded by the whole call's alone unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_try_timeout_ms: Option<Milliseconds>,
    /// Time without a byte in either direction once the call is made; unbounded unless set. Streams outlive `timeoutMs`,
    /// which ends with the answer's head: this is what ends a dead one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout_ms: Option<Milliseconds>,
    /// Which work the callee sheds first.
    pub priority: Priority,
    /// When a failed try is repeated; never unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// When calls are refused at once; never unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<CircuitBreaker>,
    /// Keeps answers to GET; off unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// Most calls under way at once from this pod; further ones are refused with 503.
    #[schemars(range(min = 1, max = 65536))]
    pub concurrency: u32,
    /// Whether the `Authorization` of the request being served goes on to the callee. Never to external ones.
    pub forward_authorization: bool,
    /// Exceptions; the most specific path wins, whatever the order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub routes: Vec<CallRoute>,
}

impl Default for CallPolicy {
    fn default() -> Self {
        Self {
            timeout_ms: 5_000,
            connect_timeout_ms: 1_000,
            per_try_timeout_ms: None,
            idle_timeout_ms: None,
            priority: Priority::Normal,
            retries: None,
            circuit_breaker: None,
            cache: None,
            concurrency: 256,
            forward_authorization: false,
            routes: Vec::new(),
        }
    }
}

/// Which work is shed first under overload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Priority {
    /// As all others.
    #[default]
    Normal,
    /// Shed first.
    Low,
}

/// When a failed try is repeated. Only what is safe to repeat is, whatever this says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Retries {
    /// Tries in total, the first included; 1 is none.
    #[schemars(range(min = 1, max = 10))]
    pub attempts: u32,
    /// Upper bound of the wait before the first repetition; doubled each time. The wait is drawn between 0 and the bound.
    pub backoff_ms: Milliseconds,
    /// Largest such bound.
    pub max_backoff_ms: Milliseconds,
    /// What is repeated.
    #[schemars(length(max = 8))]
    pub retry_on: Vec<RetryOn>,
    /// Most repetitions under way or recent, in percent of all calls to this callee.
    #[schemars(range(max = 100))]
    pub budget_percent: u8,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 3,
            backoff_ms: 100,
            max_backoff_ms: 2_000,
            retry_on: vec![
                RetryOn::Connect(ConnectFailure::Connect),
                RetryOn::Status(502),
                RetryOn::Status(503),
                RetryOn::Status(504),
            ],
            budget_percent: 20,
        }
    }
}

/// What is repeated: `connect`, or one of the statuses 429, 502, 503 and 504.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RetryOn {
    /// The connection could not be made, or ended before the callee had the request.
    Connect(ConnectFailure),
    /// A status of the answer.
    Status(u16),
}

/// The word `connect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConnectFailure {
    /// The connection could not be made, or ended before the callee had the request.
    Connect,
}

/// When calls are refused at once, with opossum's meaning of each field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CircuitBreaker {
    /// Share of failures above which the breaker opens (`errorThresholdPercentage`).
    #[schemars(range(max = 100))]
    pub error_percent: u8,
    /// Time over which calls are counted (`rollingCountTimeout`).
    pub window_ms: Milliseconds,
    /// Fewest calls in the window for the breaker to open (`volumeThreshold`).
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_requests: u32,
    /// Time until one call is let through to see whether the callee is well again (`resetTimeout`).
    pub reset_after_ms: Milliseconds,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self { error_percent: 50, window_ms: 10_000, min_requests: 5, reset_after_ms: 30_000 }
    }
}

/// Keeps answers to GET, as far as they permit it themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cache {
    /// Longest time that an answer is kept, whatever it says itself.
    pub max_age_ms: Milliseconds,
}

/// An exception for one route of the callee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CallRoute {
    /// Whole segments: `/users` means `/users` and below, never `/usersx`.
    #[schemars(length(min = 1, max = 512))]
    pub path: String,
    /// Methods; all of them when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub methods: Vec<String>,
    /// Instead of the call's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<Milliseconds>,
    /// Instead of the call's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
}
