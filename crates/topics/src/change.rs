//! What is to be done to a cluster.

use crate::TopicId;
use crate::acl::Acl;
use std::collections::{BTreeMap, BTreeSet};

/// One request's worth of work. Each kind is sent as one batch; the order of the kinds in a plan is the order to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Makes a topic. The id in the answer (CreateTopics since version 7) is to be recorded at once as
    /// [`Held`](crate::Held) with `adopted: false`: without that the next look takes the topic for one that others made,
    /// and it is never deleted.
    CreateTopic {
        /// Name.
        topic: String,
        /// Number of partitions.
        partitions: u32,
        /// Copies of each partition.
        replication: u16,
        /// Configuration by Kafka's names.
        config: BTreeMap<String, String>,
    },
    /// Adds partitions.
    CreatePartitions {
        /// Name.
        topic: String,
        /// Number of partitions afterwards.
        to: u32,
    },
    /// Changes single values and leaves all others alone (KIP-339).
    AlterConfig {
        /// Name.
        topic: String,
        /// Values to set.
        set: BTreeMap<String, String>,
        /// Keys that return to the broker's default.
        unset: BTreeSet<String>,
    },
    /// Gives access.
    CreateAcl(Acl),
    /// Takes access back.
    DeleteAcl(Acl),
    /// Deletes a topic with all its messages, if its id is still this one.
    DeleteTopic {
        /// Name.
        topic: String,
        /// The id that it must have.
        id: TopicId,
    },
}

impl Change {
    /// The topic that it is done to; access rules may concern more than one.
    #[must_use]
    pub fn topic(&self) -> Option<&str> {
        match self {
            Self::CreateTopic { topic, .. }
            | Self::CreatePartitions { topic, .. }
            | Self::AlterConfig { topic, .. }
            | Self::DeleteTopic { topic, .. } => Some(topic),
            Self::CreateAcl(_) | Self::DeleteAcl(_) => None,
        }
    }
}
