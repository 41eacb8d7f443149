//! Whom the pods may connect to: DNS, accepted callees, external callees and dependencies, Kafka and the trace collector.

use super::{callee_ports, pods, port, range, ranges, services, tcp};
use crate::platform::{PlatformConfig, url_port};
use crate::pod::filled;
use crate::validate::ValidatedService;
use crate::{calls, labels};
use goodgo_api::Protocol;
use goodgo_api::calls::{ExternalCall, ExternalProtocol};
use goodgo_api::dependencies::EgressTarget;
use goodgo_api::types::Cidr;
use goodgo_api::workload::PortProtocol;
use goodgo_fleet::{CallView, FleetView};
use k8s_openapi::api::networking::v1::{NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn rules(
    service: &ValidatedService,
    fleet: &FleetView,
    platform: &PlatformConfig,
) -> Vec<NetworkPolicyEgressRule> {
    let mut rules = vec![dns(platform)];
    rules.extend(callees(fleet));
    rules.extend(external(service, platform));
    rules.extend(dependencies(service, platform));
    rules.extend(key_sets(service, platform));
    rules.push(kafka(service, platform));
    rules.push(tracing(platform));
    rules.into_iter().flatten().collect()
}

/// A rule; none without a peer, because an empty list of peers means everybody.
fn rule(to: Vec<NetworkPolicyPeer>, ports: Vec<NetworkPolicyPort>) -> Option<NetworkPolicyEgressRule> {
    Some(NetworkPolicyEgressRule { to: Some(filled(to)?), ports: Some(filled(ports)?) })
}

fn dns(platform: &PlatformConfig) -> Option<NetworkPolicyEgressRule> {
    let to = platform
        .dns
        .pods
        .iter()
        .map(pods)
        .chain(platform.dns.cidrs.iter().map(|cidr| range(cidr, Vec::new())));
    let ports = platform.dns.ports.iter();
    let ports = ports.flat_map(|number| [port(*number, PortProtocol::Udp), port(*number, PortProtocol::Tcp)]);
    rule(to.collect(), ports.collect())
}

/// One rule for each callee, however many calls lead to it, sorted by namespace and name.
fn callees(fleet: &FleetView) -> Vec<Option<NetworkPolicyEgressRule>> {
    let callees: BTreeMap<_, &CallView> = fleet.calls.values().map(|call| (&call.callee, call)).collect();
    let rules = callees.into_values().filter_map(|call| {
        let endpoint = call.endpoint()?;
        let tcp = endpoint.protocol == Protocol::Tcp;
        Some(rule(
            services([&call.callee]),
            callee_ports(endpoint.runtime, tcp, endpoint.app_port, &endpoint.additional_ports),
        ))
    });
    rules.collect()
}

fn external(service: &ValidatedService, platform: &PlatformConfig) -> Vec<Option<NetworkPolicyEgressRule>> {
    let mut calls: Vec<_> = service.spec().external_calls.iter().collect();
    calls.sort_by(|a, b| a.name.cmp(&b.name));
    calls
        .into_iter()
        .map(|call| {
            let ports = external_ports(call).into_iter().map(|number| port(number, PortProtocol::Tcp));
            rule(ranges(texts(call.cidrs.as_deref()), platform), ports.collect())
        })
        .collect()
}

fn external_ports(call: &ExternalCall) -> Vec<u16> {
    if call.protocol != ExternalProtocol::Tcp {
        return vec![calls::external_port(call)];
    }
    call.port.iter().chain(call.ports.iter().flatten()).map(|port| port.0).collect()
}

fn dependencies(
    service: &ValidatedService,
    platform: &PlatformConfig,
) -> Vec<Option<NetworkPolicyEgressRule>> {
    let Some(dependencies) = &service.spec().dependencies else { return Vec::new() };
    let targets =
        dependencies.database.iter().chain(&dependencies.redis).flat_map(|dependency| &dependency.to);
    targets.map(|target| rule(target_peers(target, platform), tcp(target.port.0))).collect()
}

/// Where the runtime fetches the keys of the issuers that routes trust; everywhere but the platform's private ranges.
fn key_sets(service: &ValidatedService, platform: &PlatformConfig) -> Vec<Option<NetworkPolicyEgressRule>> {
    if !service.runtime_on_port() {
        return Vec::new();
    }
    let routes = service.spec().gateway.iter().flat_map(|gateway| &gateway.routes);
    let urls = routes.filter_map(|route| Some(route.auth.jwt.as_ref()?.jwks.as_str()));
    let ports: BTreeSet<u16> = urls.filter_map(url_port).collect();
    let ranges = || ranges(None::<std::iter::Empty<&str>>, platform);
    ports.into_iter().map(|port| rule(ranges(), tcp(port))).collect()
}

fn target_peers(target: &EgressTarget, platform: &PlatformConfig) -> Vec<NetworkPolicyPeer> {
    let Some(pod_labels) = &target.pod_labels else {
        return ranges(texts(target.cidrs.as_deref()), platform);
    };
    let pod_labels = pod_labels.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect();
    vec![NetworkPolicyPeer {
        namespace_selector: target.namespace.as_ref().map(|name| super::namespace_named(name.as_str())),
        pod_selector: Some(labels::match_labels(pod_labels)),
        ip_block: None,
    }]
}

fn kafka(service: &ValidatedService, platform: &PlatformConfig) -> Option<NetworkPolicyEgressRule> {
    let spec = service.spec();
    let events = spec.events.as_ref().is_some_and(|e| !e.publishes.is_empty() || !e.subscribes.is_empty());
    let declared = spec.dependencies.as_ref().is_some_and(|dependencies| dependencies.kafka.is_some());
    let brokers = platform.kafka.as_ref().filter(|_| events || declared).map(|kafka| &kafka.brokers)?;
    let to = brokers.pods.iter().map(pods).chain(brokers.cidrs.iter().map(|cidr| range(cidr, Vec::new())));
    rule(to.collect(), brokers.ports.iter().map(|number| port(*number, PortProtocol::Tcp)).collect())
}

fn tracing(platform: &PlatformConfig) -> Option<NetworkPolicyEgressRule> {
    let tracing = platform.tracing.as_ref()?;
    let to = tracing.pods.iter().map(pods).chain(tracing.cidrs.iter().map(|cidr| range(cidr, Vec::new())));
    rule(to.collect(), tcp(url_port(&tracing.otlp_endpoint)?))
}

fn texts(cidrs: Option<&[Cidr]>) -> Option<impl Iterator<Item = &str>> {
    cidrs.map(|cidrs| cidrs.iter().map(Cidr::as_str))
}
