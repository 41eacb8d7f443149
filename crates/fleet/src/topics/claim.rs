//! What one service declares of topics, as far as others can see it.

use goodgo_api::GoodGoService;
use goodgo_api::events::{Ordering, Publish, TopicAccess};
use std::collections::{BTreeMap, BTreeSet};

/// A topic that a service publishes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// Whether it says that it owns the topic.
    pub owner: bool,
    /// Whether the topic is made and owned elsewhere.
    pub external: bool,
    /// When the service was created (RFC 3339), if its status says that it holds the topic.
    pub held_since: Option<String>,
    /// What services of other namespaces may do.
    pub shared: BTreeMap<String, BTreeSet<TopicRight>>,
}

/// What may be done with a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicRight {
    /// Write to it.
    Publish,
    /// Read it.
    Subscribe,
}

/// A topic that a service subscribes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// Whether it relies on an order that moving keys to other partitions breaks.
    pub ordered: bool,
}

/// What `service` publishes to, by the topic's name without the platform's prefix. Dead-letter topics take no part.
pub(crate) fn publications(service: &GoodGoService) -> BTreeMap<String, Publication> {
    let publishes = service.spec.events.iter().flat_map(|events| &events.publishes);
    let publishes = publishes.filter(|publish| !publish.topic.is_of_dead_letters());
    publishes.map(|publish| (publish.topic.0.clone(), Publication::of(publish, service))).collect()
}

/// What `service` subscribes to, by the topic's name without the platform's prefix. Dead-letter topics take no part.
pub(crate) fn subscriptions(service: &GoodGoService) -> BTreeMap<String, Subscription> {
    let subscribes = service.spec.events.iter().flat_map(|events| &events.subscribes);
    subscribes
        .filter(|subscribe| !subscribe.topic.is_of_dead_letters())
        .map(|subscribe| {
            let ordered = subscribe.ordering != Ordering::None;
            (subscribe.topic.0.clone(), Subscription { ordered })
        })
        .collect()
}

impl Publication {
    fn of(publish: &Publish, service: &GoodGoService) -> Self {
        let right = |access: &TopicAccess| match access {
            TopicAccess::Publish => TopicRight::Publish,
            TopicAccess::Subscribe => TopicRight::Subscribe,
        };
        let shared = publish
            .shared_with
            .iter()
            .map(|shared| (shared.namespace.0.clone(), shared.allow.iter().map(right).collect()))
            .collect();
        let topics = service.status.iter().flat_map(|status| &status.topics);
        let held = topics
            .filter(|topic| topic.owner && topic.id.is_some())
            .any(|topic| topic.name == publish.topic.0);
        let created = || service.metadata.creation_timestamp.as_ref().map(|time| time.0.to_string());
        Self {
            owner: publish.owner,
            external: publish.external,
            held_since: held.then(|| created().unwrap_or_default()),
            shared,
        }
    }

    /// Whether it lets `namespace` do that.
    pub(crate) fn shares(&self, namespace: &str, right: TopicRight) -> bool {
        self.shared.get(namespace).is_some_and(|rights| rights.contains(&right))
    }
}
