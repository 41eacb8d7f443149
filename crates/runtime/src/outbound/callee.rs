//! One declared call: its policy, and what it knows of its callee.
//!
//! The policy is made anew with every configuration. What was learnt (breaker, budget, places taken, accepted encodings,
//! answers) is carried over by the call's name, as long as the target and the settings that shape it are the same.

use std::sync::Arc;

use goodgo_runtime_config::{CallPolicy, Target};
use http::{HeaderMap, Request, Response};
use tokio::time::Instant;

use super::breaker::Breaker;
use super::budget::Budget;
use super::bulkhead::{Bulkhead, Permit};
use super::cache::{CallCache, Looked};
use super::gzip::Accepts;
use super::metrics::CallMetrics;
use super::policy::{Policy, Until};
use super::{Shared, tries};
use crate::identity::TokenSource;
use crate::identity::headers::SERVICE_AUTH;
use crate::proxy::deadline::Deadline;
use crate::proxy::{Body, Failure, grpc};
use crate::upstream::{Origin, Upstream};

/// Where one call goes and how.
#[derive(Debug)]
pub(crate) struct Callee {
    name: Arc<str>,
    pub(super) policy: Policy,
    pub(super) upstream: Arc<Upstream>,
    tokens: Arc<TokenSource>,
    pub(super) budget: Arc<Budget>,
    pub(super) accepts: Arc<Accepts>,
    pub(super) metrics: Arc<CallMetrics>,
    bulkhead: Arc<Bulkhead>,
    breaker: Option<Arc<Breaker>>,
    cache: Option<CallCache>,
    /// Tells the answers of this target from those of the one that the call went to before.
    lineage: u64,
}

impl Callee {
    /// Compiles `policy` for the call `name`, and takes over from `previous` what still holds.
    pub(crate) fn new(
        name: &str,
        policy: &CallPolicy,
        upstream: Arc<Upstream>,
        previous: Option<&Self>,
        shared: &Shared,
    ) -> Arc<Self> {
        let now = Instant::now();
        let before = previous.and_then(|previous| previous.breaker.as_ref());
        let previous = previous.filter(|previous| Arc::ptr_eq(&previous.upstream, &upstream));
        let metrics =
            previous.map_or_else(|| shared.metrics.call(name), |previous| Arc::clone(&previous.metrics));
        let breaker = breaker(policy, before, previous.is_some(), &metrics, now);
        let lineage = previous.map_or_else(|| shared.next_lineage(), |previous| previous.lineage);
        let cache = policy.cache.map(|settings| CallCache::new(settings, &shared.cache, lineage));
        let kind = if is_service(&upstream) { "calls" } else { "externalCalls" };
        Arc::new(Self {
            name: name.into(),
            policy: Policy::new(format!("{kind}.{name}"), policy),
            budget: previous.map_or_else(|| Arc::new(Budget::new(now)), |p| Arc::clone(&p.budget)),
            accepts: previous.map_or_else(|| Arc::new(Accepts::new(now)), |p| Arc::clone(&p.accepts)),
            bulkhead: previous.map_or_else(Arc::default, |p| Arc::clone(&p.bulkhead)),
            upstream,
            tokens: Arc::clone(&shared.tokens),
            metrics,
            breaker,
            cache,
            lineage,
        })
    }

    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Whether it is a GoodGoService, which speaks the platform's headers.
    pub(super) fn is_service(&self) -> bool {
        is_service(&self.upstream)
    }

    /// Says who calls, where the callee asks. On each try anew: the token may have been rotated meanwhile. What the app
    /// puts there itself is no identity, and goes to no service.
    ///
    /// # Errors
    /// [`Failure::IdentityUnavailable`] when there is no token.
    pub(super) fn identify(&self, headers: &mut HeaderMap) -> Result<(), Failure> {
        let Origin::Callee(Target { service: Some(service), .. }) = self.upstream.origin() else {
            return Ok(());
        };
        headers.remove(SERVICE_AUTH);
        if service.identity {
            let token = self.tokens.header(&self.name);
            let token = token.ok_or_else(|| Failure::IdentityUnavailable { call: self.name.to_string() })?;
            headers.insert(SERVICE_AUTH, token);
        }
        Ok(())
    }

