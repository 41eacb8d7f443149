//! The runtime's own metrics, as Prometheus text. The hot path touches atomics only: each listener's counters are made
//! once, when the listener is.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::outbound;
use crate::proxy::Failure;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabel {
    listener: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    listener: String,
    code_class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProblemLabels {
    listener: String,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RevisionLabel {
    revision: String,
}

/// All metric families of the process.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<CodeLabels, Counter>,
    in_flight: Family<ListenerLabel, Gauge>,
    connections: Family<ListenerLabel, Gauge>,
    problems: Family<ProblemLabels, Counter>,
    config_loads: Family<ResultLabel, Counter>,
    config_good: Gauge,
    config_info: Family<RevisionLabel, Gauge>,
    draining: Gauge,
    outbound: outbound::Metrics,
}

impl Metrics {
    pub(crate) fn new() -> Arc<Self> {
        let mut registry = Registry::with_prefix("goodgo_runtime");
        let requests = Family::default();
        registry.register(
            "requests",
            "Requests answered, by listener and class of status code",
            requests.clone(),
        );
        let in_flight = Family::default();
        registry.register("requests_in_flight", "Requests whose answer is not complete", in_flight.clone());
        let connections = Family::default();
        registry.register("connections_open", "Accepted connections that are open", connections.clone());
        let problems = Family::default();
        registry.register(
            "problems",
            "Failures that the runtime answered itself, by reason",
            problems.clone(),
        );
        let config_loads = Family::default();
        registry.register("config_loads", "Configuration files read, by result", config_loads.clone());
        let config_good = Gauge::default();
        registry.register("config_good", "1 when the file's content is in force", config_good.clone());
        let config_info = Family::default();
        registry.register("config_info", "Revision in force", config_info.clone());
        let draining = Gauge::default();
        registry.register("draining", "1 once the pod is on its way out", draining.clone());
        let outbound = outbound::Metrics::default();
        outbound.register(&mut registry);
        Arc::new(Self {
            registry,
            requests,
            in_flight,
            connections,
            problems,
            config_loads,
            config_good,
            config_info,
            draining,
            outbound,
        })
    }

    /// The counters of one listener.
    pub(crate) fn listener(self: &Arc<Self>, name: &str) -> Arc<ListenerMetrics> {
        let label = ListenerLabel { listener: name.to_owned() };
        let class = |code_class| {
            self.requests.get_or_create_owned(&CodeLabels { listener: name.to_owned(), code_class })
        };
        Arc::new(ListenerMetrics {
            name: name.to_owned(),
            classes: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(class),
            in_flight: self.in_flight.get_or_create_owned(&label),
            connections: self.connections.get_or_create_owned(&label),
            all: Arc::clone(self),
        })
    }

    pub(crate) fn config_accepted(&self, revision: &str) {
        self.config_loads.get_or_create(&ResultLabel { result: "accepted" }).inc();
        self.config_good.set(1);
        self.config_info.clear();
        self.config_info.get_or_create(&RevisionLabel { revision: revision.to_owned() }).set(1);
    }

    pub(crate) fn config_refused(&self) {
        self.config_loads.get_or_create(&ResultLabel { result: "refused" }).inc();
        self.config_good.set(0);
    }

    /// What the policies of calls count.
    pub(crate) fn outbound(&self) -> &outbound::Metrics {
        &self.outbound
    }

    pub(crate) fn draining(&self) {
        self.draining.set(1);
    }

    /// OpenMetrics text.
    pub(crate) fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// One listener's counters.
#[derive(Debug)]
pub(crate) struct ListenerMetrics {
    name: String,
    classes: [Counter<u64, AtomicU64>; 5],
    in_flight: Gauge,
    connections: Gauge,
    all: Arc<Metrics>,
}

impl ListenerMetrics {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(counter) = self.classes.get(class) {
            counter.inc();
        }
    }

    pub(crate) fn problem(&self, failure: &Failure) {
        let labels = ProblemLabels { listener: self.name.clone(), reason: failure.reason().to_owned() };
        self.all.problems.get_or_create(&labels).inc();
    }

    /// Counts one request until the guard is dropped.
    pub(crate) fn request(&self) -> Guard {
        Guard::new(&self.in_flight)
    }

    /// Counts one connection until the guard is dropped.
    pub(crate) fn connection(&self) -> Guard {
        Guard::new(&self.connections)
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
