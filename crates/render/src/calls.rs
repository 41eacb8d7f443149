//! Declared calls as the pod sees them: which go through the runtime, on which loopback port, and where they lead.

use crate::platform::PlatformConfig;
use crate::validate::ValidatedService;
use goodgo_api::Protocol;
use goodgo_api::calls::{ExternalCall, ExternalProtocol};
use goodgo_fleet::{CallView, Endpoint, FleetView};
use goodgo_runtime_config::{self as runtime, Scheme, ports};
use std::collections::BTreeMap;

/// The runtime's loopback port of each call that goes through it, by the call's name.
///
/// They are numbered in sorted order, so the order in the manifest means nothing. A callee that is missing counts as
/// HTTP: its listener answers 503 until the callee appears, and the pod need not be replaced then.
pub(crate) fn listeners(service: &ValidatedService, fleet: &FleetView) -> BTreeMap<String, u16> {
    if !service.has_sidecar() {
        return BTreeMap::new();
    }
    let spec = service.spec();
    let calls = spec.calls.iter().map(|call| call.name().0).filter(|name| !is_tcp(fleet, name));
    let external = spec.external_calls.iter().filter(|call| call.protocol != ExternalProtocol::Tcp);
    let names: std::collections::BTreeSet<_> =
        calls.chain(external.map(|call| call.name.0.clone())).collect();
    names.into_iter().zip(ports::CALLS_FROM..=ports::RESERVED_TO).collect()
}

/// Where each of these calls leads, for the runtime's configuration.
pub(crate) fn targets(
    service: &ValidatedService,
    fleet: &FleetView,
    platform: &PlatformConfig,
) -> BTreeMap<String, runtime::Call> {
    let listeners = listeners(service, fleet);
    let external =
        service.spec().external_calls.iter().map(|call| (call.name.0.clone(), external_target(call)));
    let calls = service.spec().calls.iter().map(|call| {
        let name = call.name().0;
        let target = target(service, fleet.calls.get(&name), platform);
        (name, target)
    });
    calls.chain(external).filter(|(name, _)| listeners.contains_key(name)).collect()
}

/// Where a callee is reached, when the call works.
pub(crate) fn endpoint<'a>(fleet: &'a FleetView, name: &str) -> Option<(&'a CallView, &'a Endpoint)> {
    let call = fleet.calls.get(name)?;
    Some((call, call.endpoint()?))
}

/// Whether a call leads to an app that speaks TCP, which no runtime stands before.
pub(crate) fn is_tcp(fleet: &FleetView, name: &str) -> bool {
    endpoint(fleet, name).is_some_and(|(_, endpoint)| endpoint.protocol == Protocol::Tcp)
}

/// Port of an external call that is not TCP.
pub(crate) fn external_port(call: &ExternalCall) -> u16 {
    let convention = if call.protocol == ExternalProtocol::Http { 80 } else { 443 };
    call.port.map_or(convention, |port| port.0)
}

fn target(service: &ValidatedService, call: Option<&CallView>, platform: &PlatformConfig) -> runtime::Call {
    let Some(call) = call else {
        return runtime::Call::unavailable(
            "CalleeMissing",
            "the callee is not known yet: try again in a moment",
        );
    };
    match call.endpoint() {
        Some(endpoint) => {
            let host = platform.dns_name(&call.callee.name, &call.callee.namespace);
            runtime::Call::to(Scheme::Http, host, endpoint.service_port)
        }
        None => runtime::Call::unavailable(
            call.reason().unwrap_or_default(),
            call.message(service.key()).unwrap_or_default(),
        ),
    }
}

fn external_target(call: &ExternalCall) -> runtime::Call {
    let scheme = if call.protocol == ExternalProtocol::Http { Scheme::Http } else { Scheme::Https };
    let host = call.host.as_ref().map(|host| host.0.clone()).unwrap_or_default();
    runtime::Call::to(scheme, host, external_port(call))
}
