//! Closed loop: as many requests as a number of connections can carry. wrk does it, because it takes the least of the
//! machine that proxy and origin need too: what the generator spends shows up as throughput that a proxy lacks.

use crate::bench::target::{Size, Target};
use crate::paths;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What wrk counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Throughput {
    /// Requests answered a second.
    pub(crate) per_second: f64,
    /// Requests answered.
    pub(crate) requests: u64,
    /// Answers other than 2xx and 3xx, and broken connections.
    pub(crate) failed: u64,
}

/// Loads `target` over so many connections from one thread; `seed` as in the open loop.
///
/// # Errors
/// What wrk said.
pub(crate) fn run(
    folder: &Path,
    target: &Target,
    size: Size,
    connections: u32,
    time: Duration,
    seed: u64,
) -> Result<Throughput> {
    let script = folder.join("wrk.lua");
    paths::write(&script, lua(target, size, seed))?;
    let output = Command::new("wrk")
        .args(["--threads", "1", "--connections", &connections.to_string()])
        .args(["--duration", &format!("{}s", time.as_secs().max(1))])
        .args(["--timeout", "10s", "--script"])
        .arg(&script)
        .arg(format!("http://{}{}", target.address, target.path(size)))
        .stdin(Stdio::null())
        .output()
        .context("failed to run wrk")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "failed to load {}: {}{said}",
        target.address,
        String::from_utf8_lossy(&output.stderr)
    );
    parse(&said).with_context(|| format!("failed to understand wrk:\n{said}"))
}

/// A fresh correlation id for every request; the token as it is when the run begins, which its life exceeds.
fn lua(target: &Target, size: Size, seed: u64) -> String {
    let token = target
        .token
        .as_ref()
        .map_or_else(String::new, |token| format!("headers[\"x-service-auth\"] = \"{}\"\n", token.text()));
    format!(
        "local headers, count = {{}}, 0\n{token}\
         function request()\n  \
           count = count + 1\n  \
           headers[\"x-correlation-id\"] = string.format(\"{seed:016x}%016x\", count)\n  \
           return wrk.format(\"GET\", \"{}\", headers)\n\
         end\n",
        target.path(size)
    )
}

fn parse(said: &str) -> Option<Throughput> {
    let after = |label: &str| said.lines().find_map(|line| line.trim().strip_prefix(label));
    let per_second = after("Requests/sec:")?.trim().parse().ok()?;
    let requests = said.lines().find_map(|line| line.trim().split_once(" requests in "))?.0.parse().ok()?;
    let refused: u64 = match after("Non-2xx or 3xx responses:") {
        Some(number) => number.trim().parse().ok()?,
        None => 0,
    };
    let broken: u64 = match after("Socket errors:") {
        Some(errors) => {
            errors.split(',').filter_map(|error| error.split(' ').next_back()?.parse::<u64>().ok()).sum()
        }
        None => 0,
    };
    Some(Throughput { per_second, requests, failed: refused + broken })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrks_answer_is_understood() {
        let said = "Running 2s test @ http://127.0.0.1:1/1k\n  1 threads and 16 connections\n  Thread Stats   Avg\n\
                    \x20 53001 requests in 2.00s, 60.00MB read\n  Socket errors: connect 0, read 3, write 1, timeout 2\n\
                    \x20 Non-2xx or 3xx responses: 7\nRequests/sec:  26498.12\nTransfer/sec:     30.00MB\n";
        let expected = Throughput { per_second: 26498.12, requests: 53001, failed: 13 };
        assert_eq!(parse(said), Some(expected));
        assert_eq!(parse("unable to connect"), None);
    }

    #[test]
    fn every_request_gets_an_id_of_its_own() {
        let script = lua(&Target::at(([127, 0, 0, 1], 80).into()), Size::Kilobyte, 7);
        assert!(script.contains("string.format(\"0000000000000007%016x\", count)"), "{script}");
        assert!(script.contains("wrk.format(\"GET\", \"/1k\", headers)"), "{script}");
        assert!(!script.contains("x-service-auth"));
    }
}
