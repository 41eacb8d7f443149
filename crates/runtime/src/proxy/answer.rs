//! Answers failures: above this layer nothing fails.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use http::{HeaderValue, Request, Response, Version};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::{Body, Failure, grpc};
use crate::metrics::{ListenerMetrics, Own};

/// One listener logs at most one failed request in this time: a callee that is down fails thousands a second, and the
/// metrics count them all.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub(super) struct AnswerLayer {
    metrics: Arc<ListenerMetrics>,
    /// Whether clients are from outside the cluster.
    outside: bool,
}

impl AnswerLayer {
    pub(super) fn new(metrics: Arc<ListenerMetrics>, outside: bool) -> Self {
        Self { metrics, outside }
    }
}

impl<S> Layer<S> for AnswerLayer {
    type Service = Answer<S>;

    fn layer(&self, inner: S) -> Answer<S> {
        Answer { inner, metrics: Arc::clone(&self.metrics), outside: self.outside, log: Arc::default() }
    }
}

/// Turns a [`Failure`] into its problem response, counts and logs it.
#[derive(Debug, Clone)]
pub(super) struct Answer<S> {
    inner: S,
    metrics: Arc<ListenerMetrics>,
    outside: bool,
    log: Arc<LogLimit>,
}

/// When the last failure was logged, and how many have not been since.
#[derive(Debug, Default)]
struct LogLimit(Mutex<(Option<Instant>, u64)>);

impl LogLimit {
    /// How many went unlogged before this one, or none when this one is not to be logged either.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, unlogged) = &mut *state;
        if last.is_some_and(|last| now.duration_since(last) < LOG_INTERVAL) {
            *unlogged += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(unlogged))
    }
}

impl<S, B> Service<Request<B>> for Answer<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Failure>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = AnswerFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The inner services are always ready; a failure would come back from the call.
        let _ = self.inner.poll_ready(cx);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // Over HTTP/1.1 there is no gRPC: whoever says so there, such as in a question that a gateway asks with its
        // client's headers, would get 200 for a refusal.
        let http2 = request.version() == Version::HTTP_2;
        let grpc = http2.then(|| grpc::content_type(request.headers())).flatten();
        AnswerFuture {
            inner: self.inner.call(request),
            grpc,
            outside: self.outside,
            metrics: Arc::clone(&self.metrics),
            log: Arc::clone(&self.log),
        }
    }
}

pin_project! {
    /// Resolves to the inner response, or to the problem.
    pub(super) struct AnswerFuture<F> {
        #[pin]
        inner: F,
        // What a client that speaks gRPC sent.
        grpc: Option<HeaderValue>,
        outside: bool,
        metrics: Arc<ListenerMetrics>,
        log: Arc<LogLimit>,
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
                if let Some(unlogged) = this.log.admit(Instant::now()) {
                    let (listener, reason) = (this.metrics.name(), failure.reason());
                    tracing::warn!(listener, reason, unlogged, %failure, "request failed");
                }
                let detail = if *this.outside { failure.outside() } else { failure.to_string() };
                let mut response = failure.response(&detail);
                if let Some(content_type) = this.grpc.take() {
                    response = grpc::trailers_only(response, content_type, &detail);
                }
                response.extensions_mut().insert(Own { reason: failure.reason().to_owned() });
                response
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_a_second_is_logged_and_tells_of_the_others() {
        let (limit, start) = (LogLimit::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        let admitted = [0, 1, 999, 1000, 2500].map(|ms| limit.admit(after(ms)));
        assert_eq!(admitted, [Some(0), None, None, Some(2), Some(0)]);
    }
}
