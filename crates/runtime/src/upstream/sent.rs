//! When the last of a request's body was handed over: the other end's time begins there, not where a slow client's does.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use crate::proxy::{Body, BodyError};

/// Tells when one request's body had ended.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    begun: Instant,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Microseconds after `begun`, and one; 0 until then.
    after: AtomicU64,
    /// The body has nothing to hand over at the moment.
    lacks: AtomicBool,
}

impl Sent {
    /// Watches the body of `request`; none where it has none, and nothing is to be waited for.
    pub(super) fn of(request: &mut Request<Body>) -> Option<Self> {
        if request.body().is_end_stream() {
            return None;
        }
        let sent = Self { begun: Instant::now(), shared: Arc::default() };
        let body = std::mem::take(request.body_mut());
        *request.body_mut() = Body::wrapped(Watched { body, sent: sent.clone() });
        Some(sent)
    }

    /// When it was, if it was.
    pub(super) fn ended(&self) -> Option<Instant> {
        let after = self.shared.after.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.begun + Duration::from_micros(after))
    }

    /// Whether the other end waits for the client: what it does not answer meanwhile is not its fault.
    pub(super) fn lacks_more(&self) -> bool {
        self.shared.lacks.load(Ordering::Relaxed)
    }

    fn note(&self) {
        let after = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        // The first end counts.
        let after = after.saturating_add(1);
        let _ = self.shared.after.compare_exchange(0, after, Ordering::Relaxed, Ordering::Relaxed);
    }
}

struct Watched {
    body: Body,
    sent: Sent,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.sent.shared.lacks.store(frame.is_pending(), Ordering::Relaxed);
        if matches!(frame, Poll::Ready(None)) || (frame.is_ready() && self.body.is_end_stream()) {
            self.sent.note();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
