//! Memory of what was applied: accepts answers that an admission plug-in changed, and slows down against an opponent.
//!
//! Two faults would otherwise make an operator write for ever. An admission plug-in may change what we send on every
//! write: the object it answers is accepted for this desired state. Or somebody undoes what we write: the first repairs
//! are immediate, further ones wait 1 s, 2 s, 4 s … 5 min, and the status says so.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use goodgo_managed_fields::Digest;
use tokio::time::Instant;

use super::cache::ChildKey;

/// Repairs of one child that are not suspicious: somebody tries what happens.
const FREE_REPAIRS: u32 = 5;
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(300);
/// After this long without a repair the past is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// What was applied, by child.
#[derive(Default)]
pub struct Applications {
    by_child: Mutex<HashMap<ChildKey, Application>>,
}

struct Application {
    /// Digest of what we sent last.
    desired: Digest,
    /// Digest of what the server made of it.
    answered: Option<Digest>,
    /// How often the same was sent again.
    repairs: u32,
    at: Instant,
}

/// What to do about a child whose live state differs from the desired one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: the difference is an admission plug-in's, seen before.
    Accepted,
    /// Apply now.
    Apply,
    /// Somebody keeps undoing it: not before this instant.
    Wait(Instant),
}

impl Applications {
    /// Judges a child that should be `desired` while `live` is owned (nothing when it isn't there).
    #[must_use]
    pub fn judge(&self, key: &ChildKey, desired: Digest, live: Option<Digest>, now: Instant) -> Verdict {
        match self.lock().get(key) {
            Some(last) if last.desired == desired && live.is_some() && last.answered == live => {
                Verdict::Accepted
            }
            Some(last) if last.desired == desired && now < last.at + last.delay() => {
                Verdict::Wait(last.at + last.delay())
            }
            _ => Verdict::Apply,
        }
    }

    /// Remembers that `desired` was sent and `answered` came back.
    pub fn applied(&self, key: &ChildKey, desired: Digest, answered: Option<Digest>, now: Instant) {
        let mut all = self.lock();
        let repairs = all
            .get(key)
            .filter(|last| last.desired == desired && now < last.at + FORGET_AFTER)
            .map_or(0, |last| last.repairs.saturating_add(1));
        all.insert(key.clone(), Application { desired, answered, repairs, at: now });
    }

    /// Until when a child counts as contended, if it does: twice the delay, so that it doesn't flap between repairs.
    #[must_use]
    pub fn contended_until(&self, key: &ChildKey, now: Instant) -> Option<Instant> {
        let all = self.lock();
        let last = all.get(key)?;
        let until = last.at + last.delay() * 2;
        (!last.delay().is_zero() && now < until).then_some(until)
    }

    /// Forgets a child that is gone for good.
    pub fn forget(&self, key: &ChildKey) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ChildKey, Application>> {
        self.by_child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Application {
    fn delay(&self) -> Duration {
        let doublings = self.repairs.checked_sub(FREE_REPAIRS);
        doublings.map_or(Duration::ZERO, |doublings| {
            FIRST_DELAY.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(LONGEST_DELAY)
        })
    }
}

#[cfg(test)]
mod tests {
    use goodgo_managed_fields::digest;
    use goodgo_render::ChildKind;
    use serde_json::json;

    use super::*;

    fn of(text: &str) -> Digest {
        digest(&json!(text))
    }

    fn key() -> ChildKey {
        ChildKey::new(ChildKind::Service, "shop", "a")
    }

    #[test]
    fn what_an_admission_plug_in_made_of_it_is_accepted_for_this_desired_state_only() {
        let (all, now) = (Applications::default(), Instant::now());
        assert_eq!(all.judge(&key(), of("wanted"), Some(of("other")), now), Verdict::Apply);
        all.applied(&key(), of("wanted"), Some(of("changed")), now);
        assert_eq!(all.judge(&key(), of("wanted"), Some(of("changed")), now), Verdict::Accepted);
        assert_eq!(all.judge(&key(), of("wanted"), Some(of("edited")), now), Verdict::Apply);
        assert_eq!(all.judge(&key(), of("next"), Some(of("changed")), now), Verdict::Apply);
        assert_eq!(all.judge(&key(), of("wanted"), None, now), Verdict::Apply);
    }

    #[test]
    fn repairs_slow_down_when_somebody_keeps_undoing_them() {
        let (all, mut now) = (Applications::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..20 {
            if let Verdict::Wait(until) = all.judge(&key(), of("wanted"), Some(of("undone")), now) {
                assert!(all.contended_until(&key(), now).is_some());
                waits.push(until.duration_since(now).as_secs());
                now = until;
            }
            all.applied(&key(), of("wanted"), Some(of("wanted")), now);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300, 300]);
        assert_eq!(all.judge(&key(), of("a new spec"), Some(of("undone")), now), Verdict::Apply);
    }

    #[test]
    fn peace_makes_it_forget() {
        let (all, now) = (Applications::default(), Instant::now());
        for _ in 0..=FREE_REPAIRS {
            all.applied(&key(), of("wanted"), Some(of("wanted")), now);
        }
        assert!(all.contended_until(&key(), now).is_some());
        assert_eq!(all.contended_until(&key(), now + Duration::from_secs(3)), None);
        let later = now + FORGET_AFTER + Duration::from_secs(1);
        all.applied(&key(), of("wanted"), Some(of("wanted")), later);
        assert_eq!(all.judge(&key(), of("wanted"), Some(of("undone")), later), Verdict::Apply);
    }
}
