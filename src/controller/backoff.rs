//! Retries of services whose last reconcile failed: 1 s doubling to 5 min, per service.
//!
//! Events don't shorten the wait after a failure, or every status update of a failing service's pods would send the same
//! refused request again; a new generation does, because a person changed something. While an object of somebody else is in
//! the way, the other children are still to be repaired: events then wait a second at most, and what is in the way is looked
//! at on the timer that runs anyway.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use goodgo_fleet::ServiceKey;
use tokio::time::Instant;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// Failures, by service.
#[derive(Default)]
pub struct Backoff {
    failures: Mutex<HashMap<ServiceKey, Failure>>,
}

struct Failure {
    generation: Option<i64>,
    delay: Duration,
    /// When it is tried again.
    until: Instant,
    /// From when an event may bring it up earlier.
    events_from: Instant,
}

impl Backoff {
    /// How long to leave the service alone, if at all.
    #[must_use]
    pub fn remaining(&self, service: &ServiceKey, generation: Option<i64>, now: Instant) -> Option<Duration> {
        let failures = self.lock();
        let failure = failures.get(service).filter(|failure| failure.generation == generation)?;
        failure.events_from.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// Records a failure; gives the time until the next attempt, at most `longest`.
    pub fn failed(
        &self,
        service: &ServiceKey,
        generation: Option<i64>,
        longest: Option<Duration>,
        now: Instant,
    ) -> Duration {
        let mut failures = self.lock();
        let before = failures.get(service).filter(|failure| failure.generation == generation);
        let delay = before.map_or(FIRST, |failure| failure.delay * 2).min(longest.unwrap_or(LONGEST));
        let until = now + delay;
        failures.insert(service.clone(), Failure { generation, delay, until, events_from: until });
        delay
    }

    /// Records that something unwatched is in the way; gives the time until the next look, at most `longest`. Looks that
    /// events brought about don't put it off.
    pub fn blocked(
        &self,
        service: &ServiceKey,
        generation: Option<i64>,
        longest: Duration,
        now: Instant,
    ) -> Duration {
        let mut failures = self.lock();
        let before = failures.get(service).filter(|failure| failure.generation == generation);
        let (delay, until) = match before {
            Some(failure) if failure.until > now => (failure.delay, failure.until),
            Some(failure) => {
                let delay = (failure.delay * 2).min(longest);
                (delay, now + delay)
            }
            None => (FIRST, now + FIRST),
        };
        failures.insert(service.clone(), Failure { generation, delay, until, events_from: now + FIRST });
        until.saturating_duration_since(now)
    }

    /// Forgets the failures of a service that went well or is gone.
    pub fn reset(&self, service: &ServiceKey) {
        self.lock().remove(service);
    }

    /// Forgets all failures: what everybody depends on changed.
    pub fn reset_all(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ServiceKey, Failure>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_to_five_minutes_and_a_new_generation_starts_over() {
        let (backoff, service, now) = (Backoff::default(), ServiceKey::new("shop", "a"), Instant::now());
        let delays: Vec<_> =
            (0..11).map(|_| backoff.failed(&service, Some(1), None, now).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(backoff.remaining(&service, Some(1), now), Some(LONGEST));
        assert_eq!(backoff.remaining(&service, Some(1), now + LONGEST), None);
        assert_eq!(backoff.remaining(&service, Some(2), now), None);
        assert_eq!(backoff.failed(&service, Some(2), None, now), FIRST);
        backoff.reset(&service);
        assert_eq!(backoff.remaining(&service, Some(2), now), None);
    }
    #[test]
    fn events_of_a_blocked_service_are_let_through_once_a_second_and_keep_the_timer() {
        let (backoff, service, start) = (Backoff::default(), ServiceKey::new("shop", "a"), Instant::now());
        let (mut now, longest) = (start, Duration::from_secs(60));
        let look = |now| backoff.blocked(&service, Some(1), longest, now);
        let mut delays = Vec::new();
        for _ in 0..8 {
            let delay = look(now);
            delays.push(delay.as_secs());
            now += delay;
        }
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
        let timer = look(now);
        assert_eq!(backoff.remaining(&service, Some(1), now), Some(FIRST), "no faster than this");
        let event = now + Duration::from_secs(5);
        assert_eq!(backoff.remaining(&service, Some(1), event), None);
        assert_eq!(event + look(event), now + timer, "the timer stays");
        assert_eq!(backoff.remaining(&service, Some(1), event), Some(FIRST));
        assert_eq!(backoff.blocked(&service, Some(2), longest, event), FIRST);
    }
}
