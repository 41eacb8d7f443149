//! Test programs: compiled together, each run for its tier, their closing lines added up.

use super::{CLUSTER_VARIABLE, Tally, cargo};
use anyhow::{Context, Result, bail};
use goodgo_e2e::paths;
use goodgo_e2e::test_run::CLUSTER;
use serde::Deserialize;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One test program.
#[derive(Debug)]
pub(super) struct Suite {
    /// 1, 2 or 3.
    pub(super) tier: u8,
    /// Its source, from the checkout.
    source: PathBuf,
    executable: PathBuf,
    package: PathBuf,
}

/// The part of cargo's message that matters here.
#[derive(Deserialize)]
struct Artifact {
    manifest_path: PathBuf,
    target: Target,
    profile: Profile,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    src_path: PathBuf,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Compiles every test program of the workspace.
pub(super) fn compile() -> Result<Vec<Suite>> {
    let args = ["test", "--workspace", "--locked", "--no-run", "--message-format=json-render-diagnostics"];
    let mut child = cargo(&args).stdout(Stdio::piped()).spawn().context("failed to run cargo")?;
    let mut suites = Vec::new();
    for line in child.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).lines()) {
        let line = line.context("failed to read cargo's messages")?;
        // Other messages have other fields.
        let Ok(artifact) = serde_json::from_str::<Artifact>(&line) else { continue };
        if let (true, Some(executable)) = (artifact.profile.test, artifact.executable) {
            let checkout = paths::checkout();
            let source = artifact.target.src_path;
            let source = source.strip_prefix(&checkout).map(Path::to_path_buf).unwrap_or(source);
            let package =
                artifact.manifest_path.parent().context("failed to find a package's folder")?.to_path_buf();
            suites.push(Suite { tier: tier(&source), source, executable, package });
        }
    }
    if !child.wait().context("failed to wait for cargo")?.success() {
        bail!("failed to compile the tests, see above");
    }
    suites.sort_by(|one, other| one.source.cmp(&other.source));
    Ok(suites)
}

/// Where a test stands decides what it may need.
fn tier(source: &Path) -> u8 {
    if source.starts_with("e2e/tests") {
        3
    } else if source.starts_with("tests") {
        2
    } else {
        1
    }
}

impl Suite {
    /// Runs it as cargo would, shows what it prints and adds up its closing line.
    pub(super) fn run(&self, filter: Option<&str>, tally: &mut Tally) -> Result<()> {
        let mut command = Command::new(&self.executable);
        command
            .args(filter)
            .current_dir(&self.package)
            .env("CARGO_MANIFEST_DIR", &self.package)
            .env(CLUSTER_VARIABLE, CLUSTER)
            .stdin(Stdio::null());
        count_results(command, &self.source.display().to_string(), tally)
    }
}

/// Runs the examples in documentation.
pub(super) fn doc(filter: Option<&str>, tally: &mut Tally) -> Result<()> {
    let mut args = vec!["test", "--workspace", "--locked", "--doc"];
    args.extend(filter);
    count_results(cargo(&args), "documentation", tally)
}

fn count_results(mut command: Command, name: &str, tally: &mut Tally) -> Result<()> {
    println!("\n── {name}");
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("failed to run {name}"))?;
    let failed_before = tally.failed;
    for line in child.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).lines()) {
        let line = line.context("failed to read the tests' output")?;
        println!("{line}");
        if let Some(counts) = line.strip_prefix("test result: ") {
            tally.passed += count(counts, "passed");
            tally.failed += count(counts, "failed");
            let ignored = count(counts, "ignored");
            if ignored > 0 {
                tally.fail(format!("{name}: {ignored} ignored; a test runs or goes"));
            }
        } else if let Some(test) =
            line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            tally.reasons.push(format!("{name}: {test}"));
        }
    }
    let status = child.wait().context("failed to wait for tests")?;
    if !status.success() && tally.failed == failed_before {
        // Nothing was counted: a test ended its whole process, or it did not compile.
        tally.fail(format!("{name} ended with {status} before it could count"));
    }
    Ok(())
}

/// The number before `word` in a closing line: `ok. 3 passed; 0 failed; …`.
fn count(line: &str, word: &str) -> usize {
    let words: Vec<&str> = line.split([' ', ';']).filter(|word| !word.is_empty()).collect();
    let number = words.iter().zip(words.iter().skip(1)).find(|(_, next)| **next == word);
    number.and_then(|(number, _)| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_is_read() {
        let line = "FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.01s";
        assert_eq!([count(line, "passed"), count(line, "failed"), count(line, "ignored")], [12, 3, 1]);
        assert_eq!(count("nothing of the kind", "passed"), 0);
    }

    #[test]
    fn a_test_that_dies_or_ignores_is_a_failure() {
        let run = |script: &str| {
            let mut tally = Tally::default();
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            count_results(command, "sh", &mut tally).unwrap();
            (tally.passed, tally.failed)
        };
        assert_eq!(run("echo 'test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured'"), (2, 0));
        assert_eq!(
            run("echo 'test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured'; exit 101"),
            (2, 1)
        );
        assert_eq!(run("echo 'test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured'"), (2, 1));
        assert_eq!(run("kill -9 $$"), (0, 1));
    }

    #[test]
    fn the_folder_decides_the_tier() {
        assert_eq!(
            ["e2e/tests/a.rs", "tests/a.rs", "crates/x/tests/a.rs", "e2e/src/lib.rs"]
                .map(|p| tier(Path::new(p))),
            [3, 2, 1, 1]
        );
    }
}