    /// Makes the call: cache → breaker → bulkhead → tries.
    ///
    /// # Errors
    /// The failures that the policy decides, and those of the last try.
    pub(crate) async fn call(
        &self,
        request: Request<Body>,
        brought: Option<Deadline>,
    ) -> Result<Response<Body>, Failure> {
        let now = Instant::now();
        let rules = self.policy.rules(request.method(), request.uri().path());
        let until = Until::new(&self.policy, rules, brought, now);
        if until.deadline.left(now).is_zero() {
            return Err(until.failure());
        }
        let miss = match self.cache.as_ref().map(|cache| cache.look_up(&request, now)) {
            Some(Looked::Hit(response)) => {
                self.metrics.cache_hit();
                return Ok(*response);
            }
            Some(Looked::Miss(miss)) => {
                if miss.is_lookup() {
                    self.metrics.cache_missed();
                }
                Some(miss)
            }
            None => None,
        };
        let ticket = match &self.breaker {
            Some(breaker) => Some(breaker.enter(now).map_err(|left| self.circuit_open(left))?),
            None => None,
        };
        let permit = self.enter()?;
        let outcome = tries::run(self, rules, until, request, now).await;
        let now = Instant::now();
        if let Some(ticket) = ticket {
            // Given back unsettled, it says nothing: half-open stays half-open, for the next call to find out.
            if says_something(&outcome) {
                ticket.settle(is_failure(&outcome), now);
            }
        }
        let mut response = outcome?;
        self.accepts.learn(response.headers_mut(), now);
        if let Some(miss) = miss {
            response = miss.take(response, now);
        }
        Ok(response.map(|body| body.permitted(permit)))
    }

    fn enter(&self) -> Result<Permit, Failure> {
        let limit = self.policy.concurrency;
        self.bulkhead.enter(limit).ok_or_else(|| {
            self.metrics.bulkhead_refused();
            let (call, policy) = (Arc::clone(&self.name), self.policy.field("concurrency"));
            Failure::BulkheadFull { call, policy, limit }
        })
    }

    fn circuit_open(&self, left: std::time::Duration) -> Failure {
        let (call, policy) = (Arc::clone(&self.name), self.policy.field("circuitBreaker"));
        Failure::CircuitOpen { call, policy, left }
    }
}

/// The one from `before` with what it knows, as long as target and settings are the same.
fn breaker(
    policy: &CallPolicy,
    before: Option<&Arc<Breaker>>,
    same_target: bool,
    metrics: &Arc<CallMetrics>,
    now: Instant,
) -> Option<Arc<Breaker>> {
    if let Some(before) = before {
        if same_target && Some(before.settings()) == policy.circuit_breaker.as_ref() {
            return Some(Arc::clone(before));
        }
        before.retire();
    }
    let Some(settings) = &policy.circuit_breaker else {
        metrics.no_breaker();
        return None;
    };
    Some(Breaker::new(settings.clone(), Arc::clone(metrics), now))
}

fn is_service(upstream: &Upstream) -> bool {
    matches!(upstream.origin(), Origin::Callee(target) if target.service.is_some())
}

/// Whether `outcome` says anything of the callee; it does not where the request was at fault, or this pod.
fn says_something(outcome: &Result<Response<Body>, Failure>) -> bool {
    !matches!(outcome, Err(Failure::Malformed(_) | Failure::BadHost | Failure::IdentityUnavailable { .. }))
}

/// What the breaker counts: server errors, failures of this runtime's making, and what gRPC has instead of them.
fn is_failure(outcome: &Result<Response<Body>, Failure>) -> bool {
    match outcome {
        Ok(response) => {
            response.status().is_server_error()
                || grpc::status(response.headers()).is_some_and(grpc::is_server_fault)
        }
        Err(failure) => failure.status().is_server_error(),
    }
}
