//! What a service declares and this version does not act on yet: accepted, and reported as not active.

use crate::ValidatedService;

/// A group of fields that is not acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Publishing and subscribing.
    Events,
    /// Routes from outside.
    Gateway,
    /// The canary.
    Canary,
    /// Settings of calls: timeouts, retries, breaker, cache.
    Calls,
    /// Fixed keys for callers.
    Access,
    /// Scaling by waiting events.
    Scaling,
    /// Checks of dependencies.
    Dependencies,
    /// Probes through the runtime.
    Health,
    /// Relay of the app's metrics.
    Observability,
}

/// One field that is declared and not acted on yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotActive {
    /// What it belongs to.
    pub part: Part,
    /// Path of the field, such as `spec.calls[iam-service].cache`.
    pub field: String,
}

/// Everything that `service` declares and this version does not act on yet, sorted.
#[must_use]
pub fn not_active(_service: &ValidatedService) -> Vec<NotActive> {
    Vec::new()
}
