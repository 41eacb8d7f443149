//! The digests of every live child that carries our label.
//!
//! Written by the watches and by the answers of our own writes, read by reconciles; the only thing that a reconcile
//! needs to know of the cluster. Locks are held for look-ups alone, never across an await.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use goodgo_fleet::ServiceKey;
use goodgo_render::ChildKind;

use super::child::Child;

/// Where a child stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildKey {
    /// Its kind.
    pub kind: ChildKind,
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
}

impl ChildKey {
    /// A key of its parts.
    #[must_use]
    pub fn new(kind: ChildKind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into() }
    }
}

/// All children, by key and by the service that they belong to.
#[derive(Default)]
pub struct ChildCache {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    children: HashMap<ChildKey, Child>,
    by_service: HashMap<ServiceKey, BTreeSet<ChildKey>>,
}

impl ChildCache {
    /// The child at `key`, if it was seen.
    #[must_use]
    pub fn get(&self, key: &ChildKey) -> Option<Child> {
        self.read().children.get(key).cloned()
    }

    /// Everything that names this service as its owner or on its label; whether it is the service's is another question.
    #[must_use]
    pub fn of_service(&self, service: &ServiceKey) -> Vec<(ChildKey, Child)> {
        let state = self.read();
        let keys = state.by_service.get(service).into_iter().flatten();
        keys.filter_map(|key| Some((key.clone(), state.children.get(key)?.clone()))).collect()
    }

    /// How many children are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().children.len()
    }

    /// Whether no child is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Stores what was seen unless something newer is known; gives back what was known before.
    ///
    /// The answer of a write overtakes the watch: the older event that arrives after it must not undo it.
    pub fn upsert(&self, key: ChildKey, child: Child) -> Option<Child> {
        let mut state = self.write();
        if let Some(known) = state.children.get(&key)
            && child.is_older_than(known)
        {
            return Some(known.clone());
        }
        let before = state.remove(&key);
        state.insert(key, child);
        before
    }

    /// Forgets a child, but not one that was recreated since.
    pub fn remove(&self, key: &ChildKey, uid: &str) -> Option<Child> {
        let mut state = self.write();
        let same = state.children.get(key).is_some_and(|known| &*known.uid == uid);
        if same { state.remove(key) } else { None }
    }

    /// Forgets what a full list of `kind` in `namespace` (or everywhere) did not contain.
    pub fn retain(
        &self,
        kind: ChildKind,
        namespace: Option<&str>,
        seen: &HashSet<ChildKey>,
    ) -> Vec<(ChildKey, Child)> {
        let mut state = self.write();
        let in_scope = |key: &ChildKey| {
            key.kind == kind && namespace.is_none_or(|namespace| &*key.namespace == namespace)
        };
        let gone: Vec<_> =
            state.children.keys().filter(|key| in_scope(key) && !seen.contains(key)).cloned().collect();
        gone.into_iter().filter_map(|key| state.remove(&key).map(|child| (key, child))).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        // A panic elsewhere can't leave half an update behind: each is a single insert or remove.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&mut self, key: ChildKey, child: Child) {
        for service in services_of(&key, &child) {
            self.by_service.entry(service).or_default().insert(key.clone());
        }
        self.children.insert(key, child);
    }

    fn remove(&mut self, key: &ChildKey) -> Option<Child> {
        let child = self.children.remove(key)?;
        for service in services_of(key, &child) {
            if let Some(keys) = self.by_service.get_mut(&service) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_service.remove(&service);
                }
            }
        }
        Some(child)
    }
}

/// The services that a child's owner reference and label name: the same one, unless somebody edited it.
pub fn services_of(key: &ChildKey, child: &Child) -> BTreeSet<ServiceKey> {
    let owner =
        child.owner.as_ref().filter(|owner| &*owner.kind == "GoodGoService").map(|owner| &*owner.name);
    let names = owner.into_iter().chain(child.service.as_deref());
    names.map(|name| ServiceKey::new(&*key.namespace, name)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::child::{Observed, Owner, ReplicaOwners};
    use super::*;

    fn child(uid: &str, version: u32, owner: Option<&str>) -> Child {
        Child {
            uid: uid.into(),
            resource_version: version.to_string().into(),
            owner: owner.map(|uid| Owner { kind: "GoodGoService".into(), name: uid.into(), uid: uid.into() }),
            service: None,
            deleting: false,
            owned: None,
            replicas: ReplicaOwners::default(),
            observed: Observed::Nothing,
        }
    }

    fn key(kind: ChildKind, namespace: &str) -> ChildKey {
        ChildKey::new(kind, namespace, "a")
    }

    #[test]
    fn an_event_older_than_our_own_answer_is_ignored() {
        let (cache, key) = (ChildCache::default(), key(ChildKind::Service, "shop"));
        cache.upsert(key.clone(), child("u", 9, Some("o")));
        cache.upsert(key.clone(), child("u", 8, None));
        assert_eq!(cache.get(&key).unwrap().resource_version.as_ref(), "9");
        cache.upsert(key.clone(), child("u", 10, Some("o")));
        assert_eq!(cache.get(&key).unwrap().resource_version.as_ref(), "10");
        cache.upsert(key.clone(), child("recreated", 2, Some("o")));
        assert_eq!(cache.get(&key).unwrap().uid.as_ref(), "recreated");
    }

    #[test]
    fn the_deletion_of_a_predecessor_does_not_hide_the_new_object() {
        let (cache, key) = (ChildCache::default(), key(ChildKind::Service, "shop"));
        cache.upsert(key.clone(), child("new", 9, Some("o")));
        assert!(cache.remove(&key, "old").is_none());
        assert!(cache.remove(&key, "new").is_some() && cache.is_empty());
    }

    #[test]
    fn the_index_by_service_follows_every_change() {
        let (cache, key) = (ChildCache::default(), key(ChildKind::Job, "shop"));
        cache.upsert(key.clone(), child("u", 1, Some("o")));
        let of = |service: &str| cache.of_service(&ServiceKey::new("shop", service)).len();
        assert_eq!((of("o"), of("p")), (1, 0));
        cache.upsert(key.clone(), child("u", 2, None));
        assert_eq!((of("o"), of("p")), (0, 0));
        cache.upsert(key.clone(), Child { service: Some("o".into()), ..child("u", 3, Some("p")) });
        assert_eq!((of("o"), of("p")), (1, 1));
        cache.remove(&key, "u");
        assert_eq!((of("o"), of("p")), (0, 0));
    }

    #[test]
    fn a_list_removes_only_what_it_could_have_contained() {
        let cache = ChildCache::default();
        let keys =
            [key(ChildKind::Job, "shop"), key(ChildKind::Job, "billing"), key(ChildKind::Service, "shop")];
        for key in &keys {
            cache.upsert(key.clone(), child("u", 1, None));
        }
        let gone = cache.retain(ChildKind::Job, Some("shop"), &HashSet::new());
        assert_eq!(gone.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), [keys[0].clone()]);
        assert!(cache.retain(ChildKind::Job, None, &HashSet::from([keys[1].clone()])).is_empty());
        assert_eq!(cache.len(), 2);
    }
}
