//! Compresses request bodies for callees that are known to take it.
//!
//! A callee says so with `Accept-Encoding` on an answer (RFC 7694), which is remembered for a while. Only bodies of a
//! known length above a threshold, of a type that compresses well, and only to GoodGoServices: what an external host gets
//! may be signed. Answers pass through as they are. Memory is constant: a chunk goes in, what the compressor lets go of
//! goes out.

use std::io::Write;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName,
};
use http::{HeaderMap, HeaderValue, Request};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use super::idle::Broken;
use crate::proxy::{Body, BodyError};

/// Smaller bodies fit into one packet anyway, in bytes.
const THRESHOLD: u64 = 1024;
/// How long a callee's word holds.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Digests of the bytes as they are sent (RFC 9530 and its predecessors): compressing would break them.
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("signature"),
];

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

    /// Learns from an answer that says something about it.
    pub(super) fn learn(&self, answer: &HeaderMap, now: Instant) {
        if answer.contains_key(ACCEPT_ENCODING) {
            let until = if takes_gzip(answer) { self.since(now + REMEMBERED) } else { 0 };
            self.until.store(until, Ordering::Relaxed);
        }
    }

    pub(super) fn forget(&self) {
        self.until.store(0, Ordering::Relaxed);
    }

    fn since(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.made).as_millis()).unwrap_or(u64::MAX)
    }
}

/// RFC 9110 12.5.3: gzip is listed, and not with a weight of zero.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip =
            parts.next().is_some_and(|c| c.eq_ignore_ascii_case("gzip") || c.eq_ignore_ascii_case("x-gzip"));
        let weight = parts.find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")));
        is_gzip && weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|weight| weight > 0.0))
    })
}

/// Whether compressing this body is worth it and allowed.
pub(super) fn is_worth_it(headers: &HeaderMap, size: &SizeHint) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    size.exact().is_some_and(|size| size > THRESHOLD)
        && text(CONTENT_TYPE).is_some_and(compresses_well)
        && !headers.contains_key(CONTENT_ENCODING)
        && !headers.contains_key(CONTENT_RANGE)
        && !DIGESTS.iter().any(|name| headers.contains_key(name))
        && !text(CACHE_CONTROL).is_some_and(|value| value.to_ascii_lowercase().contains("no-transform"))
}

fn compresses_well(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_one_of = |types: &[&str]| types.contains(&media_type.as_str());
    media_type.starts_with("text/")
        || media_type.ends_with("+json")
        || media_type.ends_with("+xml")
        || is_one_of(&[
            "application/json",
            "application/xml",
            "application/x-ndjson",
            "application/javascript",
            "application/graphql",
            "application/x-www-form-urlencoded",
            "image/svg+xml",
        ])
}

/// The same request with its body compressed.
pub(super) fn compress(mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().remove(CONTENT_LENGTH);
    request.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    request.map(|body| {
        let encoder = Some(GzEncoder::new(Vec::new(), Compression::fast()));
        Body::wrapped(Gzip { body, encoder, trailers: None })
    })
}

struct Gzip {
    body: Body,
    /// None once the end has been written.
    encoder: Option<GzEncoder<Vec<u8>>>,
    /// Kept until the rest of the data is out.
    trailers: Option<HeaderMap>,
}

impl Gzip {
    /// Takes `chunk` in, and gives what is ready to go out.
    fn feed(&mut self, chunk: &[u8]) -> Result<Option<Bytes>, BodyError> {
        let Some(encoder) = &mut self.encoder else { return Ok(None) };
        encoder.write_all(chunk).map_err(Broken::Compress)?;
        let ready = std::mem::take(encoder.get_mut());
        Ok((!ready.is_empty()).then(|| ready.into()))
    }

    fn finish(&mut self) -> Result<Option<Bytes>, BodyError> {
        let Some(encoder) = self.encoder.take() else { return Ok(None) };
        Ok(Some(encoder.finish().map_err(Broken::Compress)?.into()))
    }
}

