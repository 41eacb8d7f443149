//! Counts requests: in flight until the response's last byte has been handed over, answered by class of status.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::Body;
use crate::metrics::{Guard, ListenerMetrics};

#[derive(Debug, Clone)]
pub(super) struct ObserveLayer {
    metrics: Arc<ListenerMetrics>,
}

impl ObserveLayer {
    pub(super) fn new(metrics: Arc<ListenerMetrics>) -> Self {
        Self { metrics }
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe { inner, metrics: Arc::clone(&self.metrics) }
    }
}

/// Keeps one listener's counters.
#[derive(Debug, Clone)]
pub(super) struct Observe<S> {
    inner: S,
    metrics: Arc<ListenerMetrics>,
}

impl<S, R> Service<R> for Observe<S>
where
    S: Service<R, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ObserveFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let in_flight = Some(self.metrics.request());
        ObserveFuture { inner: self.inner.call(request), metrics: Arc::clone(&self.metrics), in_flight }
    }
}

pin_project! {
    /// Hands the in-flight guard over to the response's body.
    pub(super) struct ObserveFuture<F> {
        #[pin]
        inner: F,
        metrics: Arc<ListenerMetrics>,
        in_flight: Option<Guard>,
    }
}

impl<F, E> Future for ObserveFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = match ready!(this.inner.poll(cx)) {
            Ok(response) => response,
            Err(error) => return Poll::Ready(Err(error)),
        };
        this.metrics.answered(response.status());
        Poll::Ready(Ok(match this.in_flight.take() {
            Some(guard) => response.map(|body| body.counted(guard)),
            None => response,
        }))
    }
}
