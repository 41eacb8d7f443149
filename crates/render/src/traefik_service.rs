//! How Traefik shares requests out between the service and its canary. Off without a canary.
//!
//! There from the canary's declaration on, also while it gets nothing: then routes name the same object whatever the share,
//! and a change of the share is a change of this object alone.

use crate::edge::{Backend, Edge};
use crate::labels;
use crate::traefik::{TraefikService, TraefikServiceSpec, Weighted, WeightedService};
use std::collections::BTreeMap;

/// Sorted by name.
pub(crate) fn traefik_services(edge: Option<&Edge<'_>>) -> Vec<TraefikService> {
    let Some(edge) = edge else { return Vec::new() };
    let Some(share) = edge.canary_share() else { return Vec::new() };
    let mut objects = BTreeMap::new();
    for router in edge.routers().into_values().flatten() {
        let Backend::Shared(name) = &router.to else { continue };
        let names = edge.service.names();
        let shares = [(&names.gateway_service, 100 - share), (&names.canary, share)].into_iter();
        let services = shares
            .filter(|(_, weight)| *weight > 0)
            .map(|(service, weight)| WeightedService { service: edge.pods_of(service, &router), weight });
        let weighted = Weighted { services: services.collect(), sticky: router.sticky.clone() };
        objects.insert(name.clone(), TraefikServiceSpec { weighted });
    }
    let objects = objects.into_iter();
    objects.map(|(name, spec)| TraefikService::new(labels::metadata(edge.service, &name), spec)).collect()
}
