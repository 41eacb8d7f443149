//! `goodgo-dev deny`.

use anyhow::Result;
use goodgo_e2e::deny;
use std::process::ExitCode;

pub(crate) fn deny() -> Result<ExitCode> {
    Ok(if deny::check()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
