//! What is known about one dependency, and when that takes the pod out of service.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

/// Failures in a row of a required check that make the pod unready: one lost packet must not.
pub(super) const THRESHOLD: u32 = 3;

/// One check's results.
#[derive(Debug)]
pub(super) struct State {
    required: bool,
    last: Mutex<Last>,
}

#[derive(Debug, Clone, Default)]
struct Last {
    failures: u32,
    outcome: Option<Outcome>,
}

#[derive(Debug, Clone)]
struct Outcome {
    /// RFC 3339.
    at: String,
    took: Duration,
    error: Option<String>,
}

impl State {
    pub(super) fn new(required: bool) -> Self {
        Self { required, last: Mutex::default() }
    }

    /// Remembers a result; returns how many have failed in a row.
    pub(super) fn record(&self, took: Duration, error: Option<String>) -> u32 {
        let mut last = self.lock();
        last.failures = if error.is_some() { last.failures.saturating_add(1) } else { 0 };
        last.outcome = Some(Outcome { at: jiff::Timestamp::now().to_string(), took, error });
        last.failures
    }

    /// Whether it makes the pod unready.
    pub(super) fn gates(&self) -> bool {
        self.required && self.lock().failures >= THRESHOLD
    }

    pub(super) fn report(&self) -> Value {
        let Last { failures, outcome } = self.lock().clone();
        let Some(Outcome { at, took, error }) = outcome else {
            return json!({ "status": "pending", "required": self.required });
        };
        let mut report = json!({
            "status": if error.is_none() { "up" } else { "down" },
            "required": self.required,
            "checkedAt": at,
            "tookMs": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        });
        if let (Some(fields), Some(error)) = (report.as_object_mut(), error) {
            fields.insert("failuresInARow".to_owned(), failures.into());
            fields.insert("error".to_owned(), error.into());
        }
        report
    }

    fn lock(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_gate_and_one_success_does_not_any_more() {
        let state = State::new(true);
        let failed = || Some("refused".to_owned());
        for (error, gates) in [
            (failed(), false),
            (failed(), false),
            (None, false),
            (failed(), false),
            (failed(), false),
            (failed(), true),
            (failed(), true),
            (None, false),
        ] {
            state.record(Duration::ZERO, error);
            assert_eq!(state.gates(), gates);
        }
    }

    #[test]
    fn what_is_not_required_never_gates() {
        let state = State::new(false);
        assert_eq!(state.report()["status"], "pending");
        for _ in 0..5 {
            state.record(Duration::ZERO, Some("refused".to_owned()));
        }
        assert!(!state.gates());
        assert_eq!(state.report()["failuresInARow"], 5);
    }
}
