//! Follows one name: a task looks it up again before the answer expires, so that a request only reads what is there.
//!
//! The task owns the time; the hot path reads no clock, takes no lock and allocates nothing. It runs while the name is
//! used and rests when it is not: the answer of a name that rests is not used again unseen, because another pod may have
//! got the address meanwhile.
//!
//! | DNS says | requests get |
//! | --- | --- |
//! | addresses | these |
//! | no such name | the last answer until a second look says the same, then a failure at once, for a second each |
//! | nothing, or an error | the last answer for [`STALE_LIMIT`], else a failure at once, for a second each |

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::{Found, LookupError, Metrics, Query, Resolver};

/// Shortest and longest time that an answer counts as fresh, whatever its TTL.
const FRESH: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long the last good answer is used while DNS is dead.
const STALE_LIMIT: Duration = Duration::from_secs(600);
/// Pause after a failed look; doubled up to the second while there is an answer to go on with.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// Longest look, whatever the resolver does: each query has a limit of its own, and a look is a few of them.
const LOOK_LIMIT: Duration = Duration::from_secs(5);
/// A name that nobody has used for so long is left alone.
const REST_AFTER: Duration = Duration::from_secs(60);
/// Looks that must say that the name is gone before it is: a DNS server that has just started may not know it yet.
const ABSENCES: u32 = 2;

type Look = Box<dyn Fn() -> BoxFuture<'static, Result<Found, LookupError>> + Send + Sync>;
/// Makes what requests use from the addresses, and from what was made of the previous ones.
type Derive<T> = Box<dyn Fn(Option<&Arc<T>>, &[SocketAddr]) -> Arc<T> + Send + Sync>;

/// A name and what is made of its addresses.
pub(crate) struct Followed<T>(Arc<Shared<T>>);

struct Shared<T> {
    /// For logs.
    name: String,
    state: ArcSwap<State<T>>,
    /// Whether a request came since the task looked last.
    used: AtomicBool,
    /// Whether the task is there.
    following: Mutex<bool>,
    /// Told when the state has changed.
    changed: watch::Sender<()>,
    look: Look,
    derive: Derive<T>,
    metrics: Metrics,
}

/// What is known of a name.
pub(crate) enum State<T> {
    /// Nobody follows the name; what it stood for last.
    Resting(Option<Arc<T>>),
    /// What it stands for.
    Known(Arc<T>),
    /// Why it stands for nothing.
    Unknown(LookupError),
}

/// What went wrong since the last good answer.
#[derive(Default)]
struct Trouble {
    since: Option<Instant>,
    looks: u32,
    absences: u32,
}

impl<T: Send + Sync + 'static> Followed<T> {
    /// Nothing is looked up before the first request.
    pub(crate) fn new(
        resolver: Resolver,
        query: Query,
        derive: impl Fn(Option<&Arc<T>>, &[SocketAddr]) -> Arc<T> + Send + Sync + 'static,
    ) -> Self {
        let name = query.to_string();
        let query = Arc::new(query);
        let metrics = resolver.metrics().clone();
        Self::with(
            name,
            metrics,
            move || {
                let (resolver, query) = (resolver.clone(), Arc::clone(&query));
                Box::pin(async move {
                    let too_long = |_| LookupError::Failed("DNS took too long".to_owned());
                    timeout(LOOK_LIMIT, resolver.find(&query)).await.map_err(too_long).flatten()
                })
            },
            derive,
        )
    }

    fn with(
        name: String,
        metrics: Metrics,
        look: impl Fn() -> BoxFuture<'static, Result<Found, LookupError>> + Send + Sync + 'static,
        derive: impl Fn(Option<&Arc<T>>, &[SocketAddr]) -> Arc<T> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared {
            name,
            state: ArcSwap::from_pointee(State::Resting(None)),
            used: AtomicBool::new(false),
            following: Mutex::new(false),
            changed: watch::Sender::new(()),
            look: Box::new(look),
            derive: Box::new(derive),
            metrics,
        }))
    }

    /// What is known, for those who only want to see it: no use of the name.
    pub(crate) fn state(&self) -> Arc<State<T>> {
        self.0.state.load_full()
    }

    /// What is known; none when somebody has to [`wait`](Self::wait) for it.
    pub(crate) fn get(&self) -> Option<Arc<T>> {
        let State::Known(value) = &**self.0.state.load() else { return None };
        self.0.mark_used();
        Some(Arc::clone(value))
    }

    /// Waits for the answer to the first look, which all that come meanwhile share.
    ///
    /// # Errors
    /// Why there is none; at once when that is known already.
    pub(crate) async fn wait(&self) -> Result<Arc<T>, LookupError> {
        let mut counted = false;
        loop {
            // Before the state is read, or the change in between would be missed.
            let mut changed = self.0.changed.subscribe();
            match &**self.0.state.load() {
                State::Known(value) => {
                    self.0.mark_used();
                    return Ok(Arc::clone(value));
                }
                State::Unknown(error) => {
                    self.0.mark_used();
                    return Err(error.clone());
                }
                State::Resting(_) => {}
            }
            if !std::mem::replace(&mut counted, true) {
                self.0.metrics.waited();
            }
            Shared::begin(&self.0);
            if changed.changed().await.is_err() {
                return Err(LookupError::Absent);
            }
        }
    }
}

