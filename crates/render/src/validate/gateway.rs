//! The gateway group: the grammar of what becomes part of Traefik's configuration, and the group against the platform's
//! configuration: permitted domains, and TLS where the profile requires it.

use super::violation::Report;
use crate::platform::{GatewayTls, PlatformConfig};
use crate::quantity::Quantity;
use crate::runtime_config::inbound;
use crate::traefik::Rule;
use goodgo_api::GoodGoServiceSpec;
use goodgo_api::gateway::{AuthAt, Gateway, Route};
use goodgo_api::types::Host;
use goodgo_fleet::ServiceKey;
use std::collections::BTreeMap;

pub(super) fn check(
    key: &ServiceKey,
    spec: &GoodGoServiceSpec,
    platform: &PlatformConfig,
    report: &mut Report,
) {
    let Some(gateway) = &spec.gateway else { return };
    for route in &gateway.routes {
        check_route(route, key, spec, report);
    }
    check_rules(gateway, report);
    check_hosts(gateway, platform, report);
    let required = platform.profile().tls == GatewayTls::Required;
    if required && gateway.tls.is_none() && platform.gateway.default_issuer.is_none() {
        report.add("spec.gateway.tls", "production needs TLS: name a secret or an issuer");
    }
}

/// Of two routes with one rule the gateway would take the last one alone, and the other's authentication with it.
fn check_rules(gateway: &Gateway, report: &mut Report) {
    let mut rules = BTreeMap::new();
    for route in &gateway.routes {
        let rule = Rule::path(&route.path, route.path_type).to_string();
        if let Some(first) = rules.get(&rule) {
            report.add(
                &format!("spec.gateway.routes[{}].path", route.name),
                &format!("the route {first} has this path already, with or without a final '/': join them"),
            );
        } else {
            rules.insert(rule, &route.name);
        }
    }
}

fn check_hosts(gateway: &Gateway, platform: &PlatformConfig, report: &mut Report) {
    let domains = &platform.gateway.domains;
    let lists =
        [("spec.gateway.hosts", &gateway.hosts), ("spec.gateway.redirectFrom", &gateway.redirect_from)];
    for (path, hosts) in lists {
        for (index, host) in hosts.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if !is_host(host) {
                report.add(
                    &path,
                    "a host is a DNS name in lower case with at least one dot, such as api.example.com",
                );
            } else if !domains.is_empty() && !domains.iter().any(|domain| domain.covers(host.as_str())) {
                let permitted: Vec<_> = domains.iter().map(|domain| domain.domain.as_str()).collect();
                let permitted = permitted.join(", ");
                report.add(
                    &path,
                    &format!("{host} is outside the platform's domains: use {permitted} or a name below"),
                );
            }
        }
    }
}

/// The grammar of [`Host`], for objects that were stored before the API server enforced it.
pub(crate) fn is_host(host: &Host) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(legal)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let text = host.as_str();
    text.len() <= 253
        && text.contains('.')
        && text.split('.').all(label)
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
}

fn check_route(route: &Route, key: &ServiceKey, spec: &GoodGoServiceSpec, report: &mut Report) {
    let path = format!("spec.gateway.routes[{}]", route.name);
    if route.max_body.as_ref().is_some_and(|size| Quantity::parse(size.as_str()).is_none()) {
        report.add(&format!("{path}.maxBody"), "write a positive quantity, such as 1Mi");
    }
    check_headers(route, &path, report);
    let durations = [
        ("rateLimit.period", route.rate_limit.as_ref().map(|limit| &limit.period)),
        ("cors.maxAge", route.cors.as_ref().and_then(|cors| cors.max_age.as_ref())),
        ("circuitBreaker.resetAfter", route.circuit_breaker.as_ref().map(|breaker| &breaker.reset_after)),
    ];
    for (field, duration) in durations {
        if let Some(duration) = duration {
            super::seconds(&format!("{path}.{field}"), duration, report);
        }
    }
    let pod_alone = route.auth.at == Some(AuthAt::Pod) || route.auth.jwt.is_some();
    if !spec.runtime_enabled() && pod_alone {
        report.add(
            &format!("{path}.auth"),
            "the runtime is off, and nothing in the pod could check it: switch the runtime on",
        );
    }
    let in_the_pod = route.auth.asked_by_gateway(spec.runtime_enabled()).is_none();
    if let Some(forward) = route.auth.forward.as_ref().filter(|_| in_the_pod)
        && inbound::call_to(forward, spec, &key.namespace).is_none()
    {
        report.add(
            &format!("{path}.auth.forward.service"),
            &format!("the pod asks {} as one of its calls: declare it in spec.calls", forward.service),
        );
    }
}

/// Response headers as RFC 9110 has them. Traefik takes an empty value for a header to remove.
fn check_headers(route: &Route, path: &str, report: &mut Report) {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    for (name, value) in &route.headers {
        let path = format!("{path}.headers[{name}]");
        let value = value.0.as_str();
        if name.is_empty() || !name.bytes().all(token) {
            report.add(&path, "a header's name has letters, digits and '-'");
        }
        if value.is_empty()
            || value.trim() != value
            || !value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        {
            report.add(&path, "a header's value is visible ASCII, not empty, without spaces at its ends");
        }
    }
}
