//! The gateway and canary groups: what is reached from outside, and how traffic is split.

use crate::calls::CircuitBreaker;
use crate::rules::{at_most_one_of, cel, exactly_one_of};
use crate::types::{
    Cidr, Duration, HeaderName, Host, HttpMethod, HttpPath, ImageRef, NamespaceName, ObjectName, Percent,
    Quantity, ServiceName, Text,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is reached from outside. Absent: nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = cel(&[
    ("!has(self.redirectFrom) || self.redirectFrom.all(h, !(h in self.hosts))", "a host can't redirect to itself: take it out of hosts or out of redirectFrom"),
    ("self.routes.all(a, self.routes.exists_one(b, a.path == b.path && (has(a.pathType) ? a.pathType : '') == (has(b.pathType) ? b.pathType : '')))",
     "two routes have the same path and pathType: join them"),
])))]
pub struct Gateway {
    /// Host names, the first of them the main one.
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub hosts: Vec<Host>,
    /// Paths that are reached; nothing else is.
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub routes: Vec<Route>,
    /// Old hosts, redirected permanently to the first of `hosts`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub redirect_from: Vec<Host>,
    /// The certificate; by the profile unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// Where the certificate comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = exactly_one_of(&["secret", "issuer"])))]
pub struct Tls {
    /// A TLS Secret of the service's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<ObjectName>,
    /// A cert-manager ClusterIssuer that makes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<ObjectName>,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = cel(&[
    ("!has(self.stripPrefix) || self.path == self.stripPrefix || self.path.startsWith(self.stripPrefix.endsWith('/') ? self.stripPrefix : self.stripPrefix + '/')",
     "stripPrefix must be whole leading segments of path"),
])))]
pub struct Route {
    /// Name of the route, unique in the service.
    #[schemars(length(min = 1, max = 20), extend("x-kubernetes-validations" = cel(&[(
        "self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && !self.contains('--')",
        "a route's name has lower case letters, digits and single hyphens, starts with a letter and ends with a letter or digit",
    )])))]
    pub name: String,
    /// Whole segments: `/users` means `/users` and below, never `/usersx`.
    pub path: HttpPath,
    /// Prefix, or this path exactly.
    #[serde(default)]
    pub path_type: PathType,
    /// Methods; others get 405. All of them unless set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "set"))]
    pub methods: Vec<HttpMethod>,
    /// Leading segments that the app does not see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_prefix: Option<HttpPath>,
    /// Who may use the route. A public one says `auth: {none: {}}`.
    pub auth: Auth,
    /// Most requests of one client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// What browsers may do from other origins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// Tries of the gateway in total.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<RouteRetries>,
    /// Time for the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Whether answers are compressed for clients that accept it.
    #[serde(default)]
    pub compress: bool,
    /// Largest request body; larger ones get 413.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body: Option<Quantity>,
    /// Media types of request bodies; others get 415. All of them unless set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 3, max = 128)))]
    pub content_types: Vec<String>,
    /// Most requests of one client under way at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub in_flight: Option<i64>,
    /// When the gateway refuses at once because the service fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<CircuitBreaker>,
    /// The only client addresses; all of them unless set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub ip_allow: Vec<Cidr>,
    /// Response headers to set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub headers: BTreeMap<String, Text>,
    /// Whether a client stays with one pod.
    #[serde(default)]
    pub sticky: bool,
}

/// How a path is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PathType {
    /// The path and all below it, by whole segments.
    #[default]
    Prefix,
    /// This path only.
    Exact,
}

/// Who may use a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = cel(&[
    ("(has(self.forward) ? 1 : 0) + (has(self.jwt) ? 1 : 0) + (has(self.none) ? 1 : 0) == 1", "set exactly one of forward, jwt, none"),
    ("!has(self.jwt) || !has(self.at) || self.at != 'Gateway'", "the gateway can't check tokens itself: leave out at, or use forward"),
])))]
pub struct Auth {
    /// Ask a service, which answers 2xx to let the request through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward: Option<ForwardAuth>,
    /// A signed token (RFC 7519) in `Authorization: Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<Jwt>,
    /// Everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub none: Option<NoAuth>,
    /// Where it is checked; in the pod unless the runtime is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<AuthAt>,
}

impl Auth {
    /// What the gateway asks, where it is the one that authenticates: always without a runtime, which would in the pod.
    #[must_use]
    pub fn asked_by_gateway(&self, runtime: bool) -> Option<&ForwardAuth> {
        self.forward.as_ref().filter(|_| !runtime || self.at == Some(AuthAt::Gateway))
    }
}

/// Nobody is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoAuth {}

/// Where a route's authentication happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AuthAt {
    /// In the service's pod, by the runtime.
    Pod,
    /// At the gateway, by Traefik.
    Gateway,
}

