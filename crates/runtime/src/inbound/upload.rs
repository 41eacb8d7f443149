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

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::gauge::Gauge;

    use super::*;

    fn upload(limiter: &Arc<Limiter>, limit: Option<u64>) -> (Arc<Upload>, Watch) {
        let upload = Upload::new(Arc::clone(limiter), Instant::now(), limit, Some(Duration::from_secs(60)));
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

    #[tokio::test(start_paused = true)]
    async fn a_body_is_cut_off_at_the_byte_that_is_too_much_and_after_the_silence_that_is_too_long() {
        let limiter = Arc::new(Limiter::new(Instant::now(), Gauge::default()));
        let (request, mut body) = upload(&limiter, Some(3));
        assert!(matches!(data(&mut body, "abc", false), Poll::Ready(Some(Ok(_)))));
        assert!(request.refusal().is_none());
        assert!(matches!(data(&mut body, "d", false), Poll::Ready(Some(Err(_)))));
        assert!(matches!(request.refusal(), Some(Refusal::BodyTooLarge { limit: 3 })));
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
