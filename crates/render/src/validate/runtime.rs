//! The runtime's own bounds, asked about all that a spec alone decides of its configuration: what the runtime would
//! refuse is refused here, at the field that says it, and rendering can't meet it any more.

use super::Probes;
use super::violation::Report;
use crate::platform::PlatformConfig;
use crate::runtime_config::{calls, health, inbound, observability, pre_stop};
use goodgo_api::GoodGoServiceSpec;
use goodgo_fleet::ServiceKey;
use goodgo_runtime_config::{Drain, Error, Inbound, Protocol, RuntimeConfig, ServiceRef, Version, Violation};

pub(super) fn check(
    key: &ServiceKey,
    spec: &GoodGoServiceSpec,
    probes: &Probes,
    platform: &PlatformConfig,
    report: &mut Report,
) {
    let routes = inbound::routes(spec, &key.namespace);
    let names: Vec<_> = routes.iter().map(|route| route.name.clone()).collect();
    let config = RuntimeConfig {
        version: Version::V1Alpha1,
        revision: "0".to_owned(),
        service: ServiceRef { name: "service".to_owned(), namespace: "namespace".to_owned() },
        protocol: Protocol::Http,
        calls: calls::policies(spec),
        inbound: Inbound { routes, event_paths: inbound::event_paths(spec), ..Inbound::default() },
        health: health::health(spec, probes, platform),
        observability: observability::observability(spec, platform),
        drain: Drain { pre_stop: pre_stop(spec), ..Drain::default() },
    };
    let Err(Error::Invalid(violations)) = config.validate() else { return };
    for violation in violations {
        if let Some((path, message)) = at_the_service(&violation, spec, &names) {
            report.add(&path, &message);
        }
    }
}

/// Where the service says what the runtime would refuse; `None` for what other checks say already.
fn at_the_service(
    violation: &Violation,
    spec: &GoodGoServiceSpec,
    routes: &[String],
) -> Option<(String, String)> {
    let Violation { path, message } = violation;
    let path = if let Some(rest) = path.strip_prefix("calls.") {
        let (name, rest) = rest.split_once('.')?;
        let rest = rest.trim_start_matches("policy.").trim_start_matches("target.");
        let external = spec.external_calls.iter().any(|call| call.name.as_str() == name);
        format!("spec.{}[{name}].{rest}", if external { "externalCalls" } else { "calls" })
    } else if let Some(rest) = path.strip_prefix("inbound.routes[") {
        let (index, rest) = rest.split_once("].")?;
        let name = routes.get(index.parse::<usize>().ok()?)?;
        // That the auth service is called is checked by the gateway's own rules.
        (rest != "auth.forward.call").then(|| format!("spec.gateway.routes[{name}].{rest}"))?
    } else if let Some(rest) = path.strip_prefix("health.app.") {
        format!("spec.health.{rest}")
    } else if path.starts_with("health.kafka") || path.starts_with("observability.tracing") {
        return None; // the platform's own configuration, checked where it is read
    } else if let Some(rest) = path.strip_prefix("health.") {
        format!("spec.dependencies.{rest}")
    } else if let Some(rest) = path.strip_prefix("drain.preStop.") {
        format!("spec.preStop.http.{rest}")
    } else if let Some(rest) = path.strip_prefix("observability.appMetrics.") {
        format!("spec.observability.metrics.{rest}")
    } else {
        format!("spec.events.subscribes ({path})")
    };
    Some(match path.strip_suffix("Ms") {
        Some(path) => (path.to_owned(), "write 1ms to 30d: one number and one unit, such as 30s".to_owned()),
        None => (path, message.clone()),
    })
}
