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

use super::limit::Largest;
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
const OVERLOADED: u8 = 3;

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
    limit: Option<Largest>,
    /// How long the client may send nothing while the app is ready for more; none for streams, whose client may be
    /// silent for as long as it likes.
    stall_limit: Option<Duration>,
    limiter: Arc<Limiter>,
    entry: Entry,
}

/// What a complete body needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A place, or the request is refused after all.
    Asked { low_priority: bool },
    /// Nothing: the app has been at work since the first message of a stream, and its end is no new work.
    Free,
}

impl Upload {
    /// Of a request that begins now with a body within `limit`.
    pub(crate) fn new(
        limiter: Arc<Limiter>,
        started: Instant,
        limit: Option<Largest>,
        stall_limit: Option<Duration>,
        entry: Entry,
    ) -> Arc<Self> {
        Arc::new(Self {
            verdict: AtomicU8::new(FINE),
            phase: AtomicU8::new(ARRIVING),
            started,
            took: AtomicU64::new(0),
            limit,
            stall_limit,
            limiter,
            entry,
        })
    }

    /// Why the body was cut off, if it was.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        match self.verdict.load(Ordering::Relaxed) {
            TOO_LARGE => self.limit.map(Largest::refusal),
            OVERLOADED => Some(Refusal::Overloaded),
            STALLED => Some(Refusal::BodyStalled { limit: self.stall_limit.unwrap_or_default() }),
            _ => None,
        }
    }

    /// The last byte is here: from now on the app works on it, and it counts as in flight. Slow clients therefore
    /// neither use the limit up nor make the app look slow. False where there is no place for it; the app must not get
    /// the end then.
    fn complete(&self) -> bool {
        let took = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.took.store(took, Ordering::Relaxed);
        match self.entry {
            Entry::Free => self.limiter.enter(),
            // Answered already: what is left of the body is nobody's work.
            Entry::Asked { .. } if self.phase.load(Ordering::Acquire) == CLOSED => return true,
            Entry::Asked { low_priority } => {
                if !self.limiter.try_enter(low_priority) {
                    return false;
                }
            }
        }
        if self.phase.compare_exchange(ARRIVING, COUNTED, Ordering::AcqRel, Ordering::Acquire).is_err() {
            self.limiter.leave();
        }
        true
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
            if frame.is_none() && !self.complete() {
                return self.cut_off(OVERLOADED);
            }
            return Poll::Ready(frame);
        };
        if let Some(data) = frame.data_ref() {
            self.seen += data.len() as u64;
            if self.upload.limit.is_some_and(|limit| self.seen > limit.bytes) {
                return self.cut_off(TOO_LARGE);
            }
        }
        if let Some(trailers) = frame.trailers_mut() {
            self.protected.strip(trailers);
        }
        if ended && !self.complete() {
            return self.cut_off(OVERLOADED);
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

    fn complete(&mut self) -> bool {
        std::mem::replace(&mut self.complete, true) || self.upload.complete()
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::gauge::Gauge;

    use super::*;

    fn upload(limiter: &Arc<Limiter>, limit: Option<u64>) -> (Arc<Upload>, Watch) {
        let limit = limit.map(|bytes| Largest { bytes, policy: None });
        let entry = Entry::Asked { low_priority: false };
        let upload =
            Upload::new(Arc::clone(limiter), Instant::now(), limit, Some(Duration::from_secs(60)), entry);
        let watch = Watch::new(Arc::clone(&upload), Arc::new(Protected::inside()));
        (upload, watch)
    }

    type Judged = Poll<Option<Result<Frame<Bytes>, Box<dyn std::error::Error + Send + Sync>>>>;

    fn data(watch: &mut Watch, text: &'static str, ended: bool) -> Judged {
        let mut context = Context::from_waker(std::task::Waker::noop());
        watch.judge(Poll::Ready(Some(Ok(Frame::data(text.into())))), ended, &mut context)
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_counts_from_its_last_byte_until_its_end_whichever_comes_first() {
        let limiter = Arc::new(Limiter::new(Instant::now(), Gauge::default()));
        let (request, mut body) = upload(&limiter, None);
        assert!(data(&mut body, "a", false).is_ready());
        assert_eq!(limiter.in_flight(), 0, "still the network's");
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(data(&mut body, "b", true).is_ready());
        assert_eq!(limiter.in_flight(), 1);
        let mut context = Context::from_waker(std::task::Waker::noop());
        let end: Judged = body.judge(Poll::Ready(None), true, &mut context);
        assert!(matches!(end, Poll::Ready(None)));
        assert_eq!(limiter.in_flight(), 1, "the end is counted once");
        assert_eq!(request.close(), Some(Instant::now()), "measured from the last byte");
        assert_eq!(limiter.in_flight(), 0);
        // The answer came before the end of the body: never counted, nor left over.
        let (request, mut body) = upload(&limiter, None);
        assert_eq!(request.close(), None);
        assert!(data(&mut body, "c", true).is_ready());
        assert_eq!(limiter.in_flight(), 0);
    }

    /// All were admitted while nobody worked yet; only so many get to the app.
    #[tokio::test(start_paused = true)]
    async fn bodies_that_are_complete_at_once_do_not_exceed_the_limit() {
        let limiter = Arc::new(Limiter::new(Instant::now(), Gauge::default()));
        let mut first = Vec::new();
        while limiter.admits(false, Instant::now()) {
            let (request, mut body) = upload(&limiter, None);
            assert!(matches!(data(&mut body, "a", true), Poll::Ready(Some(Ok(_)))));
            first.push(request);
        }
        let limit = limiter.in_flight();
        for last in ["a frame", "the end"] {
            let (request, mut body) = upload(&limiter, None);
            let mut context = Context::from_waker(std::task::Waker::noop());
            let judged = match last {
                "a frame" => data(&mut body, "a", true),
                _ => body.judge(Poll::Ready(None), true, &mut context),
            };
            assert!(matches!(judged, Poll::Ready(Some(Err(_)))), "{last} reached the app");
            assert!(matches!(request.refusal(), Some(Refusal::Overloaded)));
            assert_eq!(request.close(), None);
        }
        assert_eq!(limiter.in_flight(), limit);
        // A stream's end is no new work.
        let entry = Entry::Free;
        let stream = Upload::new(Arc::clone(&limiter), Instant::now(), None, None, entry);
        let mut body = Watch::new(Arc::clone(&stream), Arc::new(Protected::inside()));
        assert!(matches!(data(&mut body, "a", true), Poll::Ready(Some(Ok(_)))));
        assert!(stream.close().is_some());
        first.pop().unwrap().close();
        let (_request, mut body) = upload(&limiter, None);
        assert!(matches!(data(&mut body, "a", true), Poll::Ready(Some(Ok(_)))), "there is a place again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_cut_off_at_the_byte_that_is_too_much_and_after_the_silence_that_is_too_long() {
        let limiter = Arc::new(Limiter::new(Instant::now(), Gauge::default()));
        let (request, mut body) = upload(&limiter, Some(3));
        assert!(matches!(data(&mut body, "abc", false), Poll::Ready(Some(Ok(_)))));
        assert!(request.refusal().is_none());
        assert!(matches!(data(&mut body, "d", false), Poll::Ready(Some(Err(_)))));
        assert!(matches!(request.refusal(), Some(Refusal::BodyTooLarge { limit: 3, .. })));
        let (request, mut body) = upload(&limiter, None);
        let start = Instant::now();
        let silence = std::future::poll_fn(|cx| {
            let judged: Judged = body.judge(Poll::Pending, false, cx);
            judged
        });
        assert!(matches!(silence.await, Some(Err(_))));
        assert_eq!(start.elapsed().as_secs(), 60);
        assert!(matches!(request.refusal(), Some(Refusal::BodyStalled { .. })));
    }
}
