//! The steps that Traefik takes with requests of the service's routes, one object each.

use crate::edge::{Edge, Router};
use crate::labels;
use crate::traefik::Middleware;
use std::collections::BTreeMap;

/// Sorted by name. Routers of several entry points share them.
pub(crate) fn middlewares(edge: Option<&Edge<'_>>) -> Vec<Middleware> {
    let Some(edge) = edge else { return Vec::new() };
    let routers = edge.routers().into_values().chain(edge.redirects().into_values()).flatten();
    let steps: BTreeMap<_, _> =
        routers.flat_map(|Router { steps, .. }| steps).map(|step| (step.name, step.spec)).collect();
    let objects = steps.into_iter();
    objects.map(|(name, spec)| Middleware::new(labels::metadata(edge.service, &name), spec)).collect()
}
