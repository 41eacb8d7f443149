//! Where the gateway finds the pods: the runtime's port for it, or with the runtime off the app's. Off where nothing at the
//! gateway leads to the service.
//!
//! An object of its own, because who authenticates moves with the port: from the pods to the gateway when the runtime is
//! switched off, and back. So it is applied after the routes in the first case and before them in the second, and a route
//! is closed in between, never open.

use crate::ingress_route;
use crate::labels;
use crate::service::app_protocol;
use crate::validate::ValidatedService;
use goodgo_fleet::FleetView;
use goodgo_runtime_config::ports;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Its port has the runtime's number in both cases, which no other port of a Service can have.
pub(crate) fn gateway_service(service: &ValidatedService, fleet: &FleetView) -> Option<Service> {
    if service.spec().gateway.is_none() && fleet.asked.is_empty() {
        return None;
    }
    let target = if service.runtime_on_port() { "gateway" } else { "service" };
    let port = ServicePort {
        name: Some(ingress_route::PORT.to_owned()),
        port: i32::from(ports::GATEWAY),
        target_port: Some(IntOrString::String(target.to_owned())),
        protocol: Some("TCP".to_owned()),
        app_protocol: app_protocol(service.spec().protocol).map(str::to_owned),
        node_port: None,
    };
    Some(Service {
        metadata: labels::metadata(service, &service.names().gateway_service),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(labels::selector(service)),
            ports: Some(vec![port]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    })
}
