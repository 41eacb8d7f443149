//! The gateway port: declared routes alone, each for whom it is declared.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::header::{HOST, HeaderName};
use http::uri::{Authority, PathAndQuery, Uri};
use http::{Request, Response};
use hyper::body::Body as _;
use tokio::time::Instant;
use tower::Service;

use super::limit::{Admitted, Largest, Limit};
use super::path::{below, normal};
use super::route::{Auth, Rule, Table};
use super::{Parts, Refusal, check_count};
use crate::identity::unix_now;
use crate::proxy::deadline::Deadline;
use crate::proxy::{Body, Failure};

/// What was taken off the path, for apps that make links.
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Lets declared routes through.
#[derive(Debug, Clone)]
pub(crate) struct Gateway<S> {
    limit: Limit<S>,
    parts: Parts,
}

impl<S> Gateway<S> {
    pub(crate) fn new(inner: S, parts: Parts) -> Self {
        let limit = Limit::new(inner, Arc::clone(&parts.limiter), parts.stall_limit);
        Self { limit, parts }
    }
}

impl<S> Service<Request<Body>> for Gateway<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Failure, Future: Send + 'static>
        + Clone
        + Send
        + 'static,
{
    type Response = Response<Body>;
    type Error = Failure;
    type Future = BoxFuture<'static, Result<Response<Body>, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let snapshot = self.parts.hot.current();
        let table = snapshot.as_ref().map(|snapshot| &snapshot.inbound.routes);
        let routed = table.ok_or(Failure::RouteNotDeclared).and_then(|table| route(table, &mut request));
        let (mut limit, parts) = (self.limit.clone(), self.parts.clone());
        Box::pin(async move {
            let Routed { rule, asked, admitted } = routed?;
            let serving = async {
                if let Some(answer) = authenticate(&rule, &asked, &mut request, &parts).await? {
                    return Ok(answer);
                }
                limit.serve(request, admitted).await
            };
            match rule.timeout {
                None => serving.await,
                Some(limit) => tokio::time::timeout(limit, serving).await.unwrap_or_else(|_| {
                    Err(Refusal::RouteTimeout { route: rule.name.clone(), limit }.into())
                }),
            }
        })
    }
}

/// A request that is what the app is to see of it.
struct Routed {
    rule: Arc<Rule>,
    /// What the client asked for.
    asked: Uri,
    admitted: Admitted,
}

/// Finds the route, and makes the request what the app is to see of it.
fn route(table: &Table, request: &mut Request<Body>) -> Result<Routed, Failure> {
    check_count(request.headers())?;
    let asked = request.uri().clone();
    let path = normal(asked.path()).map_err(Refusal::PathNotNormal)?;
    let rule = match table.asked(host(request), &path) {
        Some(rule) => rule,
        None => match table.find(&path, request.method()) {
            Ok(rule) => rule,
            Err(None) => return Err(Failure::RouteNotDeclared),
            Err(Some(refusal)) => return Err(refusal.into()),
        },
    };
    let rule = Arc::clone(rule);
    let seen = match &rule.strip_prefix {
        None => &*path,
        Some((prefix, _)) => match below(&path, prefix) {
            Some("") => "/",
            Some(rest) => rest,
            None => return Err(Failure::RouteNotDeclared),
        },
    };
    // As it came and as the app will see it.
    if table.closed.contains(&path) || table.closed.contains(seen) {
        return Err(Refusal::EventPath.into());
    }
    if !request.body().is_end_stream() && !rule.takes(request.headers()) {
        return Err(Refusal::MediaType { route: rule.name.clone() }.into());
    }
    if seen != asked.path() {
        *request.uri_mut() = with_path(&asked, seen)?;
    }
    let headers = request.headers_mut();
    let by_gateway = rule.let_through_by_gateway(headers)?;
    table.protected.strip(headers);
    for (name, value) in by_gateway {
        headers.append(name, value);
    }
    headers.remove(FORWARDED_PREFIX);
    if let Some((_, prefix)) = &rule.strip_prefix {
        headers.insert(FORWARDED_PREFIX, prefix.clone());
    }
    // What the platform's own header said is nobody's word here.
    request.extensions_mut().remove::<Deadline>();
    let headers = request.headers_mut();
    if let Some(timeout) = rule.timeout {
        let now = Instant::now();
        // The app's own calls must not outlast the client's patience. What a gRPC client asks for itself can only shorten it.
        let asked = Deadline::of(headers, now);
        let deadline =
            asked.map_or(Deadline::after(timeout, now), |asked| asked.min(Deadline::after(timeout, now)));
        deadline.write(headers, now);
        request.extensions_mut().insert(deadline);
    }
    let max_body = rule.max_body.map(|bytes| Largest { bytes, policy: Some("gateway.routes") });
    let admitted = Admitted { low_priority: false, max_body, protected: Arc::clone(&table.protected) };
    Ok(Routed { rule, asked, admitted })
}

/// Tells the app who the user is; some: the user is told something else instead.
async fn authenticate(
    rule: &Rule,
    asked: &Uri,
    request: &mut Request<Body>,
    parts: &Parts,
) -> Result<Option<Response<Body>>, Failure> {
    match &rule.auth {
        // The gateway's word was taken before its mark was removed.
        Auth::None | Auth::Gateway(_) => Ok(None),
        Auth::Jwt(jwt) => {
            jwt.authenticate(request.headers_mut(), unix_now()).await?;
            Ok(None)
        }
        Auth::Forward(forward) => forward.authenticate(asked, request, parts).await,
    }
}

/// As the client named it, with a port or without.
fn host(request: &Request<Body>) -> Option<&str> {
    let authority = || request.uri().authority().map(Authority::as_str);
    request.headers().get(HOST).and_then(|host| host.to_str().ok()).or_else(authority)
}

fn with_path(uri: &Uri, path: &str) -> Result<Uri, Failure> {
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    let malformed = || Failure::Malformed("its path can't be written");
    parts.path_and_query = Some(PathAndQuery::try_from(text).map_err(|_| malformed())?);
    Uri::from_parts(parts).map_err(|_| malformed())
}
