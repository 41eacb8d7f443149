//! Traefik's IngressRoute.

use super::rule::Rule;
use serde::Serialize;

/// Routes under one set of entry points.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressRouteSpec {
    /// Where they are served. Never empty: that would mean every entry point.
    pub(crate) entry_points: Vec<String>,
    pub(crate) routes: Vec<Route>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<Tls>,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Route {
    pub(crate) kind: &'static str,
    #[serde(rename = "match")]
    pub(crate) rule: Rule,
    /// Higher ones are asked first. Never 0: that would mean the length of the rule.
    pub(crate) priority: u32,
    /// Outermost first, all of the same namespace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) middlewares: Vec<MiddlewareRef>,
    pub(crate) services: Vec<Backend>,
}

/// A Middleware of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MiddlewareRef {
    pub(crate) name: String,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Backend {
    /// The pods of a Service.
    Pods(RouteService),
    /// Pods of several, by their shares.
    Shared(SharedService),
}

/// A TraefikService of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SharedService {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
}

/// A Service of the same namespace, whose ready pods are called directly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteService {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) port: &'static str,
    pub(crate) scheme: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) servers_transport: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sticky: Option<Sticky>,
}

/// How a client is kept at one pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sticky {
    pub(crate) cookie: Cookie,
}

/// The cookie that names the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cookie {
    pub(crate) http_only: bool,
    pub(crate) same_site: &'static str,
    pub(crate) secure: bool,
}

/// TLS; without a Secret Traefik's default certificate is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret_name: Option<String>,
}
