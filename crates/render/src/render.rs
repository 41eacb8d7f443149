//! All children of one service, each from its own file.

use crate::certificate::certificate;
use crate::config_map::config_map;
use crate::deployment::{deployment, initial_replicas};
use crate::edge::Edge;
use crate::gateway_service::gateway_service;
use crate::headless_service::headless_service;
use crate::horizontal_pod_autoscaler::horizontal_pod_autoscaler;
use crate::ingress_route::ingress_routes;
use crate::middleware::middlewares;
use crate::migration_job::migration_job;
use crate::network_policy::network_policy;
use crate::pod_disruption_budget::pod_disruption_budget;
use crate::servers_transport::servers_transports;
use crate::service_account::service_account;
use crate::traefik_service::traefik_services;
use crate::{Canary, Children, PlatformConfig, RenderError, ValidatedService};
use goodgo_fleet::FleetView;
use goodgo_runtime_config::Issuer;

/// What was seen of a service's pods and decides what is routed to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// How many of the canary's pods take requests, in percent of those that there should be: it gets so much of its share.
    pub canary_available: u8,
}

/// The children of `service`. Pure: equal inputs give equal bytes. `issuers` are those whose tokens its runtime believes,
/// `observed` is what was seen of its pods.
///
/// # Errors
/// [`RenderError`], for defects of this crate only: nothing that a user can write causes it.
pub fn render(
    service: &ValidatedService,
    fleet: &FleetView,
    platform: &PlatformConfig,
    issuers: &[Issuer],
    observed: Observed,
) -> Result<Children, RenderError> {
    let deployment = deployment(service, fleet, platform);
    let (config_map, config_revision) = config_map(service, fleet, platform, issuers)?.unzip();
    let edge = Edge::of(service, fleet, platform, observed);
    let edge = edge.as_ref();
    Ok(Children {
        service_account: service_account(service),
        network_policy: network_policy(service, fleet, platform),
        config_map,
        service: crate::service::service(service),
        headless_service: headless_service(service),
        migration_job: migration_job(service, fleet, platform, deployment.as_ref())?,
        deployment,
        horizontal_pod_autoscaler: horizontal_pod_autoscaler(service, platform),
        pod_disruption_budget: pod_disruption_budget(service, platform),
        gateway_service: gateway_service(service, fleet),
        in_pod: service.runtime_on_port(),
        canary: service.canary(platform).map(|canary| canary_children(&canary, fleet, platform)),
        certificate: certificate(edge),
        middlewares: middlewares(edge),
        servers_transports: servers_transports(edge),
        traefik_services: traefik_services(edge),
        ingress_routes: ingress_routes(edge),
        initial_replicas: initial_replicas(service, platform),
        url: edge.and_then(Edge::url),
        config_revision,
    })
}

fn canary_children(canary: &ValidatedService, fleet: &FleetView, platform: &PlatformConfig) -> Canary {
    Canary {
        gateway_service: gateway_service(canary, fleet),
        deployment: deployment(canary, fleet, platform),
        horizontal_pod_autoscaler: horizontal_pod_autoscaler(canary, platform),
        initial_replicas: initial_replicas(canary, platform),
    }
}
