//! Keeps Debian from starting daemons: of PostgreSQL, Redis, nginx and containerd only the programs are wanted here.

use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What packages ask before they start or enable a daemon; 101 is Debian's "forbidden by policy".
const POLICY: &str = "/usr/sbin/policy-rc.d";
const FORBIDDEN: &str =
    "#!/bin/sh\n# Made by goodgo-dev for the time of one apt-get; may be removed.\nexit 101\n";

/// While it lives no package starts a daemon.
#[derive(Debug)]
pub(super) struct NoDaemons {
    /// The policy that goes with it; `None` when the machine has one of its own.
    ours: Option<PathBuf>,
}

impl NoDaemons {
    /// Forbids daemons on this machine.
    ///
    /// # Errors
    /// When the policy can't be written.
    pub(super) fn begin() -> Result<Self> {
        Self::at(Path::new(POLICY))
    }

    fn at(policy: &Path) -> Result<Self> {
        let ours = || Self { ours: Some(policy.to_path_buf()) };
        match File::options().write(true).create_new(true).mode(0o755).open(policy) {
            Ok(mut file) => {
                let ours = ours(); // from here on it goes, also when it can't be filled
                file.write_all(FORBIDDEN.as_bytes()).context("failed to write Debian's policy of daemons")?;
                Ok(ours)
            }
            // Left by a run that was killed: it goes with this one.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && is_ours(policy) => Ok(ours()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Self { ours: None }),
            Err(error) => Err(error).with_context(|| format!("failed to create {}", policy.display())),
        }
    }
}

fn is_ours(policy: &Path) -> bool {
    fs::read_to_string(policy).is_ok_and(|text| text == FORBIDDEN)
}

impl Drop for NoDaemons {
    fn drop(&mut self) {
        if let Some(policy) = &self.ours
            && let Err(error) = fs::remove_file(policy)
        {
            crate::progress::say(&format!("failed to remove {}: {error}", policy.display()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn daemons_are_forbidden_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy-rc.d");
        let held = NoDaemons::at(&policy).unwrap();
        // By a shell that reads it: a file that another test's child still has open can't be executed.
        assert_eq!(Command::new("sh").arg(&policy).status().unwrap().code(), Some(101));
        drop(held);
        assert!(!policy.exists());
    }

    #[test]
    fn a_policy_that_was_left_behind_goes_and_one_of_the_machine_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (left, own) = (folder.path().join("left"), folder.path().join("own"));
        fs::write(&left, FORBIDDEN).unwrap();
        fs::write(&own, "#!/bin/sh\nexit 0\n").unwrap();
        drop([NoDaemons::at(&left).unwrap(), NoDaemons::at(&own).unwrap()]);
        assert!(!left.exists());
        assert_eq!(fs::read_to_string(&own).unwrap(), "#!/bin/sh\nexit 0\n");
    }
}
