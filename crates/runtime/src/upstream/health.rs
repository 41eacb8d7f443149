//! Outlier detection: whether a peer is to be used, judged by its answers and compared with the others.
//!
//! - Silent: connections that fail or end, answers that do not come. [`SILENCES`] in a row eject.
//! - Failing: a server error is an answer, and may be the request's own fault. A peer is ejected when its share of them
//!   is [`WORSE_BY`] above that of the others: a request that fails everywhere ejects nobody.
//!
//! An ejection lasts 5 s, 10 s … 60 s, longer each time it happens again. At its end one request is the probe, and its
//! answer decides. At most half of the peers are out at a time, and a single one never is.
//!
//! A healthy peer costs two loads a request; clocks and locks are for the others.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Failures without an answer, in a row, that eject.
const SILENCES: u32 = 3;
/// Difference between a peer's share of server errors and the mean of the others' that ejects it, of [`WHOLE`].
const WORSE_BY: u32 = WHOLE / 10 * 3;
/// All answers, as a share.
const WHOLE: u32 = 1 << 16;
/// Share that one answer has: one in so many. Six errors in a row, or some twelve at every other request, eject.
const WEIGHT: u32 = 16;
/// First ejection, and the longest.
const EJECTION: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// In service for so long, a peer is forgiven one ejection.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

const IN: u8 = 0;
const OUT: u8 = 1;
/// Out, and one request is finding out whether that can end.
const PROBED: u8 = 2;

/// How well one peer is.
#[derive(Debug, Default)]
pub(super) struct Health {
    state: AtomicU8,
    /// Failures without an answer since the last answer.
    silences: AtomicU32,
    /// Moving average of the share of server errors, of [`WHOLE`].
    errors: AtomicU32,
    ejection: Mutex<Ejection>,
}

#[derive(Debug, Default)]
struct Ejection {
    /// How often it happened, less what is forgiven.
    count: u32,
    /// When the running one ends, or the last one ended.
    until: Option<Instant>,
    /// What the last one was for.
    reason: &'static str,
}

/// An ejection, for those who look on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ejected {
    /// `NoAnswer` or `ServerErrors`.
    pub(super) reason: &'static str,
    /// Until a probe is let through.
    pub(super) left: Duration,
    /// Whether the probe is under way.
    pub(super) probing: bool,
    /// How often in a row, less what is forgiven.
    pub(super) times: u32,
}

/// Whether a peer may be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// As all others.
    In,
    /// With this one request, whose outcome decides; nobody else gets this answer meanwhile.
    Probe,
    /// Not now.
    Out,
}

/// What a request has shown about a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It answered as it should.
    Well,
    /// It answered with a server error.
    Failing,
    /// It did not answer.
    Silent,
    /// Nothing: whoever asked went away in good time.
    Nothing,
}

impl Health {
    pub(super) fn admission(&self) -> Admission {
        match self.state.load(Ordering::Relaxed) {
            IN => Admission::In,
            OUT if self.ejection().until.is_none_or(|until| until <= Instant::now()) && self.claim() => {
                Admission::Probe
            }
            _ => Admission::Out,
        }
    }

    /// Whether it is ejected.
    pub(super) fn is_out(&self) -> bool {
        self.state.load(Ordering::Relaxed) != IN
    }

    /// Why it is ejected and for how long, if it is.
    pub(super) fn ejected(&self) -> Option<Ejected> {
        let state = self.state.load(Ordering::Relaxed);
        (state != IN).then(|| {
            let Ejection { count, until, reason } = *self.ejection();
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            Ejected { reason, left: left.unwrap_or_default(), probing: state == PROBED, times: count }
        })
    }

    /// Takes note of a request's outcome. `all` are the origin's peers, this one included. Returns for how long the peer
    /// is ejected when it is so because of this very outcome.
    pub(super) fn note<'a, I>(&self, verdict: Verdict, all: impl Fn() -> I) -> Option<Duration>
    where
        I: Iterator<Item = &'a Self>,
    {
        match (self.state.load(Ordering::Relaxed), verdict) {
            (IN, Verdict::Well) => self.recover(),
            (IN, Verdict::Failing | Verdict::Silent) => return self.blame(verdict, all),
            (PROBED, Verdict::Well) => self.readmit(),
            (PROBED, Verdict::Failing | Verdict::Silent) => return Some(self.eject(verdict)),
            // The next request is the probe then: `until` has passed.
            (PROBED, Verdict::Nothing) => self.state.store(OUT, Ordering::Relaxed),
            // An answer to what was sent before the ejection.
            _ => {}
        }
        None
    }

    fn claim(&self) -> bool {
        self.state.compare_exchange(OUT, PROBED, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn recover(&self) {
        if self.silences.load(Ordering::Relaxed) != 0 {
            self.silences.store(0, Ordering::Relaxed);
        }
        let errors = self.errors.load(Ordering::Relaxed);
        if errors != 0 {
            self.errors.store(errors - errors.div_ceil(WEIGHT), Ordering::Relaxed);
        }
    }

    fn blame<'a, I>(&self, verdict: Verdict, all: impl Fn() -> I) -> Option<Duration>
    where
        I: Iterator<Item = &'a Self>,
    {
        (self.is_suspect(verdict, all()) && may_eject(all())).then(|| self.eject(verdict))
    }

    /// Counts one failure; whether it was one too many.
    fn is_suspect<'a>(&self, verdict: Verdict, all: impl Iterator<Item = &'a Self>) -> bool {
        if verdict == Verdict::Silent {
            return self.silences.fetch_add(1, Ordering::Relaxed) + 1 >= SILENCES;
        }
        self.silences.store(0, Ordering::Relaxed);
        let errors = self.errors.load(Ordering::Relaxed);
        let errors = errors + (WHOLE - errors) / WEIGHT;
        self.errors.store(errors, Ordering::Relaxed);
        let others = all.filter(|other| !std::ptr::eq(*other, self) && !other.is_out());
        let (sum, count) = others.fold((0_u64, 0_u64), |(sum, count), other| {
            (sum + u64::from(other.errors.load(Ordering::Relaxed)), count + 1)
        });
        u64::from(errors) > sum.checked_div(count).unwrap_or_default() + u64::from(WORSE_BY)
    }

    fn eject(&self, verdict: Verdict) -> Duration {
        let now = Instant::now();
        let mut ejection = self.ejection();
        let well_for = ejection.until.map_or(Duration::ZERO, |until| now.saturating_duration_since(until));
        let forgiven = well_for.as_secs() / FORGIVEN_AFTER.as_secs();
        let count = ejection.count.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
        let lasts = EJECTION.0.saturating_mul(2_u32.saturating_pow(count.min(8))).min(EJECTION.1);
        let reason = if verdict == Verdict::Silent { "NoAnswer" } else { "ServerErrors" };
        *ejection = Ejection { count: count.saturating_add(1), until: Some(now + lasts), reason };
        self.state.store(OUT, Ordering::Relaxed);
        lasts
    }

    fn readmit(&self) {
        self.silences.store(0, Ordering::Relaxed);
        self.errors.store(0, Ordering::Relaxed);
        self.state.store(IN, Ordering::Relaxed);
    }

    fn ejection(&self) -> MutexGuard<'_, Ejection> {
        self.ejection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether at most half are out with one more.
fn may_eject<'a>(all: impl Iterator<Item = &'a Health>) -> bool {
    let (out, count) =
        all.fold((0_usize, 0_usize), |(out, count), one| (out + usize::from(one.is_out()), count + 1));
    (out + 1) * 2 <= count
}

#[cfg(test)]
mod tests;
