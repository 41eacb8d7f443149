//! Bounds of what is let in.

use std::collections::{BTreeMap, BTreeSet};

use super::{Report, is_http_url, is_label, is_token};
use crate::model::{
    Asked, Authentication, Call, Caller, ForwardAuth, GatewayAuth, Inbound, Issuer, Jwt, Route, RouteAuth,
};

pub(super) fn check(inbound: &Inbound, calls: &BTreeMap<String, Call>, report: &mut Report) {
    let Inbound { authentication, callers, routes, asked, event_paths } = inbound;
    check_authentication(authentication, report);
    for (index, Caller { name, subject }) in callers.iter().enumerate() {
        if !name.split_once('/').is_some_and(|(namespace, name)| is_label(namespace) && is_label(name)) {
            report.add(&format!("inbound.callers[{index}].name"), "must be namespace/name");
        }
        if subject.is_empty() || subject.len() > 512 {
            report.add(&format!("inbound.callers[{index}].subject"), "must have 1 to 512 characters");
        }
    }
    let mut names = BTreeSet::new();
    for (index, route) in routes.iter().enumerate() {
        if !names.insert(&route.name) {
            report.add(&format!("inbound.routes[{index}].name"), "is taken by a route before it");
        }
        check_route(&format!("inbound.routes[{index}]"), route, calls, report);
    }
    if let Some(Asked { host, paths }) = asked {
        if host.is_empty() || host.len() > 253 || host.contains(':') {
            report.add("inbound.asked.host", "must be a name in the cluster, without a port");
        }
        for (index, path) in paths.iter().enumerate() {
            report.path(&format!("inbound.asked.paths[{index}]"), path);
        }
    }
    for (index, path) in event_paths.iter().enumerate() {
        report.path(&format!("inbound.eventPaths[{index}]"), path);
    }
}

fn check_authentication(authentication: &Authentication, report: &mut Report) {
    let Authentication { required, audience, issuers, keys: _ } = authentication;
    // Without an issuer nobody is let in, which is what an operator that found no keys yet wants.
    if *required && !issuers.is_empty() && audience.is_empty() {
        report.add("inbound.authentication.audience", "name the audience of tokens for this service");
    }
    for (index, Issuer { issuer, keys }) in issuers.iter().enumerate() {
        let path = format!("inbound.authentication.issuers[{index}]");
        if issuer.is_empty() || issuer.len() > 512 {
            report.add(&format!("{path}.issuer"), "must have 1 to 512 characters");
        }
        if keys.len() > 64 {
            report.add(&format!("{path}.keys"), "must be at most 64 keys");
        }
    }
}

fn check_route(path: &str, route: &Route, calls: &BTreeMap<String, Call>, report: &mut Report) {
    let Route {
        name,
        path: route_path,
        exact: _,
        methods,
        strip_prefix,
        auth,
        timeout_ms,
        max_body_bytes: _,
        content_types,
    } = route;
    if !is_label(name) {
        report.add(&format!("{path}.name"), super::LABEL);
    }
    report.path(&format!("{path}.path"), route_path);
    if let Some(prefix) = strip_prefix {
        report.path(&format!("{path}.stripPrefix"), prefix);
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let whole =
            route_path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if !whole {
            report.add(&format!("{path}.stripPrefix"), "must be whole leading segments of path");
        }
    }
    report.tokens(&format!("{path}.methods"), "method", methods);
    report.times(path, &[("timeoutMs", *timeout_ms)]);
    for (index, media_type) in content_types.iter().enumerate() {
        if !media_type.split_once('/').is_some_and(|(kind, sub)| is_token(kind) && is_token(sub)) {
            report.add(&format!("{path}.contentTypes[{index}]"), "must be type/subtype, without parameters");
        }
    }
    check_auth(&format!("{path}.auth"), auth, calls, report);
}

fn check_auth(path: &str, auth: &RouteAuth, calls: &BTreeMap<String, Call>, report: &mut Report) {
    let RouteAuth { none, gateway, jwt, forward } = auth;
    let set = [*none, gateway.is_some(), jwt.is_some(), forward.is_some()];
    if set.into_iter().filter(|set| *set).count() != 1 {
        report.add(path, "set exactly one of none, gateway, jwt and forward");
    }
    if let Some(GatewayAuth { headers }) = gateway {
        report.headers(&format!("{path}.gateway.headers"), headers);
    }
    if let Some(Jwt { issuer, audience, jwks, claims }) = jwt {
        for (field, value) in [("issuer", issuer), ("audience", audience)] {
            if value.is_empty() || value.len() > 512 {
                report.add(&format!("{path}.jwt.{field}"), "must have 1 to 512 characters");
            }
        }
        if !is_http_url(jwks) {
            report.add(&format!("{path}.jwt.jwks"), "must be the URL of the issuer's key set");
        }
        let headers: Vec<_> = claims.values().cloned().collect();
        report.headers(&format!("{path}.jwt.claims"), &headers);
    }
    if let Some(ForwardAuth { call, path: asked, headers }) = forward {
        if !calls.contains_key(call) {
            report.add(&format!("{path}.forward.call"), "must be one of calls");
        }
        report.path(&format!("{path}.forward.path"), asked);
        report.headers(&format!("{path}.forward.headers"), headers);
    }
}
