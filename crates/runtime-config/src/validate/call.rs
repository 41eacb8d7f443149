//! Bounds of a call.

use super::{LABEL, Report, is_host, is_label, is_srv_name};
use crate::model::{
    Cache, Call, CallPolicy, CallRoute, CircuitBreaker, Retries, RetryOn, Target, TargetService, Unavailable,
};

const MAX_MESSAGE_CHARS: usize = 1024;

pub(super) fn check(name: &str, call: &Call, report: &mut Report) {
    let path = format!("calls.{name}");
    if !is_label(name) {
        report.add(&path, LABEL);
    }
    let Call { target, unavailable, policy } = call;
    match (target, unavailable) {
        (Some(target), None) => check_target(&path, target, report),
        (None, Some(unavailable)) => check_unavailable(&path, unavailable, report),
        (None, None) => report.add(&path, "set exactly one of target and unavailable; none is set"),
        (Some(_), Some(_)) => report.add(&path, "set exactly one of target and unavailable; both are set"),
    }
    check_policy(&format!("{path}.policy"), policy, report);
}

fn check_target(path: &str, target: &Target, report: &mut Report) {
    let Target { scheme: _, host, port, service } = target;
    if !is_host(host) {
        report.add(&format!("{path}.target.host"), "must be a DNS name or an IP address without port");
    }
    report.port(&format!("{path}.target.port"), *port);
    if let Some(TargetService { pods: Some(pods), identity: _ }) = service
        && !is_srv_name(pods)
    {
        report.add(&format!("{path}.target.service.pods"), "must be an SRV name: _port._tcp.name");
    }
}

fn check_unavailable(path: &str, unavailable: &Unavailable, report: &mut Report) {
    let Unavailable { reason, message } = unavailable;
    let word = reason.starts_with(|c: char| c.is_ascii_uppercase())
        && reason.len() <= 64
        && reason.bytes().all(|b| b.is_ascii_alphanumeric());
    if !word {
        report.add(
            &format!("{path}.unavailable.reason"),
            "must be one CamelCase word of at most 64 characters",
        );
    }
    if message.chars().count() > MAX_MESSAGE_CHARS {
        report.add(&format!("{path}.unavailable.message"), "must have at most 1024 characters; shorten it");
    }
}

fn check_policy(path: &str, policy: &CallPolicy, report: &mut Report) {
    let CallPolicy {
        timeout_ms,
        connect_timeout_ms,
        per_try_timeout_ms,
        idle_timeout_ms,
        priority: _,
        retries,
        circuit_breaker,
        cache,
        concurrency,
        forward_authorization: _,
        routes,
    } = policy;
    report.times(
        path,
        &[
            ("timeoutMs", Some(*timeout_ms)),
            ("connectTimeoutMs", Some(*connect_timeout_ms)),
            ("perTryTimeoutMs", *per_try_timeout_ms),
            ("idleTimeoutMs", *idle_timeout_ms),
            ("cache.maxAgeMs", cache.map(|Cache { max_age_ms }| max_age_ms)),
        ],
    );
    if !(1..=65_536).contains(concurrency) {
        report.add(&format!("{path}.concurrency"), "must be 1 to 65536");
    }
    if let Some(retries) = retries {
        check_retries(&format!("{path}.retries"), retries, report);
    }
    if let Some(breaker) = circuit_breaker {
        check_breaker(&format!("{path}.circuitBreaker"), breaker, report);
    }
    for (index, route) in routes.iter().enumerate() {
        let path = format!("{path}.routes[{index}]");
        let CallRoute { path: route_path, methods, timeout_ms, retries } = route;
        report.path(&format!("{path}.path"), route_path);
        report.tokens(&format!("{path}.methods"), "method", methods);
        report.times(&path, &[("timeoutMs", *timeout_ms)]);
        if let Some(retries) = retries {
            check_retries(&format!("{path}.retries"), retries, report);
        }
    }
}

fn check_retries(path: &str, retries: &Retries, report: &mut Report) {
    let Retries { attempts, backoff_ms, max_backoff_ms, retry_on, budget_percent } = retries;
    if !(1..=10).contains(attempts) {
        report.add(&format!("{path}.attempts"), "must be 1 to 10 tries in total");
    }
    report.times(path, &[("backoffMs", Some(*backoff_ms)), ("maxBackoffMs", Some(*max_backoff_ms))]);
    for on in retry_on {
        if let RetryOn::Status(status) = on
            && ![429, 502, 503, 504].contains(status)
        {
            report.add(&format!("{path}.retryOn"), "only connect, 429, 502, 503 and 504 can be repeated");
        }
    }
    report.percent(&format!("{path}.budgetPercent"), *budget_percent);
}

fn check_breaker(path: &str, breaker: &CircuitBreaker, report: &mut Report) {
    let CircuitBreaker { error_percent, window_ms, min_requests, reset_after_ms } = breaker;
    report.percent(&format!("{path}.errorPercent"), *error_percent);
    report.times(path, &[("windowMs", Some(*window_ms)), ("resetAfterMs", Some(*reset_after_ms))]);
    if !(1..=1_000_000).contains(min_requests) {
        report.add(&format!("{path}.minRequests"), "must be 1 to 1000000");
    }
}
