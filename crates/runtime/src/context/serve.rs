//! Serve: the app gets the request with a name by which its calls continue it, and a failed answer says whether calls for it
//! were repeated.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::trace::{BAGGAGE, TRACEPARENT, TRACESTATE, joined};
use super::{CONTEXT, CORRELATION_ID, Registry, Remembered, Served, correlation, is_low, put};
use crate::identity::headers::CALLER;
use crate::metrics::Seen;
use crate::outbound::RETRIED;
use crate::proxy::Body;
use crate::proxy::deadline::Deadline;

#[derive(Debug, Clone)]
pub(crate) struct ServeLayer {
    registry: Arc<Registry>,
}

impl ServeLayer {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self { registry }
    }
}

impl<S> Layer<S> for ServeLayer {
    type Service = Serve<S>;

    fn layer(&self, inner: S) -> Serve<S> {
        Serve { inner, registry: Arc::clone(&self.registry) }
    }
}

/// Remembers each request until its answer's last byte.
#[derive(Debug, Clone)]
pub(crate) struct Serve<S> {
    inner: S,
    registry: Arc<Registry>,
}

impl<S, B> Service<Request<B>> for Serve<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ServeFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if let Some(seen) = request.extensions().get::<Seen>()
            && let Some(caller) = request.headers().get(CALLER).and_then(|caller| caller.to_str().ok())
        {
            seen.peer(caller);
        }
        let deadline = request.extensions().get::<Deadline>().copied();
        let headers = request.headers_mut();
        headers.remove(CONTEXT);
        let correlation_id = correlation::sane(headers).cloned().or_else(correlation::made);
        put(headers, CORRELATION_ID, correlation_id.as_ref());
        let remembered = self.registry.remember(|| Served {
            authorization: single(headers),
            deadline,
            low_priority: is_low(headers),
            correlation_id: correlation_id.as_ref().map(copied),
            traceparent: headers.get(TRACEPARENT).map(copied),
            tracestate: joined(headers, &TRACESTATE).filter(up_to(512)).as_ref().map(copied),
            baggage: joined(headers, &BAGGAGE).filter(up_to(8192)).as_ref().map(copied),
            ..Served::default()
        });
        if let Some(remembered) = &remembered {
            remembered.write(headers);
        }
        ServeFuture { inner: self.inner.call(request), remembered }
    }
}

/// What W3C Trace Context (3.3.1.5) and Baggage (3.3.2) want carried on; who sends more can't have it remembered.
fn up_to(bytes: usize) -> impl Fn(&HeaderValue) -> bool {
    move |value| value.len() <= bytes
}

/// The request's `Authorization`, if there is exactly one.
fn single(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (all.next()?, all.next()) else { return None };
    let mut value = copied(value);
    value.set_sensitive(true);
    Some(value)
}

/// The value in memory of its own. A clone would keep the connection's whole read buffer for as long as the request is
/// remembered: kilobytes for a few bytes.
fn copied(value: &HeaderValue) -> HeaderValue {
    HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone())
}

pin_project! {
    /// Hands what is remembered over to the answer's body.
    pub(crate) struct ServeFuture<F> {
        #[pin]
        inner: F,
        remembered: Option<Remembered>,
    }
}

impl<F, E> Future for ServeFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        // An app that shows what it got must not show this.
        response.headers_mut().remove(CONTEXT);
        let remembered = this.remembered.take();
        if let Some(remembered) = &remembered {
            remembered.answered();
        }
        // A failure that was repeated below is not to be repeated above as well: tries would multiply.
        if response.status().is_server_error()
            && let Some(tries) = remembered.as_ref().and_then(Remembered::tries)
        {
            response.headers_mut().insert(RETRIED, tries.into());
        }
        Poll::Ready(Ok(response.map(|body| body.serving(remembered))))
    }
}