impl<T: Send + Sync + 'static> Shared<T> {
    fn mark_used(&self) {
        // Read first: a write by each request would bounce the line between threads.
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    fn begin(this: &Arc<Self>) {
        let mut following = this.following();
        if !*following && matches!(**this.state.load(), State::Resting(_)) {
            *following = true;
            // Not the request's own future: it may be dropped at a timeout while others wait for the answer.
            tokio::spawn(follow(Arc::downgrade(this)));
        }
    }

    /// Ends following; false when a request came after all.
    fn rest(&self) -> bool {
        let mut following = self.following();
        if self.used.load(Ordering::Relaxed) {
            return false;
        }
        self.state.store(Arc::new(State::Resting(self.last())));
        *following = false;
        true
    }

    fn following(&self) -> MutexGuard<'_, bool> {
        self.following.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last(&self) -> Option<Arc<T>> {
        match &**self.state.load() {
            State::Known(value) => Some(Arc::clone(value)),
            State::Resting(value) => value.clone(),
            State::Unknown(_) => None,
        }
    }

    /// Publishes what a look brought; returns the pause until the next.
    fn take(&self, looked: Result<Found, LookupError>, trouble: &mut Trouble) -> Duration {
        let (last, name) = (self.last(), &self.name);
        let (state, pause) = match looked {
            Ok(Found { addresses, ttl }) => {
                if let Some(since) = std::mem::take(trouble).since {
                    tracing::info!(%name, seconds = since.elapsed().as_secs(), "name resolution works again");
                }
                (State::Known((self.derive)(last.as_ref(), &addresses)), refresh_after(ttl))
            }
            Err(error) => {
                if trouble.since.is_none() {
                    tracing::warn!(%name, %error, stale = last.is_some(), "name resolution failed");
                }
                let bearable = trouble.count(&error);
                match last.filter(|_| bearable) {
                    Some(last) => (State::Known(last), trouble.pause()),
                    None => (State::Unknown(error), RETRY.0),
                }
            }
        };
        self.state.store(Arc::new(state));
        self.changed.send_replace(());
        pause
    }

    fn is_known(&self) -> bool {
        matches!(**self.state.load(), State::Known(_))
    }
}

impl Trouble {
    /// Counts one more failed look; whether the last good answer is to be used in spite of it.
    fn count(&mut self, error: &LookupError) -> bool {
        self.looks += 1;
        let since = *self.since.get_or_insert_with(Instant::now);
        match error {
            LookupError::Absent => {
                self.absences += 1;
                self.absences < ABSENCES
            }
            LookupError::Failed(_) => since.elapsed() < STALE_LIMIT,
        }
    }

    fn pause(&self) -> Duration {
        (RETRY.0 * 2_u32.saturating_pow(self.looks.saturating_sub(1).min(8))).min(RETRY.1)
    }
}

/// Early enough for the answer to be there before the old one expires, and not at the same moment in all pods.
fn refresh_after(ttl: Duration) -> Duration {
    ttl.clamp(FRESH.0, FRESH.1).mul_f64(0.7 + 0.15 * fastrand::f64())
}

async fn follow<T: Send + Sync + 'static>(shared: Weak<Shared<T>>) {
    let mut trouble = Trouble::default();
    let mut unused = Duration::ZERO;
    loop {
        let Some(this) = shared.upgrade() else { return };
        let begun = Instant::now();
        let looked = (this.look)().await;
        this.metrics.looked(&looked, begun.elapsed());
        let pause = this.take(looked, &mut trouble);
        // Whoever drops the upstream ends the task at its next turn.
        drop(this);
        sleep(pause).await;
        let Some(this) = shared.upgrade() else { return };
        if this.used.swap(false, Ordering::Relaxed) {
            unused = Duration::ZERO;
        } else {
            unused += pause;
        }
        if (unused >= REST_AFTER || !unused.is_zero() && !this.is_known()) && this.rest() {
            return;
        }
    }
}

impl<T> fmt::Debug for Followed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followed").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
