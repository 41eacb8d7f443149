//! The retry budget: repetitions stay a small share of the calls, so that retrying never becomes the overload
//! (docs/adr/0008-the-retry-budget-is-a-share-of-a-window.md).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::window::Window;

/// What the share is taken of.
const SPAN: Duration = Duration::from_secs(10);
/// Repetitions within [`SPAN`] that are allowed however few calls there are: one a second. A service that calls once a
/// minute would have no retries otherwise, and at this rate they overload nobody.
const FLOOR: u64 = 10;

/// Calls and repetitions of one callee within the last seconds.
#[derive(Debug)]
pub(super) struct Budget(Mutex<Window>);

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(Window::new(SPAN, now)))
    }

    /// A call goes to the callee.
    pub(super) fn deposit(&self, now: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(now);
    }

    /// Whether a try may be repeated, which is counted then. At most `percent` of the calls, or [`FLOOR`] where that is
    /// more; never with 0.
    pub(super) fn withdraw(&self, percent: u8, now: Instant) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = window.sum(now);
        let share = u64::from(counts.all) * u64::from(percent);
        let allowed = percent > 0 && (u64::from(counts.marked) + 1) * 100 <= share.max(FLOOR * 100);
        if allowed {
            window.mark(now);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs calls at `gaps` (milliseconds), each of which wants to be repeated `wanted` times.
    fn repetitions(percent: u8, gaps: &[u64], wanted: u32) -> u64 {
        let mut now = Instant::now();
        let budget = Budget::new(now);
        let mut granted = 0;
        for gap in gaps {
            now += Duration::from_millis(*gap);
            budget.deposit(now);
            granted += (0..wanted).map(|_| u64::from(budget.withdraw(percent, now))).sum::<u64>();
        }
        granted
    }

    #[test]
    fn a_callee_that_is_down_gets_a_fifth_more_and_no_further() {
        // 300 calls a second for 30 s, each of which would like three tries.
        let gaps: Vec<u64> = (0..9_000).map(|n| if n % 3 == 0 { 4 } else { 3 }).collect();
        let granted = repetitions(20, &gaps, 2);
        assert!((1_700..=1_800).contains(&granted), "{granted} of 9000");
    }

    #[test]
    fn who_calls_rarely_is_repeated_too() {
        assert_eq!(repetitions(20, &[60_000; 20], 2), 40);
        assert_eq!(repetitions(20, &[0; 20], 2), 10, "a burst gets the floor");
        assert_eq!(repetitions(0, &[60_000; 20], 2), 0, "none is none");
    }

    proptest! {
        #[test]
        fn attempts_never_exceed_the_share_by_more_than_the_floor(
            percent in 0_u8..=100,
            gaps in prop::collection::vec(0_u64..3_000, 1..400),
            wanted in 1_u32..4,
        ) {
            let granted = repetitions(percent, &gaps, wanted);
            let calls = gaps.len() as u64;
            let windows = gaps.iter().sum::<u64>() / 10_000 + 2;
            prop_assert!(granted * 100 <= calls * u64::from(percent) + windows * FLOOR * 100);
        }
    }
}
