//! What is asked of the runtime, each beside what was measured.

use super::figures::{Figures, Row, milliseconds};
use crate::bench::Load;
use std::fmt;

const INBOUND: &str = "goodgo inbound";
const OUTBOUND: &str = "goodgo outbound";
const BOTH: &str = "goodgo → goodgo";
const ENVOY: &str = "Envoy";

/// One line of the table.
#[derive(Debug, PartialEq)]
pub(crate) struct Bar {
    what: &'static str,
    asked: String,
    measured: String,
    kept: bool,
}

impl fmt::Display for Bar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, asked, measured, kept } = self;
        let verdict = if *kept { "as asked" } else { "**not as asked**" };
        write!(formatter, "| {what} | {asked} | {measured} | {verdict} |")
    }
}

/// All that the turns can tell; one whose peer did not run is left out.
pub(crate) fn all(figures: &Figures) -> Vec<Bar> {
    let steady = |peer| figures.row(Load::Steady, peer);
    let heavy = |peer| figures.row(Load::Heavy, peer);
    [
        hop("one hop added, inbound", steady(INBOUND), 1, 0.5),
        hop("one hop added, outbound", steady(OUTBOUND), 1, 0.5),
        half("one hop beside Envoy's, inbound", steady(INBOUND), steady(ENVOY)),
        half("one hop beside Envoy's, outbound", steady(OUTBOUND), steady(ENVOY)),
        hop("one hop added, inbound", steady(INBOUND), 2, 1.0),
        hop("one hop added, outbound", steady(OUTBOUND), 2, 1.0),
        hop("two runtimes added", steady(BOTH), 1, 0.8),
        hop("two runtimes added", steady(BOTH), 2, 2.0),
        faster("closed loop, inbound", Load::Closed, figures, INBOUND),
        faster("closed loop, outbound", Load::Closed, figures, OUTBOUND),
        faster("64 KB bodies, inbound", Load::Large, figures, INBOUND),
        faster("64 KB bodies, outbound", Load::Large, figures, OUTBOUND),
        sustained("10,000 requests a second, inbound", heavy(INBOUND)),
        sustained("10,000 requests a second, outbound", heavy(OUTBOUND)),
        cpu("CPU of a hop, inbound", steady(INBOUND)),
        cpu("CPU of a hop, outbound", steady(OUTBOUND)),
        memory("RSS at 64 connections, inbound", heavy(INBOUND)),
        memory("RSS at 64 connections, outbound", heavy(OUTBOUND)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// `at` is the percentile's place, `most` in milliseconds.
fn hop(what: &'static str, row: Option<&Row>, at: usize, most: f64) -> Option<Bar> {
    let added = row?.added.get(at)?.median;
    let name = if at == 1 { "p90" } else { "p99" };
    Some(Bar {
        what,
        asked: format!("{name} ≤ {most} ms"),
        measured: format!("{} ms", milliseconds(added)),
        kept: added * 1000.0 <= most,
    })
}

fn half(what: &'static str, ours: Option<&Row>, envoy: Option<&Row>) -> Option<Bar> {
    let [_, ours, ..] = ours?.added;
    let [_, envoy, ..] = envoy?.added;
    Some(Bar {
        what,
        asked: format!("p90 ≤ half of {} ms", milliseconds(envoy.median)),
        measured: format!("{} ms", milliseconds(ours.median)),
        kept: ours.median <= envoy.median / 2.0,
    })
}

fn faster(what: &'static str, load: Load, figures: &Figures, peer: &str) -> Option<Bar> {
    let ours = figures.row(load, peer)?.per_second.median;
    let envoy = figures.row(load, ENVOY)?.per_second.median;
    let aim = if load == Load::Closed { ", aim 1.3×" } else { "" };
    Some(Bar {
        what,
        asked: format!("≥ Envoy's {envoy:.0} a second{aim}"),
        measured: format!("{ours:.0} a second, {:.2}×", ours / envoy),
        kept: ours >= envoy,
    })
}

fn sustained(what: &'static str, row: Option<&Row>) -> Option<Bar> {
    let row = row?;
    let [_, _, p99, _] = row.latency;
    Some(Bar {
        what,
        asked: "p99 ≤ 5 ms, no failed request".to_owned(),
        measured: format!("{} ms, {} failed", milliseconds(p99.median), row.failed),
        kept: p99.median <= 0.005 && row.failed == 0,
    })
}

fn cpu(what: &'static str, row: Option<&Row>) -> Option<Bar> {
    let used = row?.milli_cpu.median;
    Some(Bar {
        what,
        asked: "≤ 60 mCPU per 1,000 requests a second".to_owned(),
        measured: format!("{used:.0} mCPU"),
        kept: used <= 60.0,
    })
}

fn memory(what: &'static str, row: Option<&Row>) -> Option<Bar> {
    let used = row?.mebibytes.most;
    Some(Bar { what, asked: "≤ 25 MiB".to_owned(), measured: format!("{used:.1} MiB"), kept: used <= 25.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measure::Sample;
    use crate::bench::{Results, Turn};
    use std::time::Duration;

    fn turn(load: Load, peer: &'static str, microseconds: u64, per_second: f64) -> Turn {
        let latency = Some([microseconds; 4].map(Duration::from_micros));
        let sample = Sample { latency, per_second, milli_cpu: 61.0, requests: 1, ..Sample::default() };
        Turn { load, run: 1, peer, hops: u32::from(peer != "direct"), sample }
    }

    #[test]
    fn each_bar_is_told_with_its_verdict() {
        let turns = vec![
            turn(Load::Steady, "direct", 300, 0.0),
            turn(Load::Steady, ENVOY, 1300, 0.0),
            turn(Load::Steady, INBOUND, 700, 0.0),
            turn(Load::Steady, OUTBOUND, 900, 0.0),
            turn(Load::Closed, ENVOY, 0, 1000.0),
            turn(Load::Closed, INBOUND, 0, 1200.0),
            turn(Load::Heavy, INBOUND, 5001, 0.0),
        ];
        let bars = all(&Figures::new(&Results { turns, ..Results::default() }));
        let told: Vec<String> = bars.iter().map(Bar::to_string).collect();
        for expected in [
            "| one hop added, inbound | p90 ≤ 0.5 ms | 0.40 ms | as asked |",
            "| one hop added, outbound | p90 ≤ 0.5 ms | 0.60 ms | **not as asked** |",
            "| one hop beside Envoy's, inbound | p90 ≤ half of 1.00 ms | 0.40 ms | as asked |",
            "| one hop beside Envoy's, outbound | p90 ≤ half of 1.00 ms | 0.60 ms | **not as asked** |",
            "| closed loop, inbound | ≥ Envoy's 1000 a second, aim 1.3× | 1200 a second, 1.20× | as asked |",
            "| 10,000 requests a second, inbound | p99 ≤ 5 ms, no failed request | 5.00 ms, 0 failed | **not as asked** |",
            "| CPU of a hop, inbound | ≤ 60 mCPU per 1,000 requests a second | 61 mCPU | **not as asked** |",
        ] {
            assert!(told.iter().any(|bar| bar == expected), "{expected} is not in {told:#?}");
        }
        assert!(!told.iter().any(|bar| bar.contains("two runtimes") || bar.contains("64 KB")), "{told:#?}");
    }
}
