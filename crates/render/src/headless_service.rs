//! The addresses of the pods, so that runtimes balance over them. Its port is named `service` for every protocol: SRV
//! records of that name tell each pod's own port, which differs while the runtime is being switched.

use crate::labels;
use crate::service;
use crate::validate::ValidatedService;
use k8s_openapi::api::core::v1::{Service, ServiceSpec};

pub(crate) fn headless_service(validated: &ValidatedService) -> Option<Service> {
    Some(Service {
        metadata: labels::metadata(validated, &validated.names().headless_service),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            cluster_ip: Some("None".to_owned()),
            selector: Some(labels::selector(validated)),
            ports: Some(service::ports(validated, "service")),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    })
}
