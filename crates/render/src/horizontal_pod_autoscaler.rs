//! Automatic scaling. Off without `scaling`. It measures the app's container alone: the runtime's use would hide it.

use crate::labels;
use crate::platform::PlatformConfig;
use crate::pod::APP;
use crate::validate::ValidatedService;
use goodgo_api::workload::Scaling;
use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricSource, CrossVersionObjectReference, HPAScalingRules, HorizontalPodAutoscaler,
    HorizontalPodAutoscalerBehavior, HorizontalPodAutoscalerSpec, MetricSpec, MetricTarget,
};

/// Wanted CPU utilisation in percent where a service names no metric.
const CPU_PERCENT: i32 = 70;

pub(crate) fn horizontal_pod_autoscaler(
    service: &ValidatedService,
    platform: &PlatformConfig,
) -> Option<HorizontalPodAutoscaler> {
    let scaling = service.spec().scaling.as_ref()?;
    Some(HorizontalPodAutoscaler {
        metadata: labels::metadata(service, &service.names().horizontal_pod_autoscaler),
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "Deployment".to_owned(),
                name: service.names().deployment.as_str().to_owned(),
            },
            min_replicas: Some(platform.min_replicas(scaling)),
            max_replicas: scaling.max,
            metrics: Some(metrics(scaling)),
            behavior: Some(HorizontalPodAutoscalerBehavior {
                scale_down: Some(HPAScalingRules {
                    stabilization_window_seconds: Some(service.parsed().scale_down_seconds),
                    ..HPAScalingRules::default()
                }),
                scale_up: None,
            }),
        }),
        ..HorizontalPodAutoscaler::default()
    })
}

/// Without any metric Kubernetes would take the whole pod's CPU; waiting events are no metric yet, so CPU stands in.
fn metrics(scaling: &Scaling) -> Vec<MetricSpec> {
    let cpu = scaling.cpu_percent.or_else(|| scaling.memory_percent.is_none().then_some(CPU_PERCENT));
    let wanted = [("cpu", cpu), ("memory", scaling.memory_percent)];
    wanted.into_iter().filter_map(|(name, percent)| Some(metric(name, percent?))).collect()
}

fn metric(name: &str, percent: i32) -> MetricSpec {
    MetricSpec {
        type_: "ContainerResource".to_owned(),
        container_resource: Some(ContainerResourceMetricSource {
            container: APP.to_owned(),
            name: name.to_owned(),
            target: MetricTarget {
                type_: "Utilization".to_owned(),
                average_utilization: Some(percent),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    }
}
