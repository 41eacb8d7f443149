//! What of the gateway group is acted on where. The gateway routes to the pods; what has to be decided there is decided by
//! their runtime, and by Traefik as far as it can where the runtime is off.

use crate::ValidatedService;
use goodgo_api::calls::CircuitBreaker;
use goodgo_api::gateway::Route;

/// What Traefik can't be told: its breaker counts over ten seconds of its own, from the first request on.
pub(super) fn unheeded(service: &ValidatedService) -> Vec<String> {
    let defaults = CircuitBreaker::default();
    let of_route = |route: &Route| {
        let breaker = route.circuit_breaker.clone().unwrap_or_default();
        let set = [
            ("circuitBreaker.minRequests", breaker.min_requests != defaults.min_requests),
            ("circuitBreaker.window", breaker.window != defaults.window),
        ];
        named(route, &set)
    };
    routes(service).flat_map(of_route).collect()
}

/// What the pods would check.
pub(super) fn without_runtime(service: &ValidatedService) -> Vec<String> {
    let routes = routes(service).filter(|_| !service.runtime_on_port());
    routes.flat_map(|route| named(route, &[("contentTypes", !route.content_types.is_empty())])).collect()
}

fn routes(service: &ValidatedService) -> impl Iterator<Item = &Route> {
    service.spec().gateway.iter().flat_map(|gateway| &gateway.routes)
}

fn path(route: &Route) -> String {
    format!("spec.gateway.routes[{}]", route.name)
}

fn named(route: &Route, set: &[(&str, bool)]) -> Vec<String> {
    set.iter().filter(|(_, set)| *set).map(|(field, _)| format!("{}.{field}", path(route))).collect()
}
