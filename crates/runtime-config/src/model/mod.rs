//! The types of the file, in the order in which they are written.

mod call;
mod drain;
mod health;
mod inbound;
mod observability;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::call::{
    Cache, Call, CallPolicy, CallRoute, CircuitBreaker, ConnectFailure, Priority, Retries, RetryOn, Scheme,
    Target, TargetService, Unavailable,
};
pub use self::drain::{Drain, PreStop};
pub use self::health::{AppProbe, AppProbes, Check, Health, KafkaCheck};
pub use self::inbound::{
    Asked, Authentication, Caller, ForwardAuth, GatewayAuth, Inbound, Issuer, Jwt, Route, RouteAuth,
};
pub use self::observability::{AppMetrics, Observability, Tracing};
use crate::Error;

/// A time span in milliseconds, 1 to 30 days.
pub type Milliseconds = u64;

/// Everything that a running runtime can be told without a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuntimeConfig {
    /// Version of this format.
    pub version: Version,
    /// Hex hash of the content ([`RuntimeConfig::content`]), set by the operator; `/config` tells which one runs.
    #[schemars(regex(pattern = r"^[0-9a-f]{1,64}$"))]
    pub revision: String,
    /// The service whose pod this is.
    pub service: ServiceRef,
    /// What the app speaks.
    #[serde(default)]
    pub protocol: Protocol,
    /// The declared calls, by the call's name: the callee's service name unless the call is renamed.
    #[serde(default)]
    #[schemars(length(max = 900))]
    pub calls: BTreeMap<String, Call>,
    /// Who may reach the app.
    #[serde(default)]
    pub inbound: Inbound,
    /// What is checked on behalf of the service.
    #[serde(default, skip_serializing_if = "is_default")]
    pub health: Health,
    /// What is measured and traced.
    #[serde(default, skip_serializing_if = "is_default")]
    pub observability: Observability,
    /// How a pod is taken out of service.
    #[serde(default)]
    pub drain: Drain,
}

/// Version of the file's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Version {
    /// The only one so far.
    #[default]
    #[serde(rename = "v1alpha1")]
    V1Alpha1,
}

/// A service and its namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceRef {
    /// Name of the GoodGoService.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
}

/// What the app speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// HTTP/1.1, or HTTP/2 in clear text when the client starts with it.
    #[default]
    Http,
    /// gRPC over HTTP/2 in clear text.
    Grpc,
    /// GraphQL over HTTP.
    Graphql,
}

impl RuntimeConfig {
    /// The file's text: pretty-printed, the same bytes for the same value, with a final newline.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what a runtime would refuse to read, so that it never leaves the operator.
    pub fn to_json(&self) -> Result<String, Error> {
        self.validate()?;
        encode(self)
    }

    /// The text that [`RuntimeConfig::revision`] is the hash of: the file with an empty revision.
    ///
    /// # Errors
    /// [`Error::Encode`] when the value can't be written as JSON.
    pub fn content(&self) -> Result<String, Error> {
        encode(&Self { revision: String::new(), ..self.clone() })
    }
}

/// What says nothing is not written: a ConfigMap holds one mebibyte.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn encode(config: &RuntimeConfig) -> Result<String, Error> {
    let mut text = serde_json::to_string_pretty(config).map_err(Error::Encode)?;
    text.push('\n');
    Ok(text)
}
