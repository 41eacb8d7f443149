//! A callee: as many peers as its name has addresses, found by [`crate::discovery`], picked by [`super::balance`].
//!
//! A peer to which no connection can be made is replaced by another one for the same request: the callee has seen
//! nothing, so this is still the first try. More than that is the retry policy's. The time to connect is divided for it: a
//! machine that is gone answers nothing, and half of the time is plenty within a cluster.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use goodgo_runtime_config::Target;
use http::{Request, Response};
use tokio::time::Instant;

use super::CALLEE_IDLE;
use super::attempt::{Attempt, Try};
use super::balance::Set;
use super::connect::Connectors;
use super::peer::{Peer, Undelivered};
use super::sent::Sent;
use super::view::{Discovery, Endpoint};
use crate::discovery::{Followed, LookupError, Query, Resolver, State};
use crate::proxy::{Body, Failure};

/// Most peers to which one request tries to connect.
const CONNECT_TRIES: usize = 3;

/// The peers of one callee.
#[derive(Debug)]
pub(super) struct Pods {
    connectors: Connectors,
    host: String,
    peers: Peers,
}

#[derive(Debug)]
enum Peers {
    /// The target's host is an address.
    Fixed(Arc<Set>),
    Named(Followed<Set>),
}

impl Pods {
    pub(super) fn new(target: &Target, connectors: Connectors, resolver: Resolver) -> Self {
        let for_peers = connectors.clone();
        let make = move |address: SocketAddr| Peer::new(address, for_peers.at(address), CALLEE_IDLE);
        let peers = match Query::of(target) {
            Ok(query) => {
                Peers::Named(Followed::new(resolver, query, move |old, new| Set::renew(old, new, &make)))
            }
            Err(address) => Peers::Fixed(Set::renew(None, &[address], make)),
        };
        Self { connectors, host: target.host.clone(), peers }
    }

    pub(super) async fn send(
        &self,
        mut request: Request<Body>,
        how: &Try,
    ) -> Result<Response<Body>, Failure> {
        let (limit, mut avoid) = (how.connect_limit(), how.avoid().clone());
        let (set, mut left) = match self.known() {
            Some(set) => (set, limit),
            None => Box::pin(self.wait(limit)).await?,
        };
        let sent = Sent::of(&mut request);
        let mut tries = 1;
        loop {
            let Some(peer) = set.pick(&avoid) else { return Err(self.unresolved(LookupError::Absent)) };
            let attempt = Attempt::begin(&set, peer, how, sent.as_ref());
            let may_go_on = tries < CONNECT_TRIES && set.has_more_than(avoid.count() + 1);
            let share = if may_go_on && self.connectors.are_quick() { left / 2 } else { left };
            let Undelivered { failure, request: unsent, telling } = match peer.send(request, share).await {
                Ok(response) => return Ok(attempt.answered(response)),
                Err(undelivered) => undelivered,
            };
            left = left.saturating_sub(attempt.failed(&failure, telling));
            avoid.add(peer.address());
            match unsent {
                Some(unsent) if may_go_on && !left.is_zero() => request = *unsent,
                _ => return Err(failure),
            }
            tries += 1;
        }
    }

    /// For those who look on: where the addresses come from, why there are none, and what is known of each.
    pub(super) fn view(&self) -> (Discovery, Option<String>, Vec<Endpoint>) {
        let followed = match &self.peers {
            Peers::Fixed(set) => return (Discovery::Fixed, None, set.view()),
            Peers::Named(followed) => followed.state(),
        };
        match &*followed {
            State::Known(set) => (Discovery::Known, None, set.view()),
            State::Resting(last) => {
                (Discovery::Resting, None, last.as_ref().map(|set| set.view()).unwrap_or_default())
            }
            State::Unknown(error) => (Discovery::Unknown, Some(error.to_string()), Vec::new()),
        }
    }

    fn known(&self) -> Option<Arc<Set>> {
        match &self.peers {
            Peers::Fixed(set) => Some(Arc::clone(set)),
            Peers::Named(followed) => followed.get(),
        }
    }

    /// Waits for the first answer of DNS; returns what is left of the time to connect, too.
    async fn wait(&self, limit: Duration) -> Result<(Arc<Set>, Duration), Failure> {
        let begun = Instant::now();
        let found = async {
            match &self.peers {
                Peers::Fixed(set) => Ok(Arc::clone(set)),
                Peers::Named(followed) => followed.wait().await,
            }
        };
        match tokio::time::timeout(limit, found).await {
            Ok(Ok(set)) => Ok((set, limit.saturating_sub(begun.elapsed()))),
            Ok(Err(error)) => Err(self.unresolved(error)),
            Err(_) => Err(Failure::ConnectTimeout { to: self.connectors.to().to_owned(), limit }),
        }
    }

    fn unresolved(&self, error: LookupError) -> Failure {
        Failure::Resolve { host: self.host.clone(), source: std::io::Error::other(error) }
    }
}
