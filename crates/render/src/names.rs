//! Names of the children: injective (no service's child can meet another's) and at most 63 characters.
//!
//! A service's name has at most 40 characters and no `--`, so `<name>--<part>` can be split in one way only. The Service
//! and the Deployment carry the plain name, for DNS and for `kubectl rollout restart deployment/NAME`; kinds are separate
//! name spaces.

use crate::hash::short_hash;
use goodgo_api::types::ServiceName;
use goodgo_fleet::own_service_account;
use std::fmt;

/// Name of the headless Service of the service `name`, also of another's: callers look its pods up there.
pub(crate) fn headless_service(name: &str) -> String {
    format!("{name}--headless")
}

/// Name of a child; only a validated service can make one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildName(String);

impl ChildName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChildName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names of all children of one service, whether they are rendered or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The Service: the service's own name.
    pub service: ChildName,
    /// The Deployment: the service's own name too.
    pub deployment: ChildName,
    /// The headless Service.
    pub headless_service: ChildName,
    /// The ServiceAccount, unless the service names an existing one.
    pub service_account: ChildName,
    /// The ConfigMap of the runtime.
    pub config_map: ChildName,
    /// The NetworkPolicy.
    pub network_policy: ChildName,
    /// The HorizontalPodAutoscaler.
    pub horizontal_pod_autoscaler: ChildName,
    /// The PodDisruptionBudget.
    pub pod_disruption_budget: ChildName,
    /// The Certificate, and the Secret that cert-manager puts it into.
    pub certificate: ChildName,
}

impl Names {
    /// The names of the service `name`, whose grammar validation has checked.
    pub(crate) fn new(name: &ServiceName) -> Self {
        let part = |part: &str| ChildName(format!("{name}--{part}"));
        Self {
            service: ChildName(name.0.clone()),
            deployment: ChildName(name.0.clone()),
            headless_service: ChildName(headless_service(&name.0)),
            service_account: ChildName(own_service_account(&name.0)),
            config_map: part("runtime"),
            network_policy: part("policy"),
            horizontal_pod_autoscaler: part("hpa"),
            pod_disruption_budget: part("pdb"),
            certificate: part("tls"),
        }
    }

    /// Name of an object that stands beside the routes of the gateway, `part` of at most 21 characters without `--`.
    pub(crate) fn at_gateway(&self, part: &str) -> ChildName {
        ChildName(format!("{}--{part}", self.service))
    }

    /// Name of an object of one route, `part` of at most 11 characters. Where the names are too long together a hash
    /// stands for the route's, with a digit first, which no route's name has.
    pub(crate) fn of_route(&self, route: &str, part: &str) -> ChildName {
        let plain = format!("{}--{route}--{part}", self.service);
        if plain.len() <= 63 {
            return ChildName(plain);
        }
        let hash = short_hash(route.as_bytes());
        ChildName(format!("{}--0{}--{part}", self.service, hash.get(1..).unwrap_or_default()))
    }

    /// Name of the Job for a pod template with this hash (8 hex digits).
    pub(crate) fn migration_job(&self, hash: &str) -> ChildName {
        ChildName(format!("{}--migrate-{hash}", self.service))
    }
}
