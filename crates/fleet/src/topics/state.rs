//! What one service sees of its topics.

use crate::key::ServiceKey;
use std::collections::BTreeMap;

/// What one service sees of the topics that it declares, by their names without the platform's prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicsView {
    /// Those that it publishes to.
    pub publishes: BTreeMap<String, TopicView>,
    /// Those that it subscribes to.
    pub subscribes: BTreeMap<String, TopicView>,
}

/// One topic as one of its services sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicView {
    /// What has become of the declaration.
    pub state: TopicState,
    /// Whether an accepted subscriber relies on an order that more partitions would break. Told to the owner alone.
    pub ordered: bool,
    /// Whether an accepted subscriber takes its events. Told to the owner alone.
    pub consumed: bool,
}

/// What has become of a declared topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicState {
    /// The service holds the topic's settings.
    Owned,
    /// The service uses what another one, or itself, owns.
    Used(ServiceKey),
    /// The topic is made elsewhere.
    External,
    /// Another service claims the settings: the one that has them, or one that claims them for the first time too.
    Conflict(ServiceKey),
    /// Several publish to it and none says that it owns it.
    NoOwner,
    /// Nobody whose word counts publishes to it.
    NoPublisher,
    /// It belongs to a service of another namespace, which does not list this one for that.
    NotShared(ServiceKey),
}

impl TopicState {
    /// Why the declaration does not work, in CamelCase; `None` when it does.
    #[must_use]
    pub const fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Owned | Self::Used(_) | Self::External => None,
            Self::Conflict(_) => Some("TopicConflict"),
            Self::NoOwner => Some("TopicHasNoOwner"),
            Self::NoPublisher => Some("TopicHasNoPublisher"),
            Self::NotShared(_) => Some("TopicNotShared"),
        }
    }

    /// Why the declaration of `topic` by `service` does not work and what to do; `None` when it does.
    #[must_use]
    pub fn message(&self, topic: &str, service: &ServiceKey) -> Option<String> {
        let namespace = &service.namespace;
        match self {
            Self::Owned | Self::Used(_) | Self::External => None,
            Self::Conflict(other) => Some(format!(
                "{topic} is claimed by {} too: leave owner: true and its settings to one of them",
                other.seen_from(namespace)
            )),
            Self::NoOwner => Some(format!(
                "several services publish to {topic} and none holds its settings: set owner: true on one of them"
            )),
            Self::NoPublisher => Some(format!(
                "nobody publishes to {topic}: declare it under events.publishes of a service, or correct its name"
            )),
            Self::NotShared(owner) => Some(format!(
                "{topic} belongs to {owner}: list the namespace {namespace} under sharedWith of its publication there"
            )),
        }
    }
}
