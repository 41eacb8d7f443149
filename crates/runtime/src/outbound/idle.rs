//! The idle timeout: a stream on which nothing goes either way is ended, however long it may take otherwise.
//!
//! Both directions of a call share one [`Activity`]. Every frame notes the time, which costs one atomic store; a timer is
//! set only while somebody waits, and looks at the note when it fires. What waits because the reader of this side is slow
//! is not idle: there are bytes, and they are handed over first.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::proxy::{Body, BodyError};

/// Why a body of a call broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// Nothing went either way for that long.
    #[error("failed to go on: no byte in either direction for {} ms", .0.as_millis())]
    Idle(Duration),
    /// Another try has taken over.
    #[error("failed to go on: the request is being sent again")]
    Superseded,
}

/// When a byte last went either way.
#[derive(Debug, Clone)]
pub(crate) struct Activity {
    limit: Duration,
    begun: Instant,
    /// Microseconds after `begun`.
    last: Arc<AtomicU64>,
}

impl Activity {
    pub(super) fn new(limit: Duration, now: Instant) -> Self {
        Self { limit, begun: now, last: Arc::default() }
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    pub(super) fn note(&self) {
        let since = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last.store(since, Ordering::Relaxed);
    }

    /// When the silence is too long, unless something happens.
    pub(super) fn ends(&self) -> Instant {
        self.begun + Duration::from_micros(self.last.load(Ordering::Relaxed)) + self.limit
    }

    /// Resolves once the silence was too long.
    pub(crate) async fn silence(&self) {
        while Instant::now() < self.ends() {
            sleep_until(self.ends()).await;
        }
    }

    /// A request's body that notes what goes out.
    pub(super) fn noting(&self, body: Body) -> Body {
        if body.is_end_stream() {
            return body;
        }
        Body::wrapped(Watched { body, activity: self.clone(), timer: None, ends: false })
    }

    /// An answer's body that notes what comes in, and breaks off after too long a silence.
    pub(super) fn ending(&self, body: Body) -> Body {
        if body.is_end_stream() {
            return body;
        }
        Body::wrapped(Watched { body, activity: self.clone(), timer: None, ends: true })
    }

    /// One end of an upgraded connection.
    pub(crate) fn of<T>(&self, stream: T) -> Noting<T> {
        Noting { stream, activity: self.clone() }
    }
}

struct Watched {
    body: Body,
    activity: Activity,
    timer: Option<Pin<Box<Sleep>>>,
    ends: bool,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.activity.note();
            return Poll::Ready(frame);
        }
        if !this.ends {
            return Poll::Pending;
        }
        loop {
            let ends = this.activity.ends();
            let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(ends)));
            ready!(timer.as_mut().poll(cx));
            if ends <= Instant::now() {
                return Poll::Ready(Some(Err(Broken::Idle(this.activity.limit).into())));
            }
            timer.as_mut().reset(ends);
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that notes what is read from it. What is written was read from the other one.
#[derive(Debug)]
pub(crate) struct Noting<T> {
    stream: T,
    activity: Activity,
}

impl<T: AsyncRead + Unpin> AsyncRead for Noting<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        self.activity.note();
        Poll::Ready(read)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Noting<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};
    use tokio::time::advance;

    use super::*;

    /// A body that sends a byte after each of `pauses` (milliseconds) and then nothing, for ever.
    fn ticking(pauses: &'static [u64]) -> Body {
        let (bytes, body) = futures::channel::mpsc::unbounded();
        tokio::spawn(async move {
            for pause in pauses {
                tokio::time::sleep(Duration::from_millis(*pause)).await;
                bytes.unbounded_send(Ok::<_, BodyError>(Frame::data(Bytes::from_static(b".")))).unwrap();
            }
            std::future::pending::<()>().await;
        });
        Body::wrapped(StreamBody::new(body))
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_stream_and_life_on_either_side_keeps_it() {
        let start = Instant::now();
        let activity = Activity::new(Duration::from_millis(100), start);
        let mut body = activity.ending(ticking(&[90, 90, 90]));
        for _ in 0..3 {
            body.frame().await.unwrap().unwrap();
        }
        let other_side = activity.clone();
        tokio::spawn(async move {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_millis(60)).await;
                other_side.note();
            }
        });
        let broken = body.frame().await.unwrap().unwrap_err();
        assert!(matches!(broken.downcast_ref(), Some(Broken::Idle(_))), "{broken}");
        let lived = start.elapsed().as_millis();
        assert!((670..=672).contains(&lived), "270 + 5 · 60 + 100, not {lived}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_there_is_handed_over_however_late_it_is_asked_for() {
        let activity = Activity::new(Duration::from_millis(100), Instant::now());
        let mut body = activity.ending(Body::whole("late"));
        advance(Duration::from_secs(10)).await;
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "late");
    }
}
