//! Where things are kept: the cache of built parts, the clusters, the checkout.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Root of the cache: `$GOODGO_CACHE`, else `$XDG_CACHE_HOME/goodgo`, else `~/.cache/goodgo`.
///
/// # Errors
/// When none of these variables nor `HOME` is set.
pub fn cache() -> Result<PathBuf> {
    if let Some(set) = variable("GOODGO_CACHE") {
        return Ok(set);
    }
    if let Some(set) = variable("XDG_CACHE_HOME") {
        return Ok(set.join("goodgo"));
    }
    Ok(home()?.join(".cache/goodgo"))
}

/// Where clusters keep their data.
///
/// Neither the checkout nor `/run`: unix sockets allow 107 bytes of path, which a checkout can use
/// up, and `/run` is memory, while containerd unpacks images here. The checkout gets a link
/// (`.cluster/NAME`) so that the cluster is found from where one works.
///
/// # Errors
/// When not root and `HOME` is not set.
pub fn clusters() -> Result<PathBuf> {
    if let Some(set) = variable("GOODGO_STATE") {
        return Ok(set);
    }
    if crate::host::is_root() {
        return Ok(PathBuf::from("/var/lib/goodgo"));
    }
    Ok(home()?.join(".local/state/goodgo"))
}

/// The checkout this program was built from, unless `GOODGO_CHECKOUT` names another.
pub fn checkout() -> PathBuf {
    variable("GOODGO_CHECKOUT").unwrap_or_else(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        here.parent().unwrap_or(here).to_path_buf()
    })
}

/// The folder with one Go module per family of tools.
pub fn tool_modules() -> PathBuf {
    checkout().join("e2e/tools")
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn home() -> Result<PathBuf> {
    variable("HOME").context("failed to find a home: neither GOODGO_CACHE nor HOME is set")
}

/// Writes a file and the folders above it.
///
/// # Errors
/// Names the path when the disk refuses.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("failed to create {}", parent.display()))?;
    }
    std::fs::write(path, content).with_context(|| format!("failed to write {}", path.display()))
}
