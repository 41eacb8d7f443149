//! The one function that decides over a topic.

use super::claim::{Publication, Subscription, TopicRight};
use super::state::{TopicState, TopicView};
use crate::key::ServiceKey;

/// All that is declared of one topic.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ruling<'a> {
    publishers: Vec<(&'a ServiceKey, &'a Publication)>,
    subscribers: Vec<(&'a ServiceKey, &'a Subscription)>,
    owner: Owner<'a>,
}

/// Who holds a topic's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Owner<'a> {
    /// This service.
    Service(&'a ServiceKey, &'a Publication),
    /// Nobody yet: these claim it at once.
    Contested(Vec<&'a ServiceKey>),
    /// Nobody: several publish and none says that it owns it.
    Undeclared,
    /// Nobody publishes to it.
    #[default]
    Nobody,
}

impl<'a> Ruling<'a> {
    /// Decides over the topic that these declare, sorted by service.
    pub(crate) fn new(
        publishers: Vec<(&'a ServiceKey, &'a Publication)>,
        subscribers: Vec<(&'a ServiceKey, &'a Subscription)>,
    ) -> Self {
        let owner = owner(&publishers);
        Self { publishers, subscribers, owner }
    }

    /// What the publisher `key` sees.
    pub(crate) fn publication(&self, key: &ServiceKey, publication: &Publication) -> TopicView {
        let state = match &self.owner {
            _ if publication.external => TopicState::External,
            Owner::Service(owner, _) if *owner == key => return self.owned(),
            Owner::Service(owner, _) if publication.owner => TopicState::Conflict((*owner).clone()),
            Owner::Service(owner, owned) => used(key, owner, owned, TopicRight::Publish),
            Owner::Contested(claimants) => {
                let other = claimants.iter().find(|other| publication.owner && **other != key);
                other.map_or(TopicState::NoOwner, |other| TopicState::Conflict((*other).clone()))
            }
            Owner::Undeclared | Owner::Nobody => TopicState::NoOwner,
        };
        TopicView { state, ordered: false, consumed: false }
    }

    /// What the subscriber `key` sees.
    pub(crate) fn subscription(&self, key: &ServiceKey) -> TopicView {
        TopicView { state: self.subscribed(key), ordered: false, consumed: false }
    }

    fn subscribed(&self, key: &ServiceKey) -> TopicState {
        let declared_external = || {
            let mut neighbours = self.publishers.iter().filter(|(other, _)| other.namespace == key.namespace);
            neighbours.any(|(_, publication)| publication.external)
        };
        match &self.owner {
            Owner::Service(owner, owned) => used(key, owner, owned, TopicRight::Subscribe),
            _ if declared_external() => TopicState::External,
            Owner::Contested(_) | Owner::Undeclared => TopicState::NoOwner,
            Owner::Nobody => TopicState::NoPublisher,
        }
    }

    fn owned(&self) -> TopicView {
        let mut view = TopicView { state: TopicState::Owned, ordered: false, consumed: false };
        for (key, subscription) in &self.subscribers {
            if self.subscribed(key).reason().is_none() {
                view.consumed = true;
                view.ordered |= subscription.ordered;
            }
        }
        view
    }
}

fn used(key: &ServiceKey, owner: &ServiceKey, owned: &Publication, right: TopicRight) -> TopicState {
    if key.namespace == owner.namespace || owned.shares(&key.namespace, right) {
        TopicState::Used(owner.clone())
    } else {
        TopicState::NotShared(owner.clone())
    }
}

fn owner<'a>(publishers: &[(&'a ServiceKey, &'a Publication)]) -> Owner<'a> {
    let ours = || publishers.iter().copied().filter(|(_, publication)| !publication.external);
    let claimants: Vec<_> = ours().filter(|(_, publication)| publication.owner).collect();
    // Who may write a status could claim to hold anything; nobody chooses when its resource was created.
    let holder = ours()
        .filter_map(|(key, publication)| Some((publication.held_since.as_ref()?, key, publication)))
        .min_by_key(|(since, key, _)| (*since, *key));
    if let Some((_, holder, held)) = holder {
        // Within a namespace the settings can be handed over: one stops claiming them, another one starts.
        let heirs: Vec<_> = claimants.iter().filter(|(key, _)| key.namespace == holder.namespace).collect();
        return match heirs.as_slice() {
            [(heir, publication)] if !held.owner => Owner::Service(heir, publication),
            _ => Owner::Service(holder, held),
        };
    }
    match (claimants.as_slice(), ours().collect::<Vec<_>>().as_slice()) {
        ([(key, publication)], _) => Owner::Service(key, publication),
        ([], []) => Owner::Nobody,
        ([], [(key, publication)]) => Owner::Service(key, publication),
        ([], _) => Owner::Undeclared,
        (several, _) => Owner::Contested(several.iter().map(|(key, _)| *key).collect()),
    }
}
