//! The types of the file, in the order in which they are written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Error;

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
}

impl Call {
    /// A call that goes to `scheme://host:port`.
    pub fn to(scheme: Scheme, host: impl Into<String>, port: u16) -> Self {
        Self { target: Some(Target { scheme, host: host.into(), port }), unavailable: None }
    }

    /// A call that can't be made; `reason` is one CamelCase word, `message` a sentence that says what to do.
    pub fn unavailable(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            target: None,
            unavailable: Some(Unavailable { reason: reason.into(), message: message.into() }),
        }
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

/// How a pod is taken out of service. The pod's grace period must be longer than both together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Drain {
    /// Seconds to keep accepting after going unready, until endpoints and proxies elsewhere have settled.
    #[serde(default = "Drain::default_settle_seconds")]
    #[schemars(range(max = 3600))]
    pub settle_seconds: u32,
    /// Seconds after that for requests in flight to finish.
    #[serde(default = "Drain::default_timeout_seconds")]
    #[schemars(range(max = 86400))]
    pub timeout_seconds: u32,
}

impl Drain {
    const fn default_settle_seconds() -> u32 {
        5
    }

    const fn default_timeout_seconds() -> u32 {
        25
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            settle_seconds: Self::default_settle_seconds(),
            timeout_seconds: Self::default_timeout_seconds(),
        }
    }
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

fn encode(config: &RuntimeConfig) -> Result<String, Error> {
    let mut text = serde_json::to_string_pretty(config).map_err(Error::Encode)?;
    text.push('\n');
    Ok(text)
}
