//! Outgoing: what of the request being served goes on with a call that the app makes for it, and what never leaves.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use goodgo_runtime_config::{Call, CallPolicy, Priority};
use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::trace::{BAGGAGE, TRACEPARENT, TRACESTATE};
use super::{CONTEXT, CORRELATION_ID, Served, correlation, is_low, put};
use crate::config::{Hot, Route};
use crate::identity::headers::{CALLER, PRIORITY, is_platforms, remove_where};
use crate::outbound::{Outbound, RETRIED};
use crate::proxy::deadline::Deadline;
use crate::proxy::{Body, Failure};

/// Headers of common use that the platform fills, and that a callee outside it never gets.
const INSIDE_ONLY: [HeaderName; 4] = [CORRELATION_ID, TRACEPARENT, TRACESTATE, BAGGAGE];

#[derive(Debug, Clone)]
pub(crate) struct OutgoingLayer {
    call: Arc<str>,
    hot: Arc<Hot>,
}

impl OutgoingLayer {
    pub(crate) fn new(call: &str, hot: Arc<Hot>) -> Self {
        Self { call: call.into(), hot }
    }
}

impl<S> Layer<S> for OutgoingLayer {
    type Service = Outgoing<S>;

    fn layer(&self, inner: S) -> Outgoing<S> {
        Outgoing { inner, layer: self.clone() }
    }
}

/// Decides which headers a call carries. `proxy::observe` has found the request that it continues.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing<S> {
    inner: S,
    layer: OutgoingLayer,
}

impl<S> Service<Request<Body>> for Outgoing<S>
where
    S: Service<Outbound, Response = Response<Body>, Error = Failure>,
{
    type Response = Response<Body>;
    type Error = Failure;
    type Future = OutgoingFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let served = request.extensions_mut().remove::<Arc<Served>>();
        let snapshot = self.layer.hot.current();
        let call = snapshot.as_ref().and_then(|snapshot| snapshot.config.calls.get(&*self.layer.call));
        prepare(request.headers_mut(), call, served.as_deref());
        let brought = request.extensions_mut().remove::<Deadline>();
        let deadline = earlier(served.as_deref(), brought);
        let route = snapshot.as_ref().and_then(|snapshot| snapshot.routes.get(&*self.layer.call));
        let callee = match route {
            Some(Route::To(callee)) => Some(Arc::clone(callee)),
            _ => None,
        };
        OutgoingFuture { inner: self.inner.call(Outbound { request, callee, deadline }), served }
    }
}

pin_project! {
    /// Notes on the request being served that a call for it was repeated.
    pub(crate) struct OutgoingFuture<F> {
        #[pin]
        inner: F,
        served: Option<Arc<Served>>,
    }
}

impl<F: Future<Output = Result<Response<Body>, Failure>>> Future for OutgoingFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome = ready!(this.inner.poll(cx));
        if let Some(served) = this.served
            && let Some(tries) = tries(&outcome)
        {
            served.repeated(tries);
        }
        Poll::Ready(outcome)
    }
}

/// How many tries were made, here or below, when it was more than one.
fn tries(outcome: &Result<Response<Body>, Failure>) -> Option<u32> {
    match outcome {
        Ok(response) => response.headers().get(RETRIED)?.to_str().ok()?.parse().ok(),
        Err(Failure::Repeated { tries, .. }) => Some(*tries),
        Err(_) => None,
    }
}

/// The deadline of a call: no later than that of the request that it continues.
fn earlier(served: Option<&Served>, brought: Option<Deadline>) -> Option<Deadline> {
    served.and_then(Served::deadline).into_iter().chain(brought).min()
}

/// Sets the headers that every try carries; the deadline is written anew for each.
fn prepare(headers: &mut HeaderMap, call: Option<&Call>, served: Option<&Served>) {
    headers.remove(CONTEXT);
    let target = call.and_then(|call| call.target.as_ref());
    let inside = target.is_some_and(|target| target.service.is_some());
    match call {
        Some(call) if inside => continue_inside(headers, &call.policy, served),
        _ => strip(headers),
    }
}

fn continue_inside(headers: &mut HeaderMap, policy: &CallPolicy, served: Option<&Served>) {
    // Runtimes set them, and a callee without one would take the app's word for theirs.
    headers.remove(CALLER);
    headers.remove(RETRIED);
    let correlation_id = served
        .and_then(|served| served.correlation_id.clone())
        .or_else(|| correlation::sane(headers).cloned())
        .or_else(correlation::made);
    put(headers, CORRELATION_ID, correlation_id.as_ref());

    let low = policy.priority == Priority::Low || served.is_some_and(|s| s.low_priority) || is_low(headers);
    put(headers, PRIORITY, low.then_some(&HeaderValue::from_static("low")));

    if policy.forward_authorization
        && !headers.contains_key(AUTHORIZATION)
        && let Some(authorization) = served.and_then(|served| served.authorization.clone())
    {
        headers.insert(AUTHORIZATION, authorization);
    }
}

