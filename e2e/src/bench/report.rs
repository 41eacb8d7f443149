//! Writes what was measured: bars first, then the tables they come from, then machine and configuration.

mod bars;
mod figures;

use super::{Load, Options, Results, machine};
use crate::paths;
use anyhow::{Context, Result};
use figures::{Figures, milliseconds};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// What is kept beside the report: peers' configurations as they ran, tokens never.
const CONFIGURATIONS: [(&str, &str); 5] = [
    ("envoy.yaml", "envoy.yaml"),
    ("nginx.conf", "nginx.conf"),
    ("haproxy.cfg", "haproxy.cfg"),
    ("goodgo-caller/runtime.json", "goodgo-caller.json"),
    ("goodgo-callee/runtime.json", "goodgo-callee.json"),
];

const HEAD: &str = "\
# Benchmarks

Written by `make bench-runtime` (`goodgo-dev bench runtime`): one host, one origin, all peers standing at the same time
and taking turns. Figures are medians over the runs, with the smallest and the largest beside them where it matters.
Nothing is asserted; what is not as asked says so.
";

const HOW: &str = "
## How

- **Load.** Constant rate: one thread a connection with fixed times of its own; a latency counts from the time that the
  request was due (no coordinated omission). Closed loop: wrk with one thread, because it takes least of the cores that
  the proxies need. Every request has a fresh `x-correlation-id`.
- **Origin.** A hyper server on one thread in its own process; 1 KB or 64 KB of body.
- **Peers.** One worker or thread each, connections to the origin kept alive, retries on. Envoy with outlier detection
  as well; daprd with mDNS and without mTLS. `added` is the difference to the direct way within the same run.
