//! Where each call leads, and its policy: what is not set of a call to a GoodGoService has the API's defaults, retries
//! and breaker included; an external call has neither unless it says so.

use super::{inbound, milliseconds};
use crate::platform::PlatformConfig;
use crate::validate::ValidatedService;
use crate::{calls, names};
use goodgo_api::GoodGoServiceSpec;
use goodgo_api::calls as api;
use goodgo_api::types::HttpMethod;
use goodgo_fleet::{CallView, FleetView, ServiceKey};
use goodgo_runtime_config as runtime;
use runtime::{CallPolicy, CallRoute, ConnectFailure, RetryOn, Scheme, Target, TargetService};
use std::collections::BTreeMap;

/// Every call that goes through the runtime, by its name.
pub(super) fn calls(
    service: &ValidatedService,
    fleet: &FleetView,
    platform: &PlatformConfig,
) -> BTreeMap<String, runtime::Call> {
    let listeners = calls::listeners(service, fleet);
    let spec = service.spec();
    let asked = inbound::asked_calls(spec, service.namespace());
    let internal = spec.calls.iter().map(|call| {
        let name = call.name().0;
        let view = fleet.calls.get(&name);
        let grpc =
            view.and_then(CallView::endpoint).is_some_and(|to| to.protocol == goodgo_api::Protocol::Grpc);
        let policy = if grpc { grpc_policy(call) } else { policy(call) };
        (name, internal(service.key(), view, platform).with(policy))
    });
    let external = spec.external_calls.iter().map(|call| (call.name.0.clone(), external(call)));
    // A call that a route's authentication asks stays listed in any case, so that the route is closed and not unknown.
    let through = |name: &String| listeners.contains_key(name) || asked.contains(name);
    let declared = internal.chain(external).filter(|(name, _)| through(name));
    declared.collect()
}

fn internal(caller: &ServiceKey, call: Option<&CallView>, platform: &PlatformConfig) -> runtime::Call {
    let Some(call) = call else {
        let message = "the callee is not known yet: try again in a moment";
        return runtime::Call::unavailable("CalleeMissing", message);
    };
    let Some(endpoint) = call.endpoint() else {
        let (reason, message) = (call.reason().unwrap_or_default(), call.message(caller).unwrap_or_default());
        return runtime::Call::unavailable(reason, message);
    };
    if endpoint.protocol == goodgo_api::Protocol::Tcp {
        return runtime::Call::unavailable("CalleeSpeaksTcp", format!("{} speaks no HTTP", call.callee));
    }
    let ServiceKey { namespace, name } = &call.callee;
    let headless = platform.dns_name(&names::headless_service(name), namespace);
    let target = Target {
        scheme: Scheme::Http,
        host: platform.dns_name(name, namespace),
        port: endpoint.service_port,
        service: Some(TargetService {
            // The headless Service's port is named `service` whatever the protocol.
            pods: Some(format!("_service._tcp.{headless}")),
            identity: endpoint.runtime,
        }),
    };
    runtime::Call { target: Some(target), ..runtime::Call::default() }
}

fn external(call: &api::ExternalCall) -> runtime::Call {
    let scheme = if call.protocol == api::ExternalProtocol::Http { Scheme::Http } else { Scheme::Https };
    let host = call.host.as_ref().map(|host| host.0.clone()).unwrap_or_default();
    runtime::Call::to(scheme, host, calls::external_port(call)).with(external_policy(call))
}

/// Every declared call under its policy, leading nowhere in particular: what validation needs of them.
pub(crate) fn policies(spec: &GoodGoServiceSpec) -> BTreeMap<String, runtime::Call> {
    let nowhere = || runtime::Call::to(Scheme::Http, "callee", 80);
    let internal = spec.calls.iter().map(|call| (call.name().0, nowhere().with(policy(call))));
    let http = spec.external_calls.iter().filter(|call| call.protocol != api::ExternalProtocol::Tcp);
    let to = |call: &api::ExternalCall| match &call.host {
        Some(_) => external(call),
        None => nowhere().with(external_policy(call)),
    };
    internal.chain(http.map(|call| (call.name.0.clone(), to(call)))).collect()
}

