//! Who may reach the app: callers inside the cluster, and routes from outside.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Milliseconds;

/// What the service and the gateway port let through.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Inbound {
    /// How callers prove who they are.
    pub authentication: Authentication,
    /// Who may call. Somebody else's valid token gets 403.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4096))]
    pub callers: Vec<Caller>,
    /// What is reached through the gateway; nothing else is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub routes: Vec<Route>,
    /// What the gateway itself asks: whether somebody may use another service's route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// Paths to which the runtime itself delivers events; neither port serves them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub event_paths: Vec<String>,
}

/// How callers prove who they are. Closed unless it says otherwise: without a key set nobody is let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Authentication {
    /// Whether they must at all; off only where no issuer of identities is there, as on a laptop.
    pub required: bool,
    /// `aud` of the tokens that are meant for this service.
    #[schemars(length(max = 512))]
    pub audience: String,
    /// Whose tokens are believed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub issuers: Vec<Issuer>,
    /// Whether fixed keys are mounted: one file a key, all valid at once.
    pub keys: bool,
}

impl Default for Authentication {
    fn default() -> Self {
        Self { required: true, audience: String::new(), issuers: Vec::new(), keys: false }
    }
}

/// An issuer of service identities and its public keys, which the operator keeps up to date.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Issuer {
    /// `iss` of its tokens.
    #[schemars(length(min = 1, max = 512))]
    pub issuer: String,
    /// Its keys (RFC 7517), each as it was published.
    #[schemars(length(max = 64))]
    pub keys: Vec<BTreeMap<String, serde_json::Value>>,
}

/// A service that may call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Caller {
    /// What the app is told in `x-goodgo-caller`: `namespace/name`.
    #[schemars(length(min = 3, max = 128))]
    pub name: String,
    /// `sub` of its tokens. Services that share a ServiceAccount share it, and can't be told apart.
    #[schemars(length(min = 1, max = 512))]
    pub subject: String,
}

/// A route from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route {
    /// Its name, for metrics and messages.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Whole segments, as the client sends them, before `stripPrefix`.
    #[schemars(length(min = 1, max = 512))]
    pub path: String,
    /// Whether only this path, not what is below it.
    #[serde(default)]
    pub exact: bool,
    /// Methods; all of them when empty. Others get 405.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub methods: Vec<String>,
    /// Leading segments that the app does not see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub strip_prefix: Option<String>,
    /// Who may use it.
    pub auth: RouteAuth,
    /// Time until the answer's head is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<Milliseconds>,
    /// Largest body, in bytes; larger ones get 413 while they stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body_bytes: Option<u64>,
    /// Media types of bodies; all of them when empty. Others get 415.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub content_types: Vec<String>,
}

/// What the gateway asks this service about requests to others (`auth.forward` with `at: Gateway`): these paths exactly,
/// under the name that the service has in the cluster. No route leads there: a client's request carries another host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Asked {
    /// The name, without a port.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// The paths.
    #[schemars(length(min = 1, max = 256))]
    pub paths: Vec<String>,
}

/// Who may use a route: exactly one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteAuth {
    /// Everybody.
    #[serde(default)]
    pub none: bool,
    /// Whom the gateway has let through and says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayAuth>,
    /// Who has a signed token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<Jwt>,
    /// Whom another service lets through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<ForwardAuth>,
}

/// The gateway decides, and marks what it let through by `x-goodgo-authenticated: gateway`, a header that it takes from
/// every other request. Without the mark nobody is let in: a gateway that doesn't know yet that it should ask, doesn't.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GatewayAuth {
    /// Headers that it sets and the app gets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub headers: Vec<String>,
}

/// A signed token (RFC 7519) in `Authorization: Bearer`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Jwt {
    /// `iss` that it must have.
    #[schemars(length(min = 1, max = 512))]
    pub issuer: String,
    /// `aud` that it must have.
    #[schemars(length(min = 1, max = 512))]
    pub audience: String,
    /// URL of the issuer's keys, fetched by the runtime, kept and fetched again when an unknown key shows up.
    #[schemars(length(min = 1, max = 512))]
    pub jwks: String,
    /// Claims that the app gets: claim → header.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, String>,
}

/// Another service decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ForwardAuth {
    /// The call, of those declared, by which it is asked.
    #[schemars(length(min = 1, max = 63))]
    pub call: String,
    /// Path that is asked.
    #[schemars(length(min = 1, max = 512))]
    pub path: String,
    /// Headers of its answer that the app gets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub headers: Vec<String>,
}
