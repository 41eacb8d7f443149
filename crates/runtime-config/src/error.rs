//! What can be wrong with a configuration file.

use std::fmt;

/// Why a configuration file can't be read or written. Messages are whole: they include their cause.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is larger than a ConfigMap can be.
    #[error("failed to read the runtime configuration: {bytes} bytes, at most {max} are allowed", max = crate::MAX_FILE_BYTES)]
    TooLarge {
        /// Size of what was given, in bytes.
        bytes: usize,
    },
    /// Not the JSON of this type; names line and column.
    #[error("failed to decode the runtime configuration: {0}")]
    Decode(serde_json::Error),
    /// Values out of their bounds, each with path and remedy.
    #[error("failed to validate the runtime configuration: {}", join(.0))]
    Invalid(Vec<Violation>),
    /// The value can't be written as JSON.
    #[error("failed to encode the runtime configuration: {0}")]
    Encode(serde_json::Error),
}

/// One value out of its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where, as a path from the file's root: `calls.iam-service.target.port`.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

fn join(violations: &[Violation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
