//! What can go wrong; the variant's name is the label in metrics and the reason in conditions and Events.

use goodgo_render::{ChildKind, RenderError};

use crate::controller::cache::ChildKey;

/// A failed reconcile, or a fault that ends the process.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused a child or could not be reached.
    #[error("failed to apply {} {name}: {source}", kind.as_str())]
    Apply {
        /// Its kind.
        kind: ChildKind,
        /// Its name.
        name: String,
        /// Why.
        source: kube::Error,
    },
    /// The server refused to delete a child or could not be reached.
    #[error("failed to delete {} {name}: {source}", kind.as_str())]
    Prune {
        /// Its kind.
        kind: ChildKind,
        /// Its name.
        name: String,
        /// Why.
        source: kube::Error,
    },
    /// The server refused the status or could not be reached.
    #[error("failed to write the status: {0}")]
    Status(#[source] kube::Error),
    /// Others change a child faster than it can be looked at.
    #[error("failed to settle {} {name}: it changed at every attempt", kind.as_str())]
    Unsettled {
        /// Its kind.
        kind: ChildKind,
        /// Its name.
        name: String,
    },
    /// The server's answer has neither uid nor resourceVersion.
    #[error("failed to read the answer for {} {name}: it has no uid or resourceVersion", kind.as_str())]
    Answer {
        /// Its kind.
        kind: ChildKind,
        /// Its name.
        name: String,
    },
    /// The children can't be rendered: a defect.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The service has no name, namespace or uid, as only objects that never were on a server have.
    #[error("failed to read the service: {0} is missing")]
    Incomplete(&'static str),
    /// The reconcile took too long.
    #[error("failed to reconcile within {0:?}")]
    Timeout(std::time::Duration),
}

impl Error {
    /// A failure to apply the child at `key`.
    #[must_use]
    pub fn apply(key: &ChildKey, source: kube::Error) -> Self {
        Self::Apply { kind: key.kind, name: key.name.to_string(), source }
    }

    /// A failure to delete the child at `key`.
    #[must_use]
    pub fn prune(key: &ChildKey, source: kube::Error) -> Self {
        Self::Prune { kind: key.kind, name: key.name.to_string(), source }
    }

    /// The variant's name, in CamelCase.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Apply { .. } => "ApplyFailed",
            Self::Prune { .. } => "PruneFailed",
            Self::Status(_) => "StatusFailed",
            Self::Unsettled { .. } => "Unsettled",
            Self::Answer { .. } => "AnswerUnreadable",
            Self::Render(_) => "RenderFailed",
            Self::Incomplete(_) => "IncompleteObject",
            Self::Timeout(_) => "Timeout",
        }
    }

    /// Whether the server answered: it will answer the same until somebody changes something.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Apply { source, .. } | Self::Prune { source, .. } | Self::Status(source) => {
                matches!(source, kube::Error::Api(status) if status.code < 500 && status.code != 429)
            }
            Self::Render(_) | Self::Incomplete(_) => true,
            Self::Unsettled { .. } | Self::Answer { .. } | Self::Timeout(_) => false,
        }
    }

    /// Whether the namespace is being deleted: nothing can be created there, and nothing needs to be.
    #[must_use]
    pub fn is_namespace_terminating(&self) -> bool {
        let Self::Apply { source: kube::Error::Api(status), .. } = self else { return false };
        let causes = status.details.iter().flat_map(|details| &details.causes);
        status.code == 403 && causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
    }
}
