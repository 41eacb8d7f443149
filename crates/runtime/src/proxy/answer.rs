//! Answers failures: above this layer nothing fails.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::{Body, Failure};
use crate::metrics::ListenerMetrics;

#[derive(Debug, Clone)]
pub(super) struct AnswerLayer {
    metrics: Arc<ListenerMetrics>,
}

impl AnswerLayer {
    pub(super) fn new(metrics: Arc<ListenerMetrics>) -> Self {
        Self { metrics }
    }
}

impl<S> Layer<S> for AnswerLayer {
    type Service = Answer<S>;

    fn layer(&self, inner: S) -> Answer<S> {
        Answer { inner, metrics: Arc::clone(&self.metrics) }
    }
}

/// Turns a [`Failure`] into its problem response, counts and logs it.
#[derive(Debug, Clone)]
pub(super) struct Answer<S> {
    inner: S,
    metrics: Arc<ListenerMetrics>,
}

impl<S, R> Service<R> for Answer<S>
where
    S: Service<R, Response = Response<Body>, Error = Failure>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = AnswerFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The inner services are always ready; a failure would come back from the call.
        let _ = self.inner.poll_ready(cx);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        AnswerFuture { inner: self.inner.call(request), metrics: Arc::clone(&self.metrics) }
    }
}

pin_project! {
    /// Resolves to the inner response, or to the problem.
    pub(super) struct AnswerFuture<F> {
        #[pin]
        inner: F,
        metrics: Arc<ListenerMetrics>,
    }
}

impl<F: Future<Output = Result<Response<Body>, Failure>>> Future for AnswerFuture<F> {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        Poll::Ready(Ok(match ready!(this.inner.poll(cx)) {
            Ok(response) => response,
            Err(failure) => {
                this.metrics.problem(&failure);
                tracing::warn!(listener = this.metrics.name(), reason = failure.reason(), %failure, "request failed");
                failure.response()
            }
        }))
    }
}
