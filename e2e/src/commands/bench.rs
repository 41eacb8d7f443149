//! `goodgo-dev bench`.

use anyhow::{Result, ensure};
use clap::ValueEnum;
use goodgo_e2e::bench::{self, Options, Rival};
use goodgo_e2e::paths;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// The runtime beside Envoy, nginx, HAProxy and daprd; writes docs/benchmarks.md
    Runtime(Runtime),
    /// The upstream that all of them forward to
    #[command(hide = true)]
    Origin(Port),
    /// The collector that traces are exported to
    #[command(hide = true)]
    Collector(Port),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Runtime {
    /// Turns of each peer under each load
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Length of a turn
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Show in a minute that every peer starts, serves and is measured; the figures mean nothing
    #[arg(long, conflicts_with_all = ["runs", "seconds"])]
    quick: bool,
    /// Who runs beside us
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = PEERS)]
    peers: Vec<Peer>,
    /// Let everybody call: shows what proving one's identity costs
    #[arg(long)]
    without_identity: bool,
    /// Measure this runtime instead of building one
    #[arg(long, value_name = "FILE")]
    runtime: Option<PathBuf>,
    /// Where the report goes; the peers' configurations go into the folder beside it
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Port {
    #[arg(long)]
    port: u16,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Peer {
    Envoy,
    Nginx,
    Haproxy,
    Daprd,
}

const PEERS: [Peer; 4] = [Peer::Envoy, Peer::Nginx, Peer::Haproxy, Peer::Daprd];

pub(crate) async fn bench(command: &Command) -> Result<()> {
    match command {
        Command::Runtime(arguments) => runtime(arguments).await,
        Command::Origin(Port { port }) => bench::origin(*port).await,
        Command::Collector(Port { port }) => bench::collector(*port).await,
    }
}

async fn runtime(arguments: &Runtime) -> Result<()> {
    let Runtime { runs, seconds, quick, peers, without_identity, runtime, report } = arguments;
    ensure!(
        *quick || !cfg!(debug_assertions),
        "failed to begin: origin and load generator must be optimised too; run it with cargo run --release, as \
         `make bench-runtime` does"
    );
    let report = report.clone().unwrap_or_else(|| {
        if *quick {
            paths::checkout().join("target/bench/quick.md")
        } else {
            paths::checkout().join("docs/benchmarks.md")
        }
    });
    let full = Options {
        runs: *runs,
        turn: Duration::from_secs(*seconds),
        warm_up: Duration::from_secs(10),
        long: Duration::from_secs(60),
        idle: 10_000,
        rotation: Duration::from_secs(15),
        identity: !without_identity,
        rivals: peers.iter().map(|peer| peer.rival()).collect(),
        quick: *quick,
        runtime: runtime.clone(),
        report,
    };
    let second = Duration::from_secs(1);
    let options = if *quick {
        Options {
            runs: 1,
            turn: second,
            warm_up: second,
            long: second * 2,
            idle: 500,
            rotation: second,
            ..full
        }
    } else {
        full
    };
    bench::runtime(&options).await?;
    println!("written to {}", options.report.display());
    Ok(())
}

impl Peer {
    fn rival(self) -> Rival {
        match self {
            Self::Envoy => Rival::Envoy,
            Self::Nginx => Rival::Nginx,
            Self::Haproxy => Rival::Haproxy,
            Self::Daprd => Rival::Daprd,
        }
    }
}
