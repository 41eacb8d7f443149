//! What looking up names costs. Only what waits for DNS is measured: reading an answer that is at hand takes less time
//! than reading a clock.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::{Found, LookupError};

/// Upper bounds in seconds. Narrow where cluster DNS answers; [`super::follow`] ends a look after five seconds.
const BUCKETS: [f64; 14] =
    [0.000_25, 0.000_5, 0.001, 0.002, 0.003, 0.004, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

/// The families. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    lookups: Family<ResultLabel, Histogram, fn() -> Histogram>,
    waits: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { lookups: Family::new_with_constructor(|| Histogram::new(BUCKETS)), waits: Counter::default() }
    }
}

impl Metrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let Self { lookups, waits } = self;
        registry.register_with_unit(
            "discovery_lookup_duration",
            "Time of one look at DNS, by result",
            Unit::Seconds,
            lookups.clone(),
        );
        registry.register(
            "discovery_waits",
            "Requests that waited for DNS because no answer was at hand",
            waits.clone(),
        );
    }

    pub(super) fn looked(&self, result: &Result<Found, LookupError>, took: Duration) {
        let result = match result {
            Ok(_) => "found",
            Err(LookupError::Absent) => "absent",
            Err(LookupError::Failed(_)) => "failed",
        };
        self.lookups.get_or_create(&ResultLabel { result }).observe(took.as_secs_f64());
    }

    pub(super) fn waited(&self) {
        self.waits.inc();
    }
}
