//! The gateway group against the platform's configuration: permitted domains, and TLS where the profile requires it.

use super::violation::Report;
use crate::platform::{GatewayTls, PlatformConfig};
use crate::quantity::Quantity;
use crate::runtime_config::inbound;
use goodgo_api::GoodGoServiceSpec;
use goodgo_api::gateway::{AuthAt, Route};
use goodgo_fleet::ServiceKey;

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
    let domains = &platform.gateway.domains;
    let hosts =
        [("spec.gateway.hosts", &gateway.hosts), ("spec.gateway.redirectFrom", &gateway.redirect_from)];
    for (path, hosts) in hosts {
        for (index, host) in hosts.iter().enumerate() {
            if !domains.is_empty() && !domains.iter().any(|domain| domain.covers(host.as_str())) {
                let permitted: Vec<_> = domains.iter().map(|domain| domain.domain.as_str()).collect();
                report.add(
                    &format!("{path}[{index}]"),
                    &format!(
                        "{host} is outside the platform's domains: use {} or a name below",
                        permitted.join(", ")
                    ),
                );
            }
        }
    }
    let required = platform.profile().tls == GatewayTls::Required;
    if required && gateway.tls.is_none() && platform.gateway.default_issuer.is_none() {
        report.add("spec.gateway.tls", "production needs TLS: name a secret or an issuer");
    }
}

fn check_route(route: &Route, key: &ServiceKey, spec: &GoodGoServiceSpec, report: &mut Report) {
    let path = format!("spec.gateway.routes[{}]", route.name);
    if route.max_body.as_ref().is_some_and(|size| Quantity::parse(size.as_str()).is_none()) {
        report.add(&format!("{path}.maxBody"), "write a positive quantity, such as 1Mi");
    }
    let pod_alone = route.auth.at == Some(AuthAt::Pod) || route.auth.jwt.is_some();
    if !spec.runtime_enabled() && pod_alone {
        report.add(
            &format!("{path}.auth"),
            "the runtime is off, and nothing in the pod could check it: switch the runtime on",
        );
    }
    let in_the_pod = spec.runtime_enabled() && route.auth.at != Some(AuthAt::Gateway);
    if let Some(forward) = route.auth.forward.as_ref().filter(|_| in_the_pod)
        && inbound::call_to(forward, spec, &key.namespace).is_none()
    {
        report.add(
            &format!("{path}.auth.forward.service"),
            &format!("the pod asks {} as one of its calls: declare it in spec.calls", forward.service),
        );
    }
}
