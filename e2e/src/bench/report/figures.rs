//! Turns add up to one row for each load and peer.

use crate::bench::{Load, Results, Turn};
use std::collections::BTreeMap;

/// One figure over all runs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Spread {
    /// The middle one; of an even number the lower.
    pub(crate) median: f64,
    /// The smallest.
    pub(crate) least: f64,
    /// The largest.
    pub(crate) most: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or_default();
        let last = values.len().saturating_sub(1);
        Self { median: at(last / 2), least: at(0), most: at(last) }
    }
}

/// One peer under one load.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) peer: &'static str,
    /// Proxies on the way.
    pub(crate) hops: u32,
    /// p50, p90, p99 and p99.9, in seconds.
    pub(crate) latency: [Spread; 4],
    /// The same less the direct way's in the same run.
    pub(crate) added: [Spread; 4],
    /// Answers a second.
    pub(crate) per_second: Spread,
    /// Thousandths of a core per 1,000 requests a second.
    pub(crate) milli_cpu: Spread,
    /// Resident memory.
    pub(crate) mebibytes: Spread,
    /// Requests of all runs.
    pub(crate) requests: u64,
    /// Those that failed.
    pub(crate) failed: u64,
}

/// All rows.
#[derive(Debug)]
pub(crate) struct Figures(BTreeMap<Load, Vec<Row>>);

impl Figures {
    /// Adds the turns up, peers in the order of their first turn.
    pub(crate) fn new(results: &Results) -> Self {
        let mut rows: BTreeMap<Load, Vec<Row>> = BTreeMap::new();
        for turn in &results.turns {
            let of_load = rows.entry(turn.load).or_default();
            if !of_load.iter().any(|row| row.peer == turn.peer) {
                of_load.push(row(results, turn));
            }
        }
        Self(rows)
    }

    /// The rows of a load.
    pub(crate) fn of(&self, load: Load) -> &[Row] {
        self.0.get(&load).map_or(&[], Vec::as_slice)
    }

    /// One row.
    pub(crate) fn row(&self, load: Load, peer: &str) -> Option<&Row> {
        self.of(load).iter().find(|row| row.peer == peer)
    }
}

fn row(results: &Results, first: &Turn) -> Row {
    let turns = || results.turns.iter().filter(|turn| (turn.load, turn.peer) == (first.load, first.peer));
    let spread = |of: &dyn Fn(&Turn) -> f64| Spread::of(turns().map(of).collect());
    let seconds = |turn: &Turn, at: usize| {
        turn.sample.latency.and_then(|latency| latency.get(at).copied()).unwrap_or_default().as_secs_f64()
    };
    let direct = |turn: &Turn, at: usize| {
        let same = |other: &&Turn| (other.load, other.run, other.hops) == (turn.load, turn.run, 0);
        results.turns.iter().find(same).map_or(0.0, |direct| seconds(direct, at))
    };
    Row {
        peer: first.peer,
        hops: first.hops,
        latency: [0, 1, 2, 3].map(|at| spread(&|turn| seconds(turn, at))),
        added: [0, 1, 2, 3].map(|at| spread(&|turn| seconds(turn, at) - direct(turn, at))),
        per_second: spread(&|turn| turn.sample.per_second),
        milli_cpu: spread(&|turn| turn.sample.milli_cpu),
        mebibytes: spread(&|turn| mebibytes(turn.sample.resident)),
        requests: turns().map(|turn| turn.sample.requests).sum(),
        failed: turns().map(|turn| turn.sample.failed).sum(),
    }
}

/// Seconds as a person reads latencies.
pub(crate) fn milliseconds(seconds: f64) -> String {
    format!("{:.2}", seconds * 1000.0)
}

/// Bytes in the unit of the bars.
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measure::Sample;
    use std::time::Duration;

    fn turn(peer: &'static str, hops: u32, run: u32, p90: u64) -> Turn {
        let latency = Some([1, p90, 9, 10].map(Duration::from_millis));
        let sample = Sample { latency, requests: 10, failed: u64::from(run), ..Sample::default() };
        Turn { load: Load::Steady, run, peer, hops, sample }
    }

    #[test]
    fn what_a_hop_adds_is_told_against_the_direct_way_of_the_same_run() {
        let turns = vec![
            turn("direct", 0, 1, 2),
            turn("proxy", 1, 1, 5),
            turn("direct", 0, 2, 4),
            turn("proxy", 1, 2, 5),
            turn("direct", 0, 3, 3),
            turn("proxy", 1, 3, 5),
        ];
        let figures = Figures::new(&Results { turns, ..Results::default() });
        assert_eq!(figures.of(Load::Steady).len(), 2);
        let proxy = figures.row(Load::Steady, "proxy").unwrap();
        let [median, least, most] =
            [proxy.added[1].median, proxy.added[1].least, proxy.added[1].most].map(milliseconds);
        assert_eq!((median.as_str(), least.as_str(), most.as_str()), ("2.00", "1.00", "3.00"));
        assert_eq!((proxy.requests, proxy.failed), (30, 6));
        assert!(figures.of(Load::Heavy).is_empty());
    }

    #[test]
    fn spreads_of_even_and_no_runs() {
        let spread = Spread::of(vec![4.0, 1.0, 2.0, 3.0]);
        assert_eq!(spread, Spread { median: 2.0, least: 1.0, most: 4.0 });
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }
}
