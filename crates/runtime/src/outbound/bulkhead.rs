//! The bulkhead: one slow callee can't take all of the pod's memory and connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts the calls under way to one callee.
#[derive(Debug, Default)]
pub(super) struct Bulkhead(AtomicU32);

impl Bulkhead {
    /// Takes one of `limit` places until the permit is dropped: with the answer's last byte. None when all are taken. The
    /// limit may differ from call to call, as configurations come and go.
    pub(super) fn enter(self: &Arc<Self>, limit: u32) -> Option<Permit> {
        // Counted first: two that come at once can't both take the last place.
        let taken = Permit(Arc::clone(self));
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        (before < limit).then_some(taken)
    }

    #[cfg(test)]
    pub(super) fn under_way(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A place that is taken.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Bulkhead>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_and_refusals_take_none() {
        let bulkhead = Arc::new(Bulkhead::default());
        let first = bulkhead.enter(2).unwrap();
        let second = bulkhead.enter(2).unwrap();
        for _ in 0..10 {
            assert!(bulkhead.enter(2).is_none());
        }
        assert_eq!(bulkhead.under_way(), 2);
        let third = bulkhead.enter(3).expect("the limit was raised meanwhile");
        drop((first, second));
        assert!(bulkhead.enter(1).is_none(), "the limit was lowered meanwhile");
        drop(third);
        assert_eq!(bulkhead.under_way(), 0);
    }
}
