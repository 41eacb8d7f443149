//! Ends an HTTP/2 stream whose client takes nothing of its answer.
//!
//! HTTP/1.1 has a connection for each answer, and its writes stall ([`crate::head`]). Here a client that reads nothing still
//! answers pings, and hyper asks the answer's body for no more: the body alone can't know. So the body says when a piece
//! was handed over and when the next one was asked for, and the stream's task looks at that. Dropped, it resets its stream,
//! and what the answer occupied at the app is free.
//!
//! Pieces that hyper has taken over wait in its own memory, at most [`crate::server::HTTP2_SEND_BUFFER`] of a stream.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::rt::Executor;
use hyper::service::Service;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::proxy::Body;

/// Since when one stream's client has a piece to take.
#[derive(Debug)]
struct Progress {
    begun: Instant,
    /// Microseconds after `begun`, and one; 0 while it is the app that is waited for.
    handed_over: AtomicU64,
}

impl Progress {
    fn new() -> Arc<Self> {
        Arc::new(Self { begun: Instant::now(), handed_over: AtomicU64::new(0) })
    }

    fn note(&self, waits_for_client: bool) {
        let after = || u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX).saturating_add(1);
        self.handed_over.store(if waits_for_client { after() } else { 0 }, Ordering::Relaxed);
    }

    fn since(&self) -> Option<Instant> {
        let after = self.handed_over.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.begun + Duration::from_micros(after))
    }
}

/// The streams of one connection: hyper calls the service for a stream and then spawns what it made of it, one after the
/// other.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    limit: Duration,
    next: Arc<Mutex<Option<Arc<Progress>>>>,
}

impl Streams {
    /// With `limit` for a client to take the next bytes.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, next: Arc::default() }
    }

    /// The connection's service, whose answers tell how far they are.
    pub(crate) fn serving<S>(&self, inner: S) -> Telling<S> {
        Telling { inner, streams: self.clone() }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let progress = self.next.lock().unwrap_or_else(PoisonError::into_inner).take();
        match progress {
            Some(progress) => {
                drop(tokio::spawn(Guarded { stream, progress, limit: self.limit, timer: None }))
            }
            None => drop(tokio::spawn(stream)),
        }
    }
}

/// See [`Streams::serving`].
#[derive(Debug)]
pub(crate) struct Telling<S> {
    inner: S,
    streams: Streams,
}

impl<S> Service<Request<Incoming>> for Telling<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>>,
{
    type Response = Response<ToldBody>;
    type Error = S::Error;
    type Future = TellingFuture<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let progress = Progress::new();
        *self.streams.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&progress));
        TellingFuture { inner: self.inner.call(request), progress: Some(progress) }
    }
}

pin_project! {
    /// Hands the progress over to the answer's body.
    pub(crate) struct TellingFuture<F> {
        #[pin]
        inner: F,
        progress: Option<Arc<Progress>>,
    }
}

impl<F, E> Future for TellingFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<ToldBody>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let progress = this.progress.take();
        Poll::Ready(Ok(response.map(|body| ToldBody { body, progress })))
    }
}

/// An answer's body that tells when it was asked for and when it gave.
#[derive(Debug)]
pub(crate) struct ToldBody {
    body: Body,
    progress: Option<Arc<Progress>>,
}

impl HttpBody for ToldBody {
    type Data = Bytes;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(progress) = &self.progress {
            progress.note(frame.is_ready());
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

pin_project! {
    /// A stream's task, ended when its client has taken nothing for too long.
    struct Guarded<F> {
        #[pin]
        stream: F,
        progress: Arc<Progress>,
        limit: Duration,
        // There only while it is the client that is waited for.
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future<Output = ()>> Future for Guarded<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.stream.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let Some(since) = this.progress.since() else {
                *this.timer = None;
                return Poll::Pending;
            };
            let ends = since + *this.limit;
            let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(ends)));
            if timer.deadline() < ends {
                timer.as_mut().reset(ends);
            }
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= ends {
                tracing::debug!("the client of a stream takes nothing of its answer");
                return Poll::Ready(());
            }
        }
    }
}
