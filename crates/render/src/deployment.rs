//! The pods, and how those of a new template replace the old ones. Never off.

use crate::platform::PlatformConfig;
use crate::validate::ValidatedService;
use crate::{labels, pod};
use goodgo_api::types::IntOrPercent;
use goodgo_api::workload::StrategyType;
use goodgo_fleet::FleetView;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Old templates kept for `kubectl rollout undo`.
const REVISIONS: i32 = 3;
/// Seconds without progress after which a rollout counts as failed.
const PROGRESS_DEADLINE: i32 = 600;

/// Seconds for which a canary's pod is ready before it counts: by then the gateway has its address, and requests that
/// are sent its way find it.
const CANARY_READY: i32 = 2;

pub(crate) fn deployment(
    service: &ValidatedService,
    fleet: &FleetView,
    platform: &PlatformConfig,
) -> Option<Deployment> {
    Some(Deployment {
        metadata: labels::metadata(service, &service.names().deployment),
        spec: Some(DeploymentSpec {
            replicas: replicas(service, platform),
            selector: labels::match_labels(labels::selector(service)),
            strategy: Some(strategy(service)),
            min_ready_seconds: (service.track() == labels::CANARY).then_some(CANARY_READY),
            template: pod::template(service, fleet, platform),
            revision_history_limit: Some(REVISIONS),
            progress_deadline_seconds: Some(PROGRESS_DEADLINE),
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    })
}

/// The number of pods, unless an autoscaler owns it.
fn replicas(service: &ValidatedService, platform: &PlatformConfig) -> Option<i32> {
    service.spec().scaling.is_none().then(|| platform.replicas(service.spec()))
}

/// Pods to begin with where an autoscaler owns the number.
pub(crate) fn initial_replicas(service: &ValidatedService, platform: &PlatformConfig) -> Option<i32> {
    service.spec().scaling.as_ref().map(|scaling| platform.min_replicas(scaling))
}

fn strategy(service: &ValidatedService) -> DeploymentStrategy {
    let strategy = service.spec().strategy.clone().unwrap_or_default();
    if strategy.type_ == StrategyType::Recreate {
        return DeploymentStrategy { type_: Some("Recreate".to_owned()), rolling_update: None };
    }
    let rolling = strategy.rolling_update.unwrap_or_default();
    DeploymentStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(amount(
                rolling.max_surge.as_ref().unwrap_or(&IntOrPercent::Percent("25%".to_owned())),
            )),
            max_unavailable: Some(amount(rolling.max_unavailable.as_ref().unwrap_or(&IntOrPercent::Int(0)))),
        }),
    }
}

pub(crate) fn amount(amount: &IntOrPercent) -> IntOrString {
    match amount {
        IntOrPercent::Int(number) => IntOrString::Int(*number),
        IntOrPercent::Percent(text) => IntOrString::String(text.clone()),
    }
}
