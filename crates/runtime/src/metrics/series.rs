//! One series of the platform's request metrics: a histogram of durations and the counters beside it, atomics alone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, in seconds. Dense where the platform's targets lie (0.8 ms to 100 ms).
pub(super) const BOUNDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const BUCKETS: usize = BOUNDS.len() + 1;

/// What is counted for one combination of labels.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// Not cumulative; the last one is above all bounds.
    buckets: [AtomicU64; BUCKETS],
    sum_nanos: AtomicU64,
    errors: AtomicU64,
    timeouts: AtomicU64,
}

/// How one request ended, as far as its counters care.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) error: bool,
    pub(super) timeout: bool,
}

/// A series as it is exported.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reading {
    /// Bound and count; not cumulative, as the encoder wants it.
    pub(super) buckets: Vec<(f64, u64)>,
    pub(super) sum_seconds: f64,
    pub(super) count: u64,
    pub(super) errors: u64,
    pub(super) timeouts: u64,
}

impl Series {
    pub(super) fn record(&self, took: Duration, outcome: Outcome) {
        let Outcome { error, timeout } = outcome;
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        // Wraps after 584 years of summed requests.
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
        if error {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        if timeout {
            self.timeouts.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> Reading {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        Reading {
            // Derived from the buckets, so that both always agree.
            count: buckets.iter().map(|(_, count)| count).sum(),
            sum_seconds: Duration::from_nanos(self.sum_nanos.load(Ordering::Relaxed)).as_secs_f64(),
            errors: self.errors.load(Ordering::Relaxed),
            timeouts: self.timeouts.load(Ordering::Relaxed),
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_the_sum_is_exact() {
        let series = Series::default();
        let error = Outcome { error: true, timeout: false };
        let timeout = Outcome { error: true, timeout: true };
        for (micros, outcome) in
            [(500, Outcome::default()), (501, error), (10_000_000, timeout), (10_000_001, Outcome::default())]
        {
            series.record(Duration::from_micros(micros), outcome);
        }
        let Reading { buckets, sum_seconds, count, errors, timeouts } = series.read();
        assert_eq!((count, errors, timeouts), (4, 2, 1));
        assert!((sum_seconds - 20.001_002).abs() < 1e-9, "{sum_seconds}");
        let filled: Vec<_> = buckets.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.0005, 1), (0.001, 1), (10.0, 1), (f64::INFINITY, 1)]);
    }
}
