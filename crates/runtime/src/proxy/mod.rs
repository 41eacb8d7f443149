//! The stacks between a listener and an upstream: small tower services, one concern a module.
//!
//! ```text
//! service   Observe → Farewell → Answer → Normalize → ToApp         → app
//! gateway   Observe → Farewell → Answer → Normalize → Undeclared      (nothing is declared yet)
//! call      Observe → Farewell → Answer → Normalize → ToCallee(name) → target of the hot configuration
//! ```
//!
//! - [`observe`]: metrics, and the in-flight count until the last byte of the body.
//! - [`farewell`]: `Connection: close` on every response while draining.
//! - [`answer`]: a [`Failure`] becomes an RFC 9457 problem; above it nothing fails.
//! - [`normalize`]: refuses malformed requests, removes hop-by-hop headers both ways, joins upgraded connections.
//! - [`forward`]: the innermost services.

mod answer;
mod body;
pub(crate) mod deadline;
mod failure;
mod farewell;
mod forward;
mod headers;
mod malformed;
mod normalize;
mod observe;

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use tower::{Layer, Service};

pub(crate) use self::body::Body;
pub(crate) use self::failure::Failure;
use crate::config::Hot;
use crate::drain::Lifecycle;
use crate::metrics::ListenerMetrics;
use crate::upstream::Upstream;

/// What a listener serves connections with.
pub(crate) trait Stack:
    Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Stack for S where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// Traffic to the app from inside the cluster.
pub(crate) fn service(app: Arc<Upstream>, lifecycle: Lifecycle, metrics: Arc<ListenerMetrics>) -> impl Stack {
    outer(forward::ToApp::new(app), lifecycle, metrics)
}

/// Traffic to the app from the gateway.
pub(crate) fn gateway(lifecycle: Lifecycle, metrics: Arc<ListenerMetrics>) -> impl Stack {
    outer(forward::Undeclared, lifecycle, metrics)
}

/// The app's call `name`.
pub(crate) fn call(
    name: &str,
    hot: Arc<Hot>,
    lifecycle: Lifecycle,
    metrics: Arc<ListenerMetrics>,
) -> impl Stack {
    outer(forward::ToCallee::new(name, hot), lifecycle, metrics)
}

/// What all listeners have in common, around the innermost service.
fn outer<S>(inner: S, lifecycle: Lifecycle, metrics: Arc<ListenerMetrics>) -> impl Stack
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Failure, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static,
{
    // Read it upwards from the inside; tower's builder would need features for the same four lines.
    let stack = normalize::NormalizeLayer::new(lifecycle.clone()).layer(inner);
    let stack = answer::AnswerLayer::new(Arc::clone(&metrics)).layer(stack);
    let stack = farewell::FarewellLayer::new(lifecycle).layer(stack);
    observe::ObserveLayer::new(metrics).layer(stack)
}
