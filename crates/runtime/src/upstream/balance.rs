//! Which of an origin's peers a request goes to: two are drawn, the one that is less busy gets it.
//!
//! Busy means requests in flight, the body included. Latency joins in only when one of both is clearly slower (see
//! [`is_slower`]): among equals it would be noise, and noise makes shares uneven. ADR 9 tells why.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Avoid;
use super::health::{Admission, Health};
use super::peer::Peer;
use super::view::Endpoint;

/// Latencies below a factor of two and one millisecond of each other are the same, in microseconds.
const SLOWER_BY: u64 = 1_000;

/// The peers that one answer of DNS names. Immutable; the peers themselves go on from one to the next.
#[derive(Debug)]
pub(super) struct Set {
    /// In the order of their addresses, at least one.
    peers: Vec<Arc<Peer>>,
}

impl Set {
    /// Peers for `addresses` (sorted); those that `previous` has are kept with all they have.
    pub(super) fn renew(
        previous: Option<&Arc<Self>>,
        addresses: &[SocketAddr],
        make: impl Fn(SocketAddr) -> Arc<Peer>,
    ) -> Arc<Self> {
        let old = previous.map_or::<&[_], _>(&[], |set| &set.peers);
        if let Some(previous) = previous
            && old.iter().map(|peer| peer.address()).eq(addresses.iter().copied())
        {
            return Arc::clone(previous);
        }
        let kept = |address: SocketAddr| {
            let at = old.binary_search_by_key(&address, |peer| peer.address()).ok()?;
            old.get(at).map(Arc::clone)
        };
        let peers = addresses.iter().map(|address| kept(*address).unwrap_or_else(|| make(*address)));
        Arc::new(Self { peers: peers.collect() })
    }

    /// For those who look on.
    pub(super) fn view(&self) -> Vec<Endpoint> {
        self.peers.iter().map(|peer| Endpoint::of(peer)).collect()
    }

    /// Their health, for comparison.
    pub(super) fn health(&self) -> impl Iterator<Item = &Health> {
        self.peers.iter().map(|peer| peer.health())
    }

    /// Where the next request goes: not to one of `avoid` or an ejected one, unless there is no other. None only when
    /// there is no peer at all.
    pub(super) fn pick(&self, avoid: &Avoid) -> Option<&Arc<Peer>> {
        let count = self.peers.len();
        if count < 2 {
            return self.peers.first();
        }
        let first = fastrand::usize(..count);
        let second = fastrand::usize(..count - 1);
        let second = second + usize::from(second >= first);
        let (first, second) = (self.peers.get(first)?, self.peers.get(second)?);
        match admission(first, avoid) {
            Admission::Probe => Some(first),
            Admission::In => Some(match admission(second, avoid) {
                Admission::Probe => second,
                Admission::In => lighter(first, second),
                Admission::Out => first,
            }),
            Admission::Out => match admission(second, avoid) {
                Admission::Probe | Admission::In => Some(second),
                Admission::Out => self.any(avoid),
            },
        }
    }

    pub(super) fn has_more_than(&self, count: usize) -> bool {
        self.peers.len() > count
    }

    /// Both that were drawn are out: one that is in, else one that need not be avoided, else any.
    fn any(&self, avoid: &Avoid) -> Option<&Arc<Peer>> {
        let (before, after) = self.peers.split_at_checked(fastrand::usize(..self.peers.len()))?;
        let all = || after.iter().chain(before);
        all()
            .find(|peer| admission(peer, avoid) != Admission::Out)
            .or_else(|| all().find(|peer| !avoid.contains(peer.address())))
            .or_else(|| all().next())
    }
}

fn admission(peer: &Peer, avoid: &Avoid) -> Admission {
    // Before its health is asked, or a probe would be claimed and not made.
    if avoid.contains(peer.address()) { Admission::Out } else { peer.health().admission() }
}

fn lighter<'a>(one: &'a Arc<Peer>, other: &'a Arc<Peer>) -> &'a Arc<Peer> {
    if is_slower(one, other) {
        against_slower(other, one)
    } else if is_slower(other, one) {
        against_slower(one, other)
    } else if other.in_flight() < one.in_flight() {
        other
    } else {
        one
    }
}

/// Whether `one` takes more than twice the time of `other`, and a millisecond more than that.
fn is_slower(one: &Peer, other: &Peer) -> bool {
    let (one, other) = (one.latency(), other.latency());
    other > 0 && one > 2 * other + SLOWER_BY
}

/// By the time that a request would take: the slow one is picked only when the other is busier by as much.
fn against_slower<'a>(fast: &'a Arc<Peer>, slow: &'a Arc<Peer>) -> &'a Arc<Peer> {
    let cost = |peer: &Peer| peer.latency().saturating_mul(peer.in_flight() as u64 + 1);
    if cost(slow) < cost(fast) {
        return slow;
    }
    slow.forget();
    fast
}

#[cfg(test)]
mod tests;
