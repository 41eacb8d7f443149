//! Counts over the recent past, in ten slices: what the breaker and the retry budget decide by.
//!
//! The slices turn at fixed multiples of their length since the window was made, as opossum's timer turns its buckets
//! (`rollingCountTimeout` over `rollingCountBuckets`, which is ten); here they turn when somebody looks.

use std::time::Duration;

use tokio::time::Instant;

const SLICES: usize = 10;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    /// Everything.
    pub(super) all: u32,
    /// What the window is there for: failures, repetitions.
    pub(super) marked: u32,
}

/// Where something was counted, so that it can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(u64);

/// A sliding window.
#[derive(Debug)]
pub(super) struct Window {
    made: Instant,
    slice_ms: u64,
    /// Number of the newest slice, counted from `made`.
    newest: u64,
    /// Newest first.
    slices: [Counts; SLICES],
}

impl Window {
    /// A window of `span`; slices are whole milliseconds.
    pub(super) fn new(span: Duration, now: Instant) -> Self {
        let slice_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX) / SLICES as u64;
        Self { made: now, slice_ms: slice_ms.max(1), newest: 0, slices: [Counts::default(); SLICES] }
    }

    /// Counts one.
    pub(super) fn add(&mut self, now: Instant) -> Slot {
        self.turn(now).all += 1;
        Slot(self.newest)
    }

    /// Marks one; it need not have been counted in the same slice, nor in one that is still there.
    pub(super) fn mark(&mut self, now: Instant) {
        self.turn(now).marked += 1;
    }

    /// Undoes one [`Window::add`], unless its slice is gone already.
    pub(super) fn take_back(&mut self, slot: Slot, now: Instant) {
        self.turn(now);
        let age = usize::try_from(self.newest.saturating_sub(slot.0)).unwrap_or(usize::MAX);
        if let Some(slice) = self.slices.get_mut(age) {
            slice.all = slice.all.saturating_sub(1);
        }
    }

    /// The sums of all slices.
    pub(super) fn sum(&mut self, now: Instant) -> Counts {
        self.turn(now);
        self.slices.iter().fold(Counts::default(), |sum, slice| Counts {
            all: sum.all.saturating_add(slice.all),
            marked: sum.marked.saturating_add(slice.marked),
        })
    }

    /// Drops what is too old, and returns the newest slice.
    fn turn(&mut self, now: Instant) -> &mut Counts {
        let since = u64::try_from(now.saturating_duration_since(self.made).as_millis()).unwrap_or(u64::MAX);
        let newest = since / self.slice_ms;
        let turns = usize::try_from(newest.saturating_sub(self.newest)).unwrap_or(SLICES).min(SLICES);
        if turns > 0 {
            self.slices.rotate_right(turns);
            self.slices.iter_mut().take(turns).for_each(|slice| *slice = Counts::default());
            self.newest = newest;
        }
        let [first, ..] = &mut self.slices;
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_span_is_forgotten() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut window = Window::new(Duration::from_secs(1), start);
        window.add(at(0));
        window.mark(at(0));
        window.add(at(950));
        assert_eq!(window.sum(at(999)), Counts { all: 2, marked: 1 });
        assert_eq!(window.sum(at(1000)), Counts { all: 1, marked: 0 });
        assert_eq!(window.sum(at(1899)), Counts { all: 1, marked: 0 });
        assert_eq!(window.sum(at(1900)), Counts::default());
        window.add(at(90_000));
        assert_eq!(window.sum(at(90_000)).all, 1);
    }

    #[test]
    fn what_is_taken_back_was_never_there() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut window = Window::new(Duration::from_secs(1), start);
        let (first, second) = (window.add(at(0)), window.add(at(500)));
        window.take_back(second, at(700));
        assert_eq!(window.sum(at(700)).all, 1);
        window.take_back(first, at(5000));
        assert_eq!(window.sum(at(5000)).all, 0, "its slice was gone; nothing goes below zero");
    }

    #[test]
    fn a_clock_that_stands_still_or_a_tiny_span_is_no_fault() {
        let start = Instant::now();
        let mut window = Window::new(Duration::from_millis(1), start + Duration::from_secs(1));
        window.add(start);
        assert_eq!(window.sum(start).all, 1);
    }
}
