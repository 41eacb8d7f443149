//! The innermost services: where a request of each listener goes.

use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use goodgo_runtime_config::Target;
use http::{Request, Response};
use tower::Service;

use super::{Body, Failure};
use crate::config::{Hot, Route};
use crate::identity::TokenSource;
use crate::identity::headers::SERVICE_AUTH;
use crate::upstream::{Origin, Upstream};

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
    tokens: Arc<TokenSource>,
}

impl ToCallee {
    pub(super) fn new(call: &str, hot: Arc<Hot>, tokens: Arc<TokenSource>) -> Self {
        Self { call: call.into(), hot, tokens }
    }

    /// Says who calls, where the callee asks. On each try anew: the token may have been rotated meanwhile. What the app
    /// puts there itself is no identity, and goes to no service.
    fn identify(&self, request: &mut Request<Body>, to: &Upstream) -> Result<(), Failure> {
        let Origin::Callee(Target { service: Some(service), .. }) = to.origin() else { return Ok(()) };
        request.headers_mut().remove(SERVICE_AUTH);
        if service.identity {
            let token = self.tokens.header(&self.call);
            let token = token.ok_or_else(|| Failure::IdentityUnavailable { call: self.call.to_string() })?;
            request.headers_mut().insert(SERVICE_AUTH, token);
        }
        Ok(())
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

    fn call(&mut self, mut request: Request<Body>) -> ForwardFuture {
        let identified = self.upstream().and_then(|upstream| {
            self.identify(&mut request, &upstream)?;
            Ok(upstream)
        });
        match identified {
            Ok(upstream) => Box::pin(async move { upstream.send(request).await }),
            Err(failure) => Box::pin(ready(Err(failure))),
        }
    }
}
