//! The kernel settings that a kubelet changes for the whole machine: remembered before the first
//! cluster, put back after the last.

use crate::paths;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const SETTINGS: [&str; 6] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

fn memory() -> Result<PathBuf> {
    Ok(paths::clusters()?.join("sysctls.json"))
}

/// Writes the settings down, unless an earlier cluster did.
pub(super) fn remember() -> Result<()> {
    let memory = memory()?;
    if memory.exists() {
        return Ok(());
    }
    let found: BTreeMap<&str, String> = SETTINGS
        .iter()
        .filter_map(|name| Some((*name, fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?)))
        .collect();
    paths::write(&memory, serde_json::to_vec_pretty(&found)?)
}

/// Puts back what differs.
pub(super) fn restore() -> Result<()> {
    let memory = memory()?;
    let Ok(text) = fs::read(&memory) else { return Ok(()) };
    let before: BTreeMap<String, String> =
        serde_json::from_slice(&text).context("failed to read remembered settings")?;
    for (name, value) in before {
        let file = Path::new("/proc/sys").join(&name);
        if fs::read_to_string(&file).is_ok_and(|now| now != value) {
            fs::write(&file, value).with_context(|| format!("failed to restore {name}"))?;
        }
    }
    fs::remove_file(&memory).context("failed to forget remembered settings")
}
