//! What is measured, as OpenMetrics text on the admin port: the platform's request metrics ([`table`], `docs/metrics.md`),
//! and the runtime's own families. The hot path touches atomics only: each listener's handles are made once.

mod collect;
mod exchange;
mod listener;
mod series;
mod table;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use goodgo_runtime_config::RuntimeConfig;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use self::collect::Requests;
pub(crate) use self::exchange::{Exchange, Own};
pub(crate) use self::listener::{Guard, ListenerMetrics};
use self::table::Table;
pub(crate) use self::table::{Leg, Seen};
use crate::{discovery, outbound};

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

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabel {
    check: &'static str,
}

/// All metric families of the process.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// The platform's request metrics.
    by_peer: Requests,
    /// What tables of listeners that are yet to come are made from.
    config: Mutex<Option<RuntimeConfig>>,
    requests: Family<CodeLabels, Counter>,
    in_flight: Family<ListenerLabel, Gauge>,
    connections: Family<ListenerLabel, Gauge>,
    problems: Family<ProblemLabels, Counter>,
    config_loads: Family<ResultLabel, Counter>,
    config_good: Gauge,
    config_info: Family<RevisionLabel, Gauge>,
    draining: Gauge,
    concurrency_limit: Gauge,
    spans: Family<ResultLabel, Counter>,
    checks: Family<CheckLabel, Gauge>,
    outbound: outbound::Metrics,
    discovery: discovery::Metrics,
}

impl Metrics {
    pub(crate) fn new() -> Arc<Self> {
        let mut all = Registry::default();
        let by_peer = Requests::default();
        all.register_collector(Box::new(by_peer.clone()));
        let registry = all.sub_registry_with_prefix("goodgo_runtime");
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
        let concurrency_limit = Gauge::default();
        registry.register(
            "inbound_concurrency_limit",
            "Requests that the app may have at once",
            concurrency_limit.clone(),
        );
        let spans = Family::default();
        registry.register("spans", "Spans of sampled requests, by what became of them", spans.clone());
        let checks = Family::default();
        registry.register("check_up", "1 when the dependency's last check succeeded", checks.clone());
        let outbound = outbound::Metrics::default();
        outbound.register(registry);
        let discovery = discovery::Metrics::default();
        discovery.register(registry);
        Arc::new(Self {
            registry: all,
            by_peer,
            config: Mutex::default(),
            requests,
            in_flight,
            connections,
            problems,
            config_loads,
            config_good,
            config_info,
            draining,
            concurrency_limit,
            spans,
            checks,
            outbound,
            discovery,
        })
    }

    /// The counters of one listener.
    pub(crate) fn listener(&self, name: &str, leg: Leg) -> Arc<ListenerMetrics> {
        let label = ListenerLabel { listener: name.to_owned() };
        let class = |code_class| {
            self.requests.get_or_create_owned(&CodeLabels { listener: name.to_owned(), code_class })
        };
        let config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        let listener = Arc::new(ListenerMetrics {
            name: name.to_owned(),
            classes: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(class),
            in_flight: self.in_flight.get_or_create_owned(&label),
            connections: self.connections.get_or_create_owned(&label),
            table: ArcSwap::from_pointee(Table::new(leg, config.as_ref(), None)),
            problems: self.problems.clone(),
        });
        self.by_peer.add(Arc::clone(&listener));
        listener
    }

    /// Follows the configuration: its peers and routes are the only ones that become labels.
    pub(crate) fn configure(&self, config: &RuntimeConfig) {
        let mut current = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(config.clone());
        self.by_peer.each(|listener| listener.configure(config));
    }

    /// Counts spans: `exported`, `dropped` (the queue was full) or `failed` (the collector did not take them).
    pub(crate) fn spans(&self, result: &'static str, count: u64) {
        self.spans.get_or_create(&ResultLabel { result }).inc_by(count);
    }

    /// The last result of a dependency's check; none once it is not checked any more.
    pub(crate) fn check(&self, check: &'static str, up: Option<bool>) {
        match up {
            Some(up) => {
                self.checks.get_or_create(&CheckLabel { check }).set(up.into());
            }
            None => {
                self.checks.remove(&CheckLabel { check });
            }
        }
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

    /// Shows the inbound limit.
    pub(crate) fn concurrency_limit(&self) -> Gauge {
        self.concurrency_limit.clone()
    }

    /// What the policies of calls count.
    pub(crate) fn outbound(&self) -> &outbound::Metrics {
        &self.outbound
    }

    /// What looking up callees costs.
    pub(crate) fn discovery(&self) -> &discovery::Metrics {
        &self.discovery
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