/// Ask a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForwardAuth {
    /// The service that decides. It must be one of `calls` where the pod asks it.
    pub service: ServiceName,
    /// Its namespace; the own one unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<NamespaceName>,
    /// Path that is asked.
    pub path: HttpPath,
    /// Headers of its answer that the app gets; none that says where a message ends or to whom it goes, and none of the
    /// platform's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend(
        "x-kubernetes-list-type" = "set",
        "x-kubernetes-validations" = header_rule("self.all(name, !name"),
    ))]
    pub headers: Vec<HeaderName>,
}

/// Refuses headers whose value another than the client would get to decide: framing (RFC 9112 6), the target, what ends at
/// one hop (RFC 9110 7.6.1), and the platform's own. `names` is a rule up to the name of one header. Servers in the
/// tradition of CGI take an underscore for a hyphen.
fn header_rule(names: &str) -> serde_json::Value {
    let rule = format!(
        "{names}.matches('(?i)^(host|content[-_](length|encoding)|transfer[-_]encoding|connection|upgrade|te|trailer|\
         keep[-_]alive|expect|http2[-_]settings|proxy[-_].*|x[-_]goodgo[-_].*|x[-_]service[-_]auth|\
         x[-_]internal[-_]api[-_]key)$'))"
    );
    cel(&[(
        &rule,
        "a header that frames or directs messages, or is the platform's, can't be set: choose another name",
    )])
}

/// A signed token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Jwt {
    /// `iss` that the token must have.
    #[schemars(length(min = 1, max = 512))]
    pub issuer: String,
    /// `aud` that the token must have.
    #[schemars(length(min = 1, max = 512))]
    pub audience: String,
    /// https URL of the issuer's key set (RFC 7517).
    #[schemars(length(min = 1, max = 512), extend("x-kubernetes-validations" = cel(&[(
        "isURL(self) && url(self).getScheme() == 'https'", "write the https URL of the issuer's key set",
    )])))]
    pub jwks: String,
    /// Claims that the app gets as headers: claim → header; none that says where a message ends or to whom it goes, and
    /// none of the platform's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 16,
        "x-kubernetes-validations" = header_rule("self.all(claim, !self[claim]"),
    ))]
    pub claims: BTreeMap<String, HeaderName>,
}

/// Most requests of one client: `average` in each `period`, `burst` at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = cel(&[
    ("(self.by == 'Header') == has(self.header)", "set header when, and only when, by is Header"),
])))]
pub struct RateLimit {
    /// Requests in a period.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub average: i64,
    /// The period.
    #[serde(default = "one_second")]
    pub period: Duration,
    /// Requests at once.
    #[serde(default = "burst")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: i64,
    /// Who is one client.
    #[serde(default)]
    pub by: RateLimitBy,
    /// The header that names a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderName>,
}

/// Who is one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RateLimitBy {
    /// An address.
    #[default]
    #[serde(rename = "IP")]
    Ip,
    /// A header's value.
    Header,
}

/// What browsers may do from other origins (Fetch standard).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = cel(&[
    ("!self.credentials || !self.origins.exists(o, o == '*')", "credentials can't go to every origin: name the origins"),
])))]
pub struct Cors {
    /// Origins, such as `https://app.example.com`, or `*`.
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 253)))]
    pub origins: Vec<String>,
    /// Methods.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub methods: Vec<HttpMethod>,
    /// Request headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub headers: Vec<HeaderName>,
    /// Whether cookies and the like may be sent.
    #[serde(default)]
    pub credentials: bool,
    /// How long a browser keeps the answer to its preflight request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
}

/// Tries of the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteRetries {
    /// Tries in total, the first included.
    #[schemars(range(min = 1, max = 10))]
    pub attempts: u32,
}

/// A second version of the service that gets a share of the traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Canary {
    /// Its image.
    pub image: ImageRef,
    /// Its share of the gateway's requests, in percent.
    #[serde(default)]
    pub weight: Percent,
    /// Requests that always go to it.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub match_: Option<CanaryMatch>,
    /// Whether it takes part in the service's subscriptions.
    #[serde(default)]
    pub events: bool,
}

impl Canary {
    /// Its share of the requests in percent, as far as it has its pods: `available` is how many of them, in percent.
    #[must_use]
    pub fn share(&self, available: u8) -> u8 {
        let share = (u32::from(self.weight.0.min(100)) * u32::from(available.min(100))).div_ceil(100);
        u8::try_from(share).unwrap_or(100)
    }
}

/// Requests that always go to the canary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = at_most_one_of(&["header"])))]
pub struct CanaryMatch {
    /// A header with a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderMatch>,
}

/// A header with a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeaderMatch {
    /// Its name.
    pub name: HeaderName,
    /// Its value, compared exactly.
    #[schemars(length(min = 1, max = 256))]
    pub value: String,
}

fn one_second() -> Duration {
    "1s".into()
}
fn burst() -> i64 {
    1
}