fn policy(call: &api::Call) -> CallPolicy {
    // Destructured whole: a new setting can't be forgotten here.
    let api::Call {
        service: _,
        namespace: _,
        as_: _,
        timeout,
        connect_timeout,
        per_try_timeout,
        idle_timeout,
        priority,
        retries: tries,
        circuit_breaker,
        cache,
        concurrency,
        forward_authorization,
        routes,
    } = call;
    let defaults = CallPolicy::default();
    CallPolicy {
        timeout_ms: milliseconds(timeout),
        connect_timeout_ms: connect_timeout.as_ref().map_or(defaults.connect_timeout_ms, milliseconds),
        per_try_timeout_ms: per_try_timeout.as_ref().map(milliseconds),
        idle_timeout_ms: idle_timeout.as_ref().map(milliseconds),
        priority: match priority {
            api::Priority::Normal => runtime::Priority::Normal,
            api::Priority::Low => runtime::Priority::Low,
        },
        retries: Some(retries(&tries.clone().unwrap_or_default())),
        circuit_breaker: Some(breaker(&circuit_breaker.clone().unwrap_or_default())),
        cache: cache.as_ref().map(|cache| runtime::Cache { max_age_ms: milliseconds(&cache.max_age) }),
        concurrency: *concurrency,
        forward_authorization: *forward_authorization,
        routes: routes.iter().map(route).collect(),
    }
}

/// To a gRPC callee: an answer UNAVAILABLE may come after the work was done, so it is repeated only where the call declares
/// it; by default only what the callee has not seen is.
fn grpc_policy(call: &api::Call) -> CallPolicy {
    let mut policy = policy(call);
    if call.retries.is_none()
        && let Some(retries) = &mut policy.retries
    {
        retries.retry_on = vec![RetryOn::Connect(ConnectFailure::Connect)];
    }
    policy
}

fn external_policy(call: &api::ExternalCall) -> CallPolicy {
    let api::ExternalCall {
        name: _,
        protocol: _,
        host: _,
        port: _,
        ports: _,
        cidrs: _,
        timeout,
        retries: tries,
        circuit_breaker,
        concurrency,
    } = call;
    let defaults = CallPolicy::default();
    CallPolicy {
        timeout_ms: timeout.as_ref().map_or(defaults.timeout_ms, milliseconds),
        retries: tries.as_ref().map(retries),
        circuit_breaker: circuit_breaker.as_ref().map(breaker),
        concurrency: concurrency.unwrap_or(defaults.concurrency),
        ..defaults
    }
}

fn route(route: &api::CallRoute) -> CallRoute {
    let api::CallRoute { path, methods, timeout, retries: tries } = route;
    CallRoute {
        path: path.0.clone(),
        methods: methods.iter().copied().map(method).map(str::to_owned).collect(),
        timeout_ms: timeout.as_ref().map(milliseconds),
        retries: tries.as_ref().map(retries),
    }
}

fn retries(retries: &api::Retries) -> runtime::Retries {
    let api::Retries { attempts, backoff, max_backoff, retry_on, budget_percent } = retries;
    runtime::Retries {
        attempts: *attempts,
        backoff_ms: milliseconds(backoff),
        max_backoff_ms: milliseconds(max_backoff),
        retry_on: retry_on
            .iter()
            .map(|on| match on {
                api::RetryOn::Connect(_) => runtime::RetryOn::Connect(runtime::ConnectFailure::Connect),
                api::RetryOn::Status(status) => runtime::RetryOn::Status(*status),
            })
            .collect(),
        budget_percent: budget_percent.0,
    }
}

fn breaker(breaker: &api::CircuitBreaker) -> runtime::CircuitBreaker {
    let api::CircuitBreaker { error_percent, window, min_requests, reset_after } = breaker;
    runtime::CircuitBreaker {
        error_percent: error_percent.0,
        window_ms: milliseconds(window),
        min_requests: *min_requests,
        reset_after_ms: milliseconds(reset_after),
    }
}

pub(crate) const fn method(method: HttpMethod) -> &'static str {
    match method {
        HttpMethod::Get => "GET",
        HttpMethod::Head => "HEAD",
        HttpMethod::Post => "POST",
        HttpMethod::Put => "PUT",
        HttpMethod::Patch => "PATCH",
        HttpMethod::Delete => "DELETE",
        HttpMethod::Options => "OPTIONS",
    }
}
