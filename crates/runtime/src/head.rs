//! A time limit for the head of an HTTP/1.1 request, from its first byte on.
//!
//! hyper has one limit for waiting and for the head together, and idle connections must be left open for minutes (who
//! closes first must be the client). So the bytes are watched here: [`Timed`] sees them come in, and [`Clocked`] tells it
//! when they were a whole head and when the answer to it is done. What a client that pipelines sends ahead of its turn is
//! not seen as a beginning; hyper's longer limit ends it.
//!
//! The same wrapper ends a connection whose client takes nothing of its answer for too long.
//!
//! HTTP/2 needs nothing of the kind: between the frames of a head no other frame may stand, so that a client that takes
//! too long answers no ping. Who takes nothing of an answer is seen in [`crate::stall`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::service::Service;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::metrics::Guard;
use crate::proxy::Body;
use crate::server::Bounds;

/// hyper is told of an error and closes without a word.
const TIMED_OUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Requests of one connection whose answer is not complete.
#[derive(Debug, Default)]
pub(crate) struct Busy(AtomicUsize);

impl Busy {
    fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    fn begin(self: &Arc<Self>) -> BusyGuard {
        self.0.fetch_add(1, Ordering::Relaxed);
        BusyGuard(Some(Arc::clone(self)))
    }
}

#[derive(Debug)]
struct BusyGuard(Option<Arc<Busy>>);

impl BusyGuard {
    /// The connection speaks another protocol from now on: there are no more heads.
    fn forever(mut self) {
        self.0 = None;
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        if let Some(busy) = &self.0 {
            busy.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A client's connection that ends when a head takes too long.
#[derive(Debug)]
pub(crate) struct Timed {
    stream: TcpStream,
    busy: Arc<Busy>,
    limit: Duration,
    /// When the first byte of a head came.
    since: Option<Instant>,
    /// There only once a head came in parts.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the last write left something over; then there is no room for a word of ours.
    blocked: bool,
    /// How long the client may take nothing of what is sent to it.
    stall_limit: Duration,
    /// There while it takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// What the connection occupies: also after it was switched to another protocol, which ends hyper's part in it.
    _held: Held,
}

/// What a connection occupies until it is closed: its listener's place, and its part in the gauge.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) _place: Option<OwnedSemaphorePermit>,
    pub(crate) _gauge: Guard,
}

impl Timed {
    pub(crate) fn new(stream: TcpStream, busy: Arc<Busy>, bounds: &Bounds, held: Held) -> Self {
        Self {
            stream,
            busy,
            limit: bounds.head,
            since: None,
            timer: None,
            blocked: false,
            stall_limit: bounds.body,
            stalled: None,
            _held: held,
        }
    }

    fn waiting(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(since) = self.since else { return Poll::Pending };
        let end = since + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        ready!(timer.as_mut().poll(cx));
        if !self.blocked {
            // The connection is over either way.
            let _ = self.stream.try_write(TIMED_OUT);
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Looks at what came of a write; ends the connection when its client has taken nothing for too long.
    fn wrote(
        &mut self,
        result: Poll<io::Result<usize>>,
        of: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.blocked = !matches!(result, Poll::Ready(Ok(length)) if length == of);
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let end = self.stall_limit;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(end)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Timed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let busy = this.busy.is();
        if busy {
            this.since = None;
            this.timer = None;
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Pending => this.waiting(cx),
            Poll::Ready(result) => {
                if !busy && this.since.is_none() && buffer.filled().len() > before {
                    this.since = Some(Instant::now());
                }
                Poll::Ready(result)
            }
        }
    }
}

impl AsyncWrite for Timed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(result, bytes.len(), cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(result, slices.iter().map(|slice| slice.len()).sum(), cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The connection's service: tells [`Timed`] when a request is being answered.
#[derive(Debug)]
pub(crate) struct Clocked<S> {
    inner: S,
    busy: Arc<Busy>,
}

impl<S> Clocked<S> {
    pub(crate) fn new(inner: S, busy: Arc<Busy>) -> Self {
        Self { inner, busy }
    }
}

impl<S> Service<Request<Incoming>> for Clocked<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>>,
{
    type Response = Response<ClockedBody>;
    type Error = S::Error;
    type Future = ClockedFuture<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let busy = Some(self.busy.begin());
        ClockedFuture { inner: self.inner.call(request), busy }
    }
}

pin_project! {
    /// Hands the guard over to the answer's body.
    pub(crate) struct ClockedFuture<F> {
        #[pin]
        inner: F,
        busy: Option<BusyGuard>,
    }
}

impl<F, E> Future for ClockedFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<ClockedBody>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let mut busy = this.busy.take();
        if response.status() == StatusCode::SWITCHING_PROTOCOLS
            && let Some(busy) = busy.take()
        {
            busy.forever();
        }
        Poll::Ready(Ok(response.map(|body| ClockedBody { body, _busy: busy })))
    }
}

/// An answer's body; the connection is busy until it is dropped.
#[derive(Debug)]
pub(crate) struct ClockedBody {
    body: Body,
    _busy: Option<BusyGuard>,
}

impl HttpBody for ClockedBody {
    type Data = Bytes;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
