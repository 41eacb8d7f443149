//! Whether a failed try may be made again. What was never processed may; beyond that, only what is safe: an idempotent
//! method (RFC 9110 9.2.2), a request with an `Idempotency-Key`, a GraphQL query. And only where the policy says so, and
//! nobody below has repeated it already.

use goodgo_runtime_config::RetryOn;
use http::header::HeaderName;
use http::request::Parts;
use http::{Method, Response, StatusCode};

use super::graphql;
use super::replay::Replay;
use super::tries::RETRIED;
use crate::proxy::{Body, Failure, Processed, grpc};

/// <https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/>: the callee makes it safe.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What makes a request safe to process twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Safety {
    /// Its method or its key.
    Idempotent,
    /// Its operation, which is in the body.
    GraphQl,
    /// Nothing that this runtime can see, but the status may say that nothing was done.
    Grpc,
    /// Nothing.
    None,
}

impl Safety {
    pub(super) fn of(head: &Parts) -> Self {
        if grpc::is_grpc(&head.headers) {
            return Self::Grpc;
        }
        let idempotent = matches!(
            head.method,
            Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
        );
        if graphql::is_graphql(head) {
            return match graphql::url_reads(head) {
                Some(false) => Self::None,
                _ if head.method == Method::POST => Self::GraphQl,
                _ if idempotent => Self::Idempotent,
                _ => Self::None,
            };
        }
        if idempotent || head.headers.contains_key(IDEMPOTENCY_KEY) {
            return Self::Idempotent;
        }
        Self::None
    }

    fn is_safe(self, head: &Parts, body: &Replay) -> bool {
        match self {
            Self::Idempotent => true,
            Self::GraphQl => body.whole().is_some_and(|body| graphql::body_reads(head, &body)),
            Self::Grpc | Self::None => false,
        }
    }
}

/// Whether `result` calls for another try, by the policy's `on`.
pub(super) fn is_wanted(
    on: &[RetryOn],
    result: &Result<Response<Body>, Failure>,
    safety: Safety,
    head: &Parts,
    body: &Replay,
) -> bool {
    match result {
        Err(Failure::CallTimeout { .. } | Failure::DeadlineExceeded) => false,
        // Nothing was sent, and nothing will be.
        Err(Failure::IdentityUnavailable { .. }) => false,
        Err(failure) if failure.was_processed() == Processed::No => {
            names_connect(on) || names(on, failure.status())
        }
        Err(failure) => names(on, failure.status()) && safety.is_safe(head, body),
        Ok(response) if response.headers().contains_key(RETRIED) => false,
        Ok(response) if safety == Safety::Grpc => {
            // A handler that did its work may answer so too: only who declares the status wants that repeated.
            grpc::status(response.headers()) == Some(grpc::UNAVAILABLE)
                && names(on, StatusCode::SERVICE_UNAVAILABLE)
        }
        Ok(response) => names(on, response.status()) && safety.is_safe(head, body),
    }
}

fn names_connect(on: &[RetryOn]) -> bool {
    on.iter().any(|on| matches!(on, RetryOn::Connect(_)))
}

fn names(on: &[RetryOn], status: StatusCode) -> bool {
    on.contains(&RetryOn::Status(status.as_u16()))
}

#[cfg(test)]
mod tests;
