//! The index: topics by name, with those that declare them.

use super::Ruling;
use super::state::{TopicView, TopicsView};
use crate::declaration::Declaration;
use crate::key::ServiceKey;
use crate::reverse::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Topic → services that declare it, as publisher or subscriber.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Topics(Reverse<String>);

impl Topics {
    /// Moves `key` from what it declared to what it declares.
    pub(crate) fn rename(&mut self, key: &ServiceKey, old: Option<&Declaration>, new: Option<&Declaration>) {
        self.0.change(key, &declared(old), &declared(new));
    }

    /// What `key`, which declares `declaration`, sees of its topics.
    pub(crate) fn view(
        &self,
        key: &ServiceKey,
        declaration: &Declaration,
        services: &BTreeMap<ServiceKey, Declaration>,
    ) -> TopicsView {
        let publishes = declaration
            .publishes
            .iter()
            .map(|(topic, publication)| {
                (topic.clone(), self.ruling(topic, services).publication(key, publication))
            })
            .collect();
        let subscribes = declaration
            .subscribes
            .keys()
            .map(|topic| (topic.clone(), self.ruling(topic, services).subscription(key)))
            .collect();
        TopicsView { publishes, subscribes }
    }

    /// The services that declare a topic which `declaration` declares too.
    pub(crate) fn sharing(&self, declaration: Option<&Declaration>) -> impl Iterator<Item = &ServiceKey> {
        declared(declaration).into_iter().flat_map(|topic| self.0.of(topic))
    }

    /// What everybody sees of the topics that `old` or `new` declare.
    pub(crate) fn seen(
        &self,
        old: Option<&Declaration>,
        new: Option<&Declaration>,
        services: &BTreeMap<ServiceKey, Declaration>,
    ) -> BTreeMap<(ServiceKey, String), [Option<TopicView>; 2]> {
        let mut seen = BTreeMap::new();
        for topic in declared(old).union(&declared(new)) {
            let ruling = self.ruling(topic, services);
            for key in self.0.of(*topic) {
                let Some(declaration) = services.get(key) else { continue };
                let publication = declaration.publishes.get(*topic);
                let views = [
                    publication.map(|publication| ruling.publication(key, publication)),
                    declaration.subscribes.get(*topic).map(|_| ruling.subscription(key)),
                ];
                seen.insert((key.clone(), (*topic).to_owned()), views);
            }
        }
        seen
    }

    fn ruling<'a>(&self, topic: &str, services: &'a BTreeMap<ServiceKey, Declaration>) -> Ruling<'a> {
        let named = self.0.of(topic);
        let declarations: Vec<_> = named.filter_map(|key| services.get_key_value(key)).collect();
        let publishers = declarations
            .iter()
            .filter_map(|(key, declaration)| Some((*key, declaration.publishes.get(topic)?)))
            .collect();
        let subscribers = declarations
            .iter()
            .filter_map(|(key, declaration)| Some((*key, declaration.subscribes.get(topic)?)))
            .collect();
        Ruling::new(publishers, subscribers)
    }
}

fn declared(declaration: Option<&Declaration>) -> BTreeSet<&str> {
    let declaration = declaration.into_iter();
    declaration
        .flat_map(|declaration| declaration.publishes.keys().chain(declaration.subscribes.keys()))
        .map(String::as_str)
        .collect()
}
