//! A request's body that can be sent more than once.
//!
//! It streams through while it is remembered, so that the first try is not delayed; what grows beyond the limit is
//! forgotten and can't be sent again. A repetition sends what is remembered and then goes on where the try before it
//! stopped reading: a callee that refused a connection has cost no byte of the body.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::idle::Broken;
use crate::proxy::{Body, BodyError};

/// Largest body that is remembered, in bytes.
pub(super) const LIMIT: usize = 64 * 1024;

/// Hands out the body, once per try.
#[derive(Debug)]
pub(super) struct Replay {
    shared: Arc<Mutex<Shared>>,
    size: SizeHint,
}

#[derive(Debug)]
struct Shared {
    source: Body,
    /// What has been read of `source` so far, unless it is too much.
    chunks: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    length: usize,
    /// Nothing is left in `source`.
    ended: bool,
    /// It failed, or is longer than [`LIMIT`].
    lost: bool,
    /// Number of the try that may read.
    turn: u32,
    /// Waits for more of it: superseded, it must be told, or it keeps its connection until the callee closes that.
    reader: Option<Waker>,
}

impl Replay {
    pub(super) fn new(source: Body) -> Self {
        let size = source.size_hint();
        let shared = Shared {
            ended: source.is_end_stream(),
            source,
            chunks: Vec::new(),
            trailers: None,
            length: 0,
            lost: size.lower() > LIMIT as u64,
            turn: 0,
            reader: None,
        };
        Self { shared: Arc::new(Mutex::new(shared)), size }
    }

    /// The body for the next try; the one before it, should it still be read, fails.
    pub(super) fn next(&self) -> Body {
        let mut shared = lock(&self.shared);
        shared.turn += 1;
        if let Some(reader) = shared.reader.take() {
            reader.wake();
        }
        if shared.ended && shared.length == 0 && shared.trailers.is_none() {
            return Body::empty();
        }
        let turn = shared.turn;
        let (shared, size) = (Arc::clone(&self.shared), self.size);
        Body::wrapped(Try { shared, size, turn, read: 0, done: false })
    }

    /// Whether another try can have all of it.
    pub(super) fn can_repeat(&self) -> bool {
        !lock(&self.shared).lost
    }

    /// All of it, where it has been read to its end.
    pub(super) fn whole(&self) -> Option<Bytes> {
        let shared = lock(&self.shared);
        if !shared.ended || shared.lost {
            return None;
        }
        if let [only] = shared.chunks.as_slice() {
            return Some(only.clone());
        }
        let mut whole = BytesMut::with_capacity(shared.length);
        shared.chunks.iter().for_each(|chunk| whole.extend_from_slice(chunk));
        Some(whole.freeze())
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Reads on, and remembers.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.source).poll_frame(cx) else { return Poll::Pending };
        match &frame {
            Some(Ok(frame)) => {
                if let Some(chunk) = frame.data_ref() {
                    self.remember(chunk);
                } else {
                    self.trailers = frame.trailers_ref().cloned();
                }
                self.ended = self.source.is_end_stream();
            }
            Some(Err(_)) => self.lost = true,
            None => self.ended = true,
        }
        Poll::Ready(frame)
    }

    fn remember(&mut self, chunk: &Bytes) {
        self.length = self.length.saturating_add(chunk.len());
        if self.length > LIMIT {
            self.lost = true;
            self.chunks = Vec::new();
        }
        if !self.lost {
            self.chunks.push(chunk.clone());
        }
    }
}

/// The body as one try sees it.
#[derive(Debug)]
struct Try {
    shared: Arc<Mutex<Shared>>,
    size: SizeHint,
    turn: u32,
    /// How many of the remembered chunks it has had.
    read: usize,
    /// It has had everything.
    done: bool,
}

