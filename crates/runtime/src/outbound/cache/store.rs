//! Holds the answers of all calls of the pod, bounded by bytes.
//!
//! An answer is wrong as soon as its path was written to, whoever reads it, so each path has a generation: an answer
//! carries the one from before its request was sent, and serves only while it is the current one. That covers the GET
//! that was under way during the write, too. Paths share generations by hash: a collision costs a hit, never more.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AGE, HeaderName};
use http::{HeaderMap, HeaderValue, Response};
use moka::sync::Cache;
use tokio::time::Instant;

use super::CACHE_STATUS;
use super::key::Key;
use crate::proxy::Body;

/// All answers together, in bytes.
const CAPACITY: u64 = 8 * 1024 * 1024;
/// Answers of one key that differ by `Vary`.
const MAX_VARIANTS: usize = 8;
const GENERATIONS: u64 = 1024;
/// What an entry takes beside its bytes, about.
const OVERHEAD: usize = 256;

/// The answers of all calls.
pub(in super::super) struct Store {
    answers: Cache<Key, Arc<[Arc<Entry>]>>,
    generations: Vec<AtomicU64>,
}

/// What a path's answers are numbered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Generation {
    slot: u64,
    number: u64,
}

/// Why nothing was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Absent {
    Uri,
    Vary,
}

/// Values of the request's headers that an answer depends on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Vary(Vec<(HeaderName, Vec<HeaderValue>)>);

impl Vary {
    pub(super) fn with(names: Vec<HeaderName>, request: &HeaderMap) -> Self {
        let value = |name: HeaderName| {
            let values = request.get_all(&name).into_iter().cloned().collect();
            (name, values)
        };
        Self(names.into_iter().map(value).collect())
    }

    fn matches(&self, request: &HeaderMap) -> bool {
        self.0.iter().all(|(name, values)| request.get_all(name).into_iter().eq(values))
    }
}

/// One answer.
pub(super) struct Entry {
    pub(super) generation: Generation,
    pub(super) stored: Instant,
    /// How long it is fresh, counted from when it was made.
    pub(super) lifetime: Duration,
    initial_age: Duration,
    vary: Vary,
    headers: HeaderMap,
    body: Bytes,
}

impl Entry {
    /// An answer whose body is still to come.
    pub(super) fn new(
        generation: Generation,
        mut headers: HeaderMap,
        vary: Vary,
        stored: Instant,
        initial_age: Duration,
        lifetime: Duration,
    ) -> Self {
        headers.remove(CACHE_STATUS);
        Self { generation, stored, lifetime, initial_age, vary, headers, body: Bytes::new() }
    }

    pub(super) fn with_body(self, body: Bytes) -> Self {
        Self { body, ..self }
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        self.initial_age + now.saturating_duration_since(self.stored)
    }

    /// The answer as of `now`.
    pub(super) fn response(&self, now: Instant) -> Response<Body> {
        let age = self.age(now);
        let body = if self.body.is_empty() { Body::empty() } else { Body::whole(self.body.clone()) };
        let mut response = Response::new(body);
        *response.headers_mut() = self.headers.clone();
        response.headers_mut().insert(AGE, HeaderValue::from(age.as_secs()));
        let left = self.lifetime.saturating_sub(age).as_secs();
        if let Ok(status) = HeaderValue::try_from(format!("goodgo-runtime; hit; ttl={left}")) {
            response.headers_mut().append(CACHE_STATUS, status);
        }
        response
    }

    fn bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(n, v)| n.as_str().len() + v.len() + 64).sum();
        headers + self.body.len() + OVERHEAD
    }
}

impl Store {
    pub(in super::super) fn new() -> Self {
        let answers = Cache::builder()
            .max_capacity(CAPACITY)
            .weigher(|key: &Key, variants: &Arc<[Arc<Entry>]>| {
                let bytes = key.len() + variants.iter().map(|entry| entry.bytes()).sum::<usize>();
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .build();
        Self { answers, generations: (0..GENERATIONS).map(|_| AtomicU64::new(0)).collect() }
    }

    /// The variant of the answer for these request headers, fresh or not.
    pub(super) fn find(&self, key: &Key, request: &HeaderMap) -> Result<Arc<Entry>, Absent> {
        let variants = self.answers.get(key).ok_or(Absent::Uri)?;
        variants.iter().find(|entry| entry.vary.matches(request)).map(Arc::clone).ok_or(Absent::Vary)
    }

    /// Keeps `entry` in the place of what it replaces.
    pub(super) fn insert(&self, key: Key, entry: Entry) {
        let known = self.answers.get(&key);
        let others = known.iter().flat_map(|variants| variants.iter());
        let others = others.filter(|other| other.vary != entry.vary).take(MAX_VARIANTS - 1).map(Arc::clone);
        // Newest first, so that the oldest is the one that goes.
        let variants: Vec<_> = others.collect();
        let variants: Arc<[_]> = std::iter::once(Arc::new(entry)).chain(variants).collect();
        self.answers.insert(key, variants);
    }

    pub(super) fn generation(&self, lineage: u64, path: &str) -> Generation {
        let mut hasher = DefaultHasher::new();
        (lineage, path).hash(&mut hasher);
        let slot = hasher.finish() % GENERATIONS;
        Generation { slot, number: self.counter(slot).map_or(0, |counter| counter.load(Ordering::Acquire)) }
    }

    /// Everything from before is wrong.
    pub(super) fn invalidate(&self, generation: &Generation) {
        if let Some(counter) = self.counter(generation.slot) {
            counter.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn counter(&self, slot: u64) -> Option<&AtomicU64> {
        self.generations.get(usize::try_from(slot).ok()?)
    }

    /// Bytes that are held, once all is settled.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.answers.run_pending_tasks();
        self.answers.weighted_size()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The keys hold credentials, and the answers what they protect.
        f.debug_struct("Store").field("answers", &self.answers.entry_count()).finish_non_exhaustive()
    }
}
