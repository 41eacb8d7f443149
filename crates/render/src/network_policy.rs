//! Who may connect to the pods and whom they may connect to; everything else is denied, in both directions. Never off.
//!
//! It selects the pods of both tracks and of migrations. With the runtime on, the app's own port is opened to nobody. A
//! call opens the caller's egress and the callee's ingress from the same facts of the fleet, so both exist or neither.
//! The runtime's port stays open when the runtime is off: pods that still have one are reached until they are replaced.

mod egress;
mod ingress;

use crate::labels;
use crate::platform::{PlatformConfig, PodSelector};
use crate::pod::{filled, protocol_name};
use crate::validate::ValidatedService;
use goodgo_api::workload::PortProtocol;
use goodgo_fleet::{AdditionalPort, FleetView, ServiceKey};
use goodgo_runtime_config::ports;
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn network_policy(
    service: &ValidatedService,
    fleet: &FleetView,
    platform: &PlatformConfig,
) -> Option<NetworkPolicy> {
    let pods = BTreeMap::from([(labels::SERVICE.to_owned(), service.name().to_owned())]);
    Some(NetworkPolicy {
        metadata: labels::metadata(service, &service.names().network_policy),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(labels::match_labels(pods)),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: filled(ingress::rules(service, fleet, platform)),
            egress: filled(egress::rules(service, fleet, platform)),
        }),
    })
}

/// The pod's ports that a caller may connect to.
fn callee_ports(runtime: bool, tcp: bool, app_port: u16, more: &[AdditionalPort]) -> Vec<NetworkPolicyPort> {
    let mut list = Vec::new();
    if !tcp {
        list.push(port(ports::SERVICE, PortProtocol::Tcp));
    }
    if !runtime {
        list.push(port(app_port, PortProtocol::Tcp));
    }
    list.extend(more.iter().map(|more| port(more.port, more.transport)));
    list
}

fn port(number: u16, protocol: PortProtocol) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(i32::from(number))),
        protocol: Some(protocol_name(protocol).to_owned()),
        end_port: None,
    }
}

fn tcp(number: u16) -> Vec<NetworkPolicyPort> {
    vec![port(number, PortProtocol::Tcp)]
}

/// Pods of these services, one peer for each namespace: a service with a thousand callers keeps a short policy.
fn services<'a>(keys: impl IntoIterator<Item = &'a ServiceKey>) -> Vec<NetworkPolicyPeer> {
    let mut by_namespace: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for key in keys {
        by_namespace.entry(&key.namespace).or_default().insert(&key.name);
    }
    by_namespace
        .into_iter()
        .map(|(namespace, names)| NetworkPolicyPeer {
            namespace_selector: Some(namespace_named(namespace)),
            pod_selector: Some(LabelSelector {
                match_labels: None,
                match_expressions: Some(vec![LabelSelectorRequirement {
                    key: labels::SERVICE.to_owned(),
                    operator: "In".to_owned(),
                    values: Some(names.into_iter().map(str::to_owned).collect()),
                }]),
            }),
            ip_block: None,
        })
        .collect()
}

/// The pods that the platform's configuration names; the whole namespace where it gives no labels.
fn pods(selector: &PodSelector) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(namespace_named(&selector.namespace)),
        pod_selector: (!selector.pod_labels.is_empty())
            .then(|| labels::match_labels(selector.pod_labels.clone())),
        ip_block: None,
    }
}

fn namespace_named(name: &str) -> LabelSelector {
    labels::match_labels(BTreeMap::from([(labels::NAMESPACE_NAME.to_owned(), name.to_owned())]))
}

fn range(cidr: &str, except: Vec<String>) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock { cidr: cidr.to_owned(), except: filled(except) }),
        ..NetworkPolicyPeer::default()
    }
}

/// These ranges, or, where none are given, everywhere but the platform's private ones.
fn ranges<'a>(
    cidrs: Option<impl IntoIterator<Item = &'a str>>,
    platform: &PlatformConfig,
) -> Vec<NetworkPolicyPeer> {
    if let Some(cidrs) = cidrs {
        return cidrs.into_iter().map(|cidr| range(cidr, Vec::new())).collect();
    }
    let (v6, v4): (Vec<_>, Vec<_>) =
        platform.private_ranges.iter().cloned().partition(|cidr| cidr.contains(':'));
    vec![range("0.0.0.0/0", v4), range("::/0", v6)]
}
