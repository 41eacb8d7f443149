//! The operator's configuration file: typed, strict, and picked up again while it runs.
//!
//! A file that can't be used at the start ends the process with line and column; later, the configuration in force stays
//! and the fault is logged and counted. The file is compared every few seconds: a mounted ConfigMap is swapped by
//! renaming folders, which file notifications see differently on every platform.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use goodgo_render::{PlatformConfig, Violation};
use tracing::{error, info, warn};

use crate::metrics::Metrics;

/// How often the file is compared.
const EVERY: Duration = Duration::from_secs(2);

/// Why a configuration file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("failed to read the configuration {path}: {source}")]
    Read {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file has an unknown field or a wrong value; the source names line and column.
    #[error("failed to decode the configuration {path}: {message}")]
    Decode {
        /// Its path.
        path: PathBuf,
        /// What is wrong, with line and column.
        message: String,
    },
    /// Values that contradict each other or are out of their bounds.
    #[error("failed to validate the configuration {path}: {}", join(.violations))]
    Invalid {
        /// Its path.
        path: PathBuf,
        /// Each with path and remedy.
        violations: Vec<Violation>,
    },
}

/// Reads and checks the configuration file at `path`.
///
/// # Errors
/// [`ConfigError`], with everything that is wrong.
pub fn load(path: &Path) -> Result<PlatformConfig, ConfigError> {
    let config = parse(path, &read(path)?)?;
    warn_of_what_waits(&config);
    Ok(config)
}

/// One line for all that is set for a later version, so that nobody waits for its effect.
fn warn_of_what_waits(config: &PlatformConfig) {
    let fields = config.not_acted_on();
    if !fields.is_empty() {
        warn!(fields = fields.join(", "), "accepted and not acted on by this version");
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

fn parse(path: &Path, text: &str) -> Result<PlatformConfig, ConfigError> {
    let config: PlatformConfig = if text.trim().is_empty() {
        PlatformConfig::default() // an empty document is no map, and means all defaults
    } else {
        serde_saphyr::from_str(text)
            .map_err(|error| ConfigError::Decode { path: path.to_owned(), message: error.to_string() })?
    };
    match config.validate() {
        Ok(()) => Ok(config),
        Err(violations) => Err(ConfigError::Invalid { path: path.to_owned(), violations }),
    }
}

/// Keeps the configuration in force up to date with its file.
pub struct Follower {
    path: PathBuf,
    current: Arc<ArcSwap<PlatformConfig>>,
    metrics: Metrics,
    /// The text that was judged last.
    seen: Option<String>,
}

impl Follower {
    /// Follows the file at `path` into `current`. Nothing counts as seen yet: `current` may be from long ago, as that of a
    /// standby that waited.
    #[must_use]
    pub const fn new(path: PathBuf, current: Arc<ArcSwap<PlatformConfig>>, metrics: Metrics) -> Self {
        Self { path, current, metrics, seen: None }
    }

    /// Compares the file once and puts a changed usable one in force; gives the configuration before it.
    pub fn compare(&mut self) -> Option<Arc<PlatformConfig>> {
        // A moment without a file is part of a swap.
        read(&self.path).ok().and_then(|text| self.judge(text))
    }

    /// Compares now and then, and calls `changed` with the configuration before each change.
    pub async fn follow(mut self, changed: impl Fn(&PlatformConfig)) {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Some(before) = self.compare() {
                changed(&before);
            }
        }
    }

    fn judge(&mut self, text: String) -> Option<Arc<PlatformConfig>> {
        if self.seen.as_ref() == Some(&text) {
            return None;
        }
        let parsed = parse(&self.path, &text);
        self.seen = Some(text);
        match parsed {
            // What is in force already, in other words.
            Ok(config) if config == **self.current.load() => None,
            Ok(config) => {
                warn_of_what_waits(&config);
                let before = self.current.swap(Arc::new(config));
                info!(path = %self.path.display(), "loaded the changed configuration");
                self.metrics.config_reloaded("ok");
                Some(before)
            }
            Err(error) => {
                error!(%error, "the configuration before it stays in force");
                self.metrics.config_reloaded("refused");
                None
            }
        }
    }
}

fn join(violations: &[Violation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        parse(Path::new("config.yaml"), text).unwrap_err().to_string()
    }

    #[test]
    fn nothing_means_defaults() {
        assert_eq!(parse(Path::new("config.yaml"), "\n").unwrap(), PlatformConfig::default());
        assert_eq!(parse(Path::new("config.yaml"), "{}").unwrap(), PlatformConfig::default());
    }

    #[test]
    fn an_unknown_field_is_refused_with_line_and_column() {
        let message = refused("environment: local\nclusterDomian: cluster.local\n");
        assert!(message.contains("clusterDomian") && message.contains("line 2"), "{message}");
        let message = refused("environment: moon\n");
        assert!(message.contains("line 1"), "{message}");
    }

    #[test]
    fn values_out_of_bounds_are_refused_with_path_and_remedy() {
        let message = refused("clusterDomain: ''\nprivateRanges: [10.0.0.0]\n");
        assert!(message.contains("clusterDomain: ") && message.contains("privateRanges[0]: "), "{message}");
    }
    #[test]
    fn a_file_that_changed_before_anybody_looked_is_put_in_force() {
        let path = Path::new("config.yaml");
        let current = Arc::new(ArcSwap::from_pointee(parse(path, "environment: local").unwrap()));
        let mut follower = Follower::new(path.to_owned(), current.clone(), Metrics::default());
        let changed = |follower: &mut Follower, text: &str| follower.judge(text.to_owned()).is_some();
        assert!(!changed(&mut follower, "# in other words\nenvironment: local"), "nothing changed");
        assert!(!changed(&mut follower, "environment: moon"), "refused");
        assert_eq!(**current.load(), parse(path, "environment: local").unwrap());
        assert!(changed(&mut follower, "environment: staging"));
        assert!(!changed(&mut follower, "environment: staging"), "seen");
        let mut successor = Follower::new(path.to_owned(), current.clone(), Metrics::default());
        assert!(changed(&mut successor, "environment: local"), "changed while nobody followed");
        assert_eq!(**current.load(), parse(path, "environment: local").unwrap());
    }
}
