//! This service's own tokens: one file per call, named after it, each for that callee's audience alone.
//!
//! The kubelet rotates them long before they expire. They are kept as header values that are marked sensitive, so that a
//! call costs a look-up and no log or compression table ever holds one.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use http::HeaderValue;

/// Larger files are no tokens, in bytes. A kubelet's has about 1,100.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// The tokens of all calls.
#[derive(Debug)]
pub(crate) struct TokenSource {
    slots: HashMap<String, Slot>,
}

#[derive(Debug)]
struct Slot {
    path: PathBuf,
    /// What tells one content of the file from the next. A swapped projected volume has a new inode.
    seen: Mutex<Option<Stamp>>,
    value: ArcSwapOption<HeaderValue>,
}

type Stamp = (u64, u64, i64, i64);

impl TokenSource {
    /// The files `folder`/`call`, none read yet.
    pub(crate) fn new(folder: &Path, calls: impl IntoIterator<Item = String>) -> Self {
        let slot = |call: String| {
            let path = folder.join(&call);
            (call, Slot { path, seen: Mutex::default(), value: ArcSwapOption::empty() })
        };
        Self { slots: calls.into_iter().map(slot).collect() }
    }

    /// What `call` sends as `x-service-auth`; none while there is no readable file.
    pub(crate) fn header(&self, call: &str) -> Option<HeaderValue> {
        self.slots.get(call)?.value.load().as_deref().cloned()
    }

    /// Reads the files that have changed. Does I/O.
    pub(super) fn refresh(&self) {
        for (call, slot) in &self.slots {
            slot.refresh(call);
        }
    }
}

impl Slot {
    fn refresh(&self, call: &str) {
        let stamp = std::fs::metadata(&self.path).as_ref().map(stamp).ok();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == stamp {
            return;
        }
        let value = std::fs::read(&self.path).ok().and_then(|bytes| parse(&bytes));
        if stamp.is_some() && value.is_none() {
            tracing::warn!(call, "the token's file is not a token; its calls are refused");
        }
        *seen = stamp;
        self.value.store(value.map(std::sync::Arc::new));
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

fn parse(bytes: &[u8]) -> Option<HeaderValue> {
    let token = bytes.trim_ascii();
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    let mut value = HeaderValue::from_bytes(token).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_token_replaces_the_old_one_and_a_lost_file_leaves_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("iam");
        let source = TokenSource::new(folder.path(), ["iam".to_owned()]);
        source.refresh();
        assert_eq!(source.header("iam"), None);
        std::fs::write(&file, "first\n").unwrap();
        source.refresh();
        let header = source.header("iam").unwrap();
        assert_eq!(header, "first");
        assert!(header.is_sensitive() && !format!("{source:?}").contains("first"));
        std::fs::write(folder.path().join("new"), "second").unwrap();
        std::fs::rename(folder.path().join("new"), &file).unwrap();
        source.refresh();
        assert_eq!(source.header("iam").unwrap(), "second");
        std::fs::write(&file, "a\nb").unwrap();
        source.refresh();
        assert_eq!(source.header("iam"), None, "no header may hold a line break");
        std::fs::remove_file(&file).unwrap();
        source.refresh();
        assert_eq!(source.header("iam"), None);
        assert_eq!(source.header("other"), None);
    }
}
