//! The cgroup under which one cluster's pods live, in every hierarchy of the machine.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const ROOT: &str = "/sys/fs/cgroup";

/// The mounted hierarchies: one for each controller in version 1, the root itself in version 2.
pub(super) fn hierarchies() -> Result<Vec<PathBuf>> {
    let root = Path::new(ROOT);
    if !root.is_dir() {
        return Ok(Vec::new());
    }
    if root.join("cgroup.controllers").exists() {
        return Ok(vec![root.to_path_buf()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(root).context("failed to list cgroup hierarchies")? {
        let path = entry?.path();
        // Links (cpu → cpu,cpuacct) would be met twice.
        if path.is_dir() && !path.is_symlink() {
            found.push(path);
        }
    }
    Ok(found)
}

/// Makes the cluster's cgroup; the kubelet refuses to start when a controller lacks it.
pub(super) fn make(id: &str) -> Result<()> {
    for hierarchy in hierarchies()? {
        let group = hierarchy.join(id);
        fs::create_dir_all(&group).with_context(|| format!("failed to create {}", group.display()))?;
        // A new cpuset is empty and takes no process until it has processors and memory.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let (from, to) = (hierarchy.join(file), group.join(file));
            if from.exists() && to.exists() {
                let value = fs::read(&from).with_context(|| format!("failed to read {}", from.display()))?;
                fs::write(&to, value).with_context(|| format!("failed to write {}", to.display()))?;
            }
        }
        // Version 2 hands controllers down explicitly.
        let (offered, handed) = (hierarchy.join("cgroup.controllers"), "cgroup.subtree_control");
        if let Ok(controllers) = fs::read_to_string(offered) {
            for controller in controllers.split_whitespace() {
                let _ = fs::write(hierarchy.join(handed), format!("+{controller}"));
                let _ = fs::write(group.join(handed), format!("+{controller}"));
            }
        }
    }
    Ok(())
}

/// Ends what still runs in the cluster's cgroup and removes it everywhere.
pub(super) fn remove(id: &str) -> Result<()> {
    for hierarchy in hierarchies()? {
        let group = hierarchy.join(id);
        let began = Instant::now();
        while group.exists() {
            if let Err(error) = remove_tree(&group) {
                if began.elapsed() > Duration::from_secs(10) {
                    bail!("failed to remove {}: {error}", group.display());
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
    Ok(())
}

fn remove_tree(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_tree(&path)?;
        }
    }
    let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    for pid in processes.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
        let _ = kill_process(pid, Signal::KILL);
    }
    fs::remove_dir(group)
}
