//! A process under measurement: ended by its id when dropped, with what it used read from `/proc` (proc(5)).

use crate::process::{last_lines, spawn_for_life};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// `USER_HZ`: what `/proc/PID/stat` counts in, the same on every Linux that the product runs on.
const TICKS_PER_SECOND: u64 = 100;
/// Longest that a process may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running program.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with its output in `FOLDER/NAME.log`.
    ///
    /// # Errors
    /// When it can't be started.
    pub(crate) fn start(folder: &Path, name: &str, program: &Path, args: &[String]) -> Result<Self> {
        Self::start_with(folder, name, program, args, &[])
    }

    /// The same with environment variables.
    ///
    /// # Errors
    /// When it can't be started.
    pub(crate) fn start_with(
        folder: &Path,
        name: &str,
        program: &Path,
        args: &[String],
        env: &[(&str, &str)],
    ) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let out = File::create(&log).with_context(|| format!("failed to create {}", log.display()))?;
        // setpriv replaces itself by the program, so the id is the program's own.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(args)
            // Debian keeps servers where a user's PATH does not look.
            .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
            .envs(env.iter().copied())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(out.try_clone().context("failed to share the log")?)
            .stderr(out);
        let child = spawn_for_life(command).with_context(|| format!("failed to start {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Waits until `address` takes connections.
    ///
    /// # Errors
    /// When it ended or was silent for half a minute, with the last lines of its log.
    pub(crate) fn listening(&mut self, address: SocketAddr) -> Result<()> {
        self.until("listen", || TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok())
    }

    /// Waits until `holds`.
    ///
    /// # Errors
    /// As [`Process::listening`].
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn() -> bool) -> Result<()> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().context("failed to ask for its status")? {
                bail!("failed to run {}: it ended ({status})\n{}", self.name, last_lines(&self.log));
            }
            if holds() {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                bail!("failed to see {} {what} in {PATIENCE:?}\n{}", self.name, last_lines(&self.log));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// CPU time of all its threads so far.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = self.proc("stat")?;
        cpu_of(&stat).with_context(|| format!("failed to understand {}'s stat", self.name))
    }

    /// Resident memory now, in bytes.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn resident(&self) -> Result<u64> {
        let status = self.proc("status")?;
        resident_of(&status).with_context(|| format!("failed to find {}'s VmRSS", self.name))
    }

    fn proc(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(path).with_context(|| format!("{} has ended", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Fields 14 and 15; the second field may hold spaces and parentheses.
fn cpu_of(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1000 / TICKS_PER_SECOND))
}

fn resident_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "7 (a) (b c) S 1 7 7 0 -1 4194304 90 0 0 0 250 50 9 9 20 0 1 0 100 1 1";
        assert_eq!(cpu_of(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu_of("7 (a"), None);
    }

    #[test]
    fn memory_is_the_resident_part() {
        assert_eq!(resident_of("VmPeak:\t  90 kB\nVmRSS:\t   24 kB\n"), Some(24 * 1024));
        assert_eq!(resident_of("VmPeak:\t  90 kB\n"), None);
    }

    #[test]
    fn a_process_that_ends_is_told_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let args = ["-c".to_owned(), "echo no port left; exit 3".to_owned()];
        let mut process = Process::start(folder.path(), "server", Path::new("/bin/sh"), &args).unwrap();
        let error = process.until("listen", || false).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("no port left"), "{error}");
    }
}
