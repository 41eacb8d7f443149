//! `goodgo-dev status`.

use anyhow::Result;
use goodgo_e2e::cluster::{self, Record, leftovers, leftovers_of_checkout};
use goodgo_e2e::process::State;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only list what belongs to no running cluster; fails when there is something
    #[arg(long)]
    leftovers: bool,
    /// As --leftovers, and only what this checkout's clusters left
    #[arg(long)]
    leftovers_of_checkout: bool,
}

pub(crate) fn status(arguments: &Arguments) -> Result<ExitCode> {
    let left = if arguments.leftovers_of_checkout { leftovers_of_checkout()? } else { leftovers()? };
    let only = arguments.leftovers || arguments.leftovers_of_checkout;
    if !only {
        show()?;
    }
    for thing in &left {
        println!("left behind: {thing}");
    }
    if left.is_empty() {
        println!("nothing is left behind");
        return Ok(ExitCode::SUCCESS);
    }
    println!("`make down` removes it");
    Ok(if only { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn show() -> Result<()> {
    let records = Record::all()?;
    if records.is_empty() {
        println!("no cluster on this machine; `make demo` starts one");
    }
    for record in records {
        let plan = &record.plan;
        let status = cluster::status(plan);
        let state = match (record.is_alive(), status.ready) {
            (true, true) => "ready",
            (true, false) if status.failed.is_some() => "broken",
            (true, false) => "starting",
            (false, _) => "dead",
        };
        println!("{} ({:?} nodes): {state}, from {}", record.name, plan.nodes, record.checkout.display());
        println!("  files {}\n  export KUBECONFIG={}", plan.dir.display(), plan.admin_kubeconfig().display());
        for (part, state) in &status.parts {
            match state {
                State::Ready(milliseconds) => println!("  ✓ {part} ({milliseconds} ms)"),
                State::Waiting => println!("  … {part}"),
                State::Starting(reason) => println!("  … {part}: {reason}"),
                State::Failed(reason) => println!("  ✗ {part}: {reason}"),
            }
        }
    }
    Ok(())
}
