//! gzip on the service port ([`crate::gzip`]): the app's answers are encoded for who takes that, and requests that another
//! runtime encoded are decoded, so that the app gets what its caller's app sent. Runtimes are told that this is so.
//!
//! Not on the gateway port: there the gateway does it, as the route says.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::header::{ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, VARY};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Body as _;
use pin_project_lite::pin_project;
use tower::Service;

use crate::gzip::{self, DECODED_LENGTH, GZIP, When};
use crate::proxy::Body;
use crate::proxy::deadline::TIMEOUT_MS;

/// How many bytes the body of a request has decoded, where another runtime encoded it.
pub(super) fn decoded_length(headers: &HeaderMap) -> Option<u64> {
    if headers.get(CONTENT_ENCODING)? != GZIP {
        return None;
    }
    headers.get(DECODED_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The request as it was before it was encoded: `length` bytes.
pub(super) fn decode(request: &mut Request<Body>, length: u64) {
    let headers = request.headers_mut();
    headers.remove(CONTENT_ENCODING);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    let body = std::mem::take(request.body_mut());
    *request.body_mut() = gzip::decoded(body, length);
}

/// Encodes answers.
#[derive(Debug, Clone)]
pub(crate) struct Encode<S> {
    inner: S,
}

impl<S> Encode<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S> Service<Request<Body>> for Encode<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = EncodeFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let client = Client::of(&request);
        EncodeFuture { inner: self.inner.call(request), client }
    }
}

/// What a request says of who sent it.
#[derive(Debug, Clone, Copy)]
struct Client {
    takes_gzip: bool,
    /// Answers to HEAD have no body to be encoded.
    asks_for_body: bool,
    /// Only runtimes say how much time they have left.
    is_runtime: bool,
}

impl Client {
    fn of(request: &Request<Body>) -> Self {
        let headers = request.headers();
        Self {
            takes_gzip: gzip::is_taken(headers),
            asks_for_body: request.method() != Method::HEAD,
            is_runtime: headers.contains_key(TIMEOUT_MS),
        }
    }

    fn tell(self, mut response: Response<Body>) -> Response<Body> {
        let headers = response.headers_mut();
        // Where the app itself says what it takes, that holds.
        if self.is_runtime && !headers.contains_key(ACCEPT_ENCODING) {
            headers.insert(ACCEPT_ENCODING, GZIP);
        }
        if !self.asks_for_body || !is_worth_it(&response) {
            return response;
        }
        vary(response.headers_mut());
        match self.takes_gzip.then(gzip::Place::take).flatten() {
            Some(place) => encode(response, place),
            None => response,
        }
    }
}

/// Whether the answer may be encoded, and is long enough or may become so.
fn is_worth_it(response: &Response<Body>) -> bool {
    let body = response.body();
    let status = response.status();
    !body.is_end_stream()
        && body.size_hint().exact().is_none_or(|size| size > gzip::THRESHOLD)
        && !status.is_informational()
        && !matches!(status, StatusCode::NO_CONTENT | StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED)
        && gzip::is_worth_it(response.headers())
}

/// A cache must not give it to those who do not take it (RFC 9110 12.5.5).
fn vary(headers: &mut HeaderMap) {
    let is_said = headers.get_all(VARY).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|name| name.trim() == "*" || name.trim().eq_ignore_ascii_case("accept-encoding"))
    });
    if !is_said {
        headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    }
}

fn encode(mut response: Response<Body>, place: gzip::Place) -> Response<Body> {
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    // Ranges of the encoded body would be asked of an app that does not know it.
    headers.remove(ACCEPT_RANGES);
    headers.insert(CONTENT_ENCODING, GZIP);
    // RFC 9110 8.8.1: the bytes are others now; what they mean is the same.
    if let Some(weak) = headers.get(ETAG).and_then(weak) {
        headers.insert(ETAG, weak);
    }
    response.map(|body| {
        // Of an unknown length, it may be a stream in which each piece is waited for.
        let when = if body.size_hint().exact().is_some() { When::Full } else { When::Quiet };
        gzip::encoded(body, when, place)
    })
}

/// The weak form of a strong entity tag.
fn weak(tag: &HeaderValue) -> Option<HeaderValue> {
    let tag = tag.as_bytes();
    if tag.starts_with(b"W/") { None } else { HeaderValue::from_bytes(&[b"W/", tag].concat()).ok() }
}

pin_project! {
    /// Encodes the answer, where that is worth it.
    pub(crate) struct EncodeFuture<F> {
        #[pin]
        inner: F,
        client: Client,
    }
}

