//! Writes the platform's request metrics, whose names are fixed and carry no prefix, from the listeners' tables.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::ListenerMetrics;
use super::series::Reading;
use super::table::{Labels, Table};

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
        // Read once, or the families would count different moments.
        let read: Vec<_> = tables
            .iter()
            .flat_map(|table| {
                table.counted().map(|(labels, series)| (table.leg.direction(), labels, series.read()))
            })
            .collect();
        let mut family = encoder.encode_descriptor(
            "http_request_duration",
            "Time from a request's head to the last byte of its answer",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for (_, labels, reading) in &read {
            let Reading { buckets, sum_seconds, count, errors: _, timeouts: _ } = reading;
            family.encode_family(labels)?.encode_histogram::<NoLabelSet>(
                *sum_seconds,
                *count,
                buckets,
                None,
            )?;
        }
        let readings = || read.iter().map(|(_, labels, reading)| (labels, reading));
        let requests = readings().map(|(labels, reading)| (labels, reading.count));
        counter(&mut encoder, "http_requests", "Requests", requests)?;
        let help = "Requests answered with 5xx, broken off, or failed by gRPC's status";
        let errors = readings().map(|(labels, reading)| (labels, reading.errors));
        counter(&mut encoder, "http_request_errors", help, errors)?;
        let help = "Calls that this runtime ended because a time limit was over";
        let outbound = read.iter().filter(|(direction, ..)| *direction == "outbound");
        let timeouts = outbound.map(|(_, labels, reading)| (labels, reading.timeouts));
        counter(&mut encoder, "service_client_timeout", help, timeouts)
    }
}

/// A counter that was never counted up is there as 0, so that rates of the first error are right.
fn counter<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (&'a Labels<'a>, u64)>,
) -> std::fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in values {
        family.encode_family(labels)?.encode_counter::<NoLabelSet, u64, u64>(&value, None)?;
    }
    Ok(())
}
