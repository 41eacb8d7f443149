//! Sends clients away while draining.
//!
//! `Connection: close` on a served response is the only way to move an HTTP/1.1 keep-alive client elsewhere without a
//! race: a connection that is closed while it idles may have the next request on it already. HTTP/2 has GOAWAY for it,
//! which `server` sends.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::Body;
use crate::drain::{Lifecycle, Phase};

#[derive(Debug, Clone)]
pub(super) struct FarewellLayer {
    lifecycle: Lifecycle,
}

impl FarewellLayer {
    pub(super) fn new(lifecycle: Lifecycle) -> Self {
        Self { lifecycle }
    }
}

impl<S> Layer<S> for FarewellLayer {
    type Service = Farewell<S>;

    fn layer(&self, inner: S) -> Farewell<S> {
        Farewell { inner, lifecycle: self.lifecycle.clone() }
    }
}

/// Adds `Connection: close` to responses once the lifecycle has left [`Phase::Serving`].
#[derive(Debug, Clone)]
pub(super) struct Farewell<S> {
    inner: S,
    lifecycle: Lifecycle,
}

impl<S, B> Service<Request<B>> for Farewell<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = FarewellFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let lifecycle = (request.version() < Version::HTTP_2).then(|| self.lifecycle.clone());
        FarewellFuture { inner: self.inner.call(request), lifecycle }
    }
}

pin_project! {
    /// Looks at the phase when the response is there, not when the request came.
    pub(super) struct FarewellFuture<F> {
        #[pin]
        inner: F,
        lifecycle: Option<Lifecycle>,
    }
}

impl<F, E> Future for FarewellFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut result = ready!(this.inner.poll(cx));
        if let Ok(response) = &mut result
            && response.status() != StatusCode::SWITCHING_PROTOCOLS
            && this.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.phase() > Phase::Serving)
        {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(result)
    }
}
