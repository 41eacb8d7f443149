//! The index: declarations by service, and who calls whom backwards.

use crate::asks::{self, AskState};
use crate::claims::{self, Claim, Claimants, Side};
use crate::consent::Refusal;
use crate::declaration::Declaration;
use crate::key::ServiceKey;
use crate::reverse::Reverse;
use crate::topics::Topics;
use crate::view::{CallState, CallView, FleetView};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// All services and their calls, kept up to date one service at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    services: BTreeMap<ServiceKey, Declaration>,
    /// Callee → services that declare a call to it; the callee need not exist.
    callers: Reverse<ServiceKey>,
    /// Asked by the gateway → services whose requests it is asked about.
    askers: Reverse<ServiceKey>,
    topics: Topics,
    /// Who declares or holds what at the gateway.
    claimants: Claimants,
    /// Host → services that declare or hold a path of it.
    hosts: Reverse<String>,
}

impl Fleet {
    /// Puts a service in, or in place of what it was, and returns the neighbours whose view is another one now.
    pub fn upsert(&mut self, key: ServiceKey, declaration: Declaration) -> BTreeSet<ServiceKey> {
        self.change(key, Some(declaration))
    }

    /// Takes a service out and returns the neighbours whose view is another one now.
    pub fn remove(&mut self, key: &ServiceKey) -> BTreeSet<ServiceKey> {
        self.change(key.clone(), None)
    }

