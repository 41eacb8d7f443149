//! The address of the service. It leads to the named port `service`: the runtime's, or with the runtime off the app's, so
//! that a switch of the runtime needs no change here and pods of both kinds are reached in the middle of it.

use crate::labels;
use crate::pod::protocol_name;
use crate::validate::ValidatedService;
use goodgo_api::Protocol;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

pub(crate) fn service(service: &ValidatedService) -> Option<Service> {
    Some(Service {
        metadata: labels::metadata(service, &service.names().service),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(labels::selector(service)),
            ports: Some(ports(service, port_name(service.spec().protocol))),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    })
}

/// The service's own port under `name`, then the additional ones sorted by name.
pub(crate) fn ports(service: &ValidatedService, name: &str) -> Vec<ServicePort> {
    let spec = service.spec();
    let own = ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(service.service_port()),
        target_port: Some(IntOrString::String("service".to_owned())),
        protocol: Some("TCP".to_owned()),
        app_protocol: app_protocol(spec.protocol).map(str::to_owned),
        node_port: None,
    };
    let mut more: Vec<_> = spec.additional_ports.iter().collect();
    more.sort_by(|a, b| a.name.cmp(&b.name));
    let more = more.into_iter().map(|port| ServicePort {
        name: Some(port.name.0.clone()),
        port: i32::from(port.port.0),
        target_port: Some(IntOrString::String(port.name.0.clone())),
        protocol: Some(protocol_name(port.protocol).to_owned()),
        app_protocol: None,
        node_port: None,
    });
    std::iter::once(own).chain(more).collect()
}

/// Name of the service's own port.
pub(crate) const fn port_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http | Protocol::Graphql => "http",
        Protocol::Grpc => "grpc",
        Protocol::Tcp => "tcp",
    }
}

/// What proxies read: an IANA name, or Kubernetes' own for HTTP/2 in the clear (KEP-3726). TCP has none.
pub(crate) const fn app_protocol(protocol: Protocol) -> Option<&'static str> {
    match protocol {
        Protocol::Http | Protocol::Graphql => Some("http"),
        Protocol::Grpc => Some("kubernetes.io/h2c"),
        Protocol::Tcp => None,
    }
}
