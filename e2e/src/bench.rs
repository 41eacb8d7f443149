//! `make bench-runtime`: the runtime beside its peers, on one host, with one origin, in one run.
//!
//! All peers stand at the same time ([`stage`]) and get their turns interleaved, so that what else the machine does hits
//! all of them alike. Nothing is asserted: [`report`] writes what was measured beside what is asked.

mod collector;
mod identity;
mod load;
mod machine;
mod measure;
mod origin;
mod peers;
mod process;
mod report;
mod stage;
mod target;

pub use collector::serve as collector;
pub use origin::serve as origin;

use crate::host;
use crate::progress::Step;
use anyhow::{Context, Result};
use load::open::Rate;
use measure::Sample;
use peers::Peer;
use stage::Stage;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use target::Size;

/// How long and beside whom.
#[derive(Debug, Clone)]
pub struct Options {
    /// Turns of each peer.
    pub runs: u32,
    /// Length of one turn.
    pub turn: Duration,
    /// Load before the first turn that counts.
    pub warm_up: Duration,
    /// Length of the run at 10,000 requests a second.
    pub long: Duration,
    /// Idle connections.
    pub idle: usize,
    /// How often tokens are renewed.
    pub rotation: Duration,
    /// Whether callers prove who they are.
    pub identity: bool,
    /// Who runs beside us.
    pub rivals: Vec<Rival>,
    /// Whether it is only to show that everything works.
    pub quick: bool,
    /// The runtime's program; built when absent.
    pub runtime: Option<PathBuf>,
    /// Where the report and the peers' configurations go.
    pub report: PathBuf,
}

/// A peer that is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rival {
    /// Envoy 1.40.
    Envoy,
    /// nginx.
    Nginx,
    /// HAProxy.
    Haproxy,
    /// Dapr's daprd 1.14, once and twice.
    Daprd,
}

impl fmt::Display for Rival {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Envoy => "Envoy",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Daprd => "daprd",
        })
    }
}

/// A load under which all peers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Load {
    /// 1,000 requests a second over 16 connections, 1 KB.
    Steady,
    /// What 16 connections carry, 1 KB.
    Closed,
    /// The same with 64 KB.
    Large,
    /// 10,000 requests a second over 64 connections, once.
    Heavy,
}

/// Requests a second of [`Load::Heavy`].
const HEAVY: u32 = 10_000;

/// One turn of one peer.
#[derive(Debug)]
pub(crate) struct Turn {
    load: Load,
    run: u32,
    peer: &'static str,
    hops: u32,
    sample: Sample,
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Results {
    turns: Vec<Turn>,
    /// Memory without and with idle connections, in bytes, by peer.
    idle: Vec<(&'static str, u64, u64)>,
    /// Proof that what costs was on.
    tokens: u64,
    scrapes: u64,
    spans: u64,
}

impl Results {
    /// Whether `peer` carried so many requests a second in the closed loop. One that did not would only show how its queue
    /// grows, for a minute.
    fn carries(&self, peer: &Peer, per_second: u32) -> bool {
        let turns = self.turns.iter().filter(|turn| turn.load == Load::Closed && turn.peer == peer.name);
        turns.map(|turn| turn.sample.per_second).fold(0.0, f64::max) >= f64::from(per_second)
    }
}

/// Runs all of it and writes the report.
///
/// # Errors
/// When a peer can't be had, does not start, or ends.
pub async fn runtime(options: &Options) -> Result<()> {
    host::prepare_for_bench()?;
    raise_file_limit()?;
    let folder =
        tempfile::Builder::new().prefix("goodgo-bench-").tempdir().context("failed to make a folder")?;
    let stage = Stage::start(folder.path(), options)?;
    let scrapes = Arc::new(AtomicU64::new(0));
    let scraping = stage.goodgo.scrape(Arc::clone(&scrapes));
    let measured = tokio::task::block_in_place(|| measure_all(folder.path(), &stage, options));
    scraping.abort();
    let mut results = measured?;
    results.scrapes = scrapes.load(Ordering::Relaxed);
    // Batches leave every few seconds.
    tokio::time::sleep(Duration::from_secs(6)).await;
    results.spans = stage.spans().await?;
    let Stage { identity, peers, .. } = stage;
    if let Some(identity) = identity {
        results.tokens = identity.finish()?;
    }
    report::write(options, folder.path(), &results)?;
    drop(peers);
    Ok(())
}

fn measure_all(folder: &Path, stage: &Stage, options: &Options) -> Result<Results> {
    let mut results = Results::default();
    let step = Step::begin("measuring", None);
    // One number a turn: the correlation ids of all turns differ.
    let mut seeds = 0..;
    let mut turn = |peer, load, time| turn(folder, peer, load, time, seeds.next().unwrap_or_default());
    for peer in &stage.peers {
        step.advance(0, None, &format!("warming {} up", peer.name));
        turn(peer, Load::Steady, options.warm_up)?;
    }
    for load in [Load::Steady, Load::Closed, Load::Large] {
        for run in 1..=options.runs {
            for peer in &stage.peers {
                step.advance(run.into(), Some(options.runs.into()), &format!("{load:?}: {}", peer.name));
                let sample = turn(peer, load, options.turn)?;
                results.turns.push(Turn { load, run, peer: peer.name, hops: peer.hops, sample });
            }
        }
    }
    let able: Vec<_> = stage.peers.iter().filter(|peer| results.carries(peer, HEAVY)).collect();
    for peer in able {
        step.advance(1, Some(1), &format!("{:?}: {}", Load::Heavy, peer.name));
        let sample = turn(peer, Load::Heavy, options.long)?;
        results.turns.push(Turn { load: Load::Heavy, run: 1, peer: peer.name, hops: peer.hops, sample });
    }
    for peer in stage.peers.iter().filter(|peer| peer.hops == 1) {
        step.advance(1, Some(1), &format!("{} idle connections: {}", options.idle, peer.name));
        let (before, after) = measure::idle(peer, options.idle)?;
        results.idle.push((peer.name, before, after));
    }
    step.done("measured");
    Ok(results)
}

fn turn(folder: &Path, peer: &Peer, load: Load, time: Duration, seed: u64) -> Result<Sample> {
    let rate = |per_second, connections| Rate { per_second, connections, time, size: Size::Kilobyte };
    match load {
        Load::Steady => measure::steady(peer, rate(1_000, 16), seed),
        Load::Heavy => measure::steady(peer, rate(HEAVY, 64), seed),
        Load::Closed => measure::saturated(folder, peer, Size::Kilobyte, 16, time, seed),
        Load::Large => measure::saturated(folder, peer, Size::Kilobytes64, 16, time, seed),
    }
}

/// Ten thousand connections take as many files, here and in every proxy, which inherits the limit.
fn raise_file_limit() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current: _, maximum } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .context("failed to raise the limit of open files")
}