impl HttpBody for Try {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let mut shared = lock(&this.shared);
        if shared.turn != this.turn {
            return Poll::Ready(Some(Err(Broken::Superseded.into())));
        }
        if this.done {
            return Poll::Ready(None);
        }
        if let Some(chunk) = shared.chunks.get(this.read) {
            this.read += 1;
            this.done = shared.ended && shared.trailers.is_none() && this.read == shared.chunks.len();
            return Poll::Ready(Some(Ok(Frame::data(chunk.clone()))));
        }
        if shared.ended {
            this.done = true;
            return Poll::Ready(shared.trailers.clone().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        let Poll::Ready(frame) = shared.poll_source(cx) else {
            shared.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        this.read = shared.chunks.len();
        this.done = shared.ended || frame.is_none();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.done
    }

    fn size_hint(&self) -> SizeHint {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use http_body_util::{BodyExt, Full, StreamBody};

    use super::*;

    fn streamed(frames: Vec<Frame<Bytes>>) -> Replay {
        let frames = futures::stream::iter(frames.into_iter().map(Ok::<_, BodyError>));
        Replay::new(Body::wrapped(StreamBody::new(frames)))
    }

    fn data(text: &'static str) -> Frame<Bytes> {
        Frame::data(Bytes::from_static(text.as_bytes()))
    }

    async fn text(body: Body) -> String {
        String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn every_try_gets_all_of_it_wherever_the_one_before_stopped() {
        let replay = streamed(vec![data("one "), data("two "), data("three")]);
        for stop in 0..3 {
            let mut body = replay.next();
            for _ in 0..stop {
                body.frame().now_or_never().unwrap().unwrap().unwrap();
            }
            assert!(replay.can_repeat());
        }
        assert_eq!(replay.whole(), None, "it has not been read to its end");
        assert_eq!(text(replay.next()).await, "one two three");
        assert_eq!(replay.whole().unwrap(), "one two three");
        assert_eq!(text(replay.next()).await, "one two three");
    }

    #[tokio::test]
    async fn trailers_are_repeated_too() {
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "1".parse().unwrap())]);
        let replay = streamed(vec![data("a"), Frame::trailers(trailers.clone())]);
        for _ in 0..2 {
            let collected = replay.next().collect().await.unwrap();
            assert_eq!(collected.trailers(), Some(&trailers));
            assert_eq!(collected.to_bytes(), "a");
        }
    }

    #[tokio::test]
    async fn what_is_too_long_streams_through_and_is_not_kept() {
        let chunk = || Frame::data(Bytes::from(vec![b'x'; 40 * 1024]));
        let replay = streamed(vec![chunk(), chunk(), chunk()]);
        let mut body = replay.next();
        body.frame().await.unwrap().unwrap();
        assert!(replay.can_repeat());
        body.frame().await.unwrap().unwrap();
        assert!(!replay.can_repeat());
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), 40 * 1024);
        assert!(lock(&replay.shared).chunks.is_empty());
        assert_eq!(replay.whole(), None);
        let announced = Full::new(Bytes::from(vec![0; LIMIT + 1])).map_err(|never| match never {});
        assert!(!Replay::new(Body::wrapped(announced)).can_repeat(), "its length was known");
    }

    #[tokio::test]
    async fn an_old_try_can_read_no_more() {
        let replay = streamed(vec![data("a"), data("b")]);
        let mut old = replay.next();
        old.frame().await.unwrap().unwrap();
        let new = replay.next();
        let broken = old.frame().await.unwrap().unwrap_err();
        assert!(matches!(broken.downcast_ref(), Some(Broken::Superseded)));
        assert_eq!(text(new).await, "ab");
    }

    #[tokio::test]
    async fn an_old_try_that_waits_for_more_is_told() {
        let (_pieces, source) = futures::channel::mpsc::unbounded::<Result<Frame<Bytes>, BodyError>>();
        let replay = Replay::new(Body::wrapped(StreamBody::new(source)));
        let mut old = replay.next();
        let waiting = tokio::spawn(async move { old.frame().await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        let _new = replay.next();
        let told = tokio::time::timeout(std::time::Duration::from_secs(30), waiting).await;
        let broken = told.expect("it waits for ever").unwrap().unwrap().unwrap_err();
        assert!(matches!(broken.downcast_ref(), Some(Broken::Superseded)));
    }

    #[tokio::test]
    async fn nothing_stays_nothing() {
        let replay = Replay::new(Body::empty());
        assert!(replay.next().is_end_stream());
        assert_eq!(replay.whole().unwrap(), "");
    }
}
