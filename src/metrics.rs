//! What the operator measures of itself. Label values come from closed sets only: never a name, namespace or message.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// From a no-op in the cache (well under a millisecond) to a struggling API server.
const RECONCILE_BUCKETS: [f64; 10] = [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// From pods that have it already to a kubelet that is not in a hurry; 2 s is what the product promises.
const IN_FORCE_BUCKETS: [f64; 9] = [0.01, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 30.0, 120.0];

/// Handles of every metric; clones share their values.
#[derive(Clone)]
pub struct Metrics {
    registry: std::sync::Arc<Registry>,
    reconcile_duration: Histogram,
    reconciles: Family<ResultLabel, Counter>,
    applied: Family<KindLabel, Counter>,
    deleted: Family<KindLabel, Counter>,
    status_writes: Counter,
    watch_failures: Family<KindLabel, Counter>,
    relists: Family<KindLabel, Counter>,
    undecodable: Counter,
    config_reloads: Family<ResultLabel, Counter>,
    identity_fetches: Family<ResultLabel, Counter>,
    pods_nudged: Counter,
    in_force_duration: Histogram,
    leader: Gauge,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("goodgo_operator");
        let mut metrics = Self {
            registry: std::sync::Arc::default(),
            reconcile_duration: Histogram::new(RECONCILE_BUCKETS),
            reconciles: Family::default(),
            applied: Family::default(),
            deleted: Family::default(),
            status_writes: Counter::default(),
            watch_failures: Family::default(),
            relists: Family::default(),
            undecodable: Counter::default(),
            config_reloads: Family::default(),
            identity_fetches: Family::default(),
            pods_nudged: Counter::default(),
            in_force_duration: Histogram::new(IN_FORCE_BUCKETS),
            leader: Gauge::default(),
        };
        metrics.register(&mut registry);
        metrics.registry = std::sync::Arc::new(registry);
        metrics
    }
}

impl Metrics {
    fn register(&self, registry: &mut Registry) {
        let Self {
            registry: _,
            reconcile_duration,
            reconciles,
            applied,
            deleted,
            status_writes,
            watch_failures,
            relists,
            undecodable,
            config_reloads,
            identity_fetches,
            pods_nudged,
            in_force_duration,
            leader,
        } = self;
        registry.register_with_unit(
            "reconcile_duration",
            "Time to reconcile one service",
            Unit::Seconds,
            reconcile_duration.clone(),
        );
        registry.register("reconciles", "Reconciles by result or kind of error", reconciles.clone());
        registry.register("children_applied", "Children created or changed, by kind", applied.clone());
        registry.register("children_deleted", "Children deleted, by kind", deleted.clone());
        registry.register("status_writes", "Status writes", status_writes.clone());
        registry.register("watch_failures", "Watches that broke, by kind", watch_failures.clone());
        registry.register("relists", "Full lists of a kind, the first included", relists.clone());
        registry.register(
            "undecodable_services",
            "GoodGoServices that can't be decoded",
            undecodable.clone(),
        );
        registry.register("config_reloads", "Reloads of the configuration by result", config_reloads.clone());
        registry.register(
            "identity_fetches",
            "Fetches of the token issuer's keys by result",
            identity_fetches.clone(),
        );
        registry.register(
            "pods_nudged",
            "Pods annotated so that the kubelet refreshes their configuration",
            pods_nudged.clone(),
        );
        registry.register_with_unit(
            "in_force_duration",
            "Time from an applied configuration to all ready pods of the service running it",
            Unit::Seconds,
            in_force_duration.clone(),
        );
        registry.register("leader", "1 while this process holds the lease", leader.clone());
    }

    /// Records one reconcile; `result` is `ok`, an intent or an error's variant.
    pub fn reconciled(&self, result: &'static str, took: Duration) {
        self.reconcile_duration.observe(took.as_secs_f64());
        self.reconciles.get_or_create(&ResultLabel { result }).inc();
    }

    /// Counts a child that was created or changed.
    pub fn applied(&self, kind: &'static str) {
        self.applied.get_or_create(&KindLabel { kind }).inc();
    }

    /// Counts a child that was deleted.
    pub fn deleted(&self, kind: &'static str) {
        self.deleted.get_or_create(&KindLabel { kind }).inc();
    }

    /// Counts a status write.
    pub fn status_written(&self) {
        self.status_writes.inc();
    }

    /// Counts a watch that broke and is started again.
    pub fn watch_failed(&self, kind: &'static str) {
        self.watch_failures.get_or_create(&KindLabel { kind }).inc();
    }

    /// Counts a full list of a kind.
    pub fn relisted(&self, kind: &'static str) {
        self.relists.get_or_create(&KindLabel { kind }).inc();
    }

    /// Counts a GoodGoService that can't be decoded.
    pub fn undecodable(&self) {
        self.undecodable.inc();
    }

    /// Counts a reload of the configuration; `result` is `ok` or `refused`.
    pub fn config_reloaded(&self, result: &'static str) {
        self.config_reloads.get_or_create(&ResultLabel { result }).inc();
    }

    /// Counts a fetch of the issuer's keys; `result` is `ok` or `failed`.
    pub fn identity_fetched(&self, result: &'static str) {
        self.identity_fetches.get_or_create(&ResultLabel { result }).inc();
    }

    /// Counts a pod that was annotated.
    pub fn pod_nudged(&self) {
        self.pods_nudged.inc();
    }

    /// Records that all ready pods of a service run what was applied.
    pub fn in_force(&self, took: Duration) {
        self.in_force_duration.observe(took.as_secs_f64());
    }

    /// Says whether this process holds the lease.
    pub fn leading(&self, leading: bool) {
        self.leader.set(i64::from(leading));
    }

    /// All metrics in OpenMetrics' text format.
    ///
    /// # Errors
    /// When a metric can't be written; nothing is known to cause it.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_exposed() {
        let metrics = Metrics::default();
        metrics.reconciled("ok", Duration::from_millis(3));
        metrics.applied("Deployment");
        metrics.deleted("Service");
        metrics.watch_failed("Job");
        metrics.relisted("Job");
        metrics.config_reloaded("refused");
        metrics.identity_fetched("ok");
        metrics.pod_nudged();
        metrics.in_force(Duration::from_millis(700));
        metrics.leading(true);
        let text = metrics.encode().unwrap();
        for line in [
            "goodgo_operator_reconcile_duration_seconds_bucket{le=\"0.005\"} 1",
            "goodgo_operator_reconciles_total{result=\"ok\"} 1",
            "goodgo_operator_children_applied_total{kind=\"Deployment\"} 1",
            "goodgo_operator_children_deleted_total{kind=\"Service\"} 1",
            "goodgo_operator_status_writes_total 0",
            "goodgo_operator_watch_failures_total{kind=\"Job\"} 1",
            "goodgo_operator_relists_total{kind=\"Job\"} 1",
            "goodgo_operator_undecodable_services_total 0",
            "goodgo_operator_config_reloads_total{result=\"refused\"} 1",
            "goodgo_operator_identity_fetches_total{result=\"ok\"} 1",
            "goodgo_operator_pods_nudged_total 1",
            "goodgo_operator_in_force_duration_seconds_bucket{le=\"1.0\"} 1",
            "goodgo_operator_leader 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
