//! What a cluster has on this machine, written before it is made, so that a kill leaves nothing unknown.

use crate::paths;
use crate::plan::Plan;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// One cluster of this machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// What its owner calls it.
    pub name: String,
    /// The checkout it was started from.
    pub checkout: PathBuf,
    /// Its names, addresses and files.
    pub plan: Plan,
}

/// A process that can't be mistaken for a later one with its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    pid: i32,
    /// Clock ticks since boot, field 22 of `/proc/PID/stat`.
    started: u64,
    boot: String,
}

impl Record {
    /// The cluster that this checkout calls `name`.
    ///
    /// # Errors
    /// When its record can't be read.
    pub fn of(name: &str) -> Result<Option<Self>> {
        let id = id(name);
        Ok(Self::all()?.into_iter().find(|record| record.plan.id == id))
    }

    /// All clusters of this machine, running and left behind.
    ///
    /// # Errors
    /// When a record can't be read.
    pub fn all() -> Result<Vec<Self>> {
        let root = paths::clusters()?;
        let Ok(entries) = fs::read_dir(&root) else { return Ok(Vec::new()) };
        let mut records = Vec::new();
        for entry in entries {
            let file = entry?.path().join("cluster.json");
            if let Ok(text) = fs::read(&file) {
                let record = serde_json::from_slice(&text);
                records.push(record.with_context(|| format!("failed to understand {}", file.display()))?);
            }
        }
        Ok(records)
    }

    pub(super) fn write(name: &str, plan: &Plan) -> Result<()> {
        let record = Self { name: name.to_owned(), checkout: paths::checkout(), plan: plan.clone() };
        let text = serde_json::to_vec_pretty(&record).context("failed to write the record")?;
        // Renamed into place: a kill leaves a whole record or none.
        let unfinished = plan.file("cluster.json.new");
        paths::write(&unfinished, text)?;
        fs::rename(&unfinished, plan.file("cluster.json")).context("failed to write the record")
    }

    /// Whether its outer process runs.
    pub fn is_alive(&self) -> bool {
        outer_is_alive(&self.plan.dir)
    }

    /// Ends the outer process, and with it everything inside, and waits until the last one is gone.
    pub(super) fn kill(&self) -> Result<()> {
        let Some(outer) = Process::read(&self.plan.dir).filter(Process::is_alive) else { return Ok(()) };
        let inner = outer.children();
        if let Some(pid) = Pid::from_raw(outer.pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let began = Instant::now();
        while outer.is_alive() || inner.iter().any(Process::is_alive) {
            if began.elapsed() > Duration::from_secs(20) {
                bail!("failed to end the cluster {}: process {} does not die", self.name, outer.pid);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Removes its files and the checkout's link to them.
    pub(super) fn forget(&self) -> Result<()> {
        let link = link_path(&self.checkout, &self.name);
        if fs::read_link(&link).is_ok_and(|to| to == self.plan.dir) {
            let _ = fs::remove_file(&link);
            let _ = fs::remove_dir(link.with_file_name("")); // only when it was the last
        }
        // The record goes last: a kill in between leaves it to be found again.
        for entry in fs::read_dir(&self.plan.dir).context("failed to list the cluster's files")? {
            let path = entry?.path();
            if path.ends_with("cluster.json") {
                continue;
            }
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.with_context(|| format!("failed to remove {}", path.display()))?;
        }
        fs::remove_dir_all(&self.plan.dir)
            .with_context(|| format!("failed to remove {}", self.plan.dir.display()))
    }
}

impl Process {
    fn running(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything: fields are counted after the last one.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let started = fields.nth(18)?.parse().ok()?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        (state != "Z").then(|| Self { pid, started, boot: boot.trim().to_owned() })
    }

    fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(dir.join("outer.json")).ok()?).ok()
    }

    /// What its threads started.
    fn children(&self) -> Vec<Self> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        let pids: Vec<String> =
            threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok()).collect();
        let pids = pids.iter().flat_map(|pids| pids.split_whitespace());
        pids.filter_map(|pid| Self::running(pid.parse().ok()?)).collect()
    }

    fn is_alive(&self) -> bool {
        Pid::from_raw(self.pid).is_some_and(|pid| test_kill_process(pid).is_ok())
            && Self::running(self.pid).as_ref() == Some(self)
    }
}

/// Whether the outer process of the cluster in `dir` runs.
pub(super) fn outer_is_alive(dir: &Path) -> bool {
    Process::read(dir).is_some_and(|outer| outer.is_alive())
}

/// Records the calling process as the outer one of the cluster in `dir`; exec keeps number and start.
pub(super) fn i_am_outer(dir: &Path) -> Result<()> {
    let pid = i32::try_from(std::process::id()).context("failed to know my process number")?;
    let me = Process::running(pid).context("failed to find myself in /proc")?;
    let unfinished = dir.join("outer.json.new");
    // Not created when the folder is gone: then the cluster was removed meanwhile.
    fs::write(&unfinished, serde_json::to_vec(&me)?).context("failed to record the outer process")?;
    fs::rename(&unfinished, dir.join("outer.json")).context("failed to record the outer process")
}

/// Unique on the machine: two checkouts may both have a cluster called `dev`.
pub(super) fn id(name: &str) -> String {
    format!("goodgo-{name}{}", suffix())
}

/// How the ids of this checkout's clusters end.
pub(super) fn suffix() -> String {
    let digest = Sha256::digest(paths::checkout().as_os_str().as_encoded_bytes());
    let short: String = digest.iter().take(3).map(|byte| format!("{byte:02x}")).collect();
    format!("-{short}")
}

/// One cluster is made or removed at a time on a machine; subnets are chosen under this lock.
pub(super) fn lock() -> Result<File> {
    let root = paths::clusters()?;
    fs::create_dir_all(&root).with_context(|| format!("failed to create {}", root.display()))?;
    let file = File::create(root.join("lock")).context("failed to open the machine's lock")?;
    file.lock().context("failed to take the machine's lock")?;
    Ok(file)
}

/// The owner's end of a life line: the kernel lets go of the lock when the owner ends, however it ends.
pub(super) fn own(plan: &Plan) -> Result<File> {
    let file = File::create(plan.file("owner.lock")).context("failed to open the owner's lock")?;
    file.lock().context("failed to take the owner's lock")?;
    Ok(file)
}

/// Whether the cluster has an owner that ended.
pub(super) fn is_orphan(plan: &Plan) -> bool {
    File::open(plan.file("owner.lock")).is_ok_and(|file| file.try_lock_shared().is_ok())
}

/// Links `.cluster/NAME` of the checkout to the cluster's folder.
pub(super) fn link(name: &str, plan: &Plan) -> Result<()> {
    let link = link_path(&paths::checkout(), name);
    let folder = link.with_file_name("");
    fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
    let _ = fs::remove_file(&link);
    symlink(&plan.dir, &link).with_context(|| format!("failed to link {}", link.display()))
}

fn link_path(checkout: &Path, name: &str) -> PathBuf {
    checkout.join(".cluster").join(name)
}

/// The `goodgo-dev` program: this one, or for a test the one that was built beside it.
pub(super) fn program() -> Result<PathBuf> {
    let me = std::env::current_exe().context("failed to find this program")?;
    if me.file_name().is_some_and(|name| name == "goodgo-dev") {
        return Ok(me);
    }
    me.ancestors()
        .skip(1)
        .take(3)
        .map(|folder| folder.join("goodgo-dev"))
        .find(|program| program.is_file())
        .context("failed to find the goodgo-dev program: build it with `cargo build -p goodgo-e2e`")
}
