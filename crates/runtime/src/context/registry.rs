//! The requests being served, so that the calls that the app makes for them can continue them.
//!
//! The key is a secret of the pod: 128 bits from the system's generator, given to the app with the request and expected
//! back with its calls. Nothing that a client can choose finds anything here.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue};
use tokio_rustls::rustls::crypto::{SecureRandom, aws_lc_rs};

use super::trace::{hex, write_hex};
use super::{CONTEXT, Served};

/// How long a request is remembered after its answer's last byte: for calls that an app makes just after.
const GRACE: Duration = Duration::from_secs(1);
/// Most requests that are remembered in their grace, and bytes of what clients wrote into all that are remembered while
/// there is a grace. Beyond it the oldest are forgotten early, or a busy service would keep a second's worth of requests
/// that nobody asks for.
const MOST_IN_GRACE: usize = 4096;
const GRACE_BYTES: usize = 4 * 1024 * 1024;
/// Most requests that are remembered, and bytes of what clients wrote into them. More are served, and not remembered.
const MOST: usize = 65_536;
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// Keys that are drawn from the generator at once.
const DRAW: usize = 64;
const KEY_BYTES: usize = 16;

/// The requests being served.
#[derive(Debug)]
pub(crate) struct Registry {
    /// Without a call there is nobody who could continue a request, and nothing is remembered.
    has_calls: bool,
    state: Mutex<State>,
    random: &'static dyn SecureRandom,
}

#[derive(Default)]
struct State {
    served: HashMap<u128, Arc<Served>>,
    /// Answered ones, the oldest in front: when to forget which.
    ending: VecDeque<(Instant, u128)>,
    /// What clients wrote into `served`.
    bytes: usize,
    /// Random bytes that are not yet used.
    drawn: Vec<u8>,
}

impl std::fmt::Debug for State {
    /// Keys and credentials stay out of it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("served", &self.served.len()).finish_non_exhaustive()
    }
}

impl Registry {
    /// Of a pod with or without listeners for calls.
    pub(crate) fn new(has_calls: bool) -> Arc<Self> {
        let random = aws_lc_rs::default_provider().secure_random;
        Arc::new(Self { has_calls, state: Mutex::default(), random })
    }

    /// Remembers a request until [`Remembered`] is dropped, and some time after. None when there is nobody to ask for it,
    /// no room, or no randomness: then the app's calls continue nothing, which costs them their context and nobody a
    /// secret.
    pub(super) fn remember(self: &Arc<Self>, served: impl FnOnce() -> Served) -> Option<Remembered> {
        if !self.has_calls {
            return None;
        }
        let mut state = self.lock();
        state.forget(Instant::now());
        if state.served.len() >= MOST || state.bytes >= MOST_BYTES {
            return None;
        }
        let key = state.key(self.random)?;
        let served = Arc::new(served());
        state.bytes += served.size();
        state.served.insert(key, Arc::clone(&served));
        Some(Remembered { key, served, registry: Arc::downgrade(self) })
    }

    /// Takes the header of a call that says which request it belongs to. It goes no further.
    pub(crate) fn take(&self, headers: &mut HeaderMap) -> Option<Arc<Served>> {
        let value = headers.remove(CONTEXT)?;
        let key = hex(value.as_bytes(), 2 * KEY_BYTES)?;
        let mut state = self.lock();
        state.forget(Instant::now());
        state.served.get(&key).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Begins the grace of a request whose answer is complete.
    fn end(&mut self, key: u128, now: Instant) {
        self.ending.push_back((now + GRACE, key));
        while (self.ending.len() > MOST_IN_GRACE || self.bytes > GRACE_BYTES)
            && let Some((_, oldest)) = self.ending.pop_front()
        {
            self.remove(oldest);
        }
    }

    fn remove(&mut self, key: u128) {
        if let Some(served) = self.served.remove(&key) {
            self.bytes = self.bytes.saturating_sub(served.size());
        }
    }

    fn forget(&mut self, now: Instant) {
        while let Some((_, key)) = self.ending.pop_front_if(|(until, _)| *until <= now) {
            self.remove(key);
        }
    }

    fn key(&mut self, random: &dyn SecureRandom) -> Option<u128> {
        if self.drawn.len() < KEY_BYTES {
            let mut bytes = vec![0; DRAW * KEY_BYTES];
            if random.fill(&mut bytes).is_err() {
                tracing::error!("failed to draw random bytes; requests are served without a context");
                return None;
            }
            self.drawn = bytes;
        }
        let key = self.drawn.last_chunk::<KEY_BYTES>().copied().map(u128::from_le_bytes);
        self.drawn.truncate(self.drawn.len() - KEY_BYTES);
        key
    }
}

/// A request that is being served.
pub(crate) struct Remembered {
    key: u128,
    served: Arc<Served>,
    registry: Weak<Registry>,
}

impl Remembered {
    /// The head of the answer is there.
    pub(super) fn answered(&self) {
        self.served.answered.store(true, Ordering::Relaxed);
    }

