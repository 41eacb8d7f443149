//! Failures of the runtime's own making, and how each is told to the client (RFC 9457 and RFC 9209).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use goodgo_runtime_config::Unavailable;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use super::Body;
use crate::inbound::Refusal;
use crate::outbound::RETRIED;

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
/// RFC 9209: tells the runtime's own failures from the callee's.
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// Why a request was not forwarded or not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The request is not one that can be forwarded safely.
    #[error("failed to accept the request: {0}")]
    Malformed(&'static str),
    /// The Host of the request is not one.
    #[error("failed to accept the request: its Host is not a host")]
    BadHost,
    /// CONNECT, which would turn the runtime into an open proxy.
    #[error("failed to accept the request: CONNECT is not served here")]
    ConnectMethod,
    /// The gateway's routes do not include this one.
    #[error("failed to find a declared route for this method and path; declare it under spec.gateway.routes")]
    RouteNotDeclared,
    /// The operator knows that the call can't be made.
    #[error("failed to call {call}: {}: {}", .why.reason, .why.message)]
    Unavailable { call: String, why: Unavailable },
    /// A listener without an entry in the configuration.
    #[error("failed to call {call}: the configuration in force does not declare it")]
    CallNotConfigured { call: String },
    /// No address for the callee's name.
    #[error("failed to resolve {host}: {source}")]
    Resolve { host: String, source: io::Error },
    /// Nobody accepted the connection.
    #[error("failed to connect to {to}: {source}")]
    Connect { to: String, source: io::Error },
    /// Resolution, TCP or TLS took too long.
    #[error("failed to connect to {to} within {} ms", .limit.as_millis())]
    ConnectTimeout { to: String, limit: Duration },
    /// The certificate is not to be trusted, or there is no TLS at all.
    #[error("failed to open a TLS session with {to}: {source}")]
    Tls { to: String, source: io::Error },
    /// The connection ended or broke the protocol before the answer's head.
    #[error("failed to get an answer from {to}: {detail}")]
    Exchange { to: String, detail: String, closed: bool, processed: Processed },
    /// The other end switched protocols unasked, or the client went away while switching.
    #[error("failed to switch protocols: {0}")]
    Upgrade(&'static str),
    /// The pod has no token for a callee that asks who calls.
    #[error(
        "failed to call {call}: there is no readable token for it in this pod; see that its volume is mounted"
    )]
    IdentityUnavailable { call: String },
    /// The request does not reach the app.
    #[error(transparent)]
    Inbound(#[from] Refusal),
    /// The call's own time is over.
    #[error("failed to answer within {} ms", .limit.as_millis())]
    CallTimeout { policy: String, limit: Duration },
    /// One try's time is over.
    #[error("failed to get an answer within the {} ms of one try", .limit.as_millis())]
    TryTimeout { policy: String, limit: Duration },
    /// Nothing went either way.
    #[error("failed to get an answer: no byte in either direction for {} ms", .limit.as_millis())]
    IdleTimeout { policy: String, limit: Duration },
    /// The time that the request brought is over.
    #[error("failed to answer in time: the deadline that the request brought has passed")]
    DeadlineExceeded,
    /// The breaker is open.
    #[error("failed to call {call}: it failed too often; the next call may pass in {} ms", .left.as_millis())]
    CircuitOpen { call: Arc<str>, policy: String, left: Duration },
    /// The bulkhead is full.
    #[error("failed to call {call}: {limit} calls are under way already")]
    BulkheadFull { call: Arc<str>, policy: String, limit: u32 },
    /// A failure further in, because of a field of the call's policy.
    #[error("{failure}")]
    Decided { policy: String, failure: Box<Failure> },
    /// The last failure of a call that was tried more than once.
    #[error("{last}, the last of {tries} tries")]
    Repeated { tries: u32, last: Box<Failure> },
}

/// Whether the other end may have begun to work on a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Processed {
    /// It has not seen it, or says that it did not act on it: any method may be sent again.
    No,
    /// Nobody here can know.
    Unknown,
}

impl Failure {
    /// A failure of an established connection to `to` once the request was, or may have been, written; or of the body that
    /// was to go there: that one is the client's, and says nothing of the callee.
    pub(crate) fn exchange(to: &str, error: &hyper::Error) -> Self {
        if error.is_user() {
            return Self::Malformed("its body is broken or ends early");
        }
        Self::on_connection(to, error, processed(error))
    }

