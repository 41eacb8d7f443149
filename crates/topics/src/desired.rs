//! What the services declare, as one cluster should hold it.

use crate::TopicId;
use crate::acl::Acl;
use std::collections::{BTreeMap, BTreeSet};

/// What one Kafka cluster should hold. Names are Kafka's: prefix included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// Topics whose settings a service holds.
    pub topics: BTreeMap<String, DeclaredTopic>,
    /// Topics that are made elsewhere and only used.
    pub external: BTreeSet<String>,
    /// Topics that nobody declares any more. One that is declared again is not retired, whatever stands here.
    pub retired: BTreeMap<String, Retired>,
    /// Access that the services need.
    pub acls: BTreeSet<Acl>,
    /// Access that was given for services before: what of it is not needed any more is taken back, and nothing else.
    pub granted: BTreeSet<Acl>,
}

/// A topic as its owner declares it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeclaredTopic {
    /// Number of partitions; any number is right when it is not declared.
    pub partitions: Option<u32>,
    /// Copies of each partition; any number is right when it is not declared.
    pub replication: Option<u16>,
    /// What a new topic gets where nothing is declared.
    pub new: NewTopic,
    /// Configuration by Kafka's names; what is not in here is left alone.
    pub config: BTreeMap<String, String>,
    /// Whether partitions may be added, which moves keys: nobody needs their order, or the owner allows it.
    pub may_rekey: bool,
    /// What was recorded when the topic was taken in hand.
    pub held: Option<Held>,
}

/// What a new topic gets where nothing is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Number of partitions.
    pub partitions: u32,
    /// Copies of each partition.
    pub replication: u16,
}

impl Default for NewTopic {
    fn default() -> Self {
        Self { partitions: 1, replication: 1 }
    }
}

/// What was recorded when a topic was taken in hand. Whoever carries out a [`Change::CreateTopic`](crate::Change) records
/// the id from Kafka's answer with `adopted: false`, also of a topic that is made again, and keeps that. A topic that is
/// found without such a record counts as made by others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its id then.
    pub id: TopicId,
    /// Whether somebody else had made it: the topic's first look said so ([`Verdict::adopted`](crate::Verdict)). Such a topic is never deleted: whoever may declare a topic could otherwise
    /// destroy one that was there before.
    pub adopted: bool,
    /// Configuration that was set for a declaration; a key that is declared no more returns to the broker's default.
    pub config: BTreeSet<String>,
}

/// A topic that nobody declares any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retired {
    /// What was recorded of it.
    pub held: Held,
    /// What its last owner wanted to become of it.
    pub policy: DeletionPolicy,
}

/// What becomes of a topic that nobody declares any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// It stays.
    #[default]
    Retain,
    /// It is deleted with all its messages.
    Delete,
}
