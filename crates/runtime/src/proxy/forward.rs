//! The innermost service of the inbound listeners; that of a call is [`crate::outbound::Call`].

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use tower::Service;

use super::{Body, Failure};
use crate::upstream::{Try, Upstream};

type ForwardFuture = BoxFuture<'static, Result<Response<Body>, Failure>>;

/// To the app in this pod.
#[derive(Debug, Clone)]
pub(super) struct ToApp {
    app: Arc<Upstream>,
}

impl ToApp {
    pub(super) fn new(app: Arc<Upstream>) -> Self {
        Self { app }
    }
}

impl Service<Request<Body>> for ToApp {
    type Response = Response<Body>;
    type Error = Failure;
    type Future = ForwardFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ForwardFuture {
        let app = Arc::clone(&self.app);
        Box::pin(async move { app.send(request, &Try::default()).await })
    }
}
