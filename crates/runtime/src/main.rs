//! The sidecar's entry point: arguments, logging, then [`goodgo_runtime::runtime`]; nothing else.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Context;
use clap::Parser;
use goodgo_runtime::args::Args;
use goodgo_runtime::runtime::{Ended, Runtime};
use goodgo_runtime::telemetry;

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match &args.check {
        Some(path) => check(path),
        None => telemetry::init(&args.log).map_err(Into::into).and_then(|()| run(&args)),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    // A person waits for `--check`; and when logging itself failed, this is all there is.
    if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!("{error:#}");
    } else {
        eprintln!("{error:#}");
    }
    ExitCode::FAILURE
}

fn run(args: &Args) -> anyhow::Result<()> {
    // One thread that does everything is faster than one worker that is fed by another thread.
    let mut builder = if args.worker_threads.get() == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(args.worker_threads.get());
        builder
    };
    let executor = builder.enable_all().build().context("failed to start the executor")?;
    let ended = executor.block_on(async {
        let runtime = Runtime::bind(args).await?;
        runtime.run_until_signal().await
    })?;
    match ended {
        Ended::Told => Ok(()),
        Ended::StartOver => Err(start_over()),
    }
}

/// Replaces this process by a new one with the same arguments: at once, and without the kubelet's growing pauses between
/// restarts. Returns only when that failed; then the kubelet restarts the container.
fn start_over() -> anyhow::Error {
    let failed = match std::env::current_exe() {
        Ok(program) => Command::new(program).args(std::env::args_os().skip(1)).exec(),
        Err(error) => error,
    };
    anyhow::Error::new(failed).context("failed to start over")
}

fn check(path: &Path) -> anyhow::Result<()> {
    let bytes = std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
    let config = goodgo_runtime_config::parse(&bytes).with_context(|| path.display().to_string())?;
    eprintln!(
        "{}: good; revision {} of {}/{}, {} calls",
        path.display(),
        config.revision,
        config.service.namespace,
        config.service.name,
        config.calls.len()
    );
    Ok(())
}
