//! Follows the configuration file.
//!
//! The kubelet swaps a ConfigMap volume by renaming a symlink two levels above the file, which inotify on the file never
//! sees; a `stat` through the symlinks now and then does, costs microseconds and works on every file system. It
//! runs on a thread of its own so that reading and parsing a large file never delays traffic.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use goodgo_runtime_config::RuntimeConfig;

use crate::Error;

/// Watches until it is dropped.
#[derive(Debug)]
pub(crate) struct Watcher {
    _stop: Sender<()>,
}

/// What tells one content of the file from the next without reading it. A swapped ConfigMap has a new inode; an editor
/// that writes in place changes time or length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl Watcher {
    /// Hands every new content of `path`, which is looked at every `interval`, to `offer`, the present one at once, on a
    /// thread of its own.
    ///
    /// # Errors
    /// [`Error::Watch`] when there can't be another thread.
    pub(crate) fn start(
        path: PathBuf,
        interval: Duration,
        offer: impl Fn(Result<RuntimeConfig, String>) + Send + 'static,
    ) -> Result<Self, Error> {
        let (stop, stopped) = channel();
        std::thread::Builder::new()
            .name("config-watch".to_owned())
            .stack_size(512 * 1024)
            .spawn(move || follow(&path, interval, &stopped, offer))
            .map_err(Error::Watch)?;
        Ok(Self { _stop: stop })
    }
}

fn follow(
    path: &Path,
    interval: Duration,
    stopped: &Receiver<()>,
    offer: impl Fn(Result<RuntimeConfig, String>),
) {
    // Outer None: nothing seen yet, so that a missing file is reported as well, once.
    let mut seen: Option<Result<Stamp, io::ErrorKind>> = None;
    loop {
        let stamp = std::fs::metadata(path).as_ref().map(Stamp::from).map_err(io::Error::kind);
        if seen != Some(stamp) {
            // Stamped before reading: a change during the read is seen at the next look.
            seen = Some(stamp);
            offer(read(path));
        }
        match stopped.recv_timeout(interval) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn read(path: &Path) -> Result<RuntimeConfig, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("failed to read {}: {error}", path.display()))?;
    goodgo_runtime_config::parse(&bytes).map_err(|error| format!("{}: {error}", path.display()))
}
