//! Writes the platform's request metrics, whose names are fixed and carry no prefix, from the listeners' tables.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::ListenerMetrics;
use super::series::Reading;
use super::table::Table;

/// The listeners whose requests are counted.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests(Arc<Mutex<Vec<Arc<ListenerMetrics>>>>);

impl Requests {
    pub(super) fn add(&self, listener: Arc<ListenerMetrics>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    pub(super) fn each(&self, mut visit: impl FnMut(&ListenerMetrics)) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|listener| visit(listener));
    }

    fn tables(&self) -> Vec<Arc<Table>> {
        let mut tables = Vec::new();
        self.each(|listener| tables.push(listener.table.load_full()));
        tables
    }
}

impl Collector for Requests {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let tables = self.tables();
        let mut family = encoder.encode_descriptor(
            "http_request_duration",
            "Time from a request's head to the last byte of its answer",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for table in &tables {
            table.visit(|labels, series| {
                let Reading { buckets, sum_seconds, count, errors: _, timeouts: _ } = series.read();
                family.encode_family(labels)?.encode_histogram::<NoLabelSet>(
                    sum_seconds,
                    count,
                    &buckets,
                    None,
                )
            })?;
        }
        counter(&mut encoder, &tables, "http_requests", "Requests", |reading| reading.count)?;
        let help = "Requests answered with 5xx, broken off, or failed by gRPC's status";
        counter(&mut encoder, &tables, "http_request_errors", help, |reading| reading.errors)?;
        let help = "Calls that this runtime ended because a time limit was over";
        counter(&mut encoder, &tables, "service_client_timeout", help, |reading| reading.timeouts)
    }
}

/// A counter that was never counted up is there as 0, so that rates of the first error are right.
fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    tables: &[Arc<Table>],
    name: &str,
    help: &str,
    value: impl Fn(&Reading) -> u64,
) -> std::fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    let outbound_alone = name == "service_client_timeout";
    for table in tables.iter().filter(|table| !outbound_alone || table.leg.direction() == "outbound") {
        table.visit(|labels, series| {
            family.encode_family(labels)?.encode_counter::<NoLabelSet, u64, u64>(&value(&series.read()), None)
        })?;
    }
    Ok(())
}
