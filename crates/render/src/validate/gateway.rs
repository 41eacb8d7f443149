//! The gateway group against the platform's configuration: permitted domains, and TLS where the profile requires it.

use super::violation::Report;
use crate::platform::{GatewayTls, PlatformConfig};
use goodgo_api::GoodGoServiceSpec;

pub(super) fn check(spec: &GoodGoServiceSpec, platform: &PlatformConfig, report: &mut Report) {
    let Some(gateway) = &spec.gateway else { return };
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
