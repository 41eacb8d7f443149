//! One call's policy, compiled when a configuration is accepted and never changed: a request keeps the one it began with.

use std::time::Duration;

use goodgo_runtime_config::{CallPolicy, CallRoute, Retries};
use http::Method;
use tokio::time::Instant;

use crate::proxy::Failure;
use crate::proxy::deadline::Deadline;

/// How a call is made, whatever the route.
#[derive(Debug)]
pub(super) struct Policy {
    /// Where it stands in the spec: `calls.iam-service`.
    path: String,
    whole: Rules,
    /// The most specific path first, and of one path those that name methods.
    routes: Vec<(Pattern, Rules)>,
    pub(super) connect_timeout: Duration,
    pub(super) per_try_timeout: Option<Duration>,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) concurrency: u32,
}

/// What may differ from route to route.
#[derive(Debug)]
pub(super) struct Rules {
    timeout: Duration,
    /// The field that `timeout` is from, below the call's.
    timeout_field: String,
    pub(super) retries: Option<Retries>,
}

/// A path by whole segments, and methods.
#[derive(Debug)]
struct Pattern {
    /// Without a final slash.
    path: String,
    /// All of them when empty.
    methods: Vec<String>,
}

impl Pattern {
    fn new(route: &CallRoute) -> Self {
        Self { path: route.path.trim_end_matches('/').to_owned(), methods: route.methods.clone() }
    }

    fn matches(&self, method: &Method, path: &str) -> bool {
        let below = path.strip_prefix(self.path.as_str());
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            && (self.methods.is_empty() || self.methods.iter().any(|m| m == method.as_str()))
    }
}

impl Policy {
    /// Compiles `policy`, which stands at `path` of the spec.
    pub(super) fn new(path: String, policy: &CallPolicy) -> Self {
        let CallPolicy {
            timeout_ms,
            connect_timeout_ms,
            per_try_timeout_ms,
            idle_timeout_ms,
            priority: _, // `context` tells the callee
            retries,
            // State, which outlives a policy, is made of these: see the callee.
            circuit_breaker: _,
            cache: _,
            concurrency,
            // Continued where the request being served is known: in the context.
            forward_authorization: _,
            routes,
        } = policy;
        let whole = Rules {
            timeout: Duration::from_millis(*timeout_ms),
            timeout_field: "timeout".to_owned(),
            retries: retries.clone(),
        };
        let mut routes: Vec<_> = routes
            .iter()
            .enumerate()
            .map(|(index, route)| {
                let CallRoute { path: _, methods: _, timeout_ms, retries } = route;
                let rules = Rules {
                    timeout: timeout_ms.map_or(whole.timeout, Duration::from_millis),
                    timeout_field: match timeout_ms {
                        Some(_) => format!("routes[{index}].timeout"),
                        None => whole.timeout_field.clone(),
                    },
                    retries: retries.clone().or_else(|| whole.retries.clone()),
                };
                (Pattern::new(route), rules)
            })
            .collect();
        routes.sort_by_key(|(pattern, _)| (usize::MAX - pattern.path.len(), pattern.methods.is_empty()));
        Self {
            path,
            whole,
            routes,
            connect_timeout: Duration::from_millis(*connect_timeout_ms),
            per_try_timeout: per_try_timeout_ms.map(Duration::from_millis),
            idle_timeout: idle_timeout_ms.map(Duration::from_millis),
            concurrency: *concurrency,
        }
    }

    /// The rules for one request.
    pub(super) fn rules(&self, method: &Method, path: &str) -> &Rules {
        let exception = self.routes.iter().find(|(pattern, _)| pattern.matches(method, path));
        exception.map_or(&self.whole, |(_, rules)| rules)
    }

    /// A field's path in the spec, for the problem that says what decided.
    pub(super) fn field(&self, name: &str) -> String {
        format!("{}.{name}", self.path)
    }
}

/// When a call must have its answer's head, and why then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Until<'a> {
    pub(super) deadline: Deadline,
    /// It came with the request, and is earlier than the call's own.
    brought: bool,
    policy: &'a Policy,
    rules: &'a Rules,
}

impl<'a> Until<'a> {
    /// The earlier one of the call's own and what the request brought.
    pub(super) fn new(policy: &'a Policy, rules: &'a Rules, brought: Option<Deadline>, now: Instant) -> Self {
        let own = Deadline::after(rules.timeout, now);
        match brought {
            Some(brought) if brought <= own => Self { deadline: brought, brought: true, policy, rules },
            _ => Self { deadline: own, brought: false, policy, rules },
        }
    }

    /// It has passed.
    pub(super) fn failure(&self) -> Failure {
        if self.brought {
            return Failure::DeadlineExceeded;
        }
        let policy = self.policy.field(&self.rules.timeout_field);
        Failure::CallTimeout { policy, limit: self.rules.timeout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str, methods: &[&str], timeout_ms: u64) -> CallRoute {
        let methods = methods.iter().map(|m| (*m).to_owned()).collect();
        CallRoute { path: path.to_owned(), methods, timeout_ms: Some(timeout_ms), retries: None }
    }

    fn policy() -> Policy {
        let routes = vec![
            route("/", &["OPTIONS"], 1),
            route("/users", &[], 2),
            route("/users/exports/", &["POST"], 3),
            route("/users", &["DELETE"], 4),
            route("/users/exports", &[], 5),
        ];
        let policy = CallPolicy { timeout_ms: 99, routes, ..CallPolicy::default() };
        Policy::new("calls.user-service".to_owned(), &policy)
    }

    #[test]
    fn the_most_specific_route_wins_by_whole_segments() {
        let policy = policy();
        for (method, path, timeout) in [
            (Method::GET, "/", 99),
            (Method::OPTIONS, "/", 1),
            (Method::OPTIONS, "/anything/below", 1),
            (Method::GET, "/users", 2),
            (Method::GET, "/users/", 2),
            (Method::GET, "/users/7", 2),
            (Method::GET, "/usersx", 99),
            (Method::GET, "/Users", 99),
            (Method::DELETE, "/users/7", 4),
            (Method::POST, "/users/exports", 3),
            (Method::POST, "/users/exports/1", 3),
            (Method::DELETE, "/users/exports", 5),
        ] {
            let rules = policy.rules(&method, path);
            assert_eq!(rules.timeout, Duration::from_millis(timeout), "{method} {path}");
        }
    }

    #[test]
    fn the_field_that_decided_is_named() {
        let (policy, now) = (policy(), Instant::now());
        let failure = |path, brought: Option<u64>| {
            let brought = brought.map(|ms| Deadline::after(Duration::from_millis(ms), now));
            Until::new(&policy, policy.rules(&Method::POST, path), brought, now).failure()
        };
        assert_eq!(failure("/x", None).policy().unwrap(), "calls.user-service.timeout");
        let exception = failure("/users/exports", None);
        assert_eq!(exception.policy().unwrap(), "calls.user-service.routes[2].timeout");
        assert_eq!(exception.reason(), "CallTimeout");
        assert_eq!(failure("/x", Some(98)).reason(), "DeadlineExceeded");
        assert_eq!(failure("/x", Some(100)).reason(), "CallTimeout", "what is brought extends nothing");
    }
}
