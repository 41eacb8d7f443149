//! What a service declares and this version does not act on yet: accepted, and reported as not active.

mod calls;
mod gateway;
#[cfg(test)]
mod tests;

use crate::{PlatformConfig, ValidatedService};
use goodgo_api::GoodGoServiceSpec;
use goodgo_fleet::FleetView;

/// A group of fields that is not acted on, each for a reason of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Publishing and subscribing.
    Events,
    /// Settings of routes that Traefik has no field for.
    Gateway,
    /// Scaling by waiting events.
    Scaling,
    /// Checks of dependencies that the platform does not have.
    Dependencies,
    /// What the communication runtime would do, where none stands.
    Runtime,
    /// Settings of calls to an app that speaks TCP, whose bytes nobody reads.
    TcpCallee,
    /// Traces, where the platform has no collector.
    Collector,
    /// The app's metrics: relayed by the runtime, and nobody is told to fetch them.
    Monitor,
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
pub fn not_active(
    service: &ValidatedService,
    fleet: &FleetView,
    platform: &PlatformConfig,
) -> Vec<NotActive> {
    let spec = service.spec();
    let consumer_lag = spec.scaling.as_ref().is_some_and(|scaling| scaling.consumer_lag.is_some());
    let observability = spec.observability.clone().unwrap_or_default();
    // The runtime exports with gRPC alone; with another protocol the setting still reaches the app's own SDK.
    let collected = platform.tracing.is_some();
    let groups = [
        (Part::Events, events(spec)),
        (Part::Gateway, gateway::unheeded(service)),
        (Part::Scaling, when(consumer_lag, "spec.scaling.consumerLag")),
        (Part::Dependencies, when(platform.kafka.is_none() && needs_kafka(spec), "spec.dependencies.kafka")),
        (Part::Runtime, without_runtime(service, platform)),
        (Part::TcpCallee, calls::to_tcp(service, fleet)),
        (Part::Collector, when(observability.tracing.is_some() && !collected, "spec.observability.tracing")),
        (
            Part::Monitor,
            when(service.has_sidecar() && observability.metrics.is_some(), "spec.observability.metrics"),
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

/// What only the runtime does, where it is off or does not stand before the app.
fn without_runtime(service: &ValidatedService, platform: &PlatformConfig) -> Vec<String> {
    let spec = service.spec();
    let mut fields = gateway::without_runtime(service);
    if !service.runtime_on_port() {
        let keys = spec.access.as_ref().is_some_and(|access| access.keys.is_some());
        fields.extend(when(keys, "spec.access.keys"));
    }
    if service.has_sidecar() {
        // Beside a TCP app it makes the calls, but sees no request whose authorization could go on.
        if !service.runtime_on_port() {
            fields.extend(calls::forwarding(spec));
        }
        return fields;
    }
    fields.extend(calls::settings(spec));
    let dependencies = spec.dependencies.clone().unwrap_or_default();
    for (name, dependency) in [("database", dependencies.database), ("redis", dependencies.redis)] {
        let required = dependency.is_some_and(|dependency| dependency.required);
        fields.extend(when(required, &format!("spec.dependencies.{name}.required")));
    }
    let kafka = dependencies.kafka.is_some_and(|kafka| kafka.required) && platform.kafka.is_some();
    fields.extend(when(kafka, "spec.dependencies.kafka.required"));
    let metrics = spec.observability.as_ref().is_some_and(|observability| observability.metrics.is_some());
    fields.extend(when(metrics, "spec.observability.metrics"));
    let resources = spec.runtime.as_ref().is_some_and(|runtime| runtime.resources.is_some());
    fields.extend(when(resources, "spec.runtime.resources"));
    fields
}

fn events(spec: &GoodGoServiceSpec) -> Vec<String> {
    let Some(events) = &spec.events else { return Vec::new() };
    let publishes =
        events.publishes.iter().map(|publish| format!("spec.events.publishes[{}]", publish.topic));
    let subscribes = events.subscribes.iter().map(|topic| format!("spec.events.subscribes[{}]", topic.topic));
    publishes.chain(subscribes).collect()
}

fn needs_kafka(spec: &GoodGoServiceSpec) -> bool {
    spec.dependencies.as_ref().is_some_and(|dependencies| dependencies.kafka.is_some())
}