impl HttpBody for Gzip {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        while this.encoder.is_some() {
            let ready = match ready!(Pin::new(&mut this.body).poll_frame(cx)?) {
                Some(frame) => match frame.into_data() {
                    Ok(chunk) => this.feed(&chunk)?,
                    Err(frame) => {
                        this.trailers = frame.into_trailers().ok();
                        this.finish()?
                    }
                },
                None => this.finish()?,
            };
            if let Some(bytes) = ready {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
        Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none() && self.trailers.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[tokio::test]
    async fn what_arrives_is_what_was_sent_and_memory_stays_small() {
        let line = "a line of text that repeats itself, again and again\n".repeat(700);
        let sent = line.repeat(200);
        let chunks: Vec<_> =
            (0..200).map(|_| Ok::<_, BodyError>(Frame::data(Bytes::from(line.clone())))).collect();
        let trailers = headers(&[("x-sum", "1")]);
        let frames = chunks.into_iter().chain([Ok(Frame::trailers(trailers.clone()))]);
        let body = Body::wrapped(StreamBody::new(futures::stream::iter(frames)));
        let request = compress(Request::post("/").header(CONTENT_LENGTH, "7").body(body).unwrap());
        assert_eq!(request.headers()[CONTENT_ENCODING], "gzip");
        assert!(!request.headers().contains_key(CONTENT_LENGTH));
        let (mut body, mut compressed) = (request.into_body(), Vec::new());
        loop {
            match body.frame().await.unwrap().unwrap().into_data() {
                Ok(chunk) => {
                    assert!(chunk.len() <= 2 * line.len(), "{} bytes at once", chunk.len());
                    compressed.extend_from_slice(&chunk);
                }
                Err(frame) => {
                    assert_eq!(frame.into_trailers().unwrap(), trailers);
                    break;
                }
            }
        }
        assert!(body.frame().await.is_none());
        let mut received = String::new();
        GzDecoder::new(compressed.as_slice()).read_to_string(&mut received).unwrap();
        assert!(received == sent && compressed.len() * 10 < sent.len());
    }

    #[test]
    fn a_callees_word_holds_for_a_while() {
        let start = Instant::now();
        let accepts = Accepts::new(start);
        assert!(!accepts.gzip(start), "nothing is known");
        accepts.learn(&headers(&[("accept-encoding", "br, GZIP;q=0.5")]), start);
        accepts.learn(&headers(&[("content-type", "text/plain")]), start);
        assert!(accepts.gzip(start + Duration::from_secs(599)));
        assert!(!accepts.gzip(start + Duration::from_secs(601)));
        accepts.learn(&headers(&[("accept-encoding", "gzip")]), start);
        accepts.forget();
        assert!(!accepts.gzip(start));
        for not in ["identity", "gzip;q=0", "gzip; q=0.0", "gzip;q=x", "br", ""] {
            accepts.learn(&headers(&[("accept-encoding", "gzip")]), start);
            accepts.learn(&headers(&[("accept-encoding", not)]), start);
            assert!(!accepts.gzip(start), "{not}");
        }
    }

    #[test]
    fn only_what_is_worth_it_and_allowed_is_compressed() {
        let json = ("content-type", "application/json; charset=utf-8");
        let large = SizeHint::with_exact(1025);
        assert!(is_worth_it(&headers(&[json]), &large));
        assert!(is_worth_it(&headers(&[("content-type", "application/problem+json")]), &large));
        assert!(!is_worth_it(&headers(&[json]), &SizeHint::with_exact(1024)));
        assert!(
            !is_worth_it(&headers(&[json]), &SizeHint::new()),
            "a stream may wait for each of its pieces"
        );
        for not in [
            &[("content-type", "image/png")][..],
            &[("content-type", "application/grpc")],
            &[],
            &[json, ("content-encoding", "br")],
            &[json, ("content-range", "bytes 0-1/2")],
            &[json, ("content-digest", "sha-256=:x:")],
            &[json, ("cache-control", "No-Transform")],
        ] {
            assert!(!is_worth_it(&headers(not), &large), "{not:?}");
        }
    }
}
