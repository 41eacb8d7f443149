//! Compresses request bodies for callees that are known to take it.
//!
//! A callee says so with `Accept-Encoding` on an answer (RFC 7694), which is remembered for a while. Only bodies of a
//! known length above a threshold, and only to GoodGoServices: what an external host gets may be signed. The length goes
//! with them, so that the callee's runtime can give its app the request as it was.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::{Body as _, SizeHint};
use tokio::time::Instant;

use crate::gzip::{self, DECODED_LENGTH, GZIP, When};
use crate::proxy::Body;

/// How long a callee's word holds.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Whether a callee takes gzip, as far as is known.
#[derive(Debug)]
pub(super) struct Accepts {
    made: Instant,
    /// Until when, in milliseconds after `made`; 0 is unknown.
    until: AtomicU64,
}

impl Accepts {
    pub(super) fn new(now: Instant) -> Self {
        Self { made: now, until: AtomicU64::new(0) }
    }

    pub(super) fn gzip(&self, now: Instant) -> bool {
        self.since(now) < self.until.load(Ordering::Relaxed)
    }

    /// Learns from an answer. What a runtime says is for the runtime, and taken off: an app that encoded its requests
    /// itself would have them reach an app that has promised nothing. Who says nothing takes nothing: of the callee's pods
    /// some may have no runtime yet, or none any more.
    pub(super) fn learn(&self, answer: &mut HeaderMap, now: Instant) {
        let runtimes = answer.get(ACCEPT_ENCODING).is_some_and(|said| said == GZIP);
        let until = if gzip::is_taken(answer) { self.since(now + REMEMBERED) } else { 0 };
        self.until.store(until, Ordering::Relaxed);
        if runtimes {
            answer.remove(ACCEPT_ENCODING);
        }
    }

    pub(super) fn forget(&self) {
        self.until.store(0, Ordering::Relaxed);
    }

    fn since(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.made).as_millis()).unwrap_or(u64::MAX)
    }
}

/// Whether compressing this body is worth it and allowed.
pub(super) fn is_worth_it(headers: &HeaderMap, size: &SizeHint) -> bool {
    size.exact().is_some_and(|size| size > gzip::THRESHOLD && size <= gzip::LARGEST)
        && gzip::is_worth_it(headers)
}

/// Whether an answer to a compressed request is that of an app that could not read it: it came from a pod without a
/// runtime, or from one that has changed its mind.
pub(super) fn was_not_read(answer: &Response<Body>) -> bool {
    match answer.status() {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => true,
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => !gzip::is_taken(answer.headers()),
        _ => false,
    }
}

/// The same request with its body compressed; as it is while too many bodies are being compressed.
pub(super) fn compress(mut request: Request<Body>) -> Request<Body> {
    let Some(place) = gzip::Place::take() else { return request };
    let length = request.body().size_hint().exact();
    let headers = request.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_ENCODING, GZIP);
    if let Some(length) = length {
        headers.insert(DECODED_LENGTH, HeaderValue::from(length));
    }
    request.map(|body| gzip::encoded(body, When::Full, place))
}

#[cfg(test)]
mod tests {
    use http::header::HeaderName;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn a_callees_word_holds_for_a_while() {
        let start = Instant::now();
        let accepts = Accepts::new(start);
        let learn = |pair, now| {
            let mut answer = headers(&[pair]);
            accepts.learn(&mut answer, now);
            answer.contains_key("accept-encoding")
        };
        assert!(!accepts.gzip(start), "nothing is known");
        assert!(learn(("accept-encoding", "br, GZIP;q=0.5"), start), "an app's word is for apps too");
        assert!(accepts.gzip(start + Duration::from_secs(599)));
        assert!(!accepts.gzip(start + Duration::from_secs(601)));
        learn(("content-type", "text/plain"), start);
        assert!(!accepts.gzip(start), "a pod that says nothing takes nothing");
        assert!(!learn(("accept-encoding", "gzip"), start), "a runtime's is not");
        accepts.forget();
        assert!(!accepts.gzip(start));
        for not in ["identity", "gzip;q=0", "br", ""] {
            learn(("accept-encoding", "gzip"), start);
            learn(("accept-encoding", not), start);
            assert!(!accepts.gzip(start), "{not}");
        }
    }

    #[test]
    fn only_bodies_of_a_known_and_sensible_length_are_compressed() {
        let json = headers(&[("content-type", "application/json")]);
        let exact = SizeHint::with_exact;
        assert!(is_worth_it(&json, &exact(1025)));
        assert!(!is_worth_it(&json, &exact(1024)));
        assert!(is_worth_it(&json, &exact(gzip::LARGEST)));
        assert!(!is_worth_it(&json, &exact(gzip::LARGEST + 1)), "it would not be decoded");
        assert!(!is_worth_it(&json, &SizeHint::new()), "a stream may wait for each of its pieces");
        assert!(!is_worth_it(&HeaderMap::new(), &exact(1025)));
    }

    #[test]
    fn a_refusal_of_a_pod_without_a_runtime_is_not_the_last_word() {
        let answer = |status: u16, accepts: bool| {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::from_u16(status).unwrap();
            if accepts {
                answer.headers_mut().insert(ACCEPT_ENCODING, GZIP);
            }
            was_not_read(&answer)
        };
        for status in [400, 415, 422] {
            assert!(answer(status, false), "{status}");
        }
        assert!(!answer(400, true) && !answer(422, true), "its runtime had decoded it");
        assert!(answer(415, true), "it has changed its mind");
        assert!(!answer(404, false) && !answer(200, false) && !answer(500, false));
    }

    #[test]
    fn a_compressed_request_says_how_long_it_was() {
        let request = Request::post("/").header(CONTENT_LENGTH, "5").body(Body::whole("hello")).unwrap();
        let request = compress(request);
        assert_eq!(request.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(request.headers()[DECODED_LENGTH], "5");
        assert!(!request.headers().contains_key(CONTENT_LENGTH));
    }
}
