//! The runtime's hot configuration as the pods mount it. Off with the runtime.

use crate::error::RenderError;
use crate::labels;
use crate::platform::PlatformConfig;
use crate::runtime_config::runtime_config;
use crate::validate::ValidatedService;
use goodgo_fleet::FleetView;
use goodgo_runtime_config::{FILE_NAME, Issuer};
use k8s_openapi::api::core::v1::ConfigMap;
use std::collections::BTreeMap;

/// The ConfigMap, and the revision of what is in it.
pub(crate) fn config_map(
    service: &ValidatedService,
    fleet: &FleetView,
    platform: &PlatformConfig,
    issuers: &[Issuer],
) -> Result<Option<(ConfigMap, String)>, RenderError> {
    if !service.has_sidecar() {
        return Ok(None);
    }
    let config = runtime_config(service, fleet, platform, issuers)?;
    let map = ConfigMap {
        metadata: labels::metadata(service, &service.names().config_map),
        data: Some(BTreeMap::from([(FILE_NAME.to_owned(), config.to_json()?)])),
        ..ConfigMap::default()
    };
    Ok(Some((map, config.revision)))
}
