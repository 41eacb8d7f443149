//! The pod template: the app, the runtime beside it as a native sidecar, and how both start, run and end.

mod containers;
mod env;
mod placement;
mod probes;
mod runtime_volumes;
mod security;
mod volumes;

use crate::labels;
use crate::platform::PlatformConfig;
use crate::validate::ValidatedService;
use goodgo_fleet::FleetView;
use k8s_openapi::api::core::v1::{Container, LocalObjectReference, PodSpec, PodTemplateSpec, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;

pub(crate) use containers::{APP, protocol_name};

/// What a call's address means in the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The runtime listens on loopback.
    Loopback,
    /// There is no runtime: cluster DNS and the callee's own address.
    Direct,
}

/// The template of the Deployment's pods.
pub(crate) fn template(
    service: &ValidatedService,
    fleet: &FleetView,
    platform: &PlatformConfig,
) -> PodTemplateSpec {
    let reach = if service.has_sidecar() { Reach::Loopback } else { Reach::Direct };
    let env = env::of_app(service, fleet, platform, reach);
    let mut init: Vec<_> = containers::runtime(service, fleet, platform).into_iter().collect();
    init.extend(containers::init(service, &env));
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels::of_pods(service, service.track())),
            annotations: Some(annotations(service)),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            init_containers: (!init.is_empty()).then_some(init),
            containers: vec![containers::app(service, env)],
            termination_grace_period_seconds: Some(service.parsed().grace_seconds),
            volumes: filled(volumes(service, fleet, platform)),
            topology_spread_constraints: filled(placement::spread(service)),
            ..base(service)
        }),
    }
}

/// The files' volumes and, with a runtime, its own.
fn volumes(service: &ValidatedService, fleet: &FleetView, platform: &PlatformConfig) -> Vec<Volume> {
    let mut volumes = volumes::of_files(service);
    volumes.extend(runtime_volumes::all(service, fleet, platform).into_iter().map(|(volume, _)| volume));
    volumes
}

/// The template of the migration Job's pods: the app's image, variables and files, and no runtime, so that the Job ends
/// when its command does; calls lead to cluster DNS.
pub(crate) fn migration(
    service: &ValidatedService,
    fleet: &FleetView,
    platform: &PlatformConfig,
) -> Option<PodTemplateSpec> {
    let migrate = service.spec().migrate.as_ref()?;
    let env = env::of_app(service, fleet, platform, Reach::Direct);
    Some(PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels::of_pods(service, labels::MIGRATE)),
            annotations: filled_map(user_annotations(service)),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            containers: vec![containers::migrate(service, migrate, env)],
            restart_policy: Some("Never".to_owned()),
            volumes: filled(volumes::of_files(service)),
            ..base(service)
        }),
    })
}

/// Part of the drain's time in seconds that keeps accepting, and the part after it that finishes what is in flight. The
/// second half of the grace period is the app's own.
pub(crate) fn drain_seconds(service: &ValidatedService) -> (u32, u32) {
    let half = u32::try_from(service.parsed().grace_seconds / 2).unwrap_or(30);
    let settle = (half / 2).min(5);
    (settle, half.saturating_sub(settle))
}

/// What both kinds of pods have in common.
fn base(service: &ValidatedService) -> PodSpec {
    let spec = service.spec();
    PodSpec {
        service_account_name: Some(service_account(service)),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(security::pod(service)),
        image_pull_secrets: filled(
            spec.image_pull_secrets
                .iter()
                .map(|name| LocalObjectReference { name: name.0.clone() })
                .collect(),
        ),
        node_selector: filled_map(
            spec.node_selector.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect(),
        ),
        tolerations: filled(placement::tolerations(service)),
        affinity: placement::affinity(service),
        priority_class_name: spec.priority_class_name.as_ref().map(|name| name.0.clone()),
        ..PodSpec::default()
    }
}

/// The service's own ServiceAccount, or the one that it names.
pub(crate) fn service_account(service: &ValidatedService) -> String {
    let named = service.spec().service_account_name.as_ref().map(|name| name.0.clone());
    named.unwrap_or_else(|| service.names().service_account.as_str().to_owned())
}

fn annotations(service: &ValidatedService) -> BTreeMap<String, String> {
    let mut annotations = user_annotations(service);
    annotations.insert(labels::DEFAULT_CONTAINER.to_owned(), APP.to_owned());
    if let Some(token) = service.spec().restart_token.as_ref().filter(|token| !token.is_empty()) {
        annotations.insert(labels::RESTART_TOKEN.to_owned(), token.clone());
    }
    annotations
}

fn user_annotations(service: &ValidatedService) -> BTreeMap<String, String> {
    service.spec().pod_annotations.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect()
}

/// An empty list is never sent: the server drops it, and the answer would differ.
pub(crate) fn filled<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// As [`filled`], for maps.
pub(crate) fn filled_map<V>(map: BTreeMap<String, V>) -> Option<BTreeMap<String, V>> {
    (!map.is_empty()).then_some(map)
}

/// A container without anything set, named.
fn container(name: &str, image: &str) -> Container {
    Container { name: name.to_owned(), image: Some(image.to_owned()), ..Container::default() }
}
