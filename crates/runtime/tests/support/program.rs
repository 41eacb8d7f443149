//! The real program, as a child.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use goodgo_runtime_config::RuntimeConfig;
use serde_json::Value;

/// Against hanging, when a listener is never told of.
const LIMIT: Duration = Duration::from_secs(60);

/// Ended when the test ends, however it ends.
pub(crate) struct Program {
    pub(crate) child: Child,
    /// Lines of its log, read as they come.
    log: Receiver<String>,
    /// By listener, in whichever order they were told.
    addresses: BTreeMap<String, SocketAddr>,
    _folder: tempfile::TempDir,
}

impl Program {
    pub(crate) fn start(app: SocketAddr, config: &RuntimeConfig, more: &[&str]) -> Self {
        Self::start_with(app, config, more, &[])
    }

    /// With these variables in its environment.
    pub(crate) fn start_with(
        app: SocketAddr,
        config: &RuntimeConfig,
        more: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("runtime.json");
        std::fs::write(&file, config.to_json().unwrap()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_goodgo-runtime"))
            .args(["--listen", "127.0.0.1", "--service-port", "0", "--gateway-port", "0"])
            .args(["--admin-port", "0", "--drain-port", "0", "--app-port", &app.port().to_string()])
            .args(config.calls.keys().map(|name| format!("--call={name}=0")))
            .arg("--config")
            .arg(file)
            .args(more)
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, log) = channel();
        // Ends with the program, or with the test that no longer listens.
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { child, log, addresses: BTreeMap::new(), _folder: folder }
    }

    /// Where `listener` listens, as the log says. Threads tell of theirs in any order.
    pub(crate) fn address(&mut self, listener: &str) -> SocketAddr {
        while !self.addresses.contains_key(listener) {
            let line = self.log.recv_timeout(LIMIT);
            let line = line.unwrap_or_else(|error| panic!("{listener} never listened: {error}"));
            let event: Value = serde_json::from_str(&line).expect("a log line is not JSON");
            if event["message"] == "listening" {
                let name = event["listener"].as_str().unwrap().to_owned();
                self.addresses.insert(name, event["address"].as_str().unwrap().parse().unwrap());
            }
        }
        self.addresses[listener]
    }

    /// Largest resident size so far, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn terminate(&self) {
        let status = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
