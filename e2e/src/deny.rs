//! What dependencies may be: `cargo deny` with the policy of deny.toml.

use crate::history::Last;
use crate::paths;
use crate::progress::Step;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Pinned, so that every machine checks the same.
const VERSION: &str = "0.20.2";

/// Checks bans, licenses and sources of everything in Cargo.lock and shows what was found.
///
/// Not the advisories: they come from the network and change without this repository.
///
/// # Errors
/// When cargo-deny can't be installed or run.
pub fn check() -> Result<bool> {
    let program = ensure()?;
    let status = Command::new(program)
        .args(["--locked", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"])
        .current_dir(paths::checkout())
        .stdin(Stdio::null())
        .status()
        .context("failed to run cargo-deny")?;
    Ok(status.success())
}

/// Compiles it once into the cache. cargo puts the finished program in place in one step, and two wait for each other.
fn ensure() -> Result<PathBuf> {
    let root = paths::cache()?.join(format!("parts/cargo-deny-{VERSION}"));
    let program = root.join("bin/cargo-deny");
    if program.exists() {
        return Ok(program);
    }
    fs::create_dir_all(&root).with_context(|| format!("failed to create {}", root.display()))?;
    let step = Step::begin("building cargo-deny", Last::of("cargo-deny")?.map(|last| last.time));
    let output = Command::new("nice")
        .args(["-n", "5", "cargo", "install", "--locked", "cargo-deny", "--version", VERSION, "--root"])
        .arg(&root)
        .current_dir(&root) // not the checkout, whose settings are not meant for it
        .stdin(Stdio::null())
        .output()
        .context("failed to run cargo")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    if !output.status.success() {
        step.failed();
        bail!(
            "failed to build cargo-deny:\n{}",
            lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
        );
    }
    let packages = lines.iter().filter(|line| line.starts_with("Compiling ")).count() as u64;
    Last::keep("cargo-deny", Last { time: step.elapsed(), packages })?;
    step.done("built");
    Ok(program)
}
