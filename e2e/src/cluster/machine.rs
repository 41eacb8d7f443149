//! What a cluster changes for the whole machine: remembered before the first, put back after the last.

use crate::paths;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Kernel settings that every kubelet sets.
const SETTINGS: [&str; 6] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

/// Folders that programs write to whatever they are told. Each cluster sees an empty one of its
/// own in their place; the folders themselves must exist for that.
pub(super) const COVERED: [&str; 5] =
    ["/run/netns", "/run/containerd", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers"];

/// How the machine was.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Before {
    settings: BTreeMap<String, String>,
    /// Folders that did not exist.
    absent: Vec<PathBuf>,
}

pub(super) fn memory() -> Result<PathBuf> {
    Ok(paths::clusters()?.join("machine.json"))
}

/// Writes down how the machine is, unless an earlier cluster did.
pub(super) fn remember() -> Result<()> {
    let memory = memory()?;
    if memory.exists() {
        return Ok(());
    }
    let read = |name: &&str| fs::read_to_string(Path::new("/proc/sys").join(name)).ok();
    let before = Before {
        settings: SETTINGS.iter().filter_map(|name| Some(((*name).to_owned(), read(name)?))).collect(),
        absent: COVERED.map(PathBuf::from).into_iter().filter(|folder| !folder.exists()).collect(),
    };
    paths::write(&memory, serde_json::to_vec_pretty(&before)?)
}

/// Puts back what differs.
pub(super) fn restore() -> Result<()> {
    let memory = memory()?;
    let Ok(text) = fs::read(&memory) else { return Ok(()) };
    let before: Before = serde_json::from_slice(&text).context("failed to understand how the machine was")?;
    for (name, value) in before.settings {
        let file = Path::new("/proc/sys").join(&name);
        if fs::read_to_string(&file).is_ok_and(|now| now != value) {
            fs::write(&file, value).with_context(|| format!("failed to restore {name}"))?;
        }
    }
    for folder in before.absent {
        // Only when it is empty: what somebody put there since is theirs.
        let _ = fs::remove_dir(folder);
    }
    fs::remove_file(&memory).context("failed to forget how the machine was")
}
