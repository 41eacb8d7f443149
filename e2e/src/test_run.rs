//! One test run at a time in a checkout: a second one would end the first one's cluster and change its programs.

use crate::paths;
use anyhow::{Context, Result, bail};
use std::fs::{self, File, TryLockError};
use std::io::{Seek, Write};
use std::path::Path;

/// Name of the cluster that tier 3 uses; it lives as long as its test run.
pub const CLUSTER: &str = "test";

/// The right to use this checkout's test cluster; the kernel takes it back when its process ends, however it ends.
#[derive(Debug)]
pub struct TestRun {
    _lock: File,
}

impl TestRun {
    /// Takes the right, or says who has it.
    ///
    /// # Errors
    /// When a test run is under way in this checkout.
    pub fn begin() -> Result<Self> {
        Self::at(&paths::checkout().join("target/test-run.lock"))
    }

    fn at(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
        }
        // Not truncated before it is ours: it names the one who has it.
        let mut lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .with_context(|| format!("failed to open {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let owner = fs::read_to_string(path).unwrap_or_default();
                bail!(
                    "a test run (pid {}) is under way in this checkout: wait for it or end it",
                    owner.trim()
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("failed to lock {}", path.display()));
            }
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .with_context(|| format!("failed to write {}", path.display()))?;
        Ok(Self { _lock: lock })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_second_run_is_told_who_is_first_and_the_next_one_may_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("target/test-run.lock");
        let first = TestRun::at(&path).unwrap();
        let refused = TestRun::at(&path).unwrap_err().to_string();
        let me = std::process::id();
        assert_eq!(
            refused,
            format!("a test run (pid {me}) is under way in this checkout: wait for it or end it")
        );
        drop(first);
        // A child that another test just forked has the lock until it executes its program.
        let until = Instant::now() + Duration::from_secs(5);
        while let Err(error) = TestRun::at(&path) {
            assert!(Instant::now() < until, "{error:#}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
