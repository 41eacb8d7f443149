//! Retries of services whose last reconcile failed: 1 s doubling to 5 min, per service.
//!
//! Events don't shorten the wait, or every status update of a failing service's pods would send the same refused request
//! again; a new generation does, because a person changed something.

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
    until: Instant,
}

impl Backoff {
    /// How long to leave the service alone, if at all.
    #[must_use]
    pub fn remaining(&self, service: &ServiceKey, generation: Option<i64>, now: Instant) -> Option<Duration> {
        let failures = self.lock();
        let failure = failures.get(service).filter(|failure| failure.generation == generation)?;
        failure.until.checked_duration_since(now).filter(|left| !left.is_zero())
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
        failures.insert(service.clone(), Failure { generation, delay, until: now + delay });
        delay
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
}
