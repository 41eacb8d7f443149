//! `goodgo-dev`: the development cluster on the command line.
#![allow(clippy::print_stdout, reason = "a command line answers on stdout")]

use anyhow::Result;
use clap::{Parser, Subcommand};
use goodgo_e2e::cluster::{self, Cluster, Lifetime};
use goodgo_e2e::plan::Options;
use std::path::PathBuf;
use std::process::ExitCode;

/// A real Kubernetes on this machine, from pinned sources, and the GoodGo operator in it.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Bring the cluster up; says at once when it is up already.
    Up(Name),
    /// End the cluster and remove every trace of it.
    Down(Name),
    #[command(hide = true)]
    Outer(Inside),
    #[command(hide = true)]
    Init(Inside),
    #[command(hide = true)]
    Supervise(Inside),
}

#[derive(Debug, clap::Args)]
struct Name {
    /// Which cluster: several may run side by side.
    #[arg(long, default_value = "dev")]
    name: String,
}

#[derive(Debug, clap::Args)]
struct Inside {
    #[arg(long)]
    dir: PathBuf,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Subcommands) -> Result<()> {
    match command {
        Subcommands::Outer(inside) => cluster::outer(&inside.dir),
        Subcommands::Init(inside) => cluster::init(&inside.dir),
        Subcommands::Supervise(inside) => runtime()?.block_on(cluster::supervise(&inside.dir)),
        Subcommands::Up(name) => {
            let cluster =
                runtime()?.block_on(Cluster::up(&name.name, Options::default(), Lifetime::UntilDown))?;
            println!("export KUBECONFIG={}", cluster.kubeconfig().display());
            Ok(())
        }
        Subcommands::Down(name) => Cluster::down(&name.name),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}
