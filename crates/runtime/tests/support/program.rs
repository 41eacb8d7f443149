//! The real program, as a child.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use goodgo_runtime_config::RuntimeConfig;
use serde_json::Value;

/// Ended when the test ends, however it ends.
pub(crate) struct Program {
    pub(crate) child: Child,
    log: std::io::Lines<BufReader<std::process::ChildStderr>>,
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
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, log, _folder: folder }
    }

    /// Reads the log until a line says that `listener` listens; later ones stay unread.
    pub(crate) fn address(&mut self, listener: &str) -> SocketAddr {
        for line in &mut self.log {
            let event: Value = serde_json::from_str(&line.unwrap()).expect("a log line is not JSON");
            if event["message"] == "listening" && event["listener"] == listener {
                return event["address"].as_str().unwrap().parse().unwrap();
            }
        }
        panic!("{listener} never listened");
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
