//! Cases: a service, its neighbours and the platform, and the manifest that comes of them.

use goodgo_api::GoodGoService;
use goodgo_fleet::{Declaration, Fleet, FleetView, ServiceKey};
use goodgo_render::{Children, Observed, PlatformConfig, ValidatedService, not_active, render};
use goodgo_runtime_config::Issuer;
use serde_json::Value;
use std::fmt::Write as _;

/// A service among others.
pub(crate) struct Case {
    /// The service under test first, its neighbours after it.
    pub(crate) services: Vec<GoodGoService>,
    /// The platform's configuration.
    pub(crate) platform: PlatformConfig,
}

impl Case {
    /// What the service sees of its neighbours.
    pub(crate) fn view(&self) -> FleetView {
        let mut fleet = Fleet::default();
        for service in &self.services {
            fleet.upsert(key(service), Declaration::from_service(service));
        }
        fleet.view(&key(&self.services[0]))
    }

    /// The service, validated.
    pub(crate) fn validated(&self) -> ValidatedService {
        ValidatedService::new(&self.services[0], &self.platform)
            .unwrap_or_else(|violations| panic!("{}: {violations:#?}", key(&self.services[0])))
    }

    /// Its children.
    pub(crate) fn children(&self) -> Children {
        let observed = Observed { canary_available: 100 };
        render(&self.validated(), &self.view(), &self.platform, &issuers(), observed).unwrap()
    }

    /// The children as one YAML file; what is not in an object stands in comments before them.
    pub(crate) fn manifest(&self) -> String {
        let children = self.children();
        let mut text = String::new();
        if let Some(replicas) = children.initial_replicas {
            writeln!(text, "# initial replicas: {replicas}").unwrap();
        }
        if let Some(job) = children.deployment_waits_for() {
            writeln!(text, "# the Deployment waits for: {job}").unwrap();
        }
        for part in not_active(&self.validated(), &self.view(), &self.platform) {
            writeln!(text, "# not active: {}", part.field).unwrap();
        }
        let objects: Vec<Value> = children.objects().unwrap().into_iter().map(|child| child.object).collect();
        let options = serde_saphyr::ser_options! { compact_list_indent: true };
        text + &serde_saphyr::to_string_multiple_with_options(&objects, options).unwrap()
    }
}

/// The cluster's issuer with one key, as an API server publishes it.
pub(crate) fn issuers() -> Vec<Issuer> {
    let key = serde_json::json!({
        "use": "sig", "kty": "RSA", "kid": "example", "alg": "RS256", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W", "e": "AQAB",
    });
    let keys = vec![serde_json::from_value(key).unwrap()];
    vec![Issuer { issuer: "https://kubernetes.default.svc.cluster.local".to_owned(), keys }]
}

/// Under which name a service stands in the fleet.
pub(crate) fn key(service: &GoodGoService) -> ServiceKey {
    let metadata = &service.metadata;
    ServiceKey::new(metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}