    /// How many tries a call for it took at most; none when none was repeated.
    pub(super) fn tries(&self) -> Option<u32> {
        Some(self.served.tries.load(Ordering::Relaxed)).filter(|tries| *tries > 0)
    }

    /// Tells the app by which name to call.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        let mut text = [0; 2 * KEY_BYTES];
        write_hex(&mut text, self.key);
        if let Ok(mut value) = HeaderValue::from_bytes(&text) {
            value.set_sensitive(true);
            headers.insert(CONTEXT, value);
        }
    }
}

impl std::fmt::Debug for Remembered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Remembered")
    }
}

impl Drop for Remembered {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.lock().end(self.key, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(remembered: &Remembered) -> HeaderMap {
        let mut headers = HeaderMap::new();
        remembered.write(&mut headers);
        headers
    }

    #[test]
    fn a_request_is_found_until_some_time_after_its_end() {
        let registry = Registry::new(true);
        let remembered = registry.remember(Served::default).unwrap();
        let mut headers = header(&remembered);
        assert_eq!(headers[CONTEXT].len(), 32);
        assert!(registry.take(&mut headers.clone()).is_some());
        drop(remembered);
        assert!(registry.take(&mut headers.clone()).is_some(), "in its grace");
        registry.lock().forget(Instant::now() + GRACE);
        assert!(registry.take(&mut headers).is_none());
        assert!(!headers.contains_key(CONTEXT), "it must not travel on");
        assert!(registry.lock().served.is_empty());
    }

    #[test]
    fn nothing_else_finds_anything() {
        let registry = Registry::new(true);
        let remembered = registry.remember(Served::default).unwrap();
        let right = header(&remembered)[CONTEXT].to_str().unwrap().to_owned();
        let shorter = right.get(1..).unwrap();
        for wrong in ["", "0", shorter, &format!("{right}0"), &format!("+{shorter}"), "é"] {
            let mut headers =
                HeaderMap::from_iter([(CONTEXT, HeaderValue::from_bytes(wrong.as_bytes()).unwrap())]);
            assert!(registry.take(&mut headers).is_none(), "{wrong}");
        }
    }

    #[test]
    fn of_a_burst_the_last_ones_keep_their_grace() {
        let registry = Registry::new(true);
        let all: Vec<_> = (0..=MOST_IN_GRACE).map(|_| registry.remember(Served::default).unwrap()).collect();
        let mut headers: Vec<_> = all.iter().map(header).collect();
        let under_way = registry.remember(Served::default).unwrap();
        drop(all);
        assert!(registry.take(&mut headers[0]).is_none(), "the oldest");
        assert!(registry.take(&mut headers[1]).is_some());
        assert!(registry.take(&mut headers[MOST_IN_GRACE]).is_some());
        assert!(registry.take(&mut header(&under_way)).is_some(), "it is no part of the bound");
        assert_eq!(registry.lock().served.len(), MOST_IN_GRACE + 1);
    }

    #[test]
    fn what_clients_write_is_bounded_too() {
        let registry = Registry::new(true);
        let large = || Served {
            authorization: Some(HeaderValue::from_bytes(&[b'x'; 16 * 1024]).unwrap()),
            ..Served::default()
        };
        let all: Vec<_> = std::iter::from_fn(|| registry.remember(large)).take(MOST).collect();
        assert_eq!(all.len(), MOST_BYTES / (16 * 1024));
        drop(all);
        assert!(registry.lock().bytes <= GRACE_BYTES);
        registry.lock().forget(Instant::now() + GRACE);
        assert_eq!(registry.lock().bytes, 0);
        assert!(registry.remember(large).is_some());
    }

    #[test]
    fn without_calls_nothing_is_remembered() {
        assert!(Registry::new(false).remember(|| unreachable!("nothing is copied either")).is_none());
    }

    #[test]
    fn keys_do_not_repeat_and_their_number_is_bounded() {
        let registry = Registry::new(true);
        let all: Vec<_> = (0..MOST).map(|_| registry.remember(Served::default).unwrap()).collect();
        assert_eq!(all.iter().map(|one| one.key).collect::<std::collections::HashSet<_>>().len(), MOST);
        assert!(registry.remember(Served::default).is_none());
        drop(all);
        registry.lock().forget(Instant::now() + GRACE);
        assert!(registry.remember(Served::default).is_some());
    }
}
