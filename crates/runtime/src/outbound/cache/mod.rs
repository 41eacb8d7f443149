//! Answers to GET, kept in this pod (RFC 9111). Off unless a call asks for it.
//!
//! It is a *shared* cache by the RFC's meaning, as many users' requests pass it, and stricter than that: what the key
//! holds ([`key`]) keeps identities apart, and an answer to an authorized request is kept only when it permits that, for
//! that identity alone. Nothing is guessed (no heuristic freshness) and nothing stale is served. [`control`] reads the
//! directives, [`store`] holds the answers, [`record`] fills it while a body streams through.

mod control;
mod key;
mod record;
mod store;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use goodgo_runtime_config::Cache;
use http::header::{
    AGE, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, DATE, EXPIRES, HeaderName, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, SET_COOKIE, TRANSFER_ENCODING,
    UPGRADE, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Body as _;
use tokio::time::Instant;

use self::control::Directives;
use self::key::Key;
use self::record::Recorder;
pub(super) use self::store::Store;
use self::store::{Entry, Generation, Vary};
use crate::proxy::Body;

/// RFC 9211: what this cache did.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// Make a request one that is passed on as it is.
const BYPASS: [HeaderName; 7] =
    [RANGE, IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE, UPGRADE];

/// The part of the store that is one call's.
#[derive(Debug)]
pub(super) struct CallCache {
    store: Arc<Store>,
    lineage: u64,
    max_age: Duration,
}

/// What there is for a request.
pub(super) enum Looked {
    Hit(Box<Response<Body>>),
    Miss(Miss),
}

/// A request that is sent on, and what its answer will mean to the cache.
pub(super) struct Miss {
    store: Arc<Store>,
    /// RFC 9211 2.2: why it was sent on.
    forwarded: HeaderValue,
    then: Then,
}

enum Then {
    Nothing,
    /// The answer may be kept.
    Keep(Box<Keep>),
    /// Success makes what is kept for the path wrong.
    Invalidate(Generation),
}

struct Keep {
    key: Key,
    generation: Generation,
    /// For `Vary`.
    request: HeaderMap,
    sent: Instant,
    max_age: Duration,
}

impl CallCache {
    pub(super) fn new(settings: Cache, store: &Arc<Store>, lineage: u64) -> Self {
        let Cache { max_age_ms } = settings;
        Self { store: Arc::clone(store), lineage, max_age: Duration::from_millis(max_age_ms) }
    }

    pub(super) fn look_up(&self, request: &Request<Body>, now: Instant) -> Looked {
        let generation = || self.store.generation(self.lineage, request.uri().path());
        if *request.method() != Method::GET {
            let is_safe = matches!(*request.method(), Method::HEAD | Method::OPTIONS | Method::TRACE);
            let then = if is_safe { Then::Nothing } else { Then::Invalidate(generation()) };
            return self.miss("goodgo-runtime; fwd=method", then);
        }
        let directives = Directives::of(request.headers());
        let as_it_is = directives.no_store
            || !request.body().is_end_stream()
            || BYPASS.iter().any(|name| request.headers().contains_key(name));
        if as_it_is {
            return self.miss("goodgo-runtime; fwd=bypass", Then::Nothing);
        }
        let (key, generation) = (key::of(self.lineage, request), generation());
        let forwarded = if directives.no_cache {
            "goodgo-runtime; fwd=request"
        } else {
            match self.store.find(&key, request.headers()) {
                Ok(entry) if self.may_serve(&entry, &generation, directives, now) => {
                    return Looked::Hit(Box::new(entry.response(now)));
                }
                Ok(_) => "goodgo-runtime; fwd=stale",
                Err(store::Absent::Uri) => "goodgo-runtime; fwd=uri-miss",
                Err(store::Absent::Vary) => "goodgo-runtime; fwd=vary-miss",
            }
        };
        let keep =
            Keep { key, generation, request: request.headers().clone(), sent: now, max_age: self.max_age };
        self.miss(forwarded, Then::Keep(Box::new(keep)))
    }

    fn miss(&self, forwarded: &'static str, then: Then) -> Looked {
        let forwarded = HeaderValue::from_static(forwarded);
        Looked::Miss(Miss { store: Arc::clone(&self.store), forwarded, then })
    }

    fn may_serve(&self, entry: &Entry, generation: &Generation, asked: Directives, now: Instant) -> bool {
        let age = entry.age(now);
        entry.generation == *generation
            // The setting may have become stricter since.
            && now.saturating_duration_since(entry.stored) < self.max_age
            && age < entry.lifetime
            && asked.max_age.is_none_or(|max| age <= Duration::from_secs(max))
            && asked.min_fresh.is_none_or(|min| entry.lifetime - age >= Duration::from_secs(min))
    }
}

impl Miss {
    /// Whether it was looked for in the cache at all.
    pub(super) fn is_lookup(&self) -> bool {
        matches!(self.then, Then::Keep(_))
    }

    /// Takes the answer: keeps it, or drops what it makes wrong.
    pub(super) fn take(self, mut response: Response<Body>, now: Instant) -> Response<Body> {
        let Self { store, forwarded, then } = self;
        match then {
            Then::Nothing => {}
            // RFC 9111 4.4: a non-error response.
            Then::Invalidate(generation) => {
                if response.status().is_success() || response.status().is_redirection() {
                    store.invalidate(&generation);
                }
            }
            Then::Keep(keep) => {
                if let Some(entry) = keep.entry(&response, now, SystemTime::now()) {
                    let recorder = Recorder::new(store, keep.key, entry);
                    response = response.map(|body| recorder.listen(body));
                }
            }
        }
        response.headers_mut().append(CACHE_STATUS, forwarded);
        response
    }
}

impl Keep {
    /// The entry without its body; none when the answer must not be kept.
    fn entry(&self, response: &Response<Body>, now: Instant, clock: SystemTime) -> Option<Entry> {
        let headers = response.headers();
        let directives = Directives::of(headers);
        let permitted = response.status() == StatusCode::OK
            && !directives.no_store
            && !directives.no_cache
            && !directives.private
            && !headers.contains_key(SET_COOKIE)
            && !headers.contains_key(CONTENT_RANGE)
            // Where nothing else says where the body ends, a broken connection does.
            && (response.version() == Version::HTTP_2
                || headers.contains_key(CONTENT_LENGTH)
                || headers.contains_key(TRANSFER_ENCODING));
        // RFC 9111 3.5.
        let for_others = directives.public || directives.s_maxage.is_some() || directives.must_revalidate;
        if !permitted || (self.request.contains_key(AUTHORIZATION) && !for_others) {
            return None;
        }
        let vary = Vary::of(headers, &self.request)?;
        let lifetime = lifetime(directives, headers, clock)?;
        let initial_age = initial_age(headers, now.saturating_duration_since(self.sent), clock);
        if initial_age >= lifetime {
            return None;
        }
        let lifetime = lifetime.min(initial_age + self.max_age);
        Some(Entry::new(self.generation, headers.clone(), vary, now, initial_age, lifetime))
    }
}

/// RFC 9111 4.2.1, for a shared cache; none without an explicit one.
fn lifetime(directives: Directives, headers: &HeaderMap, clock: SystemTime) -> Option<Duration> {
    if let Some(seconds) = directives.s_maxage.or(directives.max_age) {
        return Some(Duration::from_secs(seconds));
    }
    let expires = headers.get(EXPIRES)?;
    // What is no date is in the past.
    let Some(expires) = date(expires) else { return Some(Duration::ZERO) };
    let from = headers.get(DATE).and_then(date).unwrap_or(clock);
    Some(expires.duration_since(from).unwrap_or_default())
}

/// RFC 9111 4.2.3: how old the answer was when it came, after a request that took `delay`.
fn initial_age(headers: &HeaderMap, delay: Duration, clock: SystemTime) -> Duration {
    let stated = headers.get(AGE).and_then(|value| value.to_str().ok()).and_then(control::seconds);
    let apparent = headers.get(DATE).and_then(date).and_then(|date| clock.duration_since(date).ok());
    // A date has whole seconds: an answer that was made just now is not older than its making took.
    let apparent = apparent.unwrap_or_default().saturating_sub(Duration::from_secs(1));
    apparent.max(Duration::from_secs(stated.unwrap_or(0)) + delay)
}

fn date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

impl Vary {
    /// Which of the request's headers the answer depends on; none when nobody can tell.
    fn of(response: &HeaderMap, request: &HeaderMap) -> Option<Self> {
        let mut names = Vec::new();
        for value in response.get_all(VARY) {
            for name in value.to_str().ok()?.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                // `*` is no name, and depends on everything.
                names.push(HeaderName::try_from(name).ok().filter(|name| *name != "*")?);
            }
        }
        Some(Self::with(names, request))
    }
}

#[cfg(test)]
mod tests;
