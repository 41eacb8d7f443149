//! Declared calls as the pod sees them: which go through the runtime, on which loopback port, and with which tokens.

use crate::validate::ValidatedService;
use goodgo_api::Protocol;
use goodgo_api::calls::{ExternalCall, ExternalProtocol};
use goodgo_fleet::{CallView, Endpoint, FleetView, ServiceKey};
use goodgo_runtime_config::ports;
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

/// Callees of the calls that go through the runtime, by the call's name: each gets a token of its own. They are known
/// without the callee being there, so one that appears later rolls nothing.
pub(crate) fn identified(service: &ValidatedService, fleet: &FleetView) -> BTreeMap<String, ServiceKey> {
    let listeners = listeners(service, fleet);
    let calls = service.spec().calls.iter().filter_map(|call| {
        let name = call.name().0;
        let namespace = call.namespace.as_ref().map_or(service.namespace(), |name| name.as_str());
        let callee = ServiceKey::new(namespace, call.service.as_str());
        listeners.contains_key(&name).then_some((name, callee))
    });
    calls.collect()
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
