//! Fixed keys for callers without a runtime: one file a key, all valid at once, so that they rotate without a restart.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use subtle::{Choice, ConstantTimeEq};

/// The keys in one folder.
pub(crate) struct Keys {
    folder: PathBuf,
    seen: Mutex<Option<Stamp>>,
    keys: ArcSwap<Vec<Box<[u8]>>>,
}

/// Of each file: inode, length, time of change. A mounted Secret is swapped as a whole, and each of its files is another
/// one then; on a laptop somebody edits them.
type Stamp = Vec<(u64, u64, i64, i64)>;

impl Keys {
    /// The files of `folder`, none read yet.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, seen: Mutex::default(), keys: ArcSwap::default() }
    }

    /// Whether `presented` is one of them. Takes the same time whichever it is and however much of it is right.
    pub(crate) fn accept(&self, presented: &[u8]) -> bool {
        let keys = self.keys.load();
        // No short cut: the fold looks at every key.
        keys.iter().fold(Choice::from(0), |found, key| found | key.ct_eq(presented)).into()
    }

    /// Reads the folder again when it has changed. Does I/O.
    pub(super) fn refresh(&self) {
        let stamp = stamp(&self.folder);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == stamp {
            return;
        }
        *seen = stamp;
        let keys = read(&self.folder);
        tracing::info!(keys = keys.len(), "fixed keys read");
        self.keys.store(Arc::new(keys));
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("folder", &self.folder).finish_non_exhaustive()
    }
}

fn stamp(folder: &Path) -> Option<Stamp> {
    let of = |path: &Path| std::fs::metadata(path).ok();
    let files = std::fs::read_dir(folder).ok()?.filter_map(|entry| of(&entry.ok()?.path()));
    let mut stamp: Stamp = files.map(|m| (m.ino(), m.len(), m.mtime(), m.mtime_nsec())).collect();
    // The order of a folder's entries is nobody's promise.
    stamp.sort_unstable();
    Some(stamp)
}

/// The content of every file, without its final line breaks; empty ones would let in who sends an empty header.
fn read(folder: &Path) -> Vec<Box<[u8]>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b".."))
        .filter_map(|entry| std::fs::read(entry.path()).ok())
        .filter_map(|bytes| {
            let key = bytes.trim_ascii_end();
            (!key.is_empty()).then(|| Box::from(key))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn swap_in(root: &Path, version: &str, files: &[(&str, &str)]) {
        let folder = root.join(version);
        std::fs::create_dir(&folder).unwrap();
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
            if !root.join(name).is_symlink() {
                symlink(format!("..data/{name}"), root.join(name)).unwrap();
            }
        }
        symlink(version, root.join("..data_tmp")).unwrap();
        std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    }

    #[test]
    fn several_keys_are_valid_at_once_and_a_swapped_secret_counts_at_once() {
        let root = tempfile::tempdir().unwrap();
        let keys = Keys::new(root.path().to_owned());
        keys.refresh();
        assert!(!keys.accept(b""));
        swap_in(root.path(), "..v1", &[("old", "first\n"), ("new", "second"), ("empty", "\n")]);
        keys.refresh();
        assert!(keys.accept(b"first") && keys.accept(b"second"));
        for wrong in [&b""[..], b"\n", b"first\n", b"firs", b"secondx", b"..v1"] {
            assert!(!keys.accept(wrong), "{wrong:?}");
        }
        swap_in(root.path(), "..v2", &[("old", "third"), ("new", "second")]);
        keys.refresh();
        assert!(!keys.accept(b"first") && keys.accept(b"second") && keys.accept(b"third"));
        assert!(!format!("{keys:?}").contains("second"));
    }

    #[test]
    fn a_plain_folder_does_as_well() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a"), "plain\r\n").unwrap();
        let keys = Keys::new(root.path().to_owned());
        keys.refresh();
        assert!(keys.accept(b"plain"));
        std::fs::write(root.path().join("a"), "edited").unwrap();
        keys.refresh();
        assert!(keys.accept(b"edited") && !keys.accept(b"plain"));
    }
}
