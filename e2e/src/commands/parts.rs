//! `goodgo-dev parts`.

use anyhow::{Context, Result};
use goodgo_e2e::{host, tools};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Also those that only simulated nodes need
    #[arg(long)]
    simulated: bool,
}

pub(crate) fn parts(arguments: &Arguments) -> Result<()> {
    host::prepare()?;
    tools::ensure(&tools::CLUSTER)?;
    if arguments.simulated {
        tools::ensure(&tools::SIMULATED)?;
    }
    for tool in tools::CLUSTER {
        println!("{}", tool.path()?.display());
    }
    Ok(())
}

/// The folder with kubectl and helm.
pub(crate) fn folder() -> Result<PathBuf> {
    let kubectl = tools::KUBECTL.path()?;
    kubectl.parent().map(PathBuf::from).context("failed to find the parts' folder")
}
