//! What this machine has, and how what is missing is had.

mod daemons;

use crate::progress::{Step, say};
use anyhow::{Context, Result, bail};
use daemons::NoDaemons;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program that something here runs, and the Debian package it comes from.
struct Need {
    program: &'static str,
    package: &'static str,
    why: &'static str,
    /// Arguments with which it ends well only when it is whole: Debian cuts some programs in two packages.
    probe: &'static [&'static str],
}

const fn need(program: &'static str, package: &'static str, why: &'static str) -> Need {
    Need { program, package, why, probe: &[] }
}

impl Need {
    fn is_there(&self) -> bool {
        let found =
            if self.program.starts_with('/') { Path::new(self.program).exists() } else { has(self.program) };
        found && (self.probe.is_empty() || run(self.program, self.probe).is_ok())
    }
}

/// Debian's python3 has neither venv nor ensurepip, and says so only when an environment is made.
const PYTHON: Need = Need {
    probe: &["-c", "import ensurepip, venv"],
    ..need("python3", "python3-venv", "fetches Traefik, and runs the clients requests and httpx")
};

/// What every command here needs.
const BASE: [Need; 4] = [
    need("cc", "gcc", "compiles the parts of Rust crates that are written in C"),
    need("/usr/lib/x86_64-linux-gnu/libc.a", "libc6-dev", "goes into static programs"),
    need("setpriv", "util-linux", "ends the parts when their supervisor is killed"),
    need("nice", "coreutils", "keeps builds out of the way"),
];

/// What running real pods needs besides.
const PODS: [Need; 10] = [
    need("containerd", "containerd", "runs the pods' containers"),
    need("ctr", "containerd", "imports images"),
    need("runc", "runc", "starts a container"),
    need("/usr/lib/cni/bridge", "containernetworking-plugins", "gives pods their addresses"),
    need("iptables", "iptables", "carries Service addresses"),
    need("ip", "iproute2", "makes the cluster's network"),
    need("nsenter", "util-linux", "enters the cluster's network"),
    need("mount", "mount", "keeps the cluster's mounts private"),
    need("buildah", "buildah", "builds images without a daemon"),
    PYTHON,
];

/// What the runtime is tested with: real dependencies, and clients in the languages that services are written in.
const TESTS: [Need; 10] = [
    need("/usr/lib/postgresql", "postgresql", "is the database that health checks ask"),
    need("redis-server", "redis-server", "is the Redis that health checks ask"),
    need("redis-cli", "redis-tools", "makes that Redis a cluster"),
    need(
        "node",
        "nodejs",
        "runs the clients axios and fetch, and is an app that hostile messages are sent to",
    ),
    need("nginx", "nginx-light", "is an app that hostile messages are sent to"),
    need("ip", "iproute2", "brings up the network in which packets get lost"),
    need("iptables", "iptables", "loses them"),
    need("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "faketime", "lets the runtime's clock jump"),
    need("npm", "npm", "installs axios"),
    PYTHON,
];

/// What the benches run beside the product.
const BENCH: [Need; 3] = [
    need("nginx", "nginx-light", "is measured beside the runtime"),
    need("haproxy", "haproxy", "is measured beside the runtime"),
    need("wrk", "wrk", "makes load"),
];

/// The oldest Go that builds the pinned modules (major, minor, patch), from their go.mod files.
const GO: (u32, u32, u32) = (1, 26, 4);

/// Whether this process may make namespaces, mounts and cgroups.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a program is on `PATH` or in the administrators' folders.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(sbin).any(|dir| dir.join(program).is_file())
}

/// Why no real pods can run here, or `None`: then what they need is installed.
///
/// # Errors
/// When packages can't be installed although this process may.
pub fn prepare_for_pods() -> Result<Option<String>> {
    if !is_root() {
        return Ok(Some("not root: network namespaces and cgroups can't be made".to_owned()));
    }
    let missing = missing(&PODS);
    if missing.is_empty() {
        return Ok(None);
    }
    if !has("apt-get") {
        return Ok(Some(format!("missing, and not a Debian to install it on:\n{}", list(&missing))));
    }
    install(&missing)?;
    Ok(None)
}

/// Checks and, as root on Debian, installs what tests of the runtime need.
///
/// # Errors
/// One message with everything that is missing and how to get it.
pub fn prepare_for_tests() -> Result<()> {
    provide(&TESTS)
}

fn provide(needs: &'static [Need]) -> Result<()> {
    match absent(needs)? {
        None => Ok(()),
        Some(problem) => bail!("failed to find what is needed on this machine:\n{problem}"),
    }
}

