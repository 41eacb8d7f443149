//! An index from what services declare back to the services.

use crate::key::ServiceKey;
use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

/// What is declared → services that declare it. Never holds an empty set, so that an index that grew and shrank equals one
/// built from scratch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reverse<K>(BTreeMap<K, BTreeSet<ServiceKey>>);

impl<K> Default for Reverse<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Reverse<K> {
    /// The services that declare `declared`, sorted.
    pub(crate) fn of<Q: Ord + ?Sized>(&self, declared: &Q) -> impl Iterator<Item = &ServiceKey>
    where
        K: Borrow<Q>,
    {
        self.0.get(declared).into_iter().flatten()
    }

    /// Moves `key` from all that it declared to all that it declares.
    pub(crate) fn change<Q>(&mut self, key: &ServiceKey, old: &BTreeSet<&Q>, new: &BTreeSet<&Q>)
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        for gone in old.difference(new) {
            if let Some(services) = self.0.get_mut(*gone) {
                services.remove(key);
                if services.is_empty() {
                    self.0.remove(*gone);
                }
            }
        }
        for come in new.difference(old) {
            self.0.entry((*come).to_owned()).or_default().insert(key.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_and_shrinks_to_what_it_was() {
        let (a, b) = (ServiceKey::new("shop", "a"), ServiceKey::new("shop", "b"));
        let (nothing, one, two) = (BTreeSet::new(), BTreeSet::from(["x"]), BTreeSet::from(["x", "y"]));
        let mut index = Reverse::<String>::default();
        index.change(&a, &nothing, &two);
        index.change(&b, &nothing, &one);
        assert!(index.of("x").eq([&a, &b]) && index.of("y").eq([&a]));
        index.change(&a, &two, &one);
        assert_eq!(index.of("y").next(), None);
        index.change(&a, &one, &nothing);
        index.change(&b, &one, &nothing);
        assert_eq!(index, Reverse::default());
    }
}
