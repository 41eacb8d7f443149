//! `goodgo-dev`: the development cluster, the demonstration and the tests on the command line.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line answers on stdout and complains on stderr"
)]

mod commands;

use anyhow::Result;
use clap::{Parser, Subcommand};
use commands::{bench, control_plane, demo, deny, parts, soak, status, test, up};
use goodgo_e2e::cluster;
use std::path::PathBuf;
use std::process::ExitCode;

/// A real Kubernetes on this machine, built from pinned sources, with the GoodGo operator in it.
///
/// As root on Debian or Ubuntu pods really run: the cluster has network, PID and mount namespaces of
/// its own, so several live side by side and `down` leaves nothing. Elsewhere nodes are simulated:
/// statuses move and nothing runs.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
Begin with:   goodgo-dev demo                    everything, ending with a real call through two services
Then:         export KUBECONFIG=.cluster/dev/kubeconfig; kubectl get goodgoservices -A
In the end:   goodgo-dev down                    (make demo and make down are these two)

Parts are built once and kept in ${GOODGO_CACHE:-~/.cache/goodgo}; clusters live in /var/lib/goodgo."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring a cluster up, or say that it is
    Up(up::Arguments),
    /// End a cluster and remove every trace of it, also of one that was killed
    Down(up::Name),
    /// Show this machine's clusters, their parts and what is left behind
    Status(status::Arguments),
    /// Cluster, operator and the example platform; ends with the answer of a real call
    Demo(demo::Arguments),
    /// Run the tests tier by tier and add them up
    Test(test::Arguments),
    /// Check licenses, sources and bans of all dependencies
    Deny,
    /// Run what takes too long for every change: random inputs by the million, and mutants
    Soak(soak::Arguments),
    /// Measure the product beside its peers
    #[command(subcommand)]
    Bench(bench::Command),
    /// Build the programs that clusters consist of, without starting one
    Parts(parts::Arguments),
    /// Run etcd and an API server on loopback until interrupted: for work that needs no pods, and no root
    ControlPlane(control_plane::Arguments),
    #[command(hide = true)]
    Outer(Inside),
    #[command(hide = true)]
    Init(Inside),
    #[command(hide = true)]
    Supervise(Inside),
}

#[derive(Debug, clap::Args)]
struct Inside {
    #[arg(long)]
    dir: PathBuf,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Outer(inside) => cluster::outer(&inside.dir)?,
        Command::Init(inside) => cluster::init(&inside.dir)?,
        Command::Supervise(inside) => runtime()?.block_on(cluster::supervise(&inside.dir))?,
        Command::Up(arguments) => runtime()?.block_on(up::up(&arguments))?,
        Command::Down(name) => up::down(&name)?,
        Command::Status(arguments) => return status::status(&arguments),
        Command::Demo(arguments) => runtime()?.block_on(demo::demo(&arguments))?,
        Command::Deny => return deny::deny(),
        Command::Test(arguments) => return runtime()?.block_on(test::test(&arguments)),
        Command::Soak(arguments) => return soak::soak(&arguments),
        Command::Bench(command) => runtime()?.block_on(bench::bench(&command))?,
        Command::ControlPlane(arguments) => runtime()?.block_on(control_plane::control_plane(&arguments))?,
        Command::Parts(arguments) => parts::parts(&arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}
