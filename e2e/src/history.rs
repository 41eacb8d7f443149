//! How long things took last time, kept in the cache: what a waiting person is told beside a bar.

use crate::paths;
use anyhow::Result;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the last build from nothing took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Last {
    /// How long it took.
    pub(crate) time: Duration,
    /// How many packages it compiled.
    pub(crate) packages: u64,
}

impl Last {
    /// What is known about building `name`.
    ///
    /// # Errors
    /// When the cache can't be found.
    pub(crate) fn of(name: &str) -> Result<Option<Self>> {
        Ok(Self::read(&file(name)?))
    }

    /// Remembers a build, unless it found most things compiled: then it says nothing about the next one from nothing.
    ///
    /// # Errors
    /// When the cache can't be written.
    pub(crate) fn keep(name: &str, now: Self) -> Result<()> {
        now.write(&file(name)?)
    }

    fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let mut words = text.split_whitespace();
        Some(Self {
            time: Duration::from_secs(words.next()?.parse().ok()?),
            packages: words.next()?.parse().ok()?,
        })
    }

    fn write(self, path: &Path) -> Result<()> {
        let telling = match Self::read(path) {
            Some(last) => self.packages >= last.packages / 2,
            None => self.packages > 0,
        };
        if telling {
            paths::write(path, format!("{} {}\n", self.time.as_secs(), self.packages))?;
        }
        Ok(())
    }
}

fn file(name: &str) -> Result<PathBuf> {
    Ok(paths::cache()?.join("parts/history").join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_from_nothing_is_remembered_and_a_small_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history/product");
        let took = |seconds, packages| Last { time: Duration::from_secs(seconds), packages };
        let after = |build: Last| {
            build.write(&path).unwrap();
            Last::read(&path)
        };
        assert_eq!(after(took(1, 0)), None, "nothing was compiled");
        assert_eq!(after(took(360, 300)), Some(took(360, 300)));
        assert_eq!(after(took(9, 3)), Some(took(360, 300)));
        assert_eq!(after(took(400, 310)), Some(took(400, 310)));
    }
}
