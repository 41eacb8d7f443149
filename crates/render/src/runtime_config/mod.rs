//! The runtime's hot configuration from a validated service: one file a group, everything of it hot.
//!
//! What depends on the spec alone is made from the spec alone, because validation asks the runtime's own bounds about it
//! (`validate/runtime.rs`): what the runtime would refuse is refused at the service, with its path, and never rendered.

pub(crate) mod calls;
pub(crate) mod health;
pub(crate) mod inbound;
pub(crate) mod observability;

use crate::error::RenderError;
use crate::platform::PlatformConfig;
use crate::validate::ValidatedService;
use crate::{hash, pod};
use goodgo_api::types::Duration;
use goodgo_api::{GoodGoServiceSpec, Protocol};
use goodgo_fleet::FleetView;
use goodgo_runtime_config::{
    self as runtime, Drain, Issuer, Milliseconds, PreStop, RuntimeConfig, ServiceRef,
};

/// The whole file; its revision is the hash of its content.
pub(crate) fn runtime_config(
    service: &ValidatedService,
    fleet: &FleetView,
    platform: &PlatformConfig,
    issuers: &[Issuer],
) -> Result<RuntimeConfig, RenderError> {
    let spec = service.spec();
    let (settle_seconds, timeout_seconds) = pod::drain_seconds(service);
    let mut config = RuntimeConfig {
        version: runtime::Version::V1Alpha1,
        revision: String::new(),
        service: ServiceRef { name: service.name().to_owned(), namespace: service.namespace().to_owned() },
        protocol: protocol(spec.protocol),
        calls: calls::calls(service, fleet, platform),
        inbound: inbound::inbound(service, fleet, platform, issuers),
        health: health::health(spec, &service.parsed().probes, platform),
        observability: observability::observability(spec, platform),
        drain: Drain { settle_seconds, timeout_seconds, pre_stop: pre_stop(spec) },
    };
    config.revision = hash::hex(config.content()?.as_bytes(), 8);
    Ok(config)
}

/// The app's own hook, which the runtime calls at the end of its drain.
pub(crate) fn pre_stop(spec: &GoodGoServiceSpec) -> Option<PreStop> {
    let hook = spec.pre_stop.as_ref()?.http.as_ref()?;
    Some(PreStop { port: hook.port.unwrap_or(spec.port).0, path: hook.path.to_string() })
}

const fn protocol(protocol: Protocol) -> runtime::Protocol {
    match protocol {
        Protocol::Grpc => runtime::Protocol::Grpc,
        Protocol::Graphql => runtime::Protocol::Graphql,
        // Beside a TCP app the runtime serves its calls alone, which are HTTP.
        Protocol::Http | Protocol::Tcp => runtime::Protocol::Http,
    }
}

/// What can't be read becomes 0, which the runtime's bounds refuse and validation therefore reports.
pub(crate) fn milliseconds(duration: &Duration) -> Milliseconds {
    duration.to_std().ok().and_then(|time| u64::try_from(time.as_millis()).ok()).unwrap_or_default()
}
