//! Traefik's Middleware: an object has exactly one kind of step.

use serde::Serialize;
use std::collections::BTreeMap;

/// One step. Serialised as the one field that Traefik knows it by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MiddlewareSpec {
    /// Who may come at all.
    IpAllowList(IpAllowList),
    /// Response headers, and what browsers may do from other origins.
    Headers(Headers),
    /// Whether the request is let through is asked of a service.
    ForwardAuth(ForwardAuth),
    /// Requests of one client in a period.
    RateLimit(RateLimit),
    /// Requests of one client under way.
    InFlightReq(InFlightReq),
    /// Largest body.
    Buffering(Buffering),
    /// Compressed answers.
    Compress(Compress),
    /// Refuses while the service fails.
    CircuitBreaker(CircuitBreaker),
    /// Tries again where no answer came.
    Retry(Retry),
    /// Leading segments that the app doesn't see.
    StripPrefix(StripPrefix),
    /// To https.
    RedirectScheme(Redirect),
    /// To another host.
    RedirectRegex(RedirectRegex),
}

/// Addresses that are let through; others get the status, 403 unless set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IpAllowList {
    pub(crate) source_range: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reject_status_code: Option<u16>,
}

/// Headers of requests and responses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Headers {
    /// Set whatever the client says; removed where empty.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) custom_request_headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) custom_response_headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) access_control_allow_origin_list: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) access_control_allow_methods: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) access_control_allow_headers: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) access_control_allow_credentials: bool,
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) access_control_max_age: Option<i64>,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) add_vary_header: bool,
}

/// Asks for every request; anything but 2xx is the client's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ForwardAuth {
    pub(crate) address: String,
    /// Of the answer, for the pods; what the client says in them goes away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) auth_response_headers: Vec<String>,
    /// In bytes: a refusal is a sentence.
    pub(crate) max_response_body_size: i64,
}

/// A token bucket for each source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    pub(crate) average: i64,
    pub(crate) period: String,
    pub(crate) burst: i64,
    pub(crate) source_criterion: SourceCriterion,
    /// Where the buckets are kept; each of Traefik's pods keeps its own unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redis: Option<Redis>,
}

/// A Redis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Redis {
    pub(crate) endpoints: Vec<String>,
    /// A Secret of the Middleware's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<String>,
}

/// Most requests under way for each source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InFlightReq {
    pub(crate) amount: i64,
    pub(crate) source_criterion: SourceCriterion,
}

/// Who is one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SourceCriterion {
    /// An address.
    IpStrategy(IpStrategy),
    /// A header's value.
    RequestHeaderName(String),
}

/// The connection's address: what a client writes into X-Forwarded-For is nobody's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IpStrategy {
    pub(crate) depth: u32,
}

/// Largest request body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Buffering {
    pub(crate) max_request_body_bytes: u64,
}

/// Compression of answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Compress {
    pub(crate) excluded_content_types: Vec<&'static str>,
    pub(crate) min_response_body_bytes: u32,
}

/// Opens when the expression is true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CircuitBreaker {
    pub(crate) expression: String,
    pub(crate) fallback_duration: String,
    pub(crate) response_code: u16,
}

/// Tries in total, the first included (Traefik's own field counts them so), after pauses that grow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    pub(crate) attempts: u32,
    pub(crate) initial_interval: &'static str,
}

/// Prefixes that are taken off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StripPrefix {
    pub(crate) prefixes: Vec<String>,
}

/// To another scheme, for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Redirect {
    pub(crate) scheme: &'static str,
    pub(crate) permanent: bool,
}

/// To another address, for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RedirectRegex {
    pub(crate) regex: &'static str,
    pub(crate) replacement: String,
    pub(crate) permanent: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_false(value: &bool) -> bool {
    !*value
}