/// Installs what is missing if this process may; tells what is missing still.
fn absent(needs: &'static [Need]) -> Result<Option<String>> {
    let mut absent = missing(needs);
    if !absent.is_empty() && is_root() && has("apt-get") {
        install(&absent)?;
        absent = missing(needs);
    }
    if absent.is_empty() {
        return Ok(None);
    }
    let packages: Vec<&str> = absent.iter().map(|need| need.package).collect();
    Ok(Some(format!("{}\n  get it: apt-get install {}", list(&absent), packages.join(" "))))
}

/// Checks and, as root on Debian, installs what every command needs.
///
/// # Errors
/// One message with everything that is missing and how to get it.
pub fn prepare() -> Result<()> {
    let mut problems: Vec<String> = absent(&BASE)?.into_iter().collect();
    match run("go", &["env", "GOVERSION"]) {
        Ok(version) if parse_go(&version).is_some_and(|found| found >= GO) => {}
        Ok(version) => problems.push(format!("  {} is too old{}", version.trim(), get_go())),
        Err(_) => problems.push(format!("  go is missing: it builds the cluster's parts{}", get_go())),
    }
    if !has("cargo") {
        problems.push("  cargo is missing\n  get it: https://rustup.rs, version 1.95 or newer".to_owned());
    }
    if problems.is_empty() {
        return Ok(());
    }
    bail!("failed to find what is needed on this machine:\n{}", problems.join("\n"))
}

/// The same with what benches need besides.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_for_bench() -> Result<()> {
    prepare()?;
    provide(&BENCH)
}

fn get_go() -> String {
    let (major, minor, patch) = GO;
    format!("\n  get it: https://go.dev/dl, version {major}.{minor}.{patch} or newer, on PATH")
}

fn parse_go(version: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = version.trim().strip_prefix("go")?.split(['.', ' ', '-']).map(str::parse);
    let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some((major, minor, numbers.next().and_then(Result::ok).unwrap_or(0)))
}

fn missing(needs: &'static [Need]) -> Vec<&'static Need> {
    needs.iter().filter(|need| !need.is_there()).collect()
}

fn list(needs: &[&Need]) -> String {
    let lines: Vec<String> = needs.iter().map(|need| format!("  {}: {}", need.program, need.why)).collect();
    lines.join("\n")
}

fn install(needs: &[&Need]) -> Result<()> {
    let mut packages: Vec<&str> = needs.iter().map(|need| need.package).collect();
    packages.dedup();
    say(&format!("missing on this machine, installing {}:\n{}", packages.join(" "), list(needs)));
    let step = Step::begin("installing Debian packages", None);
    let apt = |args: &[&str]| -> Result<()> {
        let output = Command::new("apt-get")
            .args(["-y", "-q", "--no-install-recommends"])
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .output()
            .context("failed to run apt-get")?;
        if !output.status.success() {
            bail!("failed to apt-get {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    };
    // What is needed here is started by the cluster and the tests themselves, with their own settings and ports.
    let _no_daemons = NoDaemons::begin()?;
    apt(&["update"])?;
    apt(&[&["install"], packages.as_slice()].concat())?;
    step.done("installed");
    Ok(())
}

/// Runs a program of the host and returns what it printed.
///
/// # Errors
/// What it said on stderr when it ended badly.
pub fn run(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to run {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("failed to {program} {}: {}", args.join(" "), said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_versions_compare_as_numbers() {
        assert!(parse_go("go1.26.8\n") > Some(GO));
        assert!(parse_go("go1.9.7") < Some(GO));
        assert_eq!(parse_go("go1.27 X:nocoverageredesign"), Some((1, 27, 0)));
        assert_eq!(parse_go("devel"), None);
    }

    #[test]
    fn the_first_check_asks_for_the_same_versions() {
        let first = include_str!("../bootstrap");
        let (major, minor, patch) = GO;
        assert!(first.contains(&format!("\ngo={major}.{minor}.{patch}\n")), "{first}");
        let rust = env!("CARGO_PKG_RUST_VERSION");
        assert!(first.contains(&format!("at_least \"${{version:-0}}\" {rust} ")), "{first}");
    }

    #[test]
    fn a_program_that_is_there_by_half_is_missing() {
        const PART: Need = need("sh", "dash", "runs");
        static NEEDS: [Need; 2] = [
            Need { probe: &["-c", "exit 0"], ..PART },
            Need { probe: &["-c", "exit 1"], why: "runs by half", ..PART },
        ];
        assert_eq!(list(&missing(&NEEDS)), "  sh: runs by half");
    }

    #[test]
    fn a_missing_program_is_named_with_its_reason() {
        static NEEDS: [Need; 2] =
            [need("sh", "dash", "runs"), need("no-such-program", "none", "shows the message")];
        assert_eq!(list(&missing(&NEEDS)), "  no-such-program: shows the message");
    }
}
