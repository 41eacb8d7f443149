//! Conditions: their types, their polarity, and which of them gate Ready.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Type of a condition that the operator owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// The current generation is applied, the workload is available and no declared part is False.
    Ready,
    /// The operator or the workload is on its way to the current generation.
    Progressing,
    /// Enough pods take requests.
    WorkloadAvailable,
    /// Every declared call has a callee that accepts it.
    CallsResolved,
    /// Every declared topic is there and as declared.
    TopicsReady,
    /// Every declared route is served.
    RoutesReady,
    /// Every ready pod runs the current configuration.
    InForce,
    /// Nothing will happen until a person changes something.
    Stalled,
    /// An object that the operator did not create stands where a child belongs.
    ChildConflict,
    /// Somebody else keeps undoing what the operator applies.
    Contended,
    /// The service is suspended: nothing is reconciled.
    Suspended,
}

/// Which value of a condition is the good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// True is good.
    Positive,
    /// False is good; such a condition is listed only while it is True.
    Negative,
}

impl ConditionType {
    /// Every condition that the operator owns, in the order in which they are listed.
    pub const ALL: [Self; 11] = [
        Self::Ready,
        Self::Progressing,
        Self::WorkloadAvailable,
        Self::CallsResolved,
        Self::TopicsReady,
        Self::RoutesReady,
        Self::InForce,
        Self::Stalled,
        Self::ChildConflict,
        Self::Contended,
        Self::Suspended,
    ];

    /// The name in `status.conditions[].type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Progressing => "Progressing",
            Self::WorkloadAvailable => "WorkloadAvailable",
            Self::CallsResolved => "CallsResolved",
            Self::TopicsReady => "TopicsReady",
            Self::RoutesReady => "RoutesReady",
            Self::InForce => "InForce",
            Self::Stalled => "Stalled",
            Self::ChildConflict => "ChildConflict",
            Self::Contended => "Contended",
            Self::Suspended => "Suspended",
        }
    }

    /// Which value is the good one.
    #[must_use]
    pub const fn polarity(self) -> Polarity {
        match self {
            Self::Ready
            | Self::WorkloadAvailable
            | Self::CallsResolved
            | Self::TopicsReady
            | Self::RoutesReady
            | Self::InForce => Polarity::Positive,
            Self::Progressing | Self::Stalled | Self::ChildConflict | Self::Contended | Self::Suspended => {
                Polarity::Negative
            }
        }
    }

    /// Whether Ready can't be True while this condition has its bad value. `InForce` never gates, nor does
    /// `Unknown`: what this version doesn't do yet is reported, not held against the service.
    #[must_use]
    pub const fn gates_ready(self) -> bool {
        matches!(
            self,
            Self::WorkloadAvailable
                | Self::CallsResolved
                | Self::TopicsReady
                | Self::RoutesReady
                | Self::Stalled
                | Self::ChildConflict
        )
    }
}

/// One condition, as Kubernetes' API conventions define it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Its type, in CamelCase.
    #[serde(rename = "type")]
    #[schemars(length(max = 316))]
    pub type_: String,
    /// True, False or Unknown.
    pub status: ConditionStatus,
    /// Why, in CamelCase, for programs.
    #[schemars(length(max = 1024))]
    pub reason: String,
    /// Why and what to do, for people.
    #[schemars(length(max = 32768))]
    pub message: String,
    /// Generation of the spec that it speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the status last changed (RFC 3339, seconds).
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
}

/// Reason of Stalled while the spec can't be carried out as it is.
pub const INVALID: &str = "Invalid";

/// Value of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the names are Kubernetes'")]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}
