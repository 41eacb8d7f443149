//! What a service declares and this version does not act on yet: accepted, and reported as not active.

use crate::{PlatformConfig, ValidatedService};
use goodgo_api::GoodGoServiceSpec;

/// A group of fields that is not acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Publishing and subscribing.
    Events,
    /// Routes from outside.
    Gateway,
    /// The canary.
    Canary,
    /// Scaling by waiting events.
    Scaling,
    /// Checks of dependencies that the platform does not have.
    Dependencies,
    /// The app's hook at the end of the drain.
    PreStop,
}

/// One field that is declared and not acted on yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotActive {
    /// What it belongs to.
    pub part: Part,
    /// Path of the field, such as `spec.scaling.consumerLag`.
    pub field: String,
}

/// Everything that `service` declares and this version does not act on yet, sorted. A value that equals its default is
/// not held against anybody: the API server writes it into every spec.
#[must_use]
pub fn not_active(service: &ValidatedService, platform: &PlatformConfig) -> Vec<NotActive> {
    let spec = service.spec();
    let groups = [
        (Part::Events, events(spec)),
        (Part::Gateway, gateway(spec)),
        (Part::Canary, when(spec.canary.is_some(), "spec.canary")),
        (
            Part::Scaling,
            when(
                spec.scaling.as_ref().is_some_and(|scaling| scaling.consumer_lag.is_some()),
                "spec.scaling.consumerLag",
            ),
        ),
        (Part::Dependencies, when(platform.kafka.is_none() && needs_kafka(spec), "spec.dependencies.kafka")),
        (
            Part::PreStop,
            when(
                service.has_sidecar() && spec.pre_stop.as_ref().is_some_and(|hook| hook.http.is_some()),
                "spec.preStop.http",
            ),
        ),
    ];
    let mut list: Vec<_> = groups
        .into_iter()
        .flat_map(|(part, fields)| fields.into_iter().map(move |field| NotActive { part, field }))
        .collect();
    list.sort();
    list
}

fn when(declared: bool, field: &str) -> Vec<String> {
    declared.then(|| field.to_owned()).into_iter().collect()
}

fn events(spec: &GoodGoServiceSpec) -> Vec<String> {
    let Some(events) = &spec.events else { return Vec::new() };
    let publishes =
        events.publishes.iter().map(|publish| format!("spec.events.publishes[{}]", publish.topic));
    let subscribes = events.subscribes.iter().map(|topic| format!("spec.events.subscribes[{}]", topic.topic));
    publishes.chain(subscribes).collect()
}

fn gateway(spec: &GoodGoServiceSpec) -> Vec<String> {
    let routes = spec.gateway.iter().flat_map(|gateway| &gateway.routes);
    routes.map(|route| format!("spec.gateway.routes[{}]", route.name)).collect()
}

fn needs_kafka(spec: &GoodGoServiceSpec) -> bool {
    spec.dependencies.as_ref().is_some_and(|dependencies| dependencies.kafka.is_some())
}
