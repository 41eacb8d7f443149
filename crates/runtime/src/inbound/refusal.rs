//! Why a request does not reach the app, and how its client is told. Part of `proxy::Failure`, which answers it.

use std::time::Duration;

use http::header::{ALLOW, CONNECTION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::identity::verify::Denied;

/// Why a request was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Refusal {
    /// The service port does not know who calls.
    #[error("failed to authenticate the calling service: {0}")]
    Caller(Denied),
    /// It does, and they may not.
    #[error(
        "failed to admit {subject}: it is not a declared caller of {callee}; declare the call under spec.calls of the \
         calling service, and let it in under spec.access of {callee} if that narrows its callers"
    )]
    CallerNotDeclared { subject: Box<str>, callee: String },
    /// The path is one to which only the runtime delivers.
    #[error(
        "failed to find anything at this path: it is where events are delivered, and closed to everybody else"
    )]
    EventPath,
    /// The path is not in normal form.
    #[error("failed to read the path: {0}")]
    PathNotNormal(&'static str),
    /// The route is declared, the method is not.
    #[error("failed to find the method among those of route {route}")]
    Method { route: String, allow: HeaderValue },
    /// The body's media type is not declared.
    #[error("failed to accept the body: its media type is not one of those of route {route}")]
    MediaType { route: String },
    /// The body is larger than declared.
    #[error("failed to accept the body: it has more than {limit} bytes")]
    BodyTooLarge { limit: u64, policy: Option<&'static str> },
    /// The client stopped in the middle of its body.
    #[error("failed to receive the body: nothing came for {} s", .limit.as_secs())]
    BodyStalled { limit: Duration },
    /// More header fields than are served.
    #[error("failed to accept the request: it has more than {limit} header fields")]
    TooManyHeaders { limit: usize },
    /// The route does not know who its user is.
    #[error("failed to authenticate the user: {0}")]
    User(Denied),
    /// The issuer's keys have never been fetched.
    #[error("failed to get the keys of {issuer}, so that no user can be authenticated: {reason}")]
    KeysUnavailable { issuer: String, reason: String },
    /// The service that decides does not answer.
    #[error("failed to ask {call} whether the user may use route {route}: {reason}")]
    AuthUnavailable { call: String, route: String, reason: String },
    /// The gateway decides, and was not asked, or not yet.
    #[error("failed to find the gateway's word that the user may use route {route}")]
    NotAsked { route: String },
    /// The app took longer than the route allows.
    #[error("failed to get an answer from the app within the {} ms of route {route}", .limit.as_millis())]
    RouteTimeout { route: String, limit: Duration },
    /// Nobody waits for the answer any more.
    #[error("failed to start the request: its deadline has passed")]
    DeadlinePassed,
    /// More at once than the app does without getting slower.
    #[error("failed to take on more work: the service is at its limit")]
    Overloaded,
}

impl Refusal {
    /// One CamelCase word.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Caller(_) => "CallerUnauthenticated",
            Self::CallerNotDeclared { .. } => "CallerNotDeclared",
            Self::EventPath => "EventPath",
            Self::PathNotNormal(_) => "PathNotNormal",
            Self::Method { .. } => "MethodNotDeclared",
            Self::MediaType { .. } => "MediaTypeNotDeclared",
            Self::BodyTooLarge { .. } => "BodyTooLarge",
            Self::BodyStalled { .. } => "BodyStalled",
            Self::TooManyHeaders { .. } => "TooManyHeaders",
            Self::User(_) => "UserUnauthenticated",
            Self::KeysUnavailable { .. } => "KeysUnavailable",
            Self::AuthUnavailable { .. } => "AuthUnavailable",
            Self::NotAsked { .. } => "GatewayNotAsked",
            Self::RouteTimeout { .. } => "RouteTimeout",
            Self::DeadlinePassed => "DeadlinePassed",
            Self::Overloaded => "Overloaded",
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Caller(_) | Self::User(_) => StatusCode::UNAUTHORIZED,
            Self::CallerNotDeclared { .. } => StatusCode::FORBIDDEN,
            Self::EventPath => StatusCode::NOT_FOUND,
            Self::PathNotNormal(_) => StatusCode::BAD_REQUEST,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyStalled { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::TooManyHeaders { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::KeysUnavailable { .. }
            | Self::AuthUnavailable { .. }
            | Self::NotAsked { .. }
            | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::RouteTimeout { .. } | Self::DeadlinePassed => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// RFC 9209 2.3: the registered proxy error type.
    pub(crate) fn proxy_status(&self) -> &'static str {
        match self {
            Self::EventPath => "goodgo-runtime; error=destination_not_found",
            Self::PathNotNormal(_) | Self::BodyStalled { .. } => "goodgo-runtime; error=http_request_error",
            Self::KeysUnavailable { .. } | Self::AuthUnavailable { .. } => {
                "goodgo-runtime; error=destination_unavailable"
            }
            Self::RouteTimeout { .. } => "goodgo-runtime; error=http_response_timeout",
            Self::DeadlinePassed => "goodgo-runtime; error=connection_timeout",
            Self::Overloaded => "goodgo-runtime; error=connection_limit_reached",
            Self::Caller(_)
            | Self::CallerNotDeclared { .. }
            | Self::Method { .. }
            | Self::MediaType { .. }
            | Self::BodyTooLarge { .. }
            | Self::TooManyHeaders { .. }
            | Self::NotAsked { .. }
            | Self::User(_) => "goodgo-runtime; error=http_request_denied",
        }
    }

    /// The declared policy that decided, as a path below `spec`.
    pub(crate) fn policy(&self) -> Option<String> {
        match self {
            Self::Caller(_) | Self::CallerNotDeclared { .. } => Some("access".to_owned()),
            Self::EventPath => Some("events.subscribes".to_owned()),
            Self::Method { route, .. } | Self::MediaType { route } | Self::RouteTimeout { route, .. } => {
                Some(format!("gateway.routes.{route}"))
            }
            Self::NotAsked { route } => Some(format!("gateway.routes.{route}.auth")),
            Self::AuthUnavailable { route, .. } => Some(format!("gateway.routes.{route}.auth.forward")),
            Self::User(_) | Self::KeysUnavailable { .. } => Some("gateway.routes".to_owned()),
            Self::BodyTooLarge { policy, .. } => policy.map(str::to_owned),
            Self::PathNotNormal(_)
            | Self::BodyStalled { .. }
            | Self::TooManyHeaders { .. }
            | Self::DeadlinePassed
            | Self::Overloaded => None,
        }
    }

    /// The sentence for a client outside the cluster: without what was said by, or is known of, somebody inside.
    pub(crate) fn outside(&self) -> String {
        match self {
            Self::KeysUnavailable { .. } => {
                "failed to get the keys of the tokens' issuer, so that no user can be authenticated"
                    .to_owned()
            }
            Self::AuthUnavailable { route, .. } => {
                format!("failed to find out whether the user may use route {route}")
            }
            Self::CallerNotDeclared { .. } => "failed to admit the caller".to_owned(),
            _ => self.to_string(),
        }
    }

    /// What its status demands beyond the problem.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        match self {
            Self::Caller(denied) => challenge(headers, "ServiceToken", *denied),
            Self::User(denied) => challenge(headers, "Bearer", *denied),
            Self::Method { allow, .. } => {
                headers.insert(ALLOW, allow.clone());
            }
            Self::BodyStalled { .. } => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
    }
}

/// RFC 9110 11.6.1 and, for the attributes, RFC 6750 3: who presented nothing is not told of an error.
fn challenge(headers: &mut HeaderMap, scheme: &str, denied: Denied) {
    let text = match denied {
        Denied::Missing => format!(r#"{scheme} realm="goodgo""#),
        denied => format!(r#"{scheme} realm="goodgo", error="invalid_token", error_description="{denied}""#),
    };
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(WWW_AUTHENTICATE, value);
    }
}
