//! The innermost services: where a request of each listener goes.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use tower::Service;

use super::{Body, Failure};
use crate::config::{Hot, Route};
use crate::upstream::Upstream;

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
        Box::pin(async move { app.send(request).await })
    }
}

/// To the target that the configuration in force names for one call.
#[derive(Debug, Clone)]
pub(super) struct ToCallee {
    call: Arc<str>,
    hot: Arc<Hot>,
}

impl ToCallee {
    pub(super) fn new(call: &str, hot: Arc<Hot>) -> Self {
        Self { call: call.into(), hot }
    }

    fn upstream(&self) -> Result<Arc<Upstream>, Failure> {
        let snapshot = self.hot.current();
        match snapshot.as_ref().and_then(|snapshot| snapshot.routes.get(&*self.call)) {
            Some(Route::To(upstream)) => Ok(Arc::clone(upstream)),
            Some(Route::Unavailable(why)) => {
                Err(Failure::Unavailable { call: self.call.to_string(), why: why.clone() })
            }
            None => Err(Failure::CallNotConfigured { call: self.call.to_string() }),
        }
    }
}

impl Service<Request<Body>> for ToCallee {
    type Response = Response<Body>;
    type Error = Failure;
    type Future = ForwardFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ForwardFuture {
        match self.upstream() {
            Ok(upstream) => Box::pin(async move { upstream.send(request).await }),
            Err(failure) => Box::pin(ready(Err(failure))),
        }
    }
}

/// The gateway's answer to what no route declares.
#[derive(Debug, Clone, Copy)]
pub(super) struct Undeclared;

impl Service<Request<Body>> for Undeclared {
    type Response = Response<Body>;
    type Error = Failure;
    type Future = Ready<Result<Response<Body>, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        ready(Err(Failure::RouteNotDeclared))
    }
}
