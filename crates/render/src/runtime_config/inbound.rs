//! Who is let in: callers by the subject of their tokens, and the gateway's routes with what they ask for.

use super::calls::method;
use super::milliseconds;
use crate::platform::PlatformConfig;
use crate::quantity::Quantity;
use crate::validate::ValidatedService;
use goodgo_api::GoodGoServiceSpec;
use goodgo_api::events::Subscribe;
use goodgo_api::gateway::{self as api, PathType};
use goodgo_fleet::{FleetView, ServiceKey};
use goodgo_runtime_config::{
    Asked, Authentication, Caller, ForwardAuth, GatewayAuth, Inbound, Issuer, Jwt, Route, RouteAuth,
};
use std::collections::BTreeSet;

/// Closed to everybody beside a TCP app, which no runtime stands before.
pub(super) fn inbound(
    service: &ValidatedService,
    fleet: &FleetView,
    platform: &PlatformConfig,
    issuers: &[Issuer],
) -> Inbound {
    if !service.runtime_on_port() {
        return Inbound::default();
    }
    let spec = service.spec();
    Inbound {
        authentication: Authentication {
            required: true,
            audience: platform.audience(service.key()),
            issuers: issuers.to_vec(),
            keys: spec.access.as_ref().is_some_and(|access| access.keys.is_some()),
        },
        callers: fleet
            .callers
            .iter()
            .map(|(caller, identity)| Caller {
                name: caller.to_string(),
                subject: format!("system:serviceaccount:{}:{}", caller.namespace, identity.service_account),
            })
            .collect(),
        routes: routes(spec, service.namespace()),
        asked: (!fleet.asked.is_empty()).then(|| Asked {
            host: platform
                .dns_name(service.names().gateway_service.as_str(), service.namespace())
                .trim_end_matches('.')
                .to_owned(),
            paths: fleet.asked.iter().cloned().collect(),
        }),
        event_paths: event_paths(spec),
    }
}

/// The routes in the order of their names; which of them a request meets depends on its path alone.
pub(crate) fn routes(spec: &GoodGoServiceSpec, namespace: &str) -> Vec<Route> {
    let mut routes: Vec<_> = spec.gateway.iter().flat_map(|gateway| &gateway.routes).collect();
    routes.sort_by(|a, b| a.name.cmp(&b.name));
    routes.into_iter().map(|route| self::route(route, spec, namespace)).collect()
}

fn route(route: &api::Route, spec: &GoodGoServiceSpec, namespace: &str) -> Route {
    let mut methods: Vec<_> = route.methods.iter().copied().map(method).map(str::to_owned).collect();
    methods.sort();
    Route {
        name: route.name.clone(),
        path: route.path.0.clone(),
        exact: route.path_type == PathType::Exact,
        methods,
        strip_prefix: route.strip_prefix.as_ref().map(|prefix| prefix.0.clone()),
        auth: auth(&route.auth, spec, namespace),
        timeout_ms: route.timeout.as_ref().map(milliseconds),
        max_body_bytes: route.max_body.as_ref().and_then(|size| Quantity::parse(&size.0)).map(Quantity::ceil),
        content_types: route.content_types.clone(),
    }
}

fn auth(auth: &api::Auth, spec: &GoodGoServiceSpec, namespace: &str) -> RouteAuth {
    // The gateway asks, and the pod has its word for the answer.
    if let Some(forward) = auth.asked_by_gateway(true) {
        let headers = forward.headers.iter().map(|header| header.0.clone()).collect();
        return RouteAuth { gateway: Some(GatewayAuth { headers }), ..RouteAuth::default() };
    }
    let api::Auth { forward, jwt, none, at: _ } = auth;
    RouteAuth {
        none: none.is_some(),
        gateway: None,
        jwt: jwt.as_ref().map(|jwt| Jwt {
            issuer: jwt.issuer.clone(),
            audience: jwt.audience.clone(),
            jwks: jwt.jwks.clone(),
            claims: jwt.claims.iter().map(|(claim, header)| (claim.clone(), header.0.clone())).collect(),
        }),
        forward: forward.as_ref().map(|forward| ForwardAuth {
            // Validation has refused a service that is not called.
            call: call_to(forward, spec, namespace).unwrap_or_default(),
            path: forward.path.0.clone(),
            headers: forward.headers.iter().map(|header| header.0.clone()).collect(),
        }),
    }
}

/// Name of the declared call by which a route's authentication is asked; the first of several to one service.
pub(crate) fn call_to(
    forward: &api::ForwardAuth,
    spec: &GoodGoServiceSpec,
    namespace: &str,
) -> Option<String> {
    let of = |given: Option<&goodgo_api::types::NamespaceName>, service: &str| {
        ServiceKey::new(given.map_or(namespace, |name| name.as_str()), service)
    };
    let asked = of(forward.namespace.as_ref(), forward.service.as_str());
    let calls = spec.calls.iter();
    let leading = calls.filter(|call| of(call.namespace.as_ref(), call.service.as_str()) == asked);
    leading.map(|call| call.name().0).min()
}

/// Names of the calls by which the pod has its routes authenticated.
pub(super) fn asked_calls(spec: &GoodGoServiceSpec, namespace: &str) -> BTreeSet<String> {
    let routes = spec.gateway.iter().flat_map(|gateway| &gateway.routes);
    let asked = routes.filter(|route| route.auth.asked_by_gateway(true).is_none());
    let forwards = asked.filter_map(|route| route.auth.forward.as_ref());
    forwards.filter_map(|forward| call_to(forward, spec, namespace)).collect()
}

/// Paths that the runtime alone may deliver events to.
pub(crate) fn event_paths(spec: &GoodGoServiceSpec) -> Vec<String> {
    let subscribes = spec.events.iter().flat_map(|events| &events.subscribes);
    let paths: BTreeSet<_> = subscribes.map(event_path).collect();
    paths.into_iter().collect()
}

fn event_path(subscribe: &Subscribe) -> String {
    let dashed = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let convention = || format!("/events/{}", subscribe.topic.0.chars().map(dashed).collect::<String>());
    subscribe.path.as_ref().map_or_else(convention, |path| path.0.clone())
}
