//! Settings of calls that nobody acts on: all of them without the runtime, and those of calls to an app that speaks TCP.

use crate::runtime_config::milliseconds;
use crate::{ValidatedService, calls};
use goodgo_api::GoodGoServiceSpec;
use goodgo_api::calls::{Call, CircuitBreaker, ExternalCall, Priority, Retries};
use goodgo_api::types::Duration;
use goodgo_fleet::FleetView;
use goodgo_runtime_config::{CallPolicy, Milliseconds};

/// Every setting of every call that is not its default.
pub(super) fn settings(spec: &GoodGoServiceSpec) -> Vec<String> {
    let internal = spec.calls.iter().flat_map(of_call);
    internal.chain(spec.external_calls.iter().flat_map(of_external)).collect()
}

/// The same of the calls that lead to TCP apps, past the runtime.
pub(super) fn to_tcp(service: &ValidatedService, fleet: &FleetView) -> Vec<String> {
    if !service.has_sidecar() {
        return Vec::new(); // said already: the runtime is missing whatever the callee speaks
    }
    let calls = service.spec().calls.iter();
    calls.filter(|call| calls::is_tcp(fleet, call.name().as_str())).flat_map(of_call).collect()
}

/// Calls that pass on the authorization of the request being served.
pub(super) fn forwarding(spec: &GoodGoServiceSpec) -> Vec<String> {
    let calls = spec.calls.iter().filter(|call| call.forward_authorization);
    calls.map(|call| format!("spec.calls[{}].forwardAuthorization", call.name())).collect()
}

fn of_call(call: &Call) -> Vec<String> {
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
    let defaults = CallPolicy::default();
    let set = [
        ("timeout", is_not(Some(timeout), defaults.timeout_ms)),
        ("connectTimeout", is_not(connect_timeout.as_ref(), defaults.connect_timeout_ms)),
        ("perTryTimeout", per_try_timeout.is_some()),
        ("idleTimeout", idle_timeout.is_some()),
        ("priority", *priority != Priority::default()),
        ("retries", retries.as_ref().is_some_and(|retries| *retries != Retries::default())),
        ("circuitBreaker", circuit_breaker.as_ref().is_some_and(|set| *set != CircuitBreaker::default())),
        ("cache", cache.is_some()),
        ("concurrency", *concurrency != defaults.concurrency),
        ("forwardAuthorization", *forward_authorization),
        ("routes", !routes.is_empty()),
    ];
    named(&format!("spec.calls[{}]", call.name()), &set)
}

fn of_external(call: &ExternalCall) -> Vec<String> {
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
    let defaults = CallPolicy::default();
    let set = [
        ("timeout", is_not(timeout.as_ref(), defaults.timeout_ms)),
        ("retries", retries.as_ref().is_some_and(|retries| retries.attempts != 1)),
        ("circuitBreaker", circuit_breaker.is_some()),
        ("concurrency", concurrency.is_some_and(|concurrency| concurrency != defaults.concurrency)),
    ];
    named(&format!("spec.externalCalls[{name}]"), &set)
}

fn named(path: &str, set: &[(&str, bool)]) -> Vec<String> {
    set.iter().filter(|(_, set)| *set).map(|(field, _)| format!("{path}.{field}")).collect()
}

fn is_not(duration: Option<&Duration>, default: Milliseconds) -> bool {
    duration.is_some_and(|duration| milliseconds(duration) != default)
}
