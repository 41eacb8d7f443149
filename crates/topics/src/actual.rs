//! What a cluster holds, as one describe of everything tells it.

use crate::TopicId;
use crate::acl::Acl;
use std::collections::{BTreeMap, BTreeSet};

/// What one Kafka cluster holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actual {
    /// Brokers that are up.
    pub brokers: u16,
    /// All topics by name.
    pub topics: BTreeMap<String, ActualTopic>,
    /// All access rules; `None` when the cluster has no authorizer.
    pub acls: Option<BTreeSet<Acl>>,
}

/// One topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActualTopic {
    /// Its id.
    pub id: TopicId,
    /// Number of partitions.
    pub partitions: u32,
    /// Copies of each partition.
    pub replication: u16,
    /// Every configuration value in effect, by Kafka's names.
    pub config: BTreeMap<String, ConfigValue>,
}

/// A value in effect, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigValue {
    /// Set on the topic (Kafka's `DYNAMIC_TOPIC_CONFIG`).
    Set(String),
    /// The broker's.
    Default(String),
}

impl ConfigValue {
    /// The value, wherever it comes from.
    #[must_use]
    pub fn value(&self) -> &str {
        match self {
            Self::Set(value) | Self::Default(value) => value,
        }
    }
}
