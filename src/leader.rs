//! Leader election on a `coordination.k8s.io` Lease, so that only one process writes.
//!
//! The rules are client-go's: a lease that nobody renewed for its duration, measured by the own clock from when the last
//! renewal was *seen* (clocks of machines differ), may be taken; every write carries the resourceVersion it was decided on,
//! so two can't take it at once; and a leader stops [`RENEW_DEADLINE`] after it *began* its last good renewal, whatever is
//! under way then. Nobody can have seen that renewal earlier, so nobody takes over before the lease's duration from there.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::time::Instant;
use tracing::{debug, info, warn};

/// How long a lease is held without a renewal.
const LEASE_SECONDS: i32 = 15;
/// A leader whose last good renewal began this long ago must not write any more.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Pause between two attempts, and one request's longest time.
const RETRY: Duration = Duration::from_secs(2);

/// A candidate for one Lease.
pub struct Leader {
    leases: Api<Lease>,
    name: String,
    identity: String,
    seen: Option<Seen>,
    /// When the attempt began that took or renewed the lease last.
    renewed: Instant,
}

/// The last renewal that was seen, and when by the own clock.
struct Seen {
    spec: LeaseSpec,
    at: Instant,
}

impl Leader {
    /// A candidate called `identity` (the pod's name) for the Lease `name` in `namespace`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str) -> Self {
        let (name, identity) = (name.to_owned(), identity.to_owned());
        Self {
            leases: Api::namespaced(client, namespace),
            name,
            identity,
            seen: None,
            renewed: Instant::now(),
        }
    }

    /// Waits until the lease is held.
    pub async fn acquire(&mut self) {
        info!(lease = self.name, identity = self.identity, "waiting for the lease");
        while !self.attempt().await {
            tokio::time::sleep(RETRY).await;
        }
        info!(lease = self.name, identity = self.identity, "leading");
    }

    /// Renews the lease; returns as soon as this process must not write any more.
    pub async fn keep(&mut self) {
        loop {
            let deadline = self.renewed + RENEW_DEADLINE;
            let round = async {
                tokio::time::sleep(RETRY).await;
                self.attempt().await || !self.held_by_another()
            };
            match tokio::time::timeout_at(deadline, round).await {
                Ok(true) => {}
                Ok(false) | Err(_) => break,
            }
        }
        warn!(lease = self.name, "the lease is lost");
    }

    /// Gives the lease up, so that a standby takes over at once. Does nothing when another holds it.
    pub async fn release(&mut self) {
        let released = async {
            let mut lease = self.leases.get(&self.name).await?;
            if holder(lease.spec.as_ref()) == Some(&self.identity) {
                lease.spec = lease.spec.map(|spec| LeaseSpec {
                    holder_identity: Some(String::new()),
                    lease_duration_seconds: Some(1),
                    renew_time: Some(MicroTime(Timestamp::now())),
                    ..spec
                });
                self.leases.replace(&self.name, &PostParams::default(), &lease).await?;
            }
            Ok::<_, kube::Error>(())
        };
        match tokio::time::timeout(RETRY, released).await {
            Ok(Ok(())) => info!(lease = self.name, "released the lease"),
            Ok(Err(error)) => warn!(%error, "failed to release the lease; it expires"),
            Err(_) => warn!("failed to release the lease in time; it expires"),
        }
    }

    /// One attempt to take or renew; a slow API server counts as a failed one.
    async fn attempt(&mut self) -> bool {
        let began = Instant::now();
        match tokio::time::timeout(RETRY, self.try_hold()).await {
            Ok(Ok(true)) => {
                self.renewed = began;
                true
            }
            Ok(Ok(false)) => false,
            Ok(Err(error)) => {
                debug!(%error, "failed to take or renew the lease");
                false
            }
            Err(_) => false,
        }
    }

    async fn try_hold(&mut self) -> Result<bool, kube::Error> {
        let Some(lease) = self.leases.get_opt(&self.name).await? else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(claim(None, &self.identity, Timestamp::now())) };
            self.leases.create(&PostParams::default(), &lease).await?;
            return Ok(true);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        if !self.may_hold(&spec, Instant::now()) {
            return Ok(false);
        }
        // The resourceVersion that was read goes along: whoever else took the lease since makes this a conflict.
        let lease = Lease { spec: Some(claim(Some(&spec), &self.identity, Timestamp::now())), ..lease };
        self.leases.replace(&self.name, &PostParams::default(), &lease).await?;
        Ok(true)
    }

    /// Ours, nobody's, or not renewed for its duration since the last renewal was seen.
    fn may_hold(&mut self, spec: &LeaseSpec, now: Instant) -> bool {
        if self.seen.as_ref().is_none_or(|seen| seen.spec != *spec) {
            self.seen = Some(Seen { spec: spec.clone(), at: now });
        }
        let duration = u64::try_from(spec.lease_duration_seconds.unwrap_or(LEASE_SECONDS)).unwrap_or(0);
        match holder(Some(spec)) {
            None => true,
            Some(holder) if holder == self.identity => true,
            Some(_) => {
                let seen = self.seen.as_ref().map_or(now, |seen| seen.at);
                now.saturating_duration_since(seen) >= Duration::from_secs(duration)
            }
        }
    }

    fn held_by_another(&self) -> bool {
        holder(self.seen.as_ref().map(|seen| &seen.spec)).is_some_and(|holder| holder != self.identity)
    }
}

