//! `goodgo-dev test`: the tiers, one after another, and one sum at the end.
//!
//! Tier 1 needs nothing, tier 2 an API server, tier 3 pods. A part that is missing is a failure,
//! and so is an ignored test: nothing is skipped silently.

use anyhow::{Context, Result};
use goodgo_e2e::cluster::{Cluster, Lifetime, Wanted};
use goodgo_e2e::plan::{Nodes, Options};
use goodgo_e2e::progress::short;
use goodgo_e2e::{host, paths, product, tools};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Name of the cluster that tier 3 uses; it lives as long as this program.
const CLUSTER: &str = "test";
/// Tells the tests its name.
const CLUSTER_VARIABLE: &str = "GOODGO_CLUSTER";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only these tiers: 0 (format and lints), 1 (no network), 2 (real API server), 3 (real pods)
    #[arg(long = "tier", value_parser = clap::value_parser!(u8).range(0..=3))]
    tiers: Vec<u8>,
    /// Only tests whose name contains this
    filter: Option<String>,
}

/// What a tier did.
#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    failed: usize,
    /// Why, one line each.
    reasons: Vec<String>,
}

impl Tally {
    fn fail(&mut self, reason: String) {
        self.failed += 1;
        self.reasons.push(reason);
    }
}

pub(crate) async fn test(arguments: &Arguments) -> Result<ExitCode> {
    let tiers: &[u8] = if arguments.tiers.is_empty() { &[0, 1, 2, 3] } else { &arguments.tiers };
    host::prepare()?;
    // The parts compile beside tier 1, which leaves a core idle while it links; tier 2 waits for what it needs.
    let parts = tiers
        .iter()
        .any(|tier| *tier >= 2)
        .then(|| tokio::task::spawn_blocking(|| tools::ensure(&tools::CLUSTER)));
    let mut lines = Vec::new();
    let mut total = Tally::default();
    for tier in tiers {
        let began = Instant::now();
        let mut tally = Tally::default();
        println!("\n━━ {}", title(*tier));
        if let Err(error) = run(*tier, arguments.filter.as_deref(), &mut tally).await {
            tally.fail(format!("{error:#}"));
        }
        lines.push(summary(*tier, &tally, began.elapsed()));
        total.passed += tally.passed;
        total.failed += tally.failed;
        total.reasons.extend(tally.reasons);
    }
    if let Some(parts) = parts
        && let Err(error) = parts.await?
    {
        total.fail(format!("{error:#}"));
    }
    println!("\n━━ Summary\n{}", lines.join("\n"));
    for reason in &total.reasons {
        println!("✗ {reason}");
    }
    if total.passed == 0 && total.failed == 0 {
        total.failed = 1;
        println!("✗ no test ran");
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn title(tier: u8) -> &'static str {
    match tier {
        0 => "tier 0: format and lints",
        1 => "tier 1: unit, golden and property tests, no network",
        2 => "tier 2: real etcd and kube-apiserver",
        _ => "tier 3: real pods",
    }
}

fn summary(tier: u8, tally: &Tally, took: Duration) -> String {
    let mark = if tally.failed == 0 { '✓' } else { '✗' };
    format!("{mark} {:<55} {:>7}  {} passed, {} failed", title(tier), short(took), tally.passed, tally.failed)
}

async fn run(tier: u8, filter: Option<&str>, tally: &mut Tally) -> Result<()> {
    match tier {
        0 => {
            lint(tally, &["fmt", "--all", "--check"])?;
            lint(tally, &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])?;
        }
        1 => {
            tests(
                tally,
                filter,
                &["--workspace", "--exclude", "goodgo-operator", "--exclude", "goodgo-e2e"],
            )?;
            tests(tally, filter, &["-p", "goodgo-operator", "-p", "goodgo-e2e", "--lib", "--bins"])?;
        }
        2 => {
            let wanted = [tools::ETCD, tools::KUBE_APISERVER, tools::KUBECTL, tools::KUBE_CONTROLLER_MANAGER];
            tokio::task::spawn_blocking(move || tools::ensure(&wanted)).await??;
            tests(tally, filter, &["-p", "goodgo-operator", "--test", "*"])?;
        }
        _ => {
            if let Some(obstacle) = host::prepare_for_pods()? {
                anyhow::bail!("failed to run tier 3, which needs real pods: {obstacle}");
            }
            let wanted =
                Wanted { nodes: Nodes::Real, options: Options::default(), lifetime: Lifetime::WithCaller };
            Cluster::down(CLUSTER)?;
            // Lives until the tests are through, and no longer than this program.
            let cluster = Cluster::up(CLUSTER, wanted).await?;
            product::deliver(&cluster)?;
            tests(tally, filter, &["-p", "goodgo-e2e", "--test", "*"])?;
        }
    }
    Ok(())
}

fn lint(tally: &mut Tally, args: &[&str]) -> Result<()> {
    let status = cargo(args).status().context("failed to run cargo")?;
    if !status.success() {
        tally.fail(format!("cargo {} found something, see above", args.join(" ")));
    }
    Ok(())
}

/// Runs cargo's tests, shows what they print and adds up their closing lines.
fn tests(tally: &mut Tally, filter: Option<&str>, which: &[&str]) -> Result<()> {
    let mut args = vec!["test", "--locked", "--no-fail-fast"];
    args.extend(which);
    args.extend(filter);
    let mut child = cargo(&args).stdout(Stdio::piped()).spawn().context("failed to run cargo")?;
    let before = tally.failed;
    let mut out = std::io::stdout();
    for line in child.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).lines()) {
        let line = line.context("failed to read the tests' output")?;
        writeln!(out, "{line}").context("failed to write")?;
        if let Some(counts) = line.strip_prefix("test result: ") {
            tally.passed += count(counts, "passed");
            tally.failed += count(counts, "failed");
            let ignored = count(counts, "ignored");
            if ignored > 0 {
                tally.fail(format!(
                    "{ignored} ignored tests in `cargo {}`: a test runs or goes",
                    args.join(" ")
                ));
            }
        } else if let Some(name) =
            line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            tally.reasons.push(name.to_owned());
        }
    }
    let status = child.wait().context("failed to wait for cargo")?;
    if !status.success() && tally.failed == before {
        // Nothing was counted: it did not compile, or a test ended its whole process.
        tally.fail(format!("`cargo {}` ended with {status} before it could count", args.join(" ")));
    }
    Ok(())
}

/// The number before `word` in cargo's `ok. 3 passed; 0 failed; …`.
fn count(line: &str, word: &str) -> usize {
    let words: Vec<&str> = line.split([' ', ';']).filter(|word| !word.is_empty()).collect();
    let number = words.iter().zip(words.iter().skip(1)).find(|(_, next)| **next == word);
    number.and_then(|(number, _)| number.parse().ok()).unwrap_or(0)
}

fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(args).current_dir(paths::checkout()).env(CLUSTER_VARIABLE, CLUSTER).stdin(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_closing_line_is_read() {
        let line = "FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.01s";
        assert_eq!([count(line, "passed"), count(line, "failed"), count(line, "ignored")], [12, 3, 1]);
        assert_eq!(count("nothing of the kind", "passed"), 0);
    }
}