    /// The same before a byte of the request was written.
    pub(crate) fn unsent(to: &str, error: &hyper::Error) -> Self {
        Self::on_connection(to, error, Processed::No)
    }

    fn on_connection(to: &str, error: &hyper::Error, processed: Processed) -> Self {
        let closed = error.is_incomplete_message() || error.is_canceled() || error.is_closed();
        let detail = match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        Self::Exchange { to: to.to_owned(), detail, closed, processed }
    }

    /// Whether the callee can have seen the request; what was refused here counts as unseen only where it was to go out.
    pub(crate) fn was_processed(&self) -> Processed {
        match self {
            Self::Resolve { .. } | Self::Connect { .. } | Self::ConnectTimeout { .. } | Self::Tls { .. } => {
                Processed::No
            }
            Self::Exchange { processed, .. } => *processed,
            Self::Decided { failure, .. } => failure.was_processed(),
            _ => Processed::Unknown,
        }
    }

    /// One CamelCase word: the problem's `reason` and the metric's label.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Malformed(_) | Self::BadHost => "MalformedRequest",
            Self::ConnectMethod => "MethodNotSupported",
            Self::RouteNotDeclared => "RouteNotDeclared",
            Self::Unavailable { why, .. } => &why.reason,
            Self::CallNotConfigured { .. } => "CallNotConfigured",
            Self::Resolve { .. } => "NameNotResolved",
            Self::Connect { .. } => "ConnectFailed",
            Self::ConnectTimeout { .. } => "ConnectTimeout",
            Self::Tls { .. } => "TlsFailed",
            Self::Exchange { closed: true, .. } => "ConnectionClosed",
            Self::Exchange { closed: false, .. } => "ProtocolError",
            Self::Upgrade(_) => "UpgradeFailed",
            Self::IdentityUnavailable { .. } => "IdentityUnavailable",
            Self::Inbound(refusal) => refusal.reason(),
            Self::CallTimeout { .. } => "CallTimeout",
            Self::TryTimeout { .. } => "TryTimeout",
            Self::IdleTimeout { .. } => "IdleTimeout",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::CircuitOpen { .. } => "CircuitOpen",
            Self::BulkheadFull { .. } => "BulkheadFull",
            Self::Decided { failure, .. } => failure.reason(),
            Self::Repeated { last, .. } => last.reason(),
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) | Self::BadHost => StatusCode::BAD_REQUEST,
            Self::ConnectMethod => StatusCode::NOT_IMPLEMENTED,
            Self::RouteNotDeclared => StatusCode::NOT_FOUND,
            Self::Unavailable { .. } | Self::CallNotConfigured { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::Exchange { .. }
            | Self::Upgrade(_) => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::IdentityUnavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Inbound(refusal) => refusal.status(),
            Self::CallTimeout { .. }
            | Self::TryTimeout { .. }
            | Self::IdleTimeout { .. }
            | Self::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Self::CircuitOpen { .. } | Self::BulkheadFull { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Decided { failure, .. } => failure.status(),
            Self::Repeated { last, .. } => last.status(),
        }
    }

    /// RFC 9209 2.3: the registered proxy error type.
    fn proxy_status(&self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Malformed(_) | Self::BadHost => "goodgo-runtime; error=http_request_error",
            Self::ConnectMethod => "goodgo-runtime; error=http_request_denied",
            Self::RouteNotDeclared => "goodgo-runtime; error=destination_not_found",
            Self::Unavailable { .. } | Self::CallNotConfigured { .. } => {
                "goodgo-runtime; error=destination_unavailable"
            }
            Self::Resolve { .. } => "goodgo-runtime; error=dns_error",
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused => {
                "goodgo-runtime; error=connection_refused"
            }
            Self::Connect { .. } => "goodgo-runtime; error=destination_ip_unroutable",
            Self::ConnectTimeout { .. } => "goodgo-runtime; error=connection_timeout",
            Self::Tls { .. } => "goodgo-runtime; error=tls_protocol_error",
            Self::Exchange { closed: true, .. } => "goodgo-runtime; error=connection_terminated",
            Self::Exchange { closed: false, .. } => "goodgo-runtime; error=http_protocol_error",
            Self::Upgrade(_) => "goodgo-runtime; error=http_upgrade_failed",
            Self::IdentityUnavailable { .. } => "goodgo-runtime; error=proxy_configuration_error",
            Self::Inbound(refusal) => refusal.proxy_status(),
            Self::CallTimeout { .. }
            | Self::TryTimeout { .. }
            | Self::IdleTimeout { .. }
            | Self::DeadlineExceeded => "goodgo-runtime; error=http_response_timeout",
            Self::CircuitOpen { .. } => "goodgo-runtime; error=destination_unavailable",
            Self::BulkheadFull { .. } => "goodgo-runtime; error=connection_limit_reached",
            Self::Decided { failure, .. } => return failure.proxy_status(),
            Self::Repeated { last, .. } => return last.proxy_status(),
        })
    }

    /// The declared policy that decided, as a path below `spec`, where one did.
    pub(crate) fn policy(&self) -> Option<String> {
        match self {
            Self::Unavailable { call, .. } | Self::CallNotConfigured { call } => {
                Some(format!("calls.{call}"))
            }
            Self::RouteNotDeclared => Some("gateway.routes".to_owned()),
            Self::IdentityUnavailable { call } => Some(format!("calls.{call}")),
            Self::Inbound(refusal) => refusal.policy(),
            Self::CallTimeout { policy, .. }
            | Self::TryTimeout { policy, .. }
            | Self::IdleTimeout { policy, .. }
            | Self::CircuitOpen { policy, .. }
            | Self::BulkheadFull { policy, .. }
            | Self::Decided { policy, .. } => Some(policy.clone()),
            Self::Repeated { last, .. } => last.policy(),
            _ => None,
        }
    }

    /// When it is worth trying again, where that is known: every 503 says so (RFC 9110 10.2.3).
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::CircuitOpen { left, .. } => Some(*left),
            Self::Repeated { last, .. } => last.retry_after(),
            _ => (self.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(Duration::from_secs(1)),
        }
    }

    /// The same sentence for a client outside the cluster, who is told nothing of what stands inside: no host, port or
    /// callee, and nothing that came from there.
    pub(crate) fn outside(&self) -> String {
        match self {
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Tls { .. }
            | Self::Exchange { .. } => "failed to get an answer from the app".to_owned(),
            Self::Unavailable { .. } | Self::CallNotConfigured { .. } | Self::IdentityUnavailable { .. } => {
                "failed to make a call that the request needs".to_owned()
            }
            Self::CircuitOpen { .. } | Self::BulkheadFull { .. } => {
                "failed to make a call that the request needs: there are too many, or too many have failed"
                    .to_owned()
            }
            Self::Inbound(refusal) => refusal.outside(),
            Self::Decided { failure, .. } => failure.outside(),
            Self::Repeated { last, .. } => last.outside(),
            _ => self.to_string(),
        }
    }

    /// The answer to the client, with `detail` as its sentence.
    pub(crate) fn response(&self, detail: &str) -> Response<Body> {
        let status = self.status();
        let problem = serde_json::json!({
            // RFC 9457 4.2.1: the title is the status's phrase; `reason` is what a program looks at.
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": detail,
            "reason": self.reason(),
            "policy": self.policy(),
        });
        let mut response = Response::new(Body::whole(problem.to_string()));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, PROBLEM_JSON);
        response.headers_mut().insert(PROXY_STATUS, self.proxy_status());
        if let Self::Malformed(_) = self {
            // RFC 9112 6.3: where this request ends can't be told for sure, so nothing may follow it.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(after) = self.retry_after() {
            // Whole seconds, rounded up: a client that comes early is refused again.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Self::Inbound(refusal) = self {
            refusal.write(response.headers_mut());
        }
        if let Self::Repeated { tries, .. } = self {
            response.headers_mut().insert(RETRIED, HeaderValue::from(*tries));
        }
        response
    }
}

/// RFC 9113 8.7: a stream that was refused, or that is above the last one of a graceful GOAWAY, was not processed.
fn processed(error: &hyper::Error) -> Processed {
    let Some(error) = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>())
    else {
        return Processed::Unknown;
    };
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    // Without an error, streams that the peer has begun are completed; only the others end with the GOAWAY.
    let above_the_last = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
    if error.is_remote() && (refused || above_the_last) { Processed::No } else { Processed::Unknown }
}
