//! `goodgo-dev soak`: what takes too long for every change. One line of each run is kept in docs/soak.md.
//!
//! What dependencies may be, random inputs by the million, and mutants: defects that are put in on purpose, each of
//! which the suite must notice.

use anyhow::{Context, Result, bail, ensure};
use goodgo_e2e::progress::{Step, short};
use goodgo_e2e::{deny, paths};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::Instant;

/// Random inputs for each parser and each decision.
const EXECUTIONS: &str = "1000000";
/// Tells the tests of random inputs how many.
const EXECUTIONS_VARIABLE: &str = "GOODGO_EXECUTIONS";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only mutants whose name contains this, and no random inputs
    mutant: Option<String>,
}

/// A defect and where the suite should notice it.
struct Mutant {
    name: &'static str,
    file: &'static str,
    /// Stands in the file exactly once.
    from: &'static str,
    to: &'static str,
    /// What is run: arguments of `cargo test`.
    tests: &'static [&'static str],
}

const MUTANTS: [Mutant; 6] = [
    Mutant {
        name: "retries a POST",
        file: "crates/runtime/src/outbound/repeat/mod.rs",
        from: "Method::GET | Method::HEAD | Method::OPTIONS",
        to: "Method::POST | Method::GET | Method::HEAD | Method::OPTIONS",
        tests: &["-p", "goodgo-runtime", "--test", "retries"],
    },
    Mutant {
        name: "skips the audience check",
        file: "crates/runtime/src/identity/verify.rs",
        from: "expected.set_audience(&[audience]);",
        to: "let _ = audience; expected.validate_aud = false;",
        tests: &["-p", "goodgo-runtime", "--test", "identity"],
    },
    Mutant {
        name: "takes the algorithm from the token",
        file: "crates/runtime/src/identity/verify.rs",
        from: "if !key.algorithms.contains(&header.alg) {",
        to: "if false {",
        tests: &["-p", "goodgo-runtime", "--lib", "verify"],
    },
    Mutant {
        name: "forgets the deadline",
        file: "crates/runtime/src/outbound/tries.rs",
        from: "until.deadline.write(request.headers_mut(), now);",
        to: "",
        tests: &["-p", "goodgo-runtime", "--test", "protection"],
    },
    Mutant {
        name: "repeats in every layer",
        file: "crates/runtime/src/context/outgoing.rs",
        from: "served.repeated(tries);",
        to: "let _ = (served, tries);",
        tests: &["-p", "goodgo-runtime", "--test", "retries"],
    },
    Mutant {
        name: "lets a user's token go to strangers",
        file: "crates/runtime/src/context/outgoing.rs",
        from: "let inside = target.is_some_and(|target| target.service.is_some());",
        to: "let inside = target.is_some();",
        tests: &["-p", "goodgo-runtime", "--test", "context"],
    },
];

pub(crate) fn soak(arguments: &Arguments) -> Result<ExitCode> {
    let mut good = true;
    if arguments.mutant.is_none() {
        good &= deny::check()?;
        good &= random_inputs()?;
    }
    let filter = arguments.mutant.as_deref().unwrap_or_default();
    let chosen: Vec<&Mutant> = MUTANTS.iter().filter(|mutant| mutant.name.contains(filter)).collect();
    ensure!(!chosen.is_empty(), "failed to find a mutant whose name contains {filter:?}");
    let copy = Copy::new()?;
    for mutant in chosen {
        good &= is_noticed(mutant, &copy)?;
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn random_inputs() -> Result<bool> {
    let began = Instant::now();
    let step = Step::begin("random inputs, a million each", None);
    let mut cargo = Command::new("cargo");
    cargo
        .args(["test", "--release", "--locked", "-p", "goodgo-runtime", "-p", "goodgo-runtime-config"])
        .args(["--lib", "--test", "fuzz"])
        .current_dir(paths::checkout())
        .env(EXECUTIONS_VARIABLE, EXECUTIONS);
    let output = run(cargo)?;
    let good = output.status.success();
    if good {
        step.done("nothing found")
    } else {
        step.failed()
    }
    if !good {
        print!("{}", String::from_utf8_lossy(&output.stdout));
    }
    let said = if good { "nothing found" } else { "FAILED" };
    record(&format!("random inputs, {EXECUTIONS} each"), said, began)?;
    Ok(good)
}

fn is_noticed(mutant: &Mutant, copy: &Copy) -> Result<bool> {
    let began = Instant::now();
    let step = Step::begin(&format!("mutant: {}", mutant.name), None);
    let file = copy.path.join(mutant.file);
    let original = fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
    ensure!(
        original.matches(mutant.from).count() == 1,
        "failed to make the mutant {:?}: {} does not have its text exactly once; bring it up to date",
        mutant.name,
        mutant.file
    );
    fs::write(&file, original.replacen(mutant.from, mutant.to, 1))?;
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--locked"]).args(mutant.tests).current_dir(&copy.path);
    cargo.env("CARGO_TARGET_DIR", paths::checkout().join("target/mutants"));
    let output = run(cargo);
    fs::write(&file, original)?;
    let output = output?;
    // A mutant that does not compile tells nothing of the tests.
    let ran = String::from_utf8_lossy(&output.stdout).contains("test result: ");
    if !ran {
        step.failed();
        bail!("failed to compile the mutant {:?}:\n{}", mutant.name, String::from_utf8_lossy(&output.stderr));
    }
    let noticed = !output.status.success();
    if noticed {
        step.done("noticed")
    } else {
        step.failed()
    }
    record(&format!("mutant: {}", mutant.name), if noticed { "noticed" } else { "NOT NOTICED" }, began)?;
    Ok(noticed)
}

/// The sources of the last commit, in a folder of their own, so that a mutant never stands in the checkout.
struct Copy {
    path: std::path::PathBuf,
}

impl Copy {
    fn new() -> Result<Self> {
        let path = paths::checkout().join("target/mutants-source");
        drop(Self { path: path.clone() });
        git(&["worktree", "add", "--detach", "--force", &path.to_string_lossy(), "HEAD"])?;
        Ok(Self { path })
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if self.path.exists() {
            let _ = git(&["worktree", "remove", "--force", &self.path.to_string_lossy()]);
        }
    }
}

fn git(args: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    command.args(args).current_dir(paths::checkout());
    let output = run(command)?;
    if !output.status.success() {
        bail!("failed to run git {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn run(mut command: Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).output().with_context(|| format!("failed to run {program}"))
}

/// One line of docs/soak.md.
fn record(what: &str, result: &str, began: Instant) -> Result<()> {
    let path = paths::checkout().join("docs/soak.md");
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    let date = git(&["log", "-1", "--format=%cs"])?;
    let line = format!("| {date} | {commit} | {what} | {result} | {} |\n", short(began.elapsed()));
    append(&path, &line)
}

fn append(path: &Path, line: &str) -> Result<()> {
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(path)
        .with_context(|| format!("failed to open {}", path.display()))?;
    file.write_all(line.as_bytes()).with_context(|| format!("failed to write {}", path.display()))
}
