//! How many pods a voluntary disruption may take. Off with `disruption.disabled`, and wherever it could keep a single pod from
//! being moved for ever.

use crate::deployment::amount;
use crate::labels;
use crate::platform::PlatformConfig;
use crate::validate::ValidatedService;
use goodgo_api::types::IntOrPercent;
use goodgo_api::workload::Disruption;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};

pub(crate) fn pod_disruption_budget(
    service: &ValidatedService,
    platform: &PlatformConfig,
) -> Option<PodDisruptionBudget> {
    let disruption = service.spec().disruption.clone().unwrap_or_default();
    let Disruption { max_unavailable, min_available, disabled } = disruption;
    let max_unavailable = match min_available {
        Some(_) => None,
        None => Some(max_unavailable.unwrap_or(IntOrPercent::Int(1))),
    };
    let lets_one_go = max_unavailable.as_ref().is_some_and(|amount| !amount.is_zero());
    if disabled == Some(true) || !is_wanted(service, platform, lets_one_go) {
        return None;
    }
    Some(PodDisruptionBudget {
        metadata: labels::metadata(service, &service.names().pod_disruption_budget),
        spec: Some(PodDisruptionBudgetSpec {
            selector: Some(labels::match_labels(labels::selector(service))),
            max_unavailable: max_unavailable.as_ref().map(amount),
            min_available: min_available.as_ref().map(amount),
            // A broken pod serves nobody; it must not block a node's drain.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
        }),
        ..PodDisruptionBudget::default()
    })
}

/// Two pods or more. One that an autoscaler takes down to a single pod needs a budget that lets that one go.
fn is_wanted(service: &ValidatedService, platform: &PlatformConfig, lets_one_go: bool) -> bool {
    match &service.spec().scaling {
        None => platform.replicas(service.spec()) >= 2,
        Some(scaling) if platform.min_replicas(scaling) >= 2 => true,
        Some(scaling) => scaling.max >= 2 && lets_one_go,
    }
}
