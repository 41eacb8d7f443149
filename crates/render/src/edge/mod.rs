//! What stands at the gateway for a service: which hosts it has there, under which entry points and certificate, and the
//! routers that Traefik asks in turn.
//!
//! With the runtime on, a request that comes through is decided in the pod: methods, media types, sizes, deadlines and
//! authentication. The gateway adds what has to be counted or answered before: who may come, how often, from which origins.
//! With the runtime off it does what Traefik can do of the rest.

mod router;
mod steps;

use crate::names::ChildName;
use crate::platform::{GatewayTls, HostDomain, PlatformConfig};
use crate::traefik::{RouteService, Tls};
use crate::validate::ValidatedService;
use crate::{Observed, ingress_route};
use goodgo_api::Protocol;
use goodgo_api::gateway::{ForwardAuth, Gateway, Route};
use goodgo_api::types::Host;
use goodgo_fleet::{FleetView, ServiceKey, claim};
pub(crate) use router::{Backend, Router, Step};
use std::collections::BTreeMap;

/// Hosts by the entry points that they share.
pub(crate) type Groups<'a> = BTreeMap<&'a [String], Vec<&'a Host>>;

/// A service with a gateway, and what decides what stands there for it.
#[derive(Clone, Copy)]
pub(crate) struct Edge<'a> {
    pub(crate) service: &'a ValidatedService,
    pub(crate) gateway: &'a Gateway,
    fleet: &'a FleetView,
    platform: &'a PlatformConfig,
    observed: Observed,
}

impl<'a> Edge<'a> {
    /// None without a gateway, or beside a TCP app, which no route leads to.
    pub(crate) fn of(
        service: &'a ValidatedService,
        fleet: &'a FleetView,
        platform: &'a PlatformConfig,
        observed: Observed,
    ) -> Option<Self> {
        let gateway = service.spec().gateway.as_ref().filter(|_| service.spec().protocol != Protocol::Tcp)?;
        Some(Self { service, gateway, fleet, platform, observed })
    }

    /// The ClusterIssuer of the certificate; none where the service brings a Secret or has none.
    pub(crate) fn issuer(&self) -> Option<&'a str> {
        match &self.gateway.tls {
            Some(tls) => tls.issuer.as_ref().map(|issuer| issuer.as_str()),
            None if self.platform.profile().tls == GatewayTls::Off => None,
            None => self.platform.gateway.default_issuer.as_deref(),
        }
    }

    /// TLS of the hosts; none where they are served without.
    pub(crate) fn tls(&self) -> Option<Tls> {
        let own =
            self.gateway.tls.as_ref().and_then(|tls| tls.secret.as_ref()).map(|secret| secret.0.clone());
        let made = || self.issuer().map(|_| self.service.names().certificate.to_string());
        let secret_name = own.or_else(made);
        let asked = self.gateway.tls.is_some() || self.platform.profile().tls != GatewayTls::Off;
        asked.then_some(Tls { secret_name })
    }

    /// The canary's share of the requests in percent, as much of it as it has pods that take any; none without a canary.
    pub(crate) fn canary_share(&self) -> Option<u8> {
        let canary = self.service.spec().canary.as_ref()?;
        Some(canary.share(self.observed.canary_available))
    }

    /// The pods of one of the service's Services, as a router reaches them.
    pub(crate) fn pods_of(&self, service: &ChildName, router: &Router) -> RouteService {
        RouteService {
            kind: "Service",
            name: service.to_string(),
            port: ingress_route::PORT,
            scheme: if self.service.spec().protocol == Protocol::Grpc { "h2c" } else { "http" },
            servers_transport: router.transport.as_ref().map(|(name, _)| name.to_string()),
            sticky: router.sticky.clone(),
        }
    }

    /// Whom the gateway asks about requests of `route`, and what; none where it asks nobody.
    fn asks(&self, route: &'a Route) -> Option<(ServiceKey, &'a ForwardAuth)> {
        let forward = route.auth.asked_by_gateway(self.service.runtime_on_port())?;
        let namespace = forward.namespace.as_ref().map_or(self.service.namespace(), |name| name.as_str());
        Some((ServiceKey::new(namespace, forward.service.as_str()), forward))
    }

    /// The main host with its scheme.
    pub(crate) fn url(&self) -> Option<String> {
        let scheme = if self.tls().is_some() { "https" } else { "http" };
        Some(format!("{scheme}://{}", self.gateway.hosts.first()?))
    }

    /// Hosts of which this service holds the path of `route`.
    fn hosts_of(&self, route: &Route) -> impl Iterator<Item = &'a Host> {
        let path = route.path.as_str().to_owned();
        let lost = &self.fleet.lost;
        self.gateway.hosts.iter().filter(move |host| !lost.contains_key(&claim(host.as_str(), &path)))
    }

    /// Old hosts that this service holds.
    pub(crate) fn old_hosts(&self) -> impl Iterator<Item = &'a Host> {
        self.gateway.redirect_from.iter().filter(|host| !self.fleet.lost.contains_key(host.as_str()))
    }

    /// Hosts of which this service holds the path of a route, in the order of the spec.
    pub(crate) fn held_hosts(&self) -> impl Iterator<Item = &'a Host> {
        let edge = *self;
        self.gateway.hosts.iter().filter(move |host| {
            edge.gateway.routes.iter().any(|route| edge.hosts_of(route).any(|held| held == *host))
        })
    }

    /// Where `hosts` are served.
    fn served(&self, hosts: impl IntoIterator<Item = &'a Host>) -> Groups<'a> {
        let tls = self.tls().is_some();
        self.grouped(hosts, |gateway, domain| match domain {
            None if tls => &gateway.entry_points,
            None => &gateway.plain_entry_points,
            // Never onto entry points of other domains: an internal host would be seen from outside.
            Some(domain) if tls || domain.plain_entry_points.is_empty() => &domain.entry_points,
            Some(domain) => &domain.plain_entry_points,
        })
    }

    /// Where `hosts` that have TLS are asked for without it.
    fn plain(&self, hosts: impl IntoIterator<Item = &'a Host>) -> Groups<'a> {
        let mut groups = self.grouped(hosts, |gateway, domain| {
            domain.map_or(&gateway.plain_entry_points, |domain| &domain.plain_entry_points)
        });
        groups.retain(|entry_points, _| self.tls().is_some() && !entry_points.is_empty());
        groups
    }

    /// By the entry points of each host's domain, where that has any of its own.
    fn grouped(
        &self,
        hosts: impl IntoIterator<Item = &'a Host>,
        entry_points: impl Fn(&'a crate::platform::GatewayConfig, Option<&'a HostDomain>) -> &'a Vec<String>,
    ) -> Groups<'a> {
        let gateway = &self.platform.gateway;
        let mut groups = Groups::new();
        for host in hosts {
            // Of domains within each other the closest: an internal one may lie below a public one.
            let covering = gateway.domains.iter().filter(|domain| domain.covers(host.as_str()));
            let domain = covering.max_by_key(|domain| domain.domain.len());
            let domain = domain.filter(|domain| !domain.entry_points.is_empty());
            groups.entry(entry_points(gateway, domain)).or_default().push(host);
        }
        groups
    }
}
