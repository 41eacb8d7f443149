//! The stacks between a listener and an upstream: small tower services, one concern a module.
//!
//! ```text
//! service   Observe → Farewell → Answer → Normalize → Admit → Limit → ToApp                   → app
//! gateway   Observe → Farewell → Answer → Normalize → Route → Authenticate → Limit → ToApp    → app
//! call      Observe → Farewell → Answer → Normalize → ToCallee(name) → target of the hot configuration
//! ```
//!
//! - [`observe`]: metrics, and the in-flight count until the last byte of the body.
//! - [`farewell`]: `Connection: close` on every response while draining.
//! - [`answer`]: a [`Failure`] becomes an RFC 9457 problem; above it nothing fails.
//! - [`normalize`]: refuses malformed requests, removes hop-by-hop headers both ways, joins upgraded connections.
//! - [`inbound`](crate::inbound): who may reach the app, and how many at once.
//! - [`forward`]: the innermost services.

mod answer;
mod body;
pub(crate) mod deadline;
mod failure;
mod farewell;
mod forward;
mod headers;
mod normalize;
mod observe;

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use tower::{Layer, Service};

pub(crate) use self::body::Body;
pub(crate) use self::failure::{Failure, Processed};
use crate::config::Hot;
use crate::drain::Lifecycle;
use crate::identity::TokenSource;
use crate::inbound;
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
pub(crate) fn service(
    app: Arc<Upstream>,
    parts: inbound::Parts,
    lifecycle: Lifecycle,
    metrics: Arc<ListenerMetrics>,
) -> impl Stack {
    outer(inbound::Admit::new(forward::ToApp::new(app), parts), lifecycle, metrics)
}

/// Traffic to the app from the gateway.
pub(crate) fn gateway(
    app: Arc<Upstream>,
    parts: inbound::Parts,
    lifecycle: Lifecycle,
    metrics: Arc<ListenerMetrics>,
) -> impl Stack {
    outer(inbound::Gateway::new(forward::ToApp::new(app), parts), lifecycle, metrics)
}

/// The app's call `name`.
pub(crate) fn call(
    name: &str,
    hot: Arc<Hot>,
    tokens: Arc<TokenSource>,
    lifecycle: Lifecycle,
    metrics: Arc<ListenerMetrics>,
) -> impl Stack {
    outer(forward::ToCallee::new(name, hot, tokens), lifecycle, metrics)
}

/// Asks the callee of `name` a question of the runtime's own, as the app's calls are made.
pub(crate) async fn ask(
    name: &str,
    question: Request<Body>,
    hot: &Arc<Hot>,
    tokens: &Arc<TokenSource>,
) -> Result<Response<Body>, Failure> {
    forward::ToCallee::new(name, Arc::clone(hot), Arc::clone(tokens)).call(question).await
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
