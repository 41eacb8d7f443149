//! A part: one program of a cluster with everything needed to start it and to know that it works.

use crate::tools::Tool;
use std::path::PathBuf;
use std::time::Duration;

/// Where a part's program comes from.
#[derive(Debug, Clone)]
pub enum Program {
    /// Built from a pinned module.
    Tool(Tool),
    /// A program of the host, found on `PATH`.
    Host(&'static str),
    /// A file built by somebody else.
    File(PathBuf),
}

/// How one knows that a part works. Asked again until it holds, the part ends, or its patience is over.
#[derive(Debug, Clone)]
pub enum Ready {
    /// As soon as it is started.
    AtOnce,
    /// `GET` answers 200; certificates are not looked at, these are health ports.
    Url(String),
    /// `GET` of a path of the API server answers 200, asked as administrator.
    Api(String),
    /// The unix socket answers a connection.
    Socket(PathBuf),
    /// The object named by kubectl's arguments has this condition `True`, for example `node/x`, `Ready`.
    Condition {
        /// `KIND/NAME`, as kubectl takes it.
        object: String,
        /// Type of the condition.
        condition: &'static str,
    },
}

/// One program of a cluster.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its name, and its log file's: `logs/NAME.log`.
    pub name: &'static str,
    /// What to run.
    pub program: Program,
    /// Its arguments.
    pub args: Vec<String>,
    /// Added to the environment, which is otherwise only `PATH` and `HOME`.
    pub env: Vec<(&'static str, String)>,
    /// Parts that must be ready before this one starts.
    pub needs: &'static [&'static str],
    /// How one knows that it works.
    pub ready: Ready,
    /// How long it may take; an ended process or an answer is reported at once, this only bounds silence.
    pub patience: Duration,
    /// Manifests (YAML) applied before it starts.
    pub manifests: Option<String>,
}

impl Part {
    /// A part that is ready at once and may take half a minute; the caller overrides what differs.
    pub fn new(name: &'static str, program: Program) -> Self {
        Self {
            name,
            program,
            args: Vec::new(),
            env: Vec::new(),
            needs: &[],
            ready: Ready::AtOnce,
            patience: Duration::from_secs(60),
            manifests: None,
        }
    }

    /// Appends `--NAME=VALUE` arguments.
    #[must_use]
    pub fn flags<V: AsRef<str>>(mut self, flags: impl IntoIterator<Item = (&'static str, V)>) -> Self {
        self.args.extend(flags.into_iter().map(|(name, value)| format!("--{name}={}", value.as_ref())));
        self
    }
}
