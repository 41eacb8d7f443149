//! `goodgo-dev soak`: what takes too long for every change. One line of each run is kept in docs/soak.md.
//!
//! What dependencies may be, random inputs by the million, and mutants: defects that are put in on purpose, each of
//! which the suite must notice. A run goes on where the last one of the same sources ended.

use anyhow::{Context, Result, bail, ensure};
use goodgo_e2e::progress::{Step, short};
use goodgo_e2e::{deny, paths};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

/// Random inputs for each parser and each decision.
const EXECUTIONS: &str = "1000000";
/// Tells the tests of random inputs how many.
const EXECUTIONS_VARIABLE: &str = "GOODGO_EXECUTIONS";
/// Has them write down what is new.
const CORPUS_VARIABLE: (&str, &str) = ("GOODGO_CORPUS", "keep");
/// What a result is of, as git names paths: other files change nothing that is tested here.
const SOURCES: [&str; 5] =
    ["crates", ":(exclude)crates/*/corpus/**", "Cargo.toml", "Cargo.lock", "e2e/src/commands/soak.rs"];

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only mutants whose name contains this, and no random inputs
    mutant: Option<String>,
    /// Begin nothing new after so many minutes; the next run goes on from there
    #[arg(long, value_name = "N")]
    minutes: Option<u64>,
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

impl Mutant {
    /// As the record names it.
    fn label(&self) -> String {
        format!("mutant: {}", self.name)
    }
}

/// Targets of random inputs, and which tests of the two crates they are; each takes minutes.
const TARGETS: [(&str, &[&str]); 6] = [
    ("configuration files", &["--test", "fuzz"]),
    ("heads of requests", &["--lib", "--", "random_heads"]),
    ("cache keys and directives", &["--lib", "--", "outbound::cache"]),
    (
        "paths, header names, grammars",
        &["--lib", "--", "a_hundred_thousand_random", "no_document_hides", "any_value_is_read"],
    ),
    ("tokens", &["--lib", "--", "no_random_token", "damaged_tokens"]),
    ("signed claims", &["--lib", "--", "a_good_signature"]),
];
const NOTHING_FOUND: &str = "nothing found";
const NOTICED: &str = "noticed";

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
    let record = Record::open()?;
    let filter = arguments.mutant.as_deref().unwrap_or_default();
    let chosen: Vec<&Mutant> = MUTANTS.iter().filter(|mutant| mutant.name.contains(filter)).collect();
    ensure!(!chosen.is_empty(), "failed to find a mutant whose name contains {filter:?}");
    let (began, mut good) = (Instant::now(), true);
    let limit = arguments.minutes.map(|minutes| Duration::from_secs(minutes * 60));
    let is_time = || limit.is_none_or(|limit| began.elapsed() < limit);
    if arguments.mutant.is_none() {
        good &= deny::check()?;
    }
    for (target, tests) in TARGETS.iter().filter(|_| arguments.mutant.is_none()) {
        let name = format!("a million random {target}");
        if record.is_done(&name)? {
            continue;
        }
        if !is_time() {
            println!("more to do: run it again, and it goes on with {name:?}");
            return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        good &= random_inputs(&name, tests, &record)?;
    }
    let mut copy = None;
    for mutant in chosen {
        let name = mutant.label();
        if arguments.mutant.is_none() && record.is_done(&name)? {
            continue;
        }
        if !is_time() {
            println!("more to do: run it again, and it goes on with {name:?}");
            break;
        }
        let copy = match &copy {
            Some(copy) => copy,
            None => copy.insert(Copy::new()?),
        };
        good &= is_noticed(mutant, copy, &record)?;
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn random_inputs(name: &str, tests: &[&str], record: &Record) -> Result<bool> {
    let began = Instant::now();
    let step = Step::begin(name, None);
    // Not as a release: here an overflow is an error.
    let mut cargo = Command::new("cargo");
    cargo
        .args(["test", "--locked", "-p", "goodgo-runtime", "-p", "goodgo-runtime-config"])
        .args(tests)
        .current_dir(paths::checkout())
        .env(EXECUTIONS_VARIABLE, EXECUTIONS)
        .env(CORPUS_VARIABLE.0, CORPUS_VARIABLE.1);
    let output = run(cargo)?;
    let said = String::from_utf8_lossy(&output.stdout);
    // A filter that finds no test has shown nothing.
    let good = output.status.success() && said.contains(" ... ok");
    if good {
        step.done(NOTHING_FOUND)
    } else {
        step.failed()
    }
    if !good {
        print!("{said}");
    }
    record.write(name, if good { NOTHING_FOUND } else { "FAILED" }, began)?;
    Ok(good)
}

fn is_noticed(mutant: &Mutant, copy: &Copy, record: &Record) -> Result<bool> {
    let began = Instant::now();
    let step = Step::begin(&mutant.label(), None);
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
        step.done(NOTICED)
    } else {
        step.failed()
    }
    record.write(&mutant.label(), if noticed { NOTICED } else { "NOT NOTICED" }, began)?;
    Ok(noticed)
}

/// The sources of the last commit, in a folder of their own, so that a mutant never stands in the checkout.
struct Copy {
    path: PathBuf,
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

/// docs/soak.md: one line of each step.
struct Record {
    path: PathBuf,
    /// The last commit that changed what is tested.
    commit: String,
    machine: String,
}

impl Record {
    fn open() -> Result<Self> {
        let mut log = vec!["log", "-1", "--format=%h", "--"];
        log.extend(SOURCES);
        Ok(Self { path: paths::checkout().join("docs/soak.md"), commit: git(&log)?, machine: processor()? })
    }

    /// Whether the same sources have passed already.
    fn is_done(&self, what: &str) -> Result<bool> {
        let text = fs::read_to_string(&self.path)
            .with_context(|| format!("failed to read {}", self.path.display()))?;
        let done = text.lines().any(|line| passed(line, &self.commit, what));
        if done {
            println!("done before: {what}");
        }
        Ok(done)
    }

    fn write(&self, what: &str, result: &str, began: Instant) -> Result<()> {
        let date = goodgo_e2e::host::run("date", &["-u", "+%Y-%m-%d"])?;
        let Self { path, commit, machine } = self;
        let took = short(began.elapsed());
        let line = format!("| {} | {commit} | {machine} | {what} | {result} | {took} |\n", date.trim());
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(path)
            .with_context(|| format!("failed to open {}", path.display()))?;
        file.write_all(line.as_bytes()).with_context(|| format!("failed to write {}", path.display()))
    }
}

/// Whether a line of the record says that `what` went well on `commit`.
fn passed(line: &str, commit: &str, what: &str) -> bool {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    matches!(cells.as_slice(), [_, _, of, _, step, result, ..]
        if *of == commit && *step == what && [NOTHING_FOUND, NOTICED].contains(result))
}

fn processor() -> Result<String> {
    let info = fs::read_to_string("/proc/cpuinfo").context("failed to read /proc/cpuinfo")?;
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().context("failed to count the cores")?;
    Ok(format!("{cores} cores of {}", model.map_or("an unknown processor", |(_, model)| model)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_good_line_of_the_same_sources_is_not_done_again() {
        let line = "| 2026-11-30 | abc | 2 cores of X | mutant: retries a POST | noticed | 2 min |";
        assert!(passed(line, "abc", "mutant: retries a POST"));
        assert!(!passed(line, "abd", "mutant: retries a POST"));
        assert!(!passed(line, "abc", "mutant: forgets the deadline"));
        assert!(!passed(&line.replace("noticed", "NOT NOTICED"), "abc", "mutant: retries a POST"));
    }
}
