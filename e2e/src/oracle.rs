//! What must be true of what the operator made, said without the operator's code.
//!
//! [`children`] tells what was derived and whether anybody touched it, [`policy`] evaluates
//! NetworkPolicies, [`metrics`] reads Prometheus text, [`Times`] sums up measurements.

mod children;
pub mod metrics;
pub mod policy;

pub use children::{Child, Children, children};

use anyhow::{Context, Result};
use kube::core::ApiResource;
use std::fmt;
use std::io::Write;
use std::time::Duration;

/// Kinds of children that a service may have, in the order of the product's description.
pub const CHILD_KINDS: [&str; 12] = [
    "ServiceAccount",
    "Deployment",
    "Service",
    "HorizontalPodAutoscaler",
    "PodDisruptionBudget",
    "NetworkPolicy",
    "Job",
    "ConfigMap",
    "Middleware",
    "ServersTransport",
    "TraefikService",
    "IngressRoute",
];

/// How the API server calls a kind.
///
/// # Errors
/// When the harness does not know it.
pub fn kind(name: &str) -> Result<ApiResource> {
    let (group, version, plural) = match name {
        "Namespace" => ("", "v1", "namespaces"),
        "Pod" => ("", "v1", "pods"),
        "Service" => ("", "v1", "services"),
        "ServiceAccount" => ("", "v1", "serviceaccounts"),
        "ConfigMap" => ("", "v1", "configmaps"),
        "Secret" => ("", "v1", "secrets"),
        "Deployment" => ("apps", "v1", "deployments"),
        "Job" => ("batch", "v1", "jobs"),
        "HorizontalPodAutoscaler" => ("autoscaling", "v2", "horizontalpodautoscalers"),
        "PodDisruptionBudget" => ("policy", "v1", "poddisruptionbudgets"),
        "NetworkPolicy" => ("networking.k8s.io", "v1", "networkpolicies"),
        "GoodGoService" => ("goodgo.io", "v1alpha1", "goodgoservices"),
        "CustomResourceDefinition" => ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
        "Middleware" => ("traefik.io", "v1alpha1", "middlewares"),
        "ServersTransport" => ("traefik.io", "v1alpha1", "serverstransports"),
        "TraefikService" => ("traefik.io", "v1alpha1", "traefikservices"),
        "IngressRoute" => ("traefik.io", "v1alpha1", "ingressroutes"),
        "Lease" => ("coordination.k8s.io", "v1", "leases"),
        _ => return None.with_context(|| format!("failed to know the kind {name}: add it to the oracle")),
    };
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Ok(ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version,
        kind: name.to_owned(),
        plural: plural.to_owned(),
    })
}

/// Tells what was measured, also when the test passes and the harness keeps its output back.
pub fn tell(line: &str) {
    // Where nobody listens, nothing is lost.
    let _ = writeln!(std::io::stderr(), "  · {line}");
}

/// How long a thing took, each time.
#[derive(Debug, Clone, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// One more.
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// The time within which so many percent of them were done (nearest rank); nothing took no time.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }
}

impl Times {
    /// Those of another as well.
    pub fn merge(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }
}

impl Extend<Duration> for Times {
    fn extend<T: IntoIterator<Item = Duration>>(&mut self, times: T) {
        self.0.extend(times);
    }
}

impl fmt::Display for Times {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [half, most, max] = [50, 95, 100].map(|percent| self.percentile(percent));
        write!(formatter, "p50 {half:.1?}, p95 {most:.1?}, max {max:.1?} of {}", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut times = Times::default();
        assert_eq!(times.percentile(95), Duration::ZERO);
        times.extend((1..=20).rev().map(Duration::from_millis));
        assert_eq!([50, 95, 100].map(|p| times.percentile(p).as_millis()), [10, 19, 20]);
    }
}
