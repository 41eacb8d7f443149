//! What of the gateway group is acted on where: this version derives nothing at the gateway, but the pods' runtime serves
//! the routes at its gateway port, with all that it can check itself.

use crate::ValidatedService;
use crate::runtime_config::inbound::is_closed;
use goodgo_api::gateway::{Gateway, Route};

/// Routes that the pods serve.
pub(super) fn open(service: &ValidatedService) -> Vec<String> {
    served(service).filter(|route| !is_closed(&route.auth)).map(path).collect()
}

/// Routes that the pods refuse.
pub(super) fn closed(service: &ValidatedService) -> Vec<String> {
    served(service).filter(|route| is_closed(&route.auth)).map(path).collect()
}

/// What nobody acts on.
pub(super) fn unheeded(service: &ValidatedService) -> Vec<String> {
    let Some(Gateway { hosts: _, routes, redirect_from, tls }) = &service.spec().gateway else {
        return Vec::new();
    };
    let of_route = |route: &Route| {
        if service.runtime_on_port() { settings(route) } else { vec![path(route)] }
    };
    let mut fields: Vec<_> = routes.iter().flat_map(of_route).collect();
    fields.extend((!redirect_from.is_empty()).then(|| "spec.gateway.redirectFrom".to_owned()));
    fields.extend(tls.is_some().then(|| "spec.gateway.tls".to_owned()));
    fields
}

fn served(service: &ValidatedService) -> impl Iterator<Item = &Route> {
    let gateway = service.spec().gateway.as_ref().filter(|_| service.runtime_on_port());
    gateway.into_iter().flat_map(|gateway| &gateway.routes)
}

fn path(route: &Route) -> String {
    format!("spec.gateway.routes[{}]", route.name)
}

/// Settings of a served route that the pod does not act on.
fn settings(route: &Route) -> Vec<String> {
    // Destructured whole: a new setting can't be forgotten here.
    let Route {
        name: _,
        path: _,
        path_type: _,
        methods: _,
        strip_prefix: _,
        auth: _,
        rate_limit,
        cors,
        retries,
        timeout: _,
        compress,
        max_body: _,
        content_types: _,
        in_flight,
        circuit_breaker,
        ip_allow,
        headers,
        sticky,
    } = route;
    let set = [
        ("rateLimit", rate_limit.is_some()),
        ("cors", cors.is_some()),
        ("retries", retries.as_ref().is_some_and(|retries| retries.attempts != 1)),
        ("compress", *compress),
        ("inFlight", in_flight.is_some()),
        ("circuitBreaker", circuit_breaker.is_some()),
        ("ipAllow", !ip_allow.is_empty()),
        ("headers", !headers.is_empty()),
        ("sticky", *sticky),
    ];
    set.iter().filter(|(_, set)| *set).map(|(field, _)| format!("{}.{field}", path(route))).collect()
}