/// Leaves nothing of the platform in a message that goes to somebody else.
fn strip(headers: &mut HeaderMap) {
    for name in &INSIDE_ONLY {
        headers.remove(name);
    }
    remove_where(headers, |name| is_platforms(name.as_str().as_bytes()));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use goodgo_runtime_config::{Scheme, TargetService};
    use tokio::time::Instant;

    use super::*;

    fn call(inside: bool, policy: CallPolicy) -> Call {
        let mut call = Call::to(Scheme::Http, "iam", 80).with(policy);
        if let Some(target) = &mut call.target {
            target.service = inside.then_some(TargetService { pods: None, identity: false });
        }
        call
    }

    fn forwarding() -> CallPolicy {
        CallPolicy { forward_authorization: true, ..CallPolicy::default() }
    }

    fn served() -> Served {
        let value = |text| Some(HeaderValue::from_static(text));
        Served {
            authorization: value("Bearer of-the-user"),
            deadline: Some(Deadline::after(Duration::from_millis(300), Instant::now())),
            correlation_id: value("of-the-request"),
            ..Served::default()
        }
    }

    fn prepared(call: &Call, served: Option<&Served>, pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers: HeaderMap = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        prepare(&mut headers, Some(call), served);
        headers
    }

    #[test]
    fn a_users_credentials_go_on_only_where_the_call_says_so() {
        let inside = prepared(&call(true, forwarding()), Some(&served()), &[]);
        assert_eq!(inside[AUTHORIZATION], "Bearer of-the-user");
        let own = [("authorization", "Bearer of-the-app")];
        let inside = prepared(&call(true, forwarding()), Some(&served()), &own);
        assert_eq!(inside[AUTHORIZATION], "Bearer of-the-app");
        for (call, served) in [
            (call(true, CallPolicy::default()), Some(served())),
            (call(false, forwarding()), Some(served())),
            (call(true, forwarding()), None),
        ] {
            let headers = prepared(&call, served.as_ref(), &[("x-correlation-id", "of-the-request")]);
            assert!(!headers.contains_key(AUTHORIZATION), "{call:?}");
        }
    }

    #[test]
    fn others_get_no_header_of_the_platform_and_credentials_pass_untouched() {
        let sent = [
            ("x-goodgo-context", "0"),
            ("x-goodgo-timeout-ms", "1"),
            ("x-goodgo-caller", "shop/a"),
            ("x-correlation-id", "a"),
            ("x-service-auth", "t"),
            ("x-internal-api-key", "k"),
            ("tracestate", "a=1"),
            ("baggage", "user=7"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"),
            ("authorization", "Basic YTpi"),
            ("x-api-key", "theirs"),
        ];
        let headers = prepared(&call(false, forwarding()), Some(&served()), &sent);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "x-api-key"]);
        assert_eq!(headers[AUTHORIZATION], "Basic YTpi");
    }

    #[test]
    fn low_stays_low_and_the_shorter_deadline_counts() {
        let low = Served { low_priority: true, ..served() };
        assert_eq!(prepared(&call(true, CallPolicy::default()), Some(&low), &[])[PRIORITY], "low");
        let by_policy = CallPolicy { priority: Priority::Low, ..CallPolicy::default() };
        assert_eq!(prepared(&call(true, by_policy), None, &[])[PRIORITY], "low");
        let asked = [("x-goodgo-priority", "high")];
        assert!(!prepared(&call(true, CallPolicy::default()), None, &asked).contains_key(PRIORITY));

        let now = Instant::now();
        let left = |served: Option<&Served>, ms: Option<u64>| {
            let brought = ms.map(|ms| Deadline::after(Duration::from_millis(ms), now));
            earlier(served, brought).map(|deadline| deadline.left(now).as_millis())
        };
        let served = Served { deadline: Some(Deadline::after(Duration::from_millis(300), now)), ..served() };
        assert_eq!(left(Some(&served), None), Some(300));
        assert_eq!(left(Some(&served), Some(100)), Some(100));
        assert_eq!(left(Some(&served), Some(900)), Some(300));
        assert_eq!(left(None, Some(900)), Some(900));
        assert_eq!(left(None, None), None);
    }
}
