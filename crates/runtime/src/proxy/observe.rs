//! Observes requests from the head to the answer's last byte: counters by peer and route, a span where the trace is
//! sampled. It is the outermost layer, so that it also sees what the others answer themselves.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::Body;
use crate::context::Registry;
use crate::metrics::{Exchange, ListenerMetrics};
use crate::spans::{Side, Tracer};

#[derive(Debug, Clone)]
pub(super) struct ObserveLayer {
    metrics: Arc<ListenerMetrics>,
    tracer: Arc<Tracer>,
    side: Side,
    registry: Arc<Registry>,
}

impl ObserveLayer {
    pub(super) fn new(
        metrics: Arc<ListenerMetrics>,
        tracer: Arc<Tracer>,
        side: Side,
        registry: Arc<Registry>,
    ) -> Self {
        Self { metrics, tracer, side, registry }
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe { inner, layer: self.clone() }
    }
}

/// Starts an [`Exchange`] for each request, in the trace that it continues.
#[derive(Debug, Clone)]
pub(super) struct Observe<S> {
    inner: S,
    layer: ObserveLayer,
}

impl<S, B> Service<Request<B>> for Observe<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ObserveFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let ObserveLayer { metrics, tracer, side, registry } = &self.layer;
        let (mut exchange, seen) = metrics.exchange(request.method(), request.uri().path());
        if let Some(seen) = seen {
            request.extensions_mut().insert(seen);
        }
        let served = match side {
            Side::Server | Side::Edge => None,
            Side::Client => registry.take(request.headers_mut()),
        };
        exchange.trace(tracer.begin(*side, &mut request, served.as_deref()));
        if let Some(served) = served {
            // Outgoing continues the rest of it.
            request.extensions_mut().insert(served);
        }
        ObserveFuture { inner: self.inner.call(request), exchange: Some(exchange) }
    }
}

pin_project! {
    /// Hands the exchange over to the answer's body. Dropped before, the client has gone away.
    pub(super) struct ObserveFuture<F> {
        #[pin]
        inner: F,
        exchange: Option<Exchange>,
    }
}

impl<F, E> Future for ObserveFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        if let Some(exchange) = this.exchange {
            exchange.answered(&mut response);
        }
        Poll::Ready(Ok(response.map(|body| body.counted(this.exchange.take()))))
    }
}
