//! A request's body on its way to the app: it may not be too large, nor stop in the middle, nor smuggle headers in as
//! trailers. While it is arriving, the request is not yet the app's work: see [`Upload::complete`].

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Frame;
use tokio::time::{Instant, Sleep, sleep};

use super::limit::Limiter;
use super::refusal::Refusal;
use crate::identity::headers::Protected;

/// Why a body was cut off; the request's own future tells the client.
#[derive(Debug, thiserror::Error)]
#[error("the request's body was cut off")]
pub(crate) struct CutOff;

const FINE: u8 = 0;
const TOO_LARGE: u8 = 1;
const STALLED: u8 = 2;

const ARRIVING: u8 = 0;
const COUNTED: u8 = 1;
const CLOSED: u8 = 2;

/// What the body tells the request's future, which lives elsewhere (hyper reads bodies on the connection's task).
#[derive(Debug)]
pub(crate) struct Upload {
    verdict: AtomicU8,
    phase: AtomicU8,
    started: Instant,
    /// Microseconds from `started` to the last byte.
    took: AtomicU64,
    limit: u64,
    /// How long the client may send nothing while the app is ready for more; none for streams, whose client may be
    /// silent for as long as it likes.
    stall_limit: Option<Duration>,
    limiter: Arc<Limiter>,
}

impl Upload {
    /// Of a request that begins now with a body of at most `limit` bytes.
    pub(crate) fn new(
        limiter: Arc<Limiter>,
        started: Instant,
        limit: Option<u64>,
        stall_limit: Option<Duration>,
    ) -> Arc<Self> {
        Arc::new(Self {
            verdict: AtomicU8::new(FINE),
            phase: AtomicU8::new(ARRIVING),
            started,
            took: AtomicU64::new(0),
            limit: limit.unwrap_or(u64::MAX),
            stall_limit,
            limiter,
        })
    }

    /// Why the body was cut off, if it was.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        match self.verdict.load(Ordering::Relaxed) {
            TOO_LARGE => Some(Refusal::BodyTooLarge { limit: self.limit }),
            STALLED => Some(Refusal::BodyStalled { limit: self.stall_limit.unwrap_or_default() }),
            _ => None,
        }
    }

    /// The last byte is here: from now on the app works on it, and it counts as in flight. Slow clients therefore
    /// neither use the limit up nor make the app look slow.
    fn complete(&self) {
        let took = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.took.store(took, Ordering::Relaxed);
        self.limiter.enter();
        if self.phase.compare_exchange(ARRIVING, COUNTED, Ordering::AcqRel, Ordering::Acquire).is_err() {
            self.limiter.leave();
        }
    }

    /// The request is over. Returns when the app had all of it; none when it never had.
    pub(crate) fn close(&self) -> Option<Instant> {
        (self.phase.swap(CLOSED, Ordering::AcqRel) == COUNTED).then(|| {
            self.limiter.leave();
            self.started + Duration::from_micros(self.took.load(Ordering::Relaxed))
        })
    }
}

/// Looks at the frames of one body.
#[derive(Debug)]
pub(crate) struct Watch {
    upload: Arc<Upload>,
    seen: u64,
    /// There only while the client keeps us waiting.
    stall: Option<Pin<Box<Sleep>>>,
    protected: Arc<Protected>,
    complete: bool,
}

impl Watch {
    pub(crate) fn new(upload: Arc<Upload>, protected: Arc<Protected>) -> Self {
        Self { upload, seen: 0, stall: None, protected, complete: false }
    }

    /// Judges what the body's source said. `ended`: this was the last frame.
    pub(crate) fn judge<E>(
        &mut self,
        frame: Poll<Option<Result<Frame<Bytes>, E>>>,
        ended: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, E>>>
    where
        E: From<CutOff>,
    {
        let Poll::Ready(frame) = frame else { return self.waiting(cx) };
        self.stall = None;
        let Some(Ok(mut frame)) = frame else {
            if frame.is_none() {
                self.complete();
            }
            return Poll::Ready(frame);
        };
        if let Some(data) = frame.data_ref() {
            self.seen += data.len() as u64;
            if self.seen > self.upload.limit {
                return self.cut_off(TOO_LARGE);
            }
        }
        if let Some(trailers) = frame.trailers_mut() {
            self.protected.strip(trailers);
        }
        if ended {
            self.complete();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn waiting<E: From<CutOff>>(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        let Some(limit) = self.upload.stall_limit else { return Poll::Pending };
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(limit)));
        if stall.as_mut().poll(cx).is_ready() {
            return self.cut_off(STALLED);
        }
        Poll::Pending
    }

    fn cut_off<E: From<CutOff>>(&mut self, verdict: u8) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        self.upload.verdict.store(verdict, Ordering::Relaxed);
        Poll::Ready(Some(Err(CutOff.into())))
    }

    fn complete(&mut self) {
        if !std::mem::replace(&mut self.complete, true) {
            self.upload.complete();
        }
    }
}
