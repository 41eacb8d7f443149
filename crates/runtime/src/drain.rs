//! Taking the pod out of service without losing a request.
//!
//! The app container's preStop hook calls `GET /drain`; the kubelet sends the app its SIGTERM only after the answer, and
//! this process its own after the app has ended. In between, in this order:
//!
//! 1. **Settling**: `/ready` answers 503, and every response says `Connection: close` (HTTP/2: GOAWAY), while new
//!    connections are still accepted: endpoints elsewhere take `settleSeconds` to forget this pod. A keep-alive client's
//!    next request is served and moves the client away.
//! 2. **Finishing**: the listeners close, idle connections too; requests in flight get `timeoutSeconds`. WebSockets are closed
//!    as their protocol has it, between two messages.
//! 3. The app's own hook (`preStop`), which may count on having no request any more.
//! 4. The answer, so the app may end. Outbound calls work until this process ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use goodgo_runtime_config::PreStop;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::health;

/// How far a group of listeners is on its way out. Ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Phase {
    /// In service.
    #[default]
    Serving,
    /// Still accepting, but every response sends its client away.
    Settling,
    /// Accepting no more; what is in flight ends.
    Finishing,
}

/// A group of listeners that leave service together, and everything that they still have open. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Lifecycle(Arc<Group>);

#[derive(Debug)]
struct Group {
    phase: watch::Sender<Phase>,
    /// Accept loops, connections and tunnels.
    open: TaskTracker,
}

impl Lifecycle {
    pub(crate) fn new() -> Self {
        let (phase, open) = (watch::Sender::new(Phase::Serving), TaskTracker::new());
        Self(Arc::new(Group { phase, open }))
    }

    /// Moves on to `phase`; never back.
    pub(crate) fn advance(&self, phase: Phase) {
        self.0.phase.send_if_modified(|current| {
            let moved = phase > *current;
            *current = phase.max(*current);
            moved
        });
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.0.phase.borrow()
    }

    /// Resolves once `phase` is reached; immediately when it has been.
    pub(crate) async fn reached(&self, phase: Phase) {
        // The sender is in `self`, so the channel can't close underneath.
        let _ = self.0.phase.subscribe().wait_for(|current| *current >= phase).await;
    }

    /// The tasks that must end before the group is out of service.
    pub(crate) fn open(&self) -> &TaskTracker {
        &self.0.open
    }

    /// Waits until everything has ended, at most `limit`; returns how many tasks are left.
    pub(crate) async fn finish(&self, limit: Duration) -> usize {
        self.advance(Phase::Finishing);
        self.0.open.close();
        let _ = tokio::time::timeout(limit, self.0.open.wait()).await;
        self.0.open.len()
    }
}

/// Least time for the app's own hook, however long the rest took.
const LEAST_HOOK: Duration = Duration::from_secs(1);

/// The answer of `GET /drain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Drained {
    /// Whether everything in flight finished in time.
    pub(crate) drained: bool,
    /// Connections and tunnels that were still open at the end.
    pub(crate) open: usize,
}

/// Drains one group of listeners, once, however often it is asked.
#[derive(Debug)]
pub(crate) struct Drain {
    lifecycle: Lifecycle,
    started: AtomicBool,
    done: watch::Sender<Option<Drained>>,
}

impl Drain {
    pub(crate) fn new(lifecycle: Lifecycle) -> Arc<Self> {
        Arc::new(Self { lifecycle, started: AtomicBool::new(false), done: watch::Sender::new(None) })
    }

    /// Starts draining, or joins a drain that has been started, and returns when it is done.
    ///
    /// The sequence runs on its own task: a preStop hook that gives up must not stop it half-way.
    pub(crate) async fn run(self: &Arc<Self>, settings: goodgo_runtime_config::Drain) -> Drained {
        let mut done = self.done.subscribe();
        if !self.started.swap(true, Ordering::SeqCst) {
            tokio::spawn(sequence(Arc::downgrade(self), self.lifecycle.clone(), settings));
        }
        let result = done.wait_for(Option::is_some).await.ok().and_then(|value| *value);
        result.unwrap_or(Drained { drained: false, open: self.lifecycle.open().len() })
    }

    /// Whether this pod is on its way out.
    pub(crate) fn is_draining(&self) -> bool {
        self.lifecycle.phase() > Phase::Serving
    }

    /// Resolves once the drain is over.
    pub(crate) async fn done(&self) {
        // The sender is in `self`, so the channel can't close underneath.
        let _ = self.done.subscribe().wait_for(Option::is_some).await;
    }

    /// Whether the drain is over.
    pub(crate) fn is_done(&self) -> bool {
        self.done.borrow().is_some()
    }
}

async fn sequence(drain: Weak<Drain>, lifecycle: Lifecycle, settings: goodgo_runtime_config::Drain) {
    let settle = Duration::from_secs(settings.settle_seconds.into());
    let timeout = Duration::from_secs(settings.timeout_seconds.into());
    tracing::info!(settle_seconds = settle.as_secs(), timeout_seconds = timeout.as_secs(), "draining");
    lifecycle.advance(Phase::Settling);
    tokio::time::sleep(settle).await;
    let finishing = Instant::now();
    let open = lifecycle.finish(timeout).await;
    if open == 0 {
        tracing::info!("drained");
    } else {
        tracing::warn!(open, "drain timed out with connections open; raise drain.timeoutSeconds");
    }
    if let Some(PreStop { port, path }) = &settings.pre_stop {
        let limit = timeout.saturating_sub(finishing.elapsed()).max(LEAST_HOOK);
        match tokio::time::timeout(limit, health::tell(*port, path)).await {
            Ok(Ok(status)) => tracing::info!(status = status.as_u16(), "the app's hook answered"),
            Ok(Err(error)) => tracing::warn!(%error, "the app's hook failed"),
            Err(_) => tracing::warn!(limit_ms = limit.as_millis(), "the app's hook took too long"),
        }
    }
    if let Some(drain) = drain.upgrade() {
        drain.done.send_replace(Some(Drained { drained: open == 0, open }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_drain_runs_once_in_order_and_waits_for_what_is_open() {
        let lifecycle = Lifecycle::new();
        let drain = Drain::new(lifecycle.clone());
        let start = tokio::time::Instant::now();
        lifecycle.open().spawn(tokio::time::sleep(Duration::from_secs(9)));
        let settings = goodgo_runtime_config::Drain::default();
        let (first, second) = tokio::join!(drain.run(settings.clone()), drain.run(settings));
        assert_eq!(first, Drained { drained: true, open: 0 });
        assert_eq!(second, first);
        assert_eq!(start.elapsed().as_secs(), 9);
        assert!(drain.is_done());
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_gives_up_after_its_timeout() {
        let lifecycle = Lifecycle::new();
        let drain = Drain::new(lifecycle.clone());
        lifecycle.open().spawn(std::future::pending::<()>());
        let start = tokio::time::Instant::now();
        let report = drain.run(goodgo_runtime_config::Drain::default()).await;
        assert_eq!(report, Drained { drained: false, open: 1 });
        assert_eq!(start.elapsed().as_secs(), 30);
    }

    #[test]
    fn phases_never_go_back() {
        let lifecycle = Lifecycle::new();
        lifecycle.advance(Phase::Finishing);
        lifecycle.advance(Phase::Settling);
        assert_eq!(lifecycle.phase(), Phase::Finishing);
    }
}