impl<F, E> Future for EncodeFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let client = *this.client;
        Poll::Ready(ready!(this.inner.poll(cx)).map(|response| client.tell(response)))
    }
}

#[cfg(test)]
mod tests {
    use http::header::HeaderName;

    use super::*;

    fn told(client: Client, response: http::response::Builder, body: Body) -> HeaderMap {
        client.tell(response.body(body).unwrap()).into_parts().0.headers
    }

    const CLIENT: Client = Client { takes_gzip: true, asks_for_body: true, is_runtime: false };

    fn json(status: u16) -> http::response::Builder {
        Response::builder().status(status).header("content-type", "application/json")
    }

    fn large() -> Body {
        Body::whole(vec![b'1'; 2000])
    }

    #[test]
    fn an_encoded_answer_says_all_that_caches_and_clients_must_know() {
        let answer = json(200)
            .header("content-length", "2000")
            .header("etag", "\"1\"")
            .header("accept-ranges", "bytes")
            .header("vary", "origin");
        let headers = told(CLIENT, answer, large());
        assert_eq!(headers["content-encoding"], "gzip");
        assert_eq!(headers["etag"], "W/\"1\"");
        assert!(!headers.contains_key("content-length") && !headers.contains_key("accept-ranges"));
        let vary: Vec<_> = headers.get_all("vary").iter().collect();
        assert_eq!(vary, ["origin", "accept-encoding"]);
        let plain = Client { takes_gzip: false, ..CLIENT };
        let headers = told(plain, json(200).header("etag", "\"1\""), large());
        assert_eq!(
            (&headers["etag"], &headers["vary"]),
            (&"\"1\"".parse().unwrap(), &"accept-encoding".parse().unwrap())
        );
        assert!(!headers.contains_key("content-encoding"));
        let headers =
            told(CLIENT, json(200).header("vary", "Accept-Encoding").header("etag", "W/\"1\""), large());
        assert_eq!(
            (headers.get_all("vary").iter().count(), &headers["etag"]),
            (1, &"W/\"1\"".parse().unwrap())
        );
    }

    #[test]
    fn what_has_no_body_of_its_own_or_a_small_one_stays_as_it_is() {
        for (what, status, body, client) in [
            ("small", 200, Body::whole("[]"), CLIENT),
            ("empty", 200, Body::empty(), CLIENT),
            ("a part", 206, large(), CLIENT),
            ("not modified", 304, large(), CLIENT),
            ("HEAD", 200, large(), Client { asks_for_body: false, ..CLIENT }),
        ] {
            let headers = told(client, json(status), body);
            assert!(!headers.contains_key("content-encoding") && !headers.contains_key("vary"), "{what}");
        }
        let headers = told(CLIENT, json(500), large());
        assert_eq!(headers["content-encoding"], "gzip", "an error may be long too");
    }

    #[test]
    fn clients_that_read_slowly_cannot_have_any_number_of_encoders() {
        let encode = || CLIENT.tell(json(200).body(large()).unwrap());
        let unread: Vec<_> = (0..100).map(|_| encode()).collect();
        let encoded = |answer: &Response<Body>| answer.headers().contains_key("content-encoding");
        let many = unread.iter().filter(|answer| encoded(answer)).count();
        assert!((1..=64).contains(&many), "{many}");
        assert!(unread.iter().all(|answer| answer.headers().contains_key("vary")));
        drop(unread);
        assert!(encoded(&encode()), "there is room again");
    }

    #[test]
    fn runtimes_are_told_unless_the_app_says_what_it_takes() {
        let runtime = Client { is_runtime: true, ..CLIENT };
        assert_eq!(told(runtime, json(200), Body::empty())["accept-encoding"], "gzip");
        assert_eq!(
            told(runtime, json(200).header("accept-encoding", "br"), Body::empty())["accept-encoding"],
            "br"
        );
        assert!(!told(CLIENT, json(200), Body::empty()).contains_key("accept-encoding"));
    }

    #[test]
    fn only_what_a_runtime_encoded_is_decoded() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            decoded_length(
                &pairs
                    .iter()
                    .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)))
                    .collect(),
            )
        };
        let (gzip, length) = (("content-encoding", "gzip"), ("x-goodgo-decoded-length", "12"));
        assert_eq!(of(&[gzip, length]), Some(12));
        for not in [
            &[gzip][..],
            &[length],
            &[("content-encoding", "br"), length],
            &[gzip, ("x-goodgo-decoded-length", "-1")],
        ] {
            assert_eq!(of(not), None, "{not:?}");
        }
    }
}
