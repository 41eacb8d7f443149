//! One listener's handles, made once.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use goodgo_runtime_config::RuntimeConfig;
use http::{Method, StatusCode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::table::Table;
use super::{Exchange, Leg, ProblemLabels, Seen};
use crate::proxy::Failure;

/// One listener's counters.
#[derive(Debug)]
pub(crate) struct ListenerMetrics {
    pub(super) name: String,
    pub(super) classes: [Counter<u64, AtomicU64>; 5],
    pub(super) in_flight: Gauge,
    pub(super) connections: Gauge,
    pub(super) table: ArcSwap<Table>,
    pub(super) problems: Family<ProblemLabels, Counter>,
}

impl ListenerMetrics {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Starts to count a request; also returns where the layers inside tell who its peer is, if anybody can.
    pub(crate) fn exchange(self: &Arc<Self>, method: &Method, path: &str) -> (Exchange, Option<Seen>) {
        Exchange::start(Arc::clone(self), self.table.load_full(), method, path)
    }

    pub(super) fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(counter) = self.classes.get(class) {
            counter.inc();
        }
    }

    pub(crate) fn problem(&self, failure: &Failure) {
        let labels = ProblemLabels { listener: self.name.clone(), reason: failure.reason().to_owned() };
        self.problems.get_or_create(&labels).inc();
    }

    /// Counts one request as in flight until the guard is dropped.
    pub(super) fn request(&self) -> Guard {
        Guard::new(&self.in_flight)
    }

    /// Counts one connection until the guard is dropped.
    pub(crate) fn connection(&self) -> Guard {
        Guard::new(&self.connections)
    }

    /// Follows the configuration's peers and routes.
    pub(super) fn configure(&self, config: &RuntimeConfig) {
        let previous = self.table.load();
        let leg: Leg = previous.leg.clone();
        self.table.store(Arc::new(Table::new(leg, Some(config), Some(&previous))));
    }
}

/// Holds a gauge up by one.
#[derive(Debug)]
pub(crate) struct Guard(Gauge);

impl Guard {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.dec();
    }
}
