//! The stacks between a listener and an upstream: small tower services, one concern a module.
//!
//! ```text
//! service   Observe → Farewell → Answer → Normalize → Encode → Admit → Limit → Serve → ToApp       → app
//! gateway   Observe → Farewell → Answer → Normalize → Route → Authenticate → Limit → Serve → ToApp → app
//! call      Observe → Farewell → Answer → Normalize → Outgoing → Call(name) → target of the hot configuration
//! ```
//!
//! - [`observe`]: metrics and spans, and the in-flight count until the last byte of the body.
//! - [`farewell`]: `Connection: close` on every response while draining.
//! - [`answer`]: a [`Failure`] becomes an RFC 9457 problem, or its counterpart in [`grpc`]; above it nothing fails.
//! - [`normalize`]: refuses malformed requests, removes hop-by-hop headers both ways, joins upgraded connections.
//! - [`websocket`]: what passes between those, and how a drain ends it.
//! - [`inbound`](crate::inbound): who may reach the app, and how many at once.
//! - [`ask`]: questions of the runtime's own, on the same way as the app's calls.
//! - [`context`](crate::context): what continues the request being served (Serve), in which calls (Outgoing).
//! - [`outbound`](crate::outbound): a call under its policy (Call). [`forward`]: the app in this pod.

mod answer;
mod ask;
mod body;
pub(crate) mod deadline;
mod failure;
mod farewell;
mod forward;
pub(crate) mod grpc;
mod headers;
mod malformed;
mod normalize;
mod observe;
mod websocket;

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use tower::{Layer, Service};

pub(crate) use self::ask::Asking;
pub(crate) use self::body::{Body, BodyError};
pub(crate) use self::failure::{Failure, Processed};
use crate::config::Hot;
use crate::context::{OutgoingLayer, Registry, Serve, ServeLayer};
use crate::drain::Lifecycle;
use crate::metrics::ListenerMetrics;
use crate::spans::{Side, Tracer};
use crate::upstream::Upstream;
use crate::{inbound, outbound};

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

/// What the outer layers of a listener need.
#[derive(Debug, Clone)]
pub(crate) struct Outer {
    pub(crate) lifecycle: Lifecycle,
    pub(crate) metrics: Arc<ListenerMetrics>,
    pub(crate) tracer: Arc<Tracer>,
    /// The requests being served: the inbound stacks remember them, the calls' stacks continue them.
    pub(crate) registry: Arc<Registry>,
}

/// Traffic to the app from inside the cluster.
pub(crate) fn service(app: Arc<Upstream>, parts: inbound::Parts, with: Outer) -> impl Stack {
    outer(inbound::Encode::new(inbound::Admit::new(to_app(app, &with), parts)), Side::Server, with)
}

/// Traffic to the app from the gateway.
pub(crate) fn gateway(app: Arc<Upstream>, parts: inbound::Parts, with: Outer) -> impl Stack {
    outer(inbound::Gateway::new(to_app(app, &with), parts), Side::Edge, with)
}

/// The app, told by which name its calls continue the request.
fn to_app(app: Arc<Upstream>, with: &Outer) -> Serve<forward::ToApp> {
    ServeLayer::new(Arc::clone(&with.registry)).layer(forward::ToApp::new(app))
}

/// The app's call `name`.
pub(crate) fn call(name: &str, hot: Arc<Hot>, with: Outer) -> impl Stack {
    let inner = outbound::Call::new(name, Arc::clone(&hot));
    outer(OutgoingLayer::new(name, hot).layer(inner), Side::Client, with)
}

/// What all listeners have in common, around the innermost service.
fn outer<S>(inner: S, side: Side, with: Outer) -> impl Stack
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Failure, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static,
{
    let Outer { lifecycle, metrics, tracer, registry } = with;
    // Read it upwards from the inside; tower's builder would need features for the same four lines.
    let stack = normalize::NormalizeLayer::new(lifecycle.clone()).layer(inner);
    let stack = answer::AnswerLayer::new(Arc::clone(&metrics), side == Side::Edge).layer(stack);
    let stack = farewell::FarewellLayer::new(lifecycle).layer(stack);
    observe::ObserveLayer::new(metrics, tracer, side, registry).layer(stack)
}
