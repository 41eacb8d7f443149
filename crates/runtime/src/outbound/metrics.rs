//! What the policies of calls count. One [`Metrics`] is registered with the process's metrics; each call gets its own
//! [`CallMetrics`] once, so that a request touches atomics alone.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabel {
    call: String,
}

/// The families, labelled with the call's name. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    retries: Family<CallLabel, Counter>,
    retries_denied: Family<CallLabel, Counter>,
    breaker: Family<CallLabel, Gauge>,
    bulkhead_refusals: Family<CallLabel, Counter>,
    cache_hits: Family<CallLabel, Counter>,
    cache_misses: Family<CallLabel, Counter>,
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let Self { retries, retries_denied, breaker, bulkhead_refusals, cache_hits, cache_misses } = self;
        registry.register("call_retries", "Tries of calls beyond the first", retries.clone());
        registry.register(
            "call_retries_denied",
            "Tries that the retry budget did not allow",
            retries_denied.clone(),
        );
        registry.register(
            "call_breaker_state",
            "Circuit breaker as of the last call: 0 closed, 1 half open, 2 open",
            breaker.clone(),
        );
        registry.register(
            "call_bulkhead_refusals",
            "Calls refused because too many were under way",
            bulkhead_refusals.clone(),
        );
        registry.register("call_cache_hits", "Calls answered from the cache", cache_hits.clone());
        registry.register("call_cache_misses", "Cacheable calls that were sent on", cache_misses.clone());
    }

    /// The counters of one call.
    pub(super) fn call(&self, name: &str) -> Arc<CallMetrics> {
        let label = CallLabel { call: name.to_owned() };
        Arc::new(CallMetrics {
            breakers: self.breaker.clone(),
            retries: self.retries.get_or_create_owned(&label),
            retries_denied: self.retries_denied.get_or_create_owned(&label),
            bulkhead_refusals: self.bulkhead_refusals.get_or_create_owned(&label),
            cache_hits: self.cache_hits.get_or_create_owned(&label),
            cache_misses: self.cache_misses.get_or_create_owned(&label),
            label,
        })
    }
}

/// One call's counters.
#[derive(Debug)]
pub(super) struct CallMetrics {
    label: CallLabel,
    /// Of all calls: one is there only while its call has a breaker.
    breakers: Family<CallLabel, Gauge>,
    retries: Counter,
    retries_denied: Counter,
    bulkhead_refusals: Counter,
    cache_hits: Counter,
    cache_misses: Counter,
}

impl CallMetrics {
    #[cfg(test)]
    pub(super) fn unregistered() -> Arc<Self> {
        Metrics::default().call("test")
    }

    pub(super) fn retried(&self) {
        self.retries.inc();
    }

    pub(super) fn retry_denied(&self) {
        self.retries_denied.inc();
    }

    /// 0 closed, 1 half open, 2 open. Looked up each time, which is rare: a breaker moves when its callee does.
    pub(super) fn breaker(&self, position: i64) {
        self.breakers.get_or_create(&self.label).set(position);
    }

    /// The call has no breaker any more.
    pub(super) fn no_breaker(&self) {
        self.breakers.remove(&self.label);
    }

    pub(super) fn bulkhead_refused(&self) {
        self.bulkhead_refusals.inc();
    }

    pub(super) fn cache_hit(&self) {
        self.cache_hits.inc();
    }

    pub(super) fn cache_missed(&self) {
        self.cache_misses.inc();
    }
}
