//! The loop around every check: when the next one is due, how long it may take, and what becomes of its result.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::state::{State, THRESHOLD};
use crate::metrics::Metrics;

/// Time for one check, connecting included.
const LIMIT: Duration = Duration::from_secs(5);
/// First pause of a check that gates; doubled up to the check's period, so that a recovery is seen soon.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Why a check failed, in words that are safe to show: no URL, no password.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The file with the URL can't be read.
    #[error("failed to read the mounted URL: {0}")]
    Unreadable(std::io::ErrorKind),
    /// What is in the file is no URL of this kind.
    #[error("failed to understand the mounted URL: {0}")]
    BadUrl(&'static str),
    /// Nobody accepted the connection, or TLS failed.
    #[error("failed to connect to {to}: {source}")]
    Connect { to: String, source: std::io::Error },
    /// It answered, and not well.
    #[error("failed to get a good answer: {0}")]
    Answer(String),
    /// It took longer than [`LIMIT`].
    #[error("failed to get an answer within {} s", LIMIT.as_secs())]
    Timeout,
}

/// Asks one dependency.
pub(super) trait Probe: Send + 'static {
    /// Asks once; may keep a connection for the next time.
    fn check(&mut self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// When a check is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    every: Duration,
}

impl Schedule {
    pub(super) fn new(every: Duration) -> Self {
        Self { every }
    }

    /// The pause after so many failures in a row.
    fn pause(self, failures: u32) -> Duration {
        match failures.checked_sub(THRESHOLD) {
            // A few bad checks must take their time: `every` is what makes three of them mean something.
            None => self.every,
            Some(beyond) => {
                FIRST_PAUSE.saturating_mul(1_u32.checked_shl(beyond).unwrap_or(u32::MAX)).min(self.every)
            }
        }
    }
}

/// Checks until it is aborted. Up and down are logged once each.
pub(super) async fn run(
    name: &'static str,
    mut probe: impl Probe,
    schedule: Schedule,
    state: Arc<State>,
    metrics: Arc<Metrics>,
) {
    let mut was_up = None;
    loop {
        let start = Instant::now();
        let result = tokio::time::timeout(LIMIT, probe.check()).await.unwrap_or(Err(Error::Timeout));
        let error = result.err().map(|error| error.to_string());
        let up = error.is_none();
        if was_up != Some(up) {
            match &error {
                None => tracing::info!(check = name, "dependency is up"),
                Some(error) => tracing::warn!(check = name, %error, "dependency is down"),
            }
            was_up = Some(up);
        }
        let failures = state.record(start.elapsed(), error);
        metrics.check(name, Some(up));
        tokio::time::sleep(schedule.pause(failures)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_gates_is_repeated_sooner_at_first() {
        let schedule = Schedule::new(Duration::from_secs(30));
        let pauses = [0, 1, 2, 3, 4, 5, 7, 8, 9, 40, u32::MAX].map(|n| schedule.pause(n).as_secs());
        assert_eq!(pauses, [30, 30, 30, 1, 2, 4, 16, 30, 30, 30, 30]);
        assert_eq!(Schedule::new(Duration::from_millis(50)).pause(9), Duration::from_millis(50));
    }

    struct Scripted(std::vec::IntoIter<bool>);

    impl Probe for Scripted {
        async fn check(&mut self) -> Result<(), Error> {
            match self.0.next() {
                Some(true) => Ok(()),
                Some(false) => Err(Error::Answer("no".to_owned())),
                None => std::future::pending().await,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_gates_at_the_third_failure_and_recovers_at_the_first_success() {
        let state = Arc::new(State::new(true));
        let script = Scripted(vec![true, false, false, false, false, true].into_iter());
        let schedule = Schedule::new(Duration::from_secs(30));
        let start = Instant::now();
        let task = tokio::spawn(run("database", script, schedule, Arc::clone(&state), Metrics::new()));
        let mut changes = Vec::new();
        let mut gates = false;
        while changes.len() < 2 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            if state.gates() != gates {
                gates = !gates;
                changes.push(start.elapsed().as_secs());
            }
        }
        // Good at 0 s; bad at 30, 60 and 90 s; then after 1 s and after 2 s more.
        assert_eq!(changes, [90, 93]);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(state.report()["error"], Error::Timeout.to_string());
        task.abort();
    }
}
