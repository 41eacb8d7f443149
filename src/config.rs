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
use tracing::{error, info};

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
    parse(path, &read(path)?)
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

/// Follows the file: stores each usable version in `current` and then calls `changed` with the one before.
pub async fn follow(
    path: PathBuf,
    current: Arc<ArcSwap<PlatformConfig>>,
    metrics: Metrics,
    changed: impl Fn(&PlatformConfig),
) {
    let mut seen = read(&path).ok();
    loop {
        tokio::time::sleep(EVERY).await;
        // A moment without a file is part of a swap.
        let Ok(text) = read(&path) else { continue };
        if seen.as_ref() == Some(&text) {
            continue;
        }
        match parse(&path, &text) {
            Ok(config) => {
                let before = current.swap(Arc::new(config));
                info!(path = %path.display(), "loaded the changed configuration");
                metrics.config_reloaded("ok");
                changed(&before);
            }
            Err(error) => {
                error!(%error, "the configuration before it stays in force");
                metrics.config_reloaded("refused");
            }
        }
        seen = Some(text);
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
}