- **goodgo-runtime.** One worker. Retries, breaker, deadline, metrics (scraped every second) and traces (10 % of the
  requests, the API's default) are on, and identity (ES256, renewed during the run) unless the table below says otherwise.
  The collector is a small one of our own: Jaeger would spend as much of the cores as the proxies do.
- **CPU** is utime + stime of `/proc/PID/stat`, of all proxies on the way; **RSS** is the largest `VmRSS` of one of them.
- Nothing is pinned to a core. All of it shares the cores: latencies include waiting for them.
- **10,000 requests a second** are asked of those alone who carried as many in the closed loop.
- **Not measured here:** discovery through a DNS server, because these calls go to one address; the chain on real pods.
";

/// Writes the report and the configurations.
///
/// # Errors
/// When the disk refuses.
pub(crate) fn write(options: &Options, folder: &Path, results: &Results) -> Result<()> {
    let figures = Figures::new(results);
    paths::write(&options.report, text(options, &figures, results)?)?;
    let beside = options.report.with_extension("");
    for (made, kept) in CONFIGURATIONS {
        if let Ok(config) = fs::read(folder.join(made)) {
            paths::write(&beside.join(kept), config)?;
        }
    }
    Ok(())
}

fn text(options: &Options, figures: &Figures, results: &Results) -> Result<String> {
    let mut text = HEAD.to_owned();
    if options.quick {
        text.push_str("\n**A quick run: it shows that everything works, and its figures mean nothing.**\n");
    }
    text.push_str("\n## Bars\n\n| | asked | measured | |\n| --- | --- | --- | --- |\n");
    for bar in bars::all(figures) {
        writeln!(text, "{bar}")?;
    }
    latency(&mut text, figures, Load::Steady, "1,000 requests a second, 16 connections, 1 KB")?;
    latency(&mut text, figures, Load::Heavy, "10,000 requests a second, 64 connections, 1 KB, one run")?;
    throughput(&mut text, figures, Load::Closed, "Closed loop, 16 connections, 1 KB")?;
    throughput(&mut text, figures, Load::Large, "Closed loop, 16 connections, 64 KB")?;
    idle(&mut text, options, results)?;
    failures(&mut text, results)?;
    text.push_str(HOW);
    text.push_str("\n## Machine\n\n| | |\n| --- | --- |\n");
    for (what, which) in machine::describe().context("failed to describe the machine")? {
        writeln!(text, "| {what} | {which} |")?;
    }
    writeln!(
        text,
        "| runs | {} of {} s, after {} s of warm-up; {} s at 10,000 requests a second |",
        options.runs,
        options.turn.as_secs(),
        options.warm_up.as_secs(),
        options.long.as_secs()
    )?;
    let identity = if options.identity {
        format!("on, {} tokens, a new one every {} s", results.tokens, options.rotation.as_secs())
    } else {
        "off".to_owned()
    };
    writeln!(text, "| identity | {identity} |")?;
    writeln!(text, "| metrics | {} scrapes |", results.scrapes)?;
    writeln!(text, "| traces | {} spans reached the collector |", results.spans)?;
    let beside = options.report.file_stem().unwrap_or_default().to_string_lossy();
    writeln!(text, "\nThe configurations as they ran are in [{beside}/]({beside}/).")?;
    Ok(text)
}

fn latency(text: &mut String, figures: &Figures, load: Load, title: &str) -> Result<()> {
    let rows = figures.of(load);
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n## {title}\n")?;
    text.push_str(
        "| | p50 | p90 | p99 | p99.9 ms | added p50 | added p90 (least to most) | added p99 ms | mCPU per 1,000/s | RSS MiB | failed |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for row in rows {
        let [p50, p90, p99, p999] = row.latency.map(|spread| milliseconds(spread.median));
        let [a50, a90, a99, _] = row.added;
        let added = if row.hops == 0 {
            " | | ".to_owned()
        } else {
            format!(
                "{} | {} ({} to {}) | {}",
                milliseconds(a50.median),
                milliseconds(a90.median),
                milliseconds(a90.least),
                milliseconds(a90.most),
                milliseconds(a99.median)
            )
        };
        writeln!(
            text,
            "| {} | {p50} | {p90} | {p99} | {p999} | {added} | {} | {} of {} |",
            row.peer,
            used(row),
            row.failed,
            row.requests
        )?;
    }
    Ok(())
}

fn throughput(text: &mut String, figures: &Figures, load: Load, title: &str) -> Result<()> {
    let rows = figures.of(load);
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n## {title}\n")?;
    text.push_str(
        "| | requests a second (least to most) | mCPU per 1,000/s | RSS MiB | failed |\n\
         | --- | ---: | ---: | ---: | ---: |\n",
    );
    for row in rows {
        let rate = row.per_second;
        writeln!(
            text,
            "| {} | {:.0} ({:.0} to {:.0}) | {} | {} of {} |",
            row.peer,
            rate.median,
            rate.least,
            rate.most,
            used(row),
            row.failed,
            row.requests
        )?;
    }
    Ok(())
}

/// CPU and memory of proxies; the direct way has none.
fn used(row: &figures::Row) -> String {
    if row.hops == 0 {
        return " | ".to_owned();
    }
    format!("{:.0} | {:.1}", row.milli_cpu.median, row.mebibytes.most)
}

fn idle(text: &mut String, options: &Options, results: &Results) -> Result<()> {
    if results.idle.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n## {} idle connections, each after one request\n", options.idle)?;
    text.push_str(
        "| | RSS before, MiB | RSS with them, MiB | KiB a connection |\n| --- | ---: | ---: | ---: |\n",
    );
    for (peer, before, after) in &results.idle {
        let each = after.saturating_sub(*before) / 1024 / (options.idle as u64).max(1);
        let [before, after] = [before, after].map(|bytes| figures::mebibytes(*bytes));
        writeln!(text, "| {peer} | {before:.1} | {after:.1} | {each} |")?;
    }
    Ok(())
}

fn failures(text: &mut String, results: &Results) -> Result<()> {
    let failed: Vec<_> = results.turns.iter().filter(|turn| turn.sample.failed > 0).collect();
    if failed.is_empty() {
        return Ok(());
    }
    text.push_str("\n## Failed requests\n\n");
    for turn in failed {
        let why = turn.sample.failure.as_deref().unwrap_or("wrk does not tell why");
        writeln!(
            text,
            "- {} under {:?}, run {}: {} of {}: {why}",
            turn.peer, turn.load, turn.run, turn.sample.failed, turn.sample.requests
        )?;
    }
    Ok(())
}
