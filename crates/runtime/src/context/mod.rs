//! What belongs to one request of a user on its way through many services.
//!
//! [`Serve`] is the last layer before the app: it remembers the request and gives it a name, `x-goodgo-context`.
//! [`Outgoing`] is where the app's calls come by: one that carries the name continues that request.
//!
//! | | to the app | to a callee of the platform | to anybody else |
//! | --- | --- | --- | --- |
//! | `x-goodgo-context` | made anew where the pod has calls | – | – |
//! | `x-correlation-id` | the client's if sane, else made | the request's, else the app's, else made | – |
//! | `traceparent` | continued, or begun where traces are on | the app's, else the request's | – |
//! | `tracestate`, `baggage` | as they came | the app's, else the request's | – |
//! | deadline, priority | as they came | the shorter, the lower | – |
//! | `x-goodgo-retried` (answers) | – | the most tries of a call made for it, when the answer is a failure | – |
//! | `Authorization` | as it came | the app's, else the request's where the call says so | the app's |
//!
//! The user's credentials are found by the context alone: its 128 random bits are known to this pod only, whereas a
//! correlation id is chosen by clients.

pub(crate) mod correlation;
mod outgoing;
mod registry;
mod serve;
pub(crate) mod trace;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

pub(crate) use self::outgoing::OutgoingLayer;
pub(crate) use self::registry::{Registry, Remembered};
pub(crate) use self::serve::{Serve, ServeLayer};
use self::trace::{BAGGAGE, TRACEPARENT, TRACESTATE};
use crate::identity::headers::PRIORITY;
use crate::proxy::deadline::Deadline;

/// Names the request being served, inside the pod alone.
pub(crate) const CONTEXT: HeaderName = HeaderName::from_static("x-goodgo-context");
/// Names the work of one user's request in every log of every service.
pub(crate) const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// What is remembered of a request being served. Its credentials stay out of `Debug`.
#[derive(Default)]
pub(crate) struct Served {
    authorization: Option<HeaderValue>,
    /// For the head of the answer; see [`Served::deadline`].
    deadline: Option<Deadline>,
    /// The head is out: what the app does now has the time that it takes (a stream, say).
    answered: AtomicBool,
    low_priority: bool,
    correlation_id: Option<HeaderValue>,
    traceparent: Option<HeaderValue>,
    tracestate: Option<HeaderValue>,
    baggage: Option<HeaderValue>,
    /// Most tries that one of its calls took; 0 while none was repeated.
    tries: AtomicU32,
}

impl Served {
    /// When the answer's head must be there; none once it is.
    fn deadline(&self) -> Option<Deadline> {
        self.deadline.filter(|_| !self.answered.load(Ordering::Relaxed))
    }

    /// Bytes that its client chose.
    fn size(&self) -> usize {
        let values =
            [&self.authorization, &self.correlation_id, &self.traceparent, &self.tracestate, &self.baggage];
        values.into_iter().flatten().map(HeaderValue::len).sum()
    }

    /// Notes that a call for this request was repeated: then whoever sent the request repeats nothing.
    fn repeated(&self, tries: u32) {
        self.tries.fetch_max(tries, Ordering::Relaxed);
    }

    /// Puts a call into the request's trace unless the app has put it into one itself.
    pub(crate) fn continue_trace(&self, headers: &mut HeaderMap) {
        if !headers.contains_key(TRACEPARENT)
            && let Some(traceparent) = &self.traceparent
        {
            headers.insert(TRACEPARENT, traceparent.clone());
            put(headers, TRACESTATE, self.tracestate.as_ref());
        }
        if !headers.contains_key(BAGGAGE) {
            put(headers, BAGGAGE, self.baggage.as_ref());
        }
    }
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served").field("correlation_id", &self.correlation_id).finish_non_exhaustive()
    }
}

/// Sets the header, or removes it when there is no value.
fn put(headers: &mut HeaderMap, name: HeaderName, value: Option<&HeaderValue>) {
    match value {
        Some(value) => headers.insert(name, value.clone()),
        None => headers.remove(name),
    };
}

/// Whether the headers ask for low priority.
fn is_low(headers: &HeaderMap) -> bool {
    headers.get(PRIORITY).is_some_and(|value| value == "low")
}
