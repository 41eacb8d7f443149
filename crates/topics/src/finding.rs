//! What a plan will not or cannot do, each with the reason and the next step.

use crate::TopicId;
use std::fmt;

/// Something that a person should know of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// The name belongs to Kafka itself.
    ReservedName,
    /// Kafka cannot tell the name from another one in its metrics, and refuses to have both.
    NameCollides {
        /// The other one.
        with: String,
    },
    /// More copies are declared than there are brokers.
    TooFewBrokers {
        /// Copies that are declared.
        needs: u16,
        /// Brokers that are up.
        has: u16,
    },
    /// Fewer partitions are declared than there are.
    PartitionsCannotShrink {
        /// Partitions that there are.
        from: u32,
        /// Partitions that are declared.
        to: u32,
    },
    /// More partitions are declared, which would move keys under subscribers that need their order.
    RekeyNotAllowed {
        /// Partitions that there are.
        from: u32,
        /// Partitions that are declared.
        to: u32,
    },
    /// Another number of copies is declared than there are.
    ReplicationCannotChange {
        /// Copies that there are.
        from: u16,
        /// Copies that are declared.
        to: u16,
    },
    /// The topic was there before anybody declared it, and what is declared would lose messages that it has.
    AdoptionWouldLose {
        /// Kafka's name of the setting.
        key: String,
        /// What it is.
        found: String,
        /// What is declared.
        declared: String,
    },
    /// A topic that is made elsewhere is not there.
    ExternalTopicMissing,
    /// The topic is gone though nobody here deleted it; it is made again, empty.
    DeletedBehindOurBack {
        /// The id that it had.
        id: TopicId,
    },
    /// Another topic stands under the name than the one that was held; it is treated as one that others made.
    Replaced {
        /// The id that it had.
        id: TopicId,
        /// The id that stands there now.
        by: TopicId,
    },
    /// Nobody declares the topic any more, and it stays as its last owner wanted.
    Retained,
    /// Nobody declares the topic any more; it stays because others had made it.
    AdoptedIsRetained,
    /// Nobody declares the topic any more; what stands under its name is not the topic that was held.
    NotOursToDelete {
        /// The id that stands there now.
        found: TopicId,
    },
}

impl Finding {
    /// Whether the topic cannot be as declared because of it.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::ReservedName
            | Self::NameCollides { .. }
            | Self::TooFewBrokers { .. }
            | Self::PartitionsCannotShrink { .. }
            | Self::RekeyNotAllowed { .. }
            | Self::ReplicationCannotChange { .. }
            | Self::AdoptionWouldLose { .. }
            | Self::ExternalTopicMissing => true,
            Self::DeletedBehindOurBack { .. }
            | Self::Replaced { .. }
            | Self::Retained
            | Self::AdoptedIsRetained
            | Self::NotOursToDelete { .. } => false,
        }
    }

    /// The reason for programs, in CamelCase.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::ReservedName => "ReservedName",
            Self::NameCollides { .. } => "NameCollides",
            Self::TooFewBrokers { .. } => "TooFewBrokers",
            Self::PartitionsCannotShrink { .. } => "PartitionsCannotShrink",
            Self::RekeyNotAllowed { .. } => "RekeyNotAllowed",
            Self::ReplicationCannotChange { .. } => "ReplicationCannotChange",
            Self::AdoptionWouldLose { .. } => "AdoptionWouldLose",
            Self::ExternalTopicMissing => "ExternalTopicMissing",
            Self::DeletedBehindOurBack { .. } => "TopicDeletedBehindOurBack",
            Self::Replaced { .. } => "TopicReplaced",
            Self::Retained => "TopicRetained",
            Self::AdoptedIsRetained => "AdoptedTopicRetained",
            Self::NotOursToDelete { .. } => "NotOursToDelete",
        }
    }
}

/// What it is and what to do, for people.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedName => f.write_str("names that begin with __ belong to Kafka: choose another"),
            Self::NameCollides { with } => write!(
                f,
                "Kafka's metrics cannot tell it from {with} ('.' and '_' are one there), so it refuses to have both: \
                 rename one of them"
            ),
            Self::TooFewBrokers { needs, has } => write!(
                f,
                "replication {needs} needs as many brokers, and {has} are up: it is made as soon as they are"
            ),
            Self::PartitionsCannotShrink { from, to } => write!(
                f,
                "it has {from} partitions and Kafka cannot take any away: declare {from}, or a new topic with {to}"
            ),
            Self::RekeyNotAllowed { from, to } => write!(
                f,
                "going from {from} to {to} partitions moves keys, and a subscriber relies on their order: set \
                 allowRekey: true if that may break once, or declare {from}"
            ),
            Self::ReplicationCannotChange { from, to } => write!(
                f,
                "it has replication {from}, and a change to {to} needs a reassignment of its partitions: run \
                 kafka-reassign-partitions with the wanted replicas, or declare {from}"
            ),
            Self::AdoptionWouldLose { key, found, declared } => write!(
                f,
                "it was there before with {key}={found}, and {declared} could lose messages: declare {found}, or set \
                 {declared} on the topic yourself"
            ),
            Self::ExternalTopicMissing => f.write_str(
                "it is declared external and the cluster has no such topic: have its owner make it, or leave \
                 external out",
            ),
            Self::DeletedBehindOurBack { id } => {
                write!(f, "somebody deleted it (id {id}) with its messages: it is made again, empty")
            }
            Self::Replaced { id, by } => write!(
                f,
                "somebody deleted it (id {id}) and made another one under its name (id {by}), which is used from now on"
            ),
            Self::Retained => f.write_str("nobody declares it any more; it stays because its deletionPolicy is Retain"),
            Self::AdoptedIsRetained => f.write_str(
                "nobody declares it any more; it stays because it was there before it was declared: delete it yourself",
            ),
            Self::NotOursToDelete { found } => {
                write!(f, "nobody declares it any more; what has its name now (id {found}) is another topic and stays")
            }
        }
    }
}
