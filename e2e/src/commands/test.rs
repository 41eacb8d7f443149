//! `goodgo-dev test`: the tiers, one after another, and one sum at the end.
//!
//! Tier 1 needs nothing, tier 2 an API server, tier 3 pods. A part that is missing is a failure,
//! and so is an ignored test: nothing is skipped silently.

mod suite;

use anyhow::{Context, Result, bail};
use goodgo_e2e::cluster::{Cluster, Lifetime, Wanted};
use goodgo_e2e::plan::{Nodes, Options};
use goodgo_e2e::progress::short;
use goodgo_e2e::test_run::{CLUSTER, TestRun};
use goodgo_e2e::{host, paths, product, tools};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use suite::Suite;

/// Tells the tests the name of tier 3's cluster.
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
    // Lints alone disturb nobody and are not refused.
    let _mine = tiers.iter().any(|tier| *tier > 0).then(TestRun::begin).transpose()?;
    host::prepare()?;
    if tiers.contains(&1) {
        host::prepare_for_tests()?;
    }
    // The parts compile beside tiers 0 and 1, which leave a core idle while they link.
    let needs_parts = tiers.iter().any(|tier| *tier >= 2);
    let parts = needs_parts.then(|| tokio::task::spawn_blocking(|| tools::ensure(&tools::CLUSTER)));
    let mut lines = Vec::new();
    let mut total = Tally::default();
    let mut suites = None;
    for tier in tiers {
        let began = Instant::now();
        let mut tally = Tally::default();
        println!("\n━━ {}", title(*tier));
        if let Err(error) = run(*tier, arguments.filter.as_deref(), &mut suites, &mut tally).await {
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
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn title(tier: u8) -> &'static str {
    match tier {
        0 => "tier 0: format and lints",
        1 => "tier 1: unit, golden and property tests",
        2 => "tier 2: real etcd and kube-apiserver",
        _ => "tier 3: real pods",
    }
}

fn summary(tier: u8, tally: &Tally, took: Duration) -> String {
    let mark = if tally.failed == 0 { '✓' } else { '✗' };
    format!("{mark} {:<42} {:>7}  {} passed, {} failed", title(tier), short(took), tally.passed, tally.failed)
}

async fn run(
    tier: u8,
    filter: Option<&str>,
    suites: &mut Option<Vec<Suite>>,
    tally: &mut Tally,
) -> Result<()> {
    if tier == 0 {
        lint(tally, &["fmt", "--all", "--check"])?;
        return lint(tally, &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]);
    }
    // Compiled once for all tiers: cargo would compile dependencies again for each choice of packages.
    if suites.is_none() {
        *suites = Some(suite::compile()?);
    }
    let suites = suites.iter().flatten().filter(|suite| suite.tier == tier);
    let _prepared = match tier {
        1 => None,
        2 => {
            let wanted = [tools::ETCD, tools::KUBE_APISERVER, tools::KUBECTL, tools::KUBE_CONTROLLER_MANAGER];
            tokio::task::spawn_blocking(move || tools::ensure(&wanted)).await??;
            None
        }
        _ => Some(prepare_cluster().await?),
    };
    let before = (tally.passed, tally.failed);
    for suite in suites {
        suite.run(filter, tally)?;
    }
    if tier == 1 {
        suite::doc(filter, tally)?;
    }
    if filter.is_none() && (tally.passed, tally.failed) == before {
        bail!("failed to find a single test of tier {tier}");
    }
    Ok(())
}

/// The cluster with this checkout's images; it goes when it is dropped, or with this program.
async fn prepare_cluster() -> Result<Cluster> {
    if let Some(obstacle) = host::prepare_for_pods()? {
        bail!("failed to run tier 3, which needs real pods: {obstacle}");
    }
    let wanted = Wanted { nodes: Nodes::Real, options: Options::default(), lifetime: Lifetime::WithCaller };
    Cluster::down(CLUSTER)?;
    let cluster = Cluster::up(CLUSTER, wanted).await?;
    product::deliver(&cluster)?;
    Ok(cluster)
}

fn lint(tally: &mut Tally, args: &[&str]) -> Result<()> {
    let status = cargo(args).status().context("failed to run cargo")?;
    if !status.success() {
        tally.fail(format!("cargo {} found something, see above", args.join(" ")));
    }
    Ok(())
}

fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(args).current_dir(paths::checkout()).stdin(Stdio::null());
    command
}
