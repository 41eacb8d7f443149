//! What Traefik v3 and cert-manager read: the fields that are rendered, as their CustomResourceDefinitions name them, and
//! no others. None of them can name an object of another namespace or provider.

mod certificate;
mod ingress_route;
mod middleware;
mod rule;
mod servers_transport;
mod traefik_service;

pub use certificate::{CertificateSpec, IssuerRef};
pub use ingress_route::{
    Backend, Cookie, IngressRouteSpec, MiddlewareRef, Route, RouteService, SharedService, Sticky, Tls,
};
pub use middleware::{
    Buffering, CircuitBreaker, Compress, ForwardAuth, Headers, InFlightReq, IpAllowList, IpStrategy,
    MiddlewareSpec, RateLimit, Redirect, RedirectRegex, Redis, Retry, SourceCriterion, StripPrefix,
};
pub use rule::Rule;
pub use servers_transport::{ForwardingTimeouts, ServersTransportSpec};
pub use traefik_service::{TraefikServiceSpec, Weighted, WeightedService};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

/// Traefik's API group.
pub(crate) const TRAEFIK: &str = "traefik.io";
/// Version of Traefik's API.
pub(crate) const TRAEFIK_VERSION: &str = "v1alpha1";
/// cert-manager's API group.
pub(crate) const CERT_MANAGER: &str = "cert-manager.io";
/// Version of cert-manager's API.
pub(crate) const CERT_MANAGER_VERSION: &str = "v1";

/// An object of somebody else's API.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Object<Spec> {
    api_version: String,
    kind: &'static str,
    /// Name, namespace, labels and owner.
    pub(crate) metadata: ObjectMeta,
    /// What it says.
    pub(crate) spec: Spec,
}

/// Traefik's routes under one set of entry points.
pub type IngressRoute = Object<IngressRouteSpec>;
/// One step that Traefik takes with a request.
pub type Middleware = Object<MiddlewareSpec>;
/// How Traefik connects to pods.
pub type ServersTransport = Object<ServersTransportSpec>;
/// How requests are shared out.
pub type TraefikService = Object<TraefikServiceSpec>;
/// A certificate that cert-manager makes.
pub type Certificate = Object<CertificateSpec>;

impl IngressRoute {
    pub(crate) fn new(metadata: ObjectMeta, spec: IngressRouteSpec) -> Self {
        traefik("IngressRoute", metadata, spec)
    }
}

impl Middleware {
    pub(crate) fn new(metadata: ObjectMeta, spec: MiddlewareSpec) -> Self {
        traefik("Middleware", metadata, spec)
    }
}

impl ServersTransport {
    pub(crate) fn new(metadata: ObjectMeta, spec: ServersTransportSpec) -> Self {
        traefik("ServersTransport", metadata, spec)
    }
}

impl TraefikService {
    pub(crate) fn new(metadata: ObjectMeta, spec: TraefikServiceSpec) -> Self {
        traefik("TraefikService", metadata, spec)
    }
}

impl Certificate {
    pub(crate) fn new(metadata: ObjectMeta, spec: CertificateSpec) -> Self {
        let api_version = format!("{CERT_MANAGER}/{CERT_MANAGER_VERSION}");
        Self { api_version, kind: "Certificate", metadata, spec }
    }
}

fn traefik<Spec>(kind: &'static str, metadata: ObjectMeta, spec: Spec) -> Object<Spec> {
    Object { api_version: format!("{TRAEFIK}/{TRAEFIK_VERSION}"), kind, metadata, spec }
}
