//! Open loop: requests at a constant rate, whatever the answers take.
//!
//! Each connection is a thread with its own fixed times, offset so that together they are evenly spread. A latency
//! counts from the time that the request was due, so that a pause of the proxy is felt by every request that it kept
//! waiting (no coordinated omission). Threads, because the kernel wakes them within microseconds of the time, while an
//! event loop's timer has a millisecond.

use super::connection::{Connection, PATIENCE};
use crate::bench::target::{Size, Target};
use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// How much load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// Requests a second, over all connections.
    pub(crate) per_second: u32,
    /// Connections.
    pub(crate) connections: u32,
    /// How long.
    pub(crate) time: Duration,
    /// What is asked for.
    pub(crate) size: Size,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// From due to answered, in nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// Requests that were due.
    pub(crate) due: u64,
    /// Those that were not answered well.
    pub(crate) failed: u64,
    /// Why the first of them failed.
    pub(crate) failure: Option<String>,
}

impl Outcome {
    fn new() -> Result<Self> {
        let longest = u64::try_from(PATIENCE.as_nanos() * 12).unwrap_or(u64::MAX);
        let latency = Histogram::new_with_bounds(1, longest, 3).context("failed to make a histogram")?;
        Ok(Self { latency, due: 0, failed: 0, failure: None })
    }

    fn add(&mut self, other: Self) -> Result<()> {
        let Self { latency, due, failed, failure } = other;
        self.latency.add(latency).context("failed to add up histograms")?;
        self.due += due;
        self.failed += failed;
        self.failure = self.failure.take().or(failure);
        Ok(())
    }

    /// Latency below which so many percent of the requests stayed.
    pub(crate) fn quantile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.latency.value_at_quantile(percent / 100.0))
    }
}

/// Loads `target`; `seed` tells this run's correlation ids from all others.
///
/// # Errors
/// When a thread can't be started or ends badly; a request that fails is part of the outcome.
pub(crate) fn run(target: &Target, rate: Rate, seed: u64) -> Result<Outcome> {
    let period = Duration::from_secs(1) * rate.connections / rate.per_second;
    // All connections stand before the first request is due.
    let first = Instant::now() + Duration::from_millis(100);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..rate.connections)
            .map(|number| {
                let begin = first + period * number / rate.connections;
                let id = (u128::from(seed) << 64) | (u128::from(number) << 40);
                scope.spawn(move || client(target, rate, begin, period, id))
            })
            .collect();
        let mut all = Outcome::new()?;
        for client in clients {
            let outcome = client.join().map_err(|_| anyhow::anyhow!("failed to run a client"))??;
            all.add(outcome)?;
        }
        Ok(all)
    })
}

fn client(target: &Target, rate: Rate, begin: Instant, period: Duration, mut id: u128) -> Result<Outcome> {
    // The default slack of 50 µs would be measured as latency.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
    let mut outcome = Outcome::new()?;
    let mut connection = Connection::open(target, rate.size).ok();
    let (mut due, end) = (begin, begin + rate.time);
    while due < end {
        // A proxy that can't keep up is not waited for without bound: what was due by then has failed.
        let lost = Instant::now() > end + PATIENCE;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        outcome.due += 1;
        id += 1;
        let answered = if lost {
            Err(anyhow::anyhow!("failed to send in time: the answers before took too long"))
        } else {
            exchange(&mut connection, target, rate.size, id)
        };
        match answered {
            Ok(()) => {
                let taken = u64::try_from(due.elapsed().as_nanos()).unwrap_or(u64::MAX);
                outcome.latency.saturating_record(taken);
            }
            Err(error) => {
                connection = None;
                outcome.failed += 1;
                outcome.failure.get_or_insert_with(|| format!("{error:#}"));
            }
        }
        due += period;
    }
    Ok(outcome)
}

fn exchange(connection: &mut Option<Connection>, target: &Target, size: Size, id: u128) -> Result<()> {
    let open = match connection {
        Some(open) => open,
        None => connection.insert(Connection::open(target, size)?),
    };
    open.exchange(target, size, id)
}
