//! One peer under one load: latency, throughput, and what its proxies used meanwhile.

use super::load::{closed, connection::Connection, open};
use super::peers::Peer;
use super::process::Process;
use super::target::Size;
use anyhow::{Context, Result};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Time between two looks at memory.
const LOOK: Duration = Duration::from_millis(200);
/// The percentiles that are told.
pub(crate) const PERCENTILES: [f64; 4] = [50.0, 90.0, 99.0, 99.9];

/// What came of one load.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    /// Latencies at [`PERCENTILES`]; none in a closed loop, which would only show its own queue.
    pub(crate) latency: Option<[Duration; 4]>,
    /// Requests.
    pub(crate) requests: u64,
    /// Those that were not answered well.
    pub(crate) failed: u64,
    /// Why the first of them failed.
    pub(crate) failure: Option<String>,
    /// Answers a second.
    pub(crate) per_second: f64,
    /// CPU of all proxies on the way, in thousandths of a core per 1,000 requests a second.
    pub(crate) milli_cpu: f64,
    /// Largest resident memory of any of them meanwhile, in bytes.
    pub(crate) resident: u64,
}

/// Constant rate.
///
/// # Errors
/// When a proxy has ended.
pub(crate) fn steady(peer: &Peer, rate: open::Rate, seed: u64) -> Result<Sample> {
    watched(peer, || {
        let outcome = open::run(&peer.target, rate, seed)?;
        let answered = outcome.due - outcome.failed;
        Ok(Sample {
            latency: Some(PERCENTILES.map(|percent| outcome.quantile(percent))),
            requests: outcome.due,
            failed: outcome.failed,
            per_second: precise(answered) / rate.time.as_secs_f64(),
            failure: outcome.failure,
            ..Sample::default()
        })
    })
}

/// As much as so many connections carry.
///
/// # Errors
/// As [`steady`], and what wrk said.
pub(crate) fn saturated(
    folder: &Path,
    peer: &Peer,
    size: Size,
    connections: u32,
    time: Duration,
    seed: u64,
) -> Result<Sample> {
    watched(peer, || {
        let counted = closed::run(folder, &peer.target, size, connections, time, seed)?;
        Ok(Sample {
            requests: counted.requests,
            failed: counted.failed,
            per_second: counted.per_second,
            ..Sample::default()
        })
    })
}

/// Memory with and without so many connections that each made one request and then say nothing, in bytes.
///
/// # Errors
/// When a connection can't be opened or a request fails.
pub(crate) fn idle(peer: &Peer, connections: usize) -> Result<(u64, u64)> {
    let before = resident(&peer.processes)?;
    let mut open = Vec::with_capacity(connections);
    for number in 0..connections {
        let mut connection = Connection::open(&peer.target, Size::Kilobyte)
            .with_context(|| format!("failed to open connection {number} to {}", peer.name))?;
        connection.exchange(&peer.target, Size::Kilobyte, number as u128)?;
        open.push(connection);
    }
    std::thread::sleep(LOOK);
    Ok((before, resident(&peer.processes)?))
}

fn watched(peer: &Peer, load: impl FnOnce() -> Result<Sample>) -> Result<Sample> {
    let before = cpu(&peer.processes)?;
    let over = Arc::new(AtomicBool::new(false));
    let watcher = {
        let (over, processes) = (Arc::clone(&over), peer.processes.clone());
        std::thread::spawn(move || -> Result<u64> {
            let mut most = 0;
            while !over.load(Ordering::Acquire) {
                most = most.max(resident(&processes)?);
                std::thread::park_timeout(LOOK);
            }
            Ok(most)
        })
    };
    let sample = load();
    over.store(true, Ordering::Release);
    watcher.thread().unpark();
    let resident =
        watcher.join().map_err(|_| anyhow::anyhow!("failed to watch {}'s memory", peer.name))??;
    let sample = sample.with_context(|| format!("failed to load {}", peer.name))?;
    let spent = cpu(&peer.processes)?.saturating_sub(before);
    // A core for a second is 1,000 mCPU; per request, times 1,000 requests a second.
    let milli_cpu = spent.as_secs_f64() * 1_000_000.0 / precise(sample.requests.max(1));
    Ok(Sample { milli_cpu, resident, ..sample })
}

fn cpu(processes: &[Arc<Process>]) -> Result<Duration> {
    processes.iter().map(|process| process.cpu()).sum()
}

fn resident(processes: &[Arc<Process>]) -> Result<u64> {
    let each: Result<Vec<u64>> = processes.iter().map(|process| process.resident()).collect();
    Ok(each?.into_iter().max().unwrap_or(0))
}

/// Counts are far below 2^52.
fn precise(count: u64) -> f64 {
    count as f64
}
