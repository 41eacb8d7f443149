//! The policy of a declared call: route → cache → breaker → bulkhead → tries under one deadline.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`policy`] | the rules for a route, and when the answer must be there |
//! | [`cache`] | answers to GET, as far as they permit it (RFC 9111) |
//! | [`breaker`] | refuses calls to a callee that fails, as opossum does |
//! | [`bulkhead`] | refuses calls beyond so many at once |
//! | [`tries`] | sends, judges ([`repeat`], [`graphql`]), waits ([`backoff`], [`budget`]), sends again ([`replay`]) |
//! | [`idle`] | ends what stands still |
//! | [`gzip`] | compresses requests for callees that take it |
//!
//! [`Callee`] is one call with its policy and its state; [`Call`] is the service at the end of the call's stack, which
//! looks up the callee in force for each request. A request keeps the policy that it began with.

mod backoff;
mod breaker;
mod budget;
mod bulkhead;
mod cache;
mod callee;
mod graphql;
mod gzip;
mod idle;
mod metrics;
mod policy;
mod repeat;
mod replay;
mod tries;
mod window;

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use tower::Service;

pub(crate) use self::bulkhead::Permit;
use self::cache::Store;
pub(crate) use self::callee::Callee;
pub(crate) use self::idle::Activity;
pub(crate) use self::metrics::Metrics;
pub(crate) use self::tries::{RETRIED, discard};
use crate::config::{Hot, Route};
use crate::identity::TokenSource;
use crate::proxy::deadline::Deadline;
use crate::proxy::{Body, Failure};

/// What all calls of the pod share.
#[derive(Debug)]
pub(crate) struct Shared {
    tokens: Arc<TokenSource>,
    metrics: Metrics,
    cache: Arc<Store>,
    lineages: AtomicU64,
}

impl Shared {
    pub(crate) fn new(tokens: Arc<TokenSource>, metrics: Metrics) -> Self {
        Self { tokens, metrics, cache: Arc::new(Store::new()), lineages: AtomicU64::new(0) }
    }

    fn next_lineage(&self) -> u64 {
        self.lineages.fetch_add(1, Ordering::Relaxed)
    }
}

/// To the target that the configuration in force names for one call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    name: Arc<str>,
    hot: Arc<Hot>,
}

impl Call {
    pub(crate) fn new(name: &str, hot: Arc<Hot>) -> Self {
        Self { name: name.into(), hot }
    }

    fn callee(&self) -> Result<Arc<Callee>, Failure> {
        let snapshot = self.hot.current();
        match snapshot.as_ref().and_then(|snapshot| snapshot.routes.get(&*self.name)) {
            Some(Route::To(callee)) => Ok(Arc::clone(callee)),
            Some(Route::Unavailable(why)) => {
                Err(Failure::Unavailable { call: self.name.to_string(), why: why.clone() })
            }
            None => Err(Failure::CallNotConfigured { call: self.name.to_string() }),
        }
    }
}

/// A request on its way to the callee, with what is known of it.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) request: Request<Body>,
    /// Chosen already: what was decided for this callee is sent to no other, whatever the next configuration says. None
    /// for who has nothing to decide.
    pub(crate) callee: Option<Arc<Callee>>,
    /// What the request brought, and what it inherits.
    pub(crate) deadline: Option<Deadline>,
}

impl Service<Outbound> for Call {
    type Response = Response<Body>;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<Response<Body>, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, outbound: Outbound) -> Self::Future {
        let Outbound { request, callee, deadline } = outbound;
        match callee.map_or_else(|| self.callee(), Ok) {
            Ok(callee) => Box::pin(async move { callee.call(request, deadline).await }),
            Err(failure) => Box::pin(ready(Err(failure))),
        }
    }
}
