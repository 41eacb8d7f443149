//! What lies about on this machine and belongs to no running cluster.

use super::{Record, cgroup, machine, network, record};
use crate::paths;
use anyhow::Result;
use std::fs;
use std::path::Path;

/// Everything of ours whose cluster does not run: namespaces, links, cgroups, mounts, folders, settings.
/// Empty after every `down`.
///
/// # Errors
/// When a record can't be read.
pub fn leftovers() -> Result<Vec<String>> {
    // A cluster that is being made, or removed, is not yet, or no longer, alive.
    let _machine = record::lock()?;
    found()
}

/// The same, as far as it is this checkout's. Kernel settings bear no cluster's name: they count when there is
/// no cluster on the machine that could need them. Links neither, but none outlives its network namespace.
///
/// # Errors
/// When a record can't be read.
pub fn leftovers_of_checkout() -> Result<Vec<String>> {
    let _machine = record::lock()?;
    let alone = Record::all()?.is_empty();
    let mut found = found()?;
    found.retain(|thing| is_mine(thing, &record::suffix(), alone));
    Ok(found)
}

fn is_mine(thing: &str, suffix: &str, alone: bool) -> bool {
    match thing.split_once("goodgo-") {
        // A mount's place goes on below the cluster's folder.
        Some((_, name)) => name.split('/').any(|word| word.ends_with(suffix)),
        None => alone && !thing.starts_with("network link"),
    }
}

fn found() -> Result<Vec<String>> {
    let running: Vec<Record> = Record::all()?.into_iter().filter(Record::is_alive).collect();
    let ids: Vec<&str> = running.iter().map(|record| record.plan.id.as_str()).collect();
    let links: Vec<String> = running.iter().map(|record| network::host_link(&record.plan)).collect();
    let mut found = Vec::new();
    for name in names(Path::new("/run/netns")) {
        if name.starts_with("goodgo-") && !ids.contains(&name.as_str()) {
            found.push(format!("network namespace {name}"));
        }
    }
    for name in names(Path::new("/sys/class/net")) {
        if name.starts_with("goodgo") && !links.contains(&name) {
            found.push(format!("network link {name}"));
        }
    }
    for hierarchy in cgroup::hierarchies()? {
        for name in names(&hierarchy) {
            if name.starts_with("goodgo-") && !ids.contains(&name.as_str()) {
                found.push(format!("cgroup {}", hierarchy.join(name).display()));
            }
        }
    }
    let root = paths::clusters()?;
    for name in names(&root) {
        if name.starts_with("goodgo-") && !ids.contains(&name.as_str()) {
            found.push(format!("folder {}", root.join(name).display()));
        }
    }
    if running.is_empty() && machine::memory()?.exists() {
        found.push(format!("changed kernel settings, remembered in {}", machine::memory()?.display()));
    }
    // A running cluster's mounts are private to it: one seen from here belongs to nobody.
    for line in fs::read_to_string("/proc/self/mounts").unwrap_or_default().lines() {
        if let Some(place) = line.split(' ').nth(1).filter(|place| Path::new(place).starts_with(&root)) {
            found.push(format!("mount {place}"));
        }
    }
    Ok(found)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_checkout_left_is_not_mine() {
        let mine = |thing, alone| is_mine(thing, "-aaa111", alone);
        assert!(mine("network namespace goodgo-test-aaa111", false));
        assert!(mine("cgroup /sys/fs/cgroup/goodgo-dev-aaa111", false));
        assert!(mine("mount /var/lib/goodgo/goodgo-test-aaa111/pods/one", false));
        assert!(!mine("mount /var/lib/goodgo/goodgo-test-bbb222/pods/one", true));
        assert!(!mine("folder /var/lib/goodgo/goodgo-test-bbb222", true));
        let settings = "changed kernel settings, remembered in /var/lib/goodgo/machine.json";
        assert!(!mine(settings, false), "another checkout's cluster may need them");
        assert!(mine(settings, true));
        assert!(!mine("network link goodgo7", true));
    }
}
