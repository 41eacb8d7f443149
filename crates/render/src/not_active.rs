//! What a service declares and this version does not act on yet: accepted, and reported as not active.

use crate::ValidatedService;
use goodgo_api::GoodGoServiceSpec;
use goodgo_api::calls::{Call, ExternalCall, Priority};
use goodgo_api::health::ProbeVia;

/// A group of fields that is not acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Publishing and subscribing.
    Events,
    /// Routes from outside.
    Gateway,
    /// The canary.
    Canary,
    /// Settings of calls: timeouts, retries, breaker, cache.
    Calls,
    /// Fixed keys for callers.
    Access,
    /// Scaling by waiting events.
    Scaling,
    /// Checks of dependencies.
    Dependencies,
    /// Probes through the runtime.
    Health,
    /// The app's hook at the end of the drain.
    PreStop,
    /// Relay of the app's metrics.
    Observability,
}

/// One field that is declared and not acted on yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotActive {
    /// What it belongs to.
    pub part: Part,
    /// Path of the field, such as `spec.calls[iam-service].cache`.
    pub field: String,
}

/// Everything that `service` declares and this version does not act on yet, sorted. A value that equals its default is
/// not held against anybody: the API server writes it into every spec.
#[must_use]
pub fn not_active(service: &ValidatedService) -> Vec<NotActive> {
    let spec = service.spec();
    let groups = [
        (Part::Events, events(spec)),
        (Part::Gateway, gateway(spec)),
        (Part::Canary, when(spec.canary.is_some(), "spec.canary")),
        (Part::Calls, spec.calls.iter().flat_map(call).collect()),
        (Part::Calls, spec.external_calls.iter().flat_map(external_call).collect()),
        (
            Part::Access,
            when(spec.access.as_ref().is_some_and(|access| access.keys.is_some()), "spec.access.keys"),
        ),
        (
            Part::Scaling,
            when(
                spec.scaling.as_ref().is_some_and(|scaling| scaling.consumer_lag.is_some()),
                "spec.scaling.consumerLag",
            ),
        ),
        (Part::Dependencies, dependencies(spec)),
        (
            Part::Health,
            when(
                spec.health.as_ref().is_some_and(|health| health.via == ProbeVia::Runtime),
                "spec.health.via",
            ),
        ),
        (
            Part::PreStop,
            when(
                service.has_sidecar() && spec.pre_stop.as_ref().is_some_and(|hook| hook.http.is_some()),
                "spec.preStop.http",
            ),
        ),
        (
            Part::Observability,
            when(
                spec.observability.as_ref().is_some_and(|all| all.metrics.is_some()),
                "spec.observability.metrics",
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

fn call(call: &Call) -> Vec<String> {
    // Destructured whole: a new setting can't be forgotten here.
    let Call {
        service: _,
        namespace: _,
        as_: _,
        timeout,
        connect_timeout,
        per_try_timeout,
        idle_timeout,
        priority,
        retries,
        circuit_breaker,
        cache,
        concurrency,
        forward_authorization,
        routes,
    } = call;
    let path = format!("spec.calls[{}]", call.name());
    declared(
        &path,
        &[
            ("timeout", timeout.as_str() != "5s"),
            ("connectTimeout", connect_timeout.is_some()),
            ("perTryTimeout", per_try_timeout.is_some()),
            ("idleTimeout", idle_timeout.is_some()),
            ("priority", *priority != Priority::Normal),
            ("retries", retries.is_some()),
            ("circuitBreaker", circuit_breaker.is_some()),
            ("cache", cache.is_some()),
            ("concurrency", *concurrency != 256),
            ("forwardAuthorization", *forward_authorization),
            ("routes", !routes.is_empty()),
        ],
    )
}

fn external_call(call: &ExternalCall) -> Vec<String> {
    let ExternalCall {
        name,
        protocol: _,
        host: _,
        port: _,
        ports: _,
        cidrs: _,
        timeout,
        retries,
        circuit_breaker,
        concurrency,
    } = call;
    declared(
        &format!("spec.externalCalls[{name}]"),
        &[
            ("timeout", timeout.is_some()),
            ("retries", retries.is_some()),
            ("circuitBreaker", circuit_breaker.is_some()),
            ("concurrency", concurrency.is_some()),
        ],
    )
}

/// Egress to dependencies is open; that they are checked, and gate readiness, is not done yet.
fn dependencies(spec: &GoodGoServiceSpec) -> Vec<String> {
    let Some(dependencies) = &spec.dependencies else { return Vec::new() };
    declared(
        "spec.dependencies",
        &[
            ("database.required", dependencies.database.is_some()),
            ("redis.required", dependencies.redis.is_some()),
            ("kafka.required", dependencies.kafka.as_ref().is_some_and(|kafka| kafka.required)),
        ],
    )
}

fn declared(path: &str, fields: &[(&str, bool)]) -> Vec<String> {
    fields.iter().filter(|(_, declared)| *declared).map(|(field, _)| format!("{path}.{field}")).collect()
}
