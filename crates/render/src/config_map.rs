//! The runtime's hot configuration. Off with the runtime.

use crate::error::RenderError;
use crate::platform::PlatformConfig;
use crate::validate::ValidatedService;
use crate::{calls, hash, labels, pod};
use goodgo_api::Protocol;
use goodgo_fleet::FleetView;
use goodgo_runtime_config::{
    self as runtime, Authentication, Drain, FILE_NAME, Health, Inbound, Observability, RuntimeConfig,
    ServiceRef,
};
use k8s_openapi::api::core::v1::ConfigMap;
use std::collections::BTreeMap;

pub(crate) fn config_map(
    service: &ValidatedService,
    fleet: &FleetView,
    platform: &PlatformConfig,
) -> Result<Option<ConfigMap>, RenderError> {
    if !service.has_sidecar() {
        return Ok(None);
    }
    let file = runtime_config(service, fleet, platform)?.to_json()?;
    Ok(Some(ConfigMap {
        metadata: labels::metadata(service, &service.names().config_map),
        data: Some(BTreeMap::from([(FILE_NAME.to_owned(), file)])),
        ..ConfigMap::default()
    }))
}

fn runtime_config(
    service: &ValidatedService,
    fleet: &FleetView,
    platform: &PlatformConfig,
) -> Result<RuntimeConfig, RenderError> {
    let (settle_seconds, timeout_seconds) = pod::drain_seconds(service);
    let mut config = RuntimeConfig {
        version: runtime::Version::V1Alpha1,
        revision: String::new(),
        service: ServiceRef { name: service.name().to_owned(), namespace: service.namespace().to_owned() },
        protocol: match service.spec().protocol {
            Protocol::Grpc => runtime::Protocol::Grpc,
            Protocol::Graphql => runtime::Protocol::Graphql,
            // Beside a TCP app the runtime serves its calls alone, which are HTTP.
            Protocol::Http | Protocol::Tcp => runtime::Protocol::Http,
        },
        calls: calls::targets(service, fleet, platform),
        // Tokens are not mounted yet: nobody could prove anything.
        inbound: Inbound {
            authentication: Authentication { required: false, ..Authentication::default() },
            ..Inbound::default()
        },
        health: Health::default(),
        observability: Observability::default(),
        drain: Drain { settle_seconds, timeout_seconds },
    };
    config.revision = hash::hex(config.content()?.as_bytes(), 8);
    Ok(config)
}
