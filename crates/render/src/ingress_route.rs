//! Traefik's routes to the service: one object for each set of entry points, and one for each from which is redirected.

use crate::edge::{Backend as To, Edge, Router};
use crate::hash::short_hash;
use crate::labels;
use crate::traefik::{Backend, IngressRoute, IngressRouteSpec, MiddlewareRef, Route, SharedService, Tls};
use std::collections::BTreeMap;

/// Name of the Service's port that the gateway uses.
pub(crate) const PORT: &str = "gateway";

pub(crate) fn ingress_routes(edge: Option<&Edge<'_>>) -> Vec<IngressRoute> {
    let Some(edge) = edge else { return Vec::new() };
    let served = objects(edge, "routes", edge.routers(), edge.tls().as_ref());
    served.into_iter().chain(objects(edge, "redirect", edge.redirects(), None)).collect()
}

/// With several sets of entry points a hash of each makes the names.
fn objects(
    edge: &Edge<'_>,
    part: &str,
    routers: BTreeMap<&[String], Vec<Router>>,
    tls: Option<&Tls>,
) -> Vec<IngressRoute> {
    let several = routers.len() > 1;
    let named = routers.into_iter().map(|(entry_points, routers)| {
        let name = if several {
            format!("{part}-{}", short_hash(entry_points.join(",").as_bytes()))
        } else {
            part.to_owned()
        };
        let spec = IngressRouteSpec {
            entry_points: entry_points.to_vec(),
            routes: routers.iter().map(|router| route(edge, router)).collect(),
            tls: tls.cloned(),
        };
        let metadata = labels::metadata(edge.service, &edge.service.names().routes(&name));
        IngressRoute::new(metadata, spec)
    });
    named.collect()
}

fn route(edge: &Edge<'_>, router: &Router) -> Route {
    Route {
        kind: "Rule",
        rule: router.rule.clone(),
        priority: router.priority,
        middlewares: router.steps.iter().map(|step| MiddlewareRef { name: step.name.to_string() }).collect(),
        services: vec![match &router.to {
            To::Pods(service) => Backend::Pods(edge.pods_of(service, router)),
            To::Shared(name) => {
                Backend::Shared(SharedService { kind: "TraefikService", name: name.to_string() })
            }
        }],
    }
}
