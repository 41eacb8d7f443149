//! Forward authentication: another service says whether a user may pass, and who they are.

use std::time::Duration;

use goodgo_runtime_config::ForwardAuth as Declared;
use http::header::{
    AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, HeaderName, LOCATION, SET_COOKIE, WWW_AUTHENTICATE,
};
use http::uri::{PathAndQuery, Uri};
use http::{HeaderMap, HeaderValue, Request, Response};

use super::collect::collect;
use super::{Parts, Refusal};
use crate::context::correlation;
use crate::outbound::discard;
use crate::proxy::deadline::Deadline;
use crate::proxy::{Body, Failure};

/// What the service that decides is told of the user.
const PASSED_ON: [HeaderName; 7] = [
    AUTHORIZATION,
    COOKIE,
    X_FORWARDED_FOR,
    HeaderName::from_static("x-correlation-id"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
];
/// What the user is told of its refusal.
const HANDED_BACK: [HeaderName; 4] = [WWW_AUTHENTICATE, LOCATION, SET_COOKIE, CONTENT_TYPE];
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const X_FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Longest refusal that is handed back, in bytes.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;

/// Whom one route asks.
#[derive(Debug)]
pub(super) struct ForwardAuth {
    route: String,
    call: String,
    path: PathAndQuery,
    headers: Vec<HeaderName>,
}

impl ForwardAuth {
    /// None for a path that is not one.
    pub(super) fn new(route: &str, declared: &Declared) -> Option<Self> {
        let Declared { call, path, headers } = declared;
        Some(Self {
            route: route.to_owned(),
            call: call.clone(),
            path: PathAndQuery::try_from(path.as_str()).ok()?,
            headers: headers.iter().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()).collect(),
        })
    }

    /// Asks about `request`, which was for `asked`, and gives it the headers of the answer; some: the user is told this
    /// instead.
    pub(super) async fn authenticate(
        &self,
        asked: &Uri,
        request: &mut Request<Body>,
        parts: &Parts,
    ) -> Result<Option<Response<Body>>, Failure> {
        correlation::ensure(request.headers_mut());
        let question = self.question(asked, request);
        let answer = parts.asking.ask(&self.call, question).await;
        let answer = answer.map_err(|failure| self.unavailable(failure.to_string()))?;
        if !answer.status().is_success() {
            let limit = self.limit(parts);
            let refusal = tokio::time::timeout(limit, self.refusal(answer)).await;
            let late = |_| Err(self.unavailable(format!("its refusal took over {} ms", limit.as_millis())));
            return refusal.unwrap_or_else(late).map(Some);
        }
        let headers = request.headers_mut();
        for name in &self.headers {
            // Removed with all that is protected; here again, so that this function is right by itself.
            headers.remove(name);
            for value in answer.headers().get_all(name) {
                headers.append(name, value.clone());
            }
        }
        // Read, so that its connection carries the next question as well.
        discard(answer).await;
        Ok(None)
    }

    /// The client's own words would be believed as the runtime's: nothing is copied but what is listed.
    fn question(&self, asked: &Uri, request: &Request<Body>) -> Request<Body> {
        let mut question = Request::new(Body::empty());
        // The user waits for the answer to both.
        if let Some(deadline) = request.extensions().get::<Deadline>() {
            question.extensions_mut().insert(*deadline);
        }
        *question.uri_mut() = Uri::from(self.path.clone());
        let headers = question.headers_mut();
        for name in &PASSED_ON {
            copy(request.headers(), headers, name);
        }
        let host = match asked.authority() {
            Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
            None => request.headers().get(HOST).cloned(),
        };
        let target = asked.path_and_query().map_or("/", |target| target.as_str());
        for (name, value) in [
            (X_FORWARDED_METHOD, HeaderValue::from_str(request.method().as_str()).ok()),
            (X_FORWARDED_URI, HeaderValue::from_str(target).ok()),
            (X_FORWARDED_HOST, host),
        ] {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        question
    }

    /// What the body of a refusal has; for its head the call sees to that.
    fn limit(&self, parts: &Parts) -> Duration {
        let snapshot = parts.hot.current();
        let call = snapshot.as_ref().and_then(|snapshot| snapshot.config.calls.get(&self.call));
        Duration::from_millis(call.map(|call| call.policy.timeout_ms).unwrap_or_default())
    }

    async fn refusal(&self, answer: Response<Body>) -> Result<Response<Body>, Failure> {
        let (head, body) = answer.into_parts();
        let body = collect(body, MAX_REFUSAL_BYTES).await;
        let body =
            body.ok_or_else(|| self.unavailable("its refusal is too long or breaks off".to_owned()))?;
        let mut response = Response::new(Body::whole(body));
        *response.status_mut() = head.status;
        for name in &HANDED_BACK {
            copy(&head.headers, response.headers_mut(), name);
        }
        Ok(response)
    }

    fn unavailable(&self, reason: String) -> Failure {
        Refusal::AuthUnavailable { call: self.call.clone(), route: self.route.clone(), reason }.into()
    }
}

fn copy(from: &HeaderMap, to: &mut HeaderMap, name: &HeaderName) {
    for value in from.get_all(name) {
        to.append(name, value.clone());
    }
}
