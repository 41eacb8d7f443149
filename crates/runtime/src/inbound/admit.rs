//! The service port: who calls, and may they?

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{Either, ready};
use goodgo_runtime_config::{Authentication, Caller, ServiceRef};
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Request, Response};
use tower::Service;

use super::limit::{Admitted, Largest, Limit, Limited};
use super::path::Closed;
use super::{Parts, Refusal, check_count, coding};
use crate::gzip;
use crate::identity::headers::{API_KEY, CALLED_WITH_KEY, CALLER, PRIORITY, Protected, SERVICE_AUTH};
use crate::identity::verifier::Verifier;
use crate::identity::verify::Denied;
use crate::identity::{Keys, unix_now};
use crate::proxy::{Body, Failure};

/// Lets declared callers through.
#[derive(Debug, Clone)]
pub(crate) struct Admit<S> {
    limit: Limit<S>,
    parts: Parts,
}

impl<S> Admit<S> {
    pub(crate) fn new(inner: S, parts: Parts) -> Self {
        let limit = Limit::new(inner, Arc::clone(&parts.limiter), parts.stall_limit);
        Self { limit, parts }
    }
}

impl<S> Service<Request<Body>> for Admit<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Failure>,
{
    type Response = Response<Body>;
    type Error = Failure;
    type Future = Limited<S::Future>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let snapshot = self.parts.hot.current();
        // Nothing is served before the first configuration; were it, nobody would be let in.
        let admission = snapshot.as_ref().map(|snapshot| &snapshot.inbound.admission);
        let admitted = match admission {
            Some(admission) => admission.admit(&mut request, &self.parts.keys),
            None => Err(Refusal::Caller(Denied::NoIssuer)),
        };
        match admitted {
            Ok(admitted) => self.limit.serve(request, admitted),
            Err(refusal) => Either::Left(ready(Err(refusal.into()))),
        }
    }
}

/// Who is let in under one configuration.
#[derive(Debug)]
pub(crate) struct Admission {
    /// For messages: `namespace/name`.
    callee: String,
    authentication: Authentication,
    verifier: Arc<Verifier>,
    /// By the subject of their tokens. Services that share one are told to the app as the first of them.
    callers: HashMap<String, HeaderValue>,
    closed: Arc<Closed>,
    protected: Arc<Protected>,
}

impl Admission {
    pub(super) fn new(
        callee: &ServiceRef,
        authentication: &Authentication,
        declared: &[Caller],
        closed: Arc<Closed>,
        previous: Option<&Self>,
    ) -> Self {
        // Tokens that were verified with these keys for this audience stay verified.
        let verifier = match previous {
            Some(previous) if previous.authentication == *authentication => Arc::clone(&previous.verifier),
            _ => Arc::new(Verifier::new(authentication)),
        };
        let mut callers = HashMap::with_capacity(declared.len());
        for Caller { name, subject } in declared {
            if let Ok(name) = HeaderValue::from_str(name) {
                callers.entry(subject.clone()).or_insert(name);
            }
        }
        Self {
            callee: format!("{}/{}", callee.namespace, callee.name),
            authentication: authentication.clone(),
            verifier,
            callers,
            closed,
            protected: Arc::new(Protected::inside()),
        }
    }

    fn admit(&self, request: &mut Request<Body>, keys: &Keys) -> Result<Admitted, Refusal> {
        check_count(request.headers())?;
        if self.closed.contains(request.uri().path()) {
            return Err(Refusal::EventPath);
        }
        let headers = request.headers_mut();
        let caller = self.caller(headers, keys)?;
        let low_priority = headers.get(PRIORITY).is_some_and(|value| value == "low");
        let encoded = coding::decoded_length(headers);
        self.protected.strip(headers);
        if let Some(caller) = caller {
            headers.insert(CALLER, caller);
        }
        if let Some(length) = encoded {
            coding::decode(request, length);
        }
        // Never more than was announced, nor more than any runtime sends encoded: a few bytes can decode to gigabytes.
        let max_body = encoded.map(|length| Largest { bytes: length.min(gzip::LARGEST), policy: None });
        Ok(Admitted { low_priority, max_body, protected: Arc::clone(&self.protected) })
    }

    /// What the app is told; none when callers need not say who they are.
    fn caller(&self, headers: &HeaderMap, keys: &Keys) -> Result<Option<HeaderValue>, Refusal> {
        if !self.authentication.required {
            return Ok(None);
        }
        if let Some(token) = only(headers, &SERVICE_AUTH)? {
            let caller = self.verifier.verify(token.as_bytes(), unix_now()).map_err(Refusal::Caller)?;
            return match self.callers.get(&*caller.subject) {
                Some(name) => Ok(Some(name.clone())),
                None => Err(Refusal::CallerNotDeclared {
                    subject: caller.subject.clone(),
                    callee: self.callee.clone(),
                }),
            };
        }
        if self.authentication.keys
            && let Some(key) = only(headers, &API_KEY)?
        {
            let accepted = keys.accept(key.as_bytes());
            return if accepted { Ok(Some(CALLED_WITH_KEY)) } else { Err(Refusal::Caller(Denied::WrongKey)) };
        }
        Err(Refusal::Caller(Denied::Missing))
    }
}

/// The header's one value; of several, a server behind us might believe another one.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(Refusal::Caller(Denied::Ambiguous)),
    }
}