fn holder(spec: Option<&LeaseSpec>) -> Option<&str> {
    spec?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// The lease as `identity` holds it from `now` on.
fn claim(before: Option<&LeaseSpec>, identity: &str, now: Timestamp) -> LeaseSpec {
    let same = holder(before) == Some(identity);
    let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or(0);
    LeaseSpec {
        acquire_time: before
            .filter(|_| same)
            .and_then(|spec| spec.acquire_time.clone())
            .or(Some(MicroTime(now))),
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: Some(LEASE_SECONDS),
        lease_transitions: Some(if same || before.is_none() {
            transitions
        } else {
            transitions.saturating_add(1)
        }),
        renew_time: Some(MicroTime(now)),
        ..LeaseSpec::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leader(identity: &str) -> Leader {
        let client = Client::try_from(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
        Leader::new(client, "goodgo-system", "goodgo-operator", identity)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[tokio::test]
    async fn another_holders_lease_may_be_taken_only_when_it_was_not_renewed_for_its_duration() {
        let (mut leader, start) = (leader("us"), Instant::now());
        // Its clock may be years off: what counts is when a renewal was seen.
        let first = claim(None, "them", at(0));
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(!leader.may_hold(&first, start));
        assert!(!leader.may_hold(&first, after(14)));
        let renewed = claim(Some(&first), "them", at(14));
        assert!(!leader.may_hold(&renewed, after(14)), "renewed: it counts from here");
        assert!(!leader.may_hold(&renewed, after(28)));
        assert!(leader.held_by_another());
        assert!(leader.may_hold(&renewed, after(29)));
    }

    #[tokio::test]
    async fn a_released_lease_and_our_own_may_be_held_at_once() {
        let mut leader = leader("us");
        let released = LeaseSpec { holder_identity: Some(String::new()), ..claim(None, "them", at(0)) };
        assert!(leader.may_hold(&released, Instant::now()));
        assert!(!leader.held_by_another());
        assert!(leader.may_hold(&claim(None, "us", at(0)), Instant::now()));
    }

    #[test]
    fn a_renewal_keeps_when_it_was_acquired_and_a_change_of_hands_counts() {
        let first = claim(None, "them", at(10));
        assert_eq!((first.lease_transitions, first.lease_duration_seconds), (Some(0), Some(LEASE_SECONDS)));
        let renewed = claim(Some(&first), "them", at(20));
        assert_eq!((renewed.acquire_time.clone(), renewed.lease_transitions), (first.acquire_time, Some(0)));
        let taken = claim(Some(&renewed), "us", at(30));
        assert_eq!((taken.acquire_time, taken.lease_transitions), (Some(MicroTime(at(30))), Some(1)));
    }

    #[tokio::test]
    async fn a_leader_stops_at_its_deadline_whatever_it_waits_for() {
        let mut leader = leader("us"); // nobody answers it
        let left = Duration::from_millis(300);
        leader.renewed = Instant::now().checked_sub(RENEW_DEADLINE).unwrap() + left;
        let started = Instant::now();
        leader.keep().await;
        assert!((left..RETRY).contains(&started.elapsed()), "{:?}", started.elapsed());
    }

    /// A leader stops before its lease expires, with room for the server to finish a request that was given up; and it
    /// may fail to renew twice before.
    const _: () = {
        assert!(RENEW_DEADLINE.as_secs() + 2 * RETRY.as_secs() < LEASE_SECONDS.unsigned_abs() as u64);
        assert!(2 * (RETRY.as_secs() + RETRY.as_secs()) < RENEW_DEADLINE.as_secs());
    };
}