    /// Number of services.
    #[must_use]
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether there is no service at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// All services, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &ServiceKey> {
        self.services.keys()
    }

    /// What is known of a service.
    #[must_use]
    pub fn get(&self, key: &ServiceKey) -> Option<&Declaration> {
        self.services.get(key)
    }

    /// The services of the fleet that call or ask `key` or are called or asked by it, accepted or not, or that declare a topic or a claim at
    /// the gateway which it declares too.
    #[must_use]
    pub fn neighbours(&self, key: &ServiceKey) -> BTreeSet<ServiceKey> {
        let callers = self.callers.of(key);
        let declaration = self.services.get(key);
        let callees = declaration.into_iter().flat_map(|declaration| declaration.calls.values());
        let claims = declaration.into_iter().flat_map(|declaration| declaration.claims.all());
        let asked = declaration.into_iter().flat_map(|declaration| declaration.asks.keys());
        let rivals = claims.flat_map(|claim| {
            let (host, _) = claims::host_of(claim);
            self.claimants.of(claim).chain(self.claimants.of(host)).chain(self.hosts.of(host))
        });
        callers
            .chain(callees)
            .chain(self.askers.of(key))
            .chain(asked)
            .chain(self.topics.sharing(declaration))
            .chain(rivals)
            .filter(|other| *other != key && self.services.contains_key(other))
            .cloned()
            .collect()
    }

    /// What `key` sees of the others; nothing when it is not in the fleet.
    #[must_use]
    pub fn view(&self, key: &ServiceKey) -> FleetView {
        let Some(declaration) = self.services.get(key) else { return FleetView::default() };
        let calls = declaration
            .calls
            .iter()
            .map(|(name, callee)| {
                (
                    name.clone(),
                    CallView { callee: callee.clone(), state: self.call(key, declaration, callee) },
                )
            })
            .collect();
        let topics = self.topics.view(key, declaration, &self.services);
        let lost = self.lost(key, declaration);
        let (asks, asked) = self.asking(key);
        let mut view = FleetView { calls, asks, asked, topics, lost, ..FleetView::default() };
        for caller in self.callers.of(key).filter(|caller| *caller != key) {
            let Some(calling) = self.services.get(caller) else { continue };
            match declaration.refusal(key, caller, calling) {
                None => {
                    view.callers.insert(caller.clone(), calling.identity.clone());
                }
                Some(refusal) => {
                    view.refused.insert(caller.clone(), refusal);
                }
            }
        }
        view
    }

    /// The shortest chain of calls from `key` back to itself, `key` first; for people, nothing is refused because of it.
    ///
    /// It is no part of the view: a service far away can close a cycle, and re-queueing everybody on it would make the
    /// cost grow with the fleet.
    #[must_use]
    pub fn cycle(&self, key: &ServiceKey) -> Option<Vec<ServiceKey>> {
        let mut came_from: BTreeMap<&ServiceKey, &ServiceKey> = BTreeMap::new();
        let mut queue = VecDeque::from([key]);
        while let Some(service) = queue.pop_front() {
            for callee in self.services.get(service)?.calls.values().filter(|callee| *callee != service) {
                if callee == key {
                    let mut chain = vec![service];
                    while let Some(previous) = chain.last().and_then(|last| came_from.get(last)) {
                        chain.push(previous);
                    }
                    return Some(chain.into_iter().rev().cloned().collect());
                }
                if self.services.contains_key(callee) && !came_from.contains_key(callee) {
                    came_from.insert(callee, service);
                    queue.push_back(callee);
                }
            }
        }
        None
    }

    /// Whom the gateway should ask for `key`, and at which paths it asks `key` for those that may.
    fn asking(&self, key: &ServiceKey) -> (BTreeMap<ServiceKey, AskState>, BTreeSet<String>) {
        let declaration = self.services.get(key);
        let asks = declaration.into_iter().flat_map(|declaration| declaration.asks.keys());
        let asks = asks.map(|asked| (asked.clone(), asks::state(key, asked, self.services.get(asked))));
        let askers =
            self.askers.of(key).filter(|asker| asks::state(asker, key, declaration) == AskState::Accepted);
        let paths = askers.filter_map(|asker| self.services.get(asker)?.asks.get(key)).flatten();
        (asks.collect(), paths.cloned().collect())
    }

    /// What `key` claims and another service holds.
    fn lost(&self, key: &ServiceKey, declaration: &Declaration) -> BTreeMap<Claim, ServiceKey> {
        let claims = declaration.claims.declared.iter();
        let lost = claims.filter_map(|claim| {
            let holder = self.holder(claim, key, Some(declaration))?;
            (holder != key).then(|| (claim.clone(), holder.clone()))
        });
        lost.collect()
    }

    /// Who holds `claim` while `key` is `own`.
    fn holder<'a>(
        &'a self,
        claim: &str,
        key: &'a ServiceKey,
        own: Option<&'a Declaration>,
    ) -> Option<&'a ServiceKey> {
        let (host, whole) = claims::host_of(claim);
        let names: BTreeSet<_> = self.hosts.of(host).chain(self.claimants.of(host)).collect();
        let others = names.into_iter().filter(|other| *other != key);
        let all = others.filter_map(|other| Some((other, self.services.get(other)?)));
        let all = all.chain(own.map(|own| (key, own)));
        let (redirecting, serving): (Vec<_>, Vec<_>) = all
            .filter_map(|(other, declaration)| Some((declaration.claims.side(host)?, (other, declaration))))
            .partition(|(side, _)| *side == Side::Redirects);
        let [redirecting, serving] =
            [redirecting, serving].map(|side| side.into_iter().map(|(_, member)| member).collect::<Vec<_>>());
        let side = claims::winner(host, &redirecting, &serving);
        match (side, whole) {
            (Side::Redirects, _) => claims::holder(host, redirecting.into_iter()),
            (Side::Serves, true) => claims::server(host, serving.into_iter()),
            (Side::Serves, false) => {
                let claimants = self.claimants.of(claim).filter(|other| *other != key);
                let others = claimants.filter_map(|other| Some((other, self.services.get(other)?)));
                let own = own.filter(|own| own.claims.has(claim)).map(|own| (key, own));
                claims::holder(claim, others.chain(own))
            }
        }
    }

    fn call(&self, caller: &ServiceKey, calling: &Declaration, callee: &ServiceKey) -> CallState {
        if caller == callee {
            return CallState::SelfCall;
        }
        match self.services.get(callee) {
            None => CallState::Missing,
            Some(declaration) => match declaration.refusal(callee, caller, calling) {
                Some(refusal) => CallState::NotAccepted(refusal),
                None => CallState::Resolved(declaration.endpoint.clone()),
            },
        }
    }

    /// `key` becomes `new`; who sees something else now?
    fn change(&mut self, key: ServiceKey, new: Option<Declaration>) -> BTreeSet<ServiceKey> {
        let (own, old) = (key.clone(), self.services.get(&key).cloned());
        let mut affected = self.affected(&key, old.as_ref(), new.as_ref());

        let concerned = self.concerned_by_asks(&key, old.as_ref(), new.as_ref());
        let asking = |fleet: &Self| concerned.iter().map(|other| fleet.asking(other)).collect::<Vec<_>>();
        let asked_before = asking(self);
        let before = self.topics.seen(old.as_ref(), new.as_ref(), &self.services);
        self.topics.rename(&key, old.as_ref(), new.as_ref());
        match new {
            Some(declaration) => self.services.insert(key, declaration),
            None => self.services.remove(&key),
        };
        asks::update(&mut self.askers, &own, old.as_ref(), self.services.get(&own));
        let asked_after = asking(self);
        let moved = asked_before.iter().zip(&asked_after).map(|(before, after)| before != after);
        affected
            .extend(concerned.iter().zip(moved).filter(|(_, moved)| *moved).map(|(other, _)| other.clone()));
        let after = self.topics.seen(old.as_ref(), self.services.get(&own), &self.services);
        let differs = |(seen, view): &(&(ServiceKey, String), _)| before.get(*seen) != Some(*view);
        affected.extend(after.iter().filter(differs).map(|((other, _), _)| other.clone()));
        affected.retain(|other| *other != own && self.services.contains_key(other));
        affected
    }

    /// Who may see another question of the gateway's when `key` becomes `new`.
    fn concerned_by_asks(
        &self,
        key: &ServiceKey,
        old: Option<&Declaration>,
        new: Option<&Declaration>,
    ) -> BTreeSet<ServiceKey> {
        let said =
            |side: Option<&Declaration>| side.map(|side| (side.access.clone(), side.endpoint.protocol));
        let asked = [old, new].into_iter().flatten().flat_map(|side| side.asks.keys());
        let asks = [old, new].map(|side| side.map(|side| &side.asks));
        let [before, after] = asks;
        let asked = asked.filter(|_| before != after);
        let askers = self.askers.of(key).filter(|_| said(old) != said(new));
        asked.chain(askers).cloned().collect()
    }

    /// Who sees another caller, callee or claim when `key` becomes `new`; called before it does.
    fn affected(
        &mut self,
        key: &ServiceKey,
        old: Option<&Declaration>,
        new: Option<&Declaration>,
    ) -> BTreeSet<ServiceKey> {
        let mut changed = self.move_calls(key, old, new);
        changed.extend(self.move_claims(key, old, new));
        changed.extend(self.seen_as_other(key, old, new));
        let callers = self.callers.of(key);
        let sees_other = |caller: &&ServiceKey| {
            let calling = self.services.get(*caller);
            calling.is_some_and(|calling| sees_other(caller, calling, key, old, new))
        };
        changed.extend(callers.filter(sees_other).cloned());
        changed.remove(key);
        changed.retain(|other| self.services.contains_key(other));
        changed
    }

    /// Moves the claims of `key`, and returns those for whom one of them has another holder now.
    fn move_claims(
        &mut self,
        key: &ServiceKey,
        old: Option<&Declaration>,
        new: Option<&Declaration>,
    ) -> BTreeSet<ServiceKey> {
        let sides = [old, new];
        let mut claims: BTreeSet<Claim> =
            sides.iter().flatten().flat_map(|side| side.claims.all()).cloned().collect();
        if old.map(|old| &old.claims) != new.map(|new| &new.claims) {
            // A redirect of a whole host and the paths of it decide over each other.
            let hosts: BTreeSet<String> =
                claims.iter().map(|claim| claims::host_of(claim).0.to_owned()).collect();
            for host in hosts {
                let serving = self.hosts.of(&host).filter_map(|other| self.services.get(other));
                let paths = serving.flat_map(|other| &other.claims.declared);
                claims.extend(paths.filter(|claim| claims::host_of(claim).0 == host).cloned());
                claims.insert(host);
            }
        }
        let moved =
            claims.iter().filter(|claim| self.holder(claim, key, old) != self.holder(claim, key, new));
        let rivals_of = |claim: &Claim| -> Vec<ServiceKey> {
            let rivals = self.claimants.of(claim);
            // Who holds what it declares no more sees nothing of it.
            let declares = |rival: &&ServiceKey| {
                self.services.get(*rival).is_some_and(|rival| rival.claims.declared.contains(claim))
            };
            rivals.filter(declares).cloned().collect()
        };
        let rivals = moved.flat_map(rivals_of).collect();
        claims::update(&mut self.claimants, &mut self.hosts, key, old, new);
        rivals
    }

    /// The callees to which `key` is somebody else when it becomes `new`: it has another identity, or
    /// none any more.
    fn seen_as_other(
        &self,
        key: &ServiceKey,
        old: Option<&Declaration>,
        new: Option<&Declaration>,
    ) -> BTreeSet<ServiceKey> {
        let (Some(old), Some(new)) = (old, new) else { return BTreeSet::new() };
        if old.identity == new.identity {
            return BTreeSet::new();
        }
        let seen = |callee: &ServiceKey, calling: &Declaration| {
            let refusal = self.services.get(callee)?.refusal(callee, key, calling);
            Some(refusal.map_or_else(|| Ok(calling.identity.clone()), Err))
        };
        let callees = old.calls.values().filter(|callee| seen(callee, old) != seen(callee, new));
        callees.cloned().collect()
    }

    /// Moves `key` in the backward index, and returns the callees that lost or gained a caller.
    fn move_calls(
        &mut self,
        key: &ServiceKey,
        old: Option<&Declaration>,
        new: Option<&Declaration>,
    ) -> BTreeSet<ServiceKey> {
        let [old, new]: [BTreeSet<&ServiceKey>; 2] =
            [old, new].map(|side| side.into_iter().flat_map(|side| side.calls.values()).collect());
        self.callers.change(key, &old, &new);
        old.symmetric_difference(&new).copied().cloned().collect()
    }
}

/// Whether `caller` sees its call to `callee` differently when that changes from `old` to `new`.
fn sees_other(
    caller: &ServiceKey,
    calling: &Declaration,
    callee: &ServiceKey,
    old: Option<&Declaration>,
    new: Option<&Declaration>,
) -> bool {
    let (Some(old), Some(new)) = (old, new) else { return old.is_some() != new.is_some() };
    let refusal =
        |declaration: &Declaration| -> Option<Refusal> { declaration.refusal(callee, caller, calling) };
    match (refusal(old), refusal(new)) {
        (None, None) => old.endpoint != new.endpoint,
        (before, after) => before != after,
    }
}
