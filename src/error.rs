//! What can go wrong; the variant's name is the label in metrics and the reason in conditions and Events.

use std::time::Duration;

use goodgo_render::{ChildKind, RenderError};

use crate::controller::cache::ChildKey;

/// How OwnerReferencesPermissionEnforcement begins to say that it does not know our kind.
const NO_MAPPING: &str = "cannot find RESTMapping for APIVersion goodgo.io/";

/// A failed reconcile, or a fault that ends the process.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused a child or could not be reached.
    #[error("failed to apply {} {name}: {}", kind.as_str(), said(source))]
    Apply {
        /// Its kind.
        kind: ChildKind,
        /// Its name.
        name: String,
        /// Why.
        source: kube::Error,
    },
    /// The API server was told of GoodGoServices moments ago: where it enforces permissions on owner references, it looks up
    /// kinds in a copy that it renews every 30 s.
    #[error(
        "the API server does not know the kind GoodGoService as an owner yet, up to 30 s after its CRD was installed; \
         it is tried again by itself"
    )]
    OwnerKindNotKnownYet,
    /// The server refused to delete a child or could not be reached.
    #[error("failed to delete {} {name}: {}", kind.as_str(), said(source))]
    Prune {
        /// Its kind.
        kind: ChildKind,
        /// Its name.
        name: String,
        /// Why.
        source: kube::Error,
    },
    /// The server refused the status or could not be reached.
    #[error("failed to write the status: {}", said(.0))]
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
    Timeout(Duration),
}

impl Error {
    /// A failure to apply the child at `key`.
    #[must_use]
    pub fn apply(key: &ChildKey, source: kube::Error) -> Self {
        // The admission plug-in has no better mark than its sentence.
        if matches!(&source, kube::Error::Api(status) if status.code == 403 && status.message.contains(NO_MAPPING))
        {
            return Self::OwnerKindNotKnownYet;
        }
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
            Self::OwnerKindNotKnownYet => "OwnerKindNotKnownYet",
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
            Self::OwnerKindNotKnownYet | Self::Unsettled { .. } | Self::Answer { .. } | Self::Timeout(_) => {
                false
            }
        }
    }

    /// Longest pause between attempts, where the pause must not grow as long as that of a refusal: what ends by itself finds
    /// everybody waiting.
    #[must_use]
    pub fn longest_pause(&self) -> Option<Duration> {
        match self {
            Self::OwnerKindNotKnownYet => Some(Duration::from_secs(4)),
            error if error.is_refusal() => None,
            _ => Some(Duration::from_secs(30)),
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

/// What the server said, without the dump of its whole answer that kube adds: people read this in the status.
fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(status: serde_json::Value) -> Error {
        let source = kube::Error::Api(serde_json::from_value(status).unwrap());
        Error::apply(&ChildKey::new(ChildKind::Service, "shop", "a"), source)
    }

    #[test]
    fn a_refusal_is_told_in_the_servers_words() {
        let error =
            refused(json!({"code": 403, "reason": "Forbidden", "message": "exceeded quota: services"}));
        assert_eq!(error.to_string(), "failed to apply Service a: exceeded quota: services");
        assert_eq!(error.reason(), "ApplyFailed");
        assert!(error.is_refusal() && !error.is_namespace_terminating());
    }

    #[test]
    fn a_kind_that_was_installed_moments_ago_is_waited_for() {
        let message = "serviceaccounts \"a--app\" is forbidden: cannot set blockOwnerDeletion in this case because cannot \
                       find RESTMapping for APIVersion goodgo.io/v1alpha1 Kind GoodGoService: no matches for kind";
        let error = refused(json!({"code": 403, "reason": "Forbidden", "message": message}));
        assert_eq!(error.reason(), "OwnerKindNotKnownYet");
        assert!(!error.is_refusal());
        assert_eq!(error.longest_pause(), Some(Duration::from_secs(4)));
    }

    #[test]
    fn a_server_in_trouble_has_not_refused() {
        assert!(!refused(json!({"code": 500, "message": "etcd timed out"})).is_refusal());
        assert!(!refused(json!({"code": 429, "message": "slow down"})).is_refusal());
    }

    #[test]
    fn a_namespace_on_its_way_out_is_known() {
        let cause = json!({"reason": "NamespaceTerminating", "message": "m", "field": "metadata.namespace"});
        let error = refused(json!({"code": 403, "message": "m", "details": {"causes": [cause]}}));
        assert!(error.is_namespace_terminating());
    }
}
