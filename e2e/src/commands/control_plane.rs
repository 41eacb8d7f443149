//! `goodgo-dev control-plane`.

use anyhow::{Context, Result};
use goodgo_e2e::control_plane::{ControlPlane, ControlPlaneOptions};
use goodgo_e2e::host;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Also run the built-in controllers (garbage collection, Deployments, tokens)
    #[arg(long)]
    controllers: bool,
}

pub(crate) async fn control_plane(arguments: &Arguments) -> Result<()> {
    host::prepare()?;
    let options = ControlPlaneOptions { controllers: arguments.controllers };
    let control_plane = ControlPlane::start(options).await?;
    println!("export KUBECONFIG={}", control_plane.kubeconfig().display());
    tokio::signal::ctrl_c().await.context("failed to wait for an interrupt")
}
