//! Who may connect to the pods: accepted callers, the gateway, and those who look at the runtime.

use super::{callee_ports, pods, services, tcp};
use crate::platform::PlatformConfig;
use crate::validate::ValidatedService;
use goodgo_api::Protocol;
use goodgo_fleet::{AdditionalPort, FleetView};
use goodgo_runtime_config::ports;
use k8s_openapi::api::networking::v1::NetworkPolicyIngressRule;

pub(super) fn rules(
    service: &ValidatedService,
    fleet: &FleetView,
    platform: &PlatformConfig,
) -> Vec<NetworkPolicyIngressRule> {
    let spec = service.spec();
    let mut rules = Vec::new();
    if !fleet.callers.is_empty() {
        let mut more: Vec<_> = spec
            .additional_ports
            .iter()
            .map(|port| AdditionalPort {
                name: port.name.0.clone(),
                port: port.port.0,
                transport: port.protocol,
            })
            .collect();
        more.sort();
        let tcp = spec.protocol == Protocol::Tcp;
        rules.push(NetworkPolicyIngressRule {
            from: Some(services(fleet.callers.keys())),
            ports: Some(callee_ports(service.runtime_on_port(), tcp, spec.port.0, &more)),
        });
    }
    if spec.gateway.is_some() || !fleet.asked.is_empty() {
        let port = if service.runtime_on_port() { ports::GATEWAY } else { spec.port.0 };
        rules.push(NetworkPolicyIngressRule {
            from: Some(vec![pods(&platform.gateway.pods)]),
            ports: Some(tcp(port)),
        });
    }
    if service.has_sidecar() {
        let watchers = std::iter::once(&platform.operator).chain(&platform.monitoring);
        rules.push(NetworkPolicyIngressRule {
            from: Some(watchers.map(pods).collect()),
            ports: Some(tcp(ports::ADMIN)),
        });
    }
    rules
}
