//! Failures of the runtime's making as gRPC has them: a status in the head and no message, which the protocol calls
//! Trailers-Only (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>). Clients take any other HTTP status for
//! an unknown error, and never show a problem's body.

use std::fmt::Write;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::Body;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The content type of a request that is gRPC's, or one of its relatives'.
pub(super) fn content_type(request: &HeaderMap) -> Option<HeaderValue> {
    request.get(CONTENT_TYPE).filter(|kind| kind.as_bytes().starts_with(b"application/grpc")).cloned()
}

/// `problem` for a client that sent `content_type`; `detail` is its sentence.
pub(super) fn trailers_only(
    mut problem: Response<Body>,
    content_type: HeaderValue,
    detail: &str,
) -> Response<Body> {
    let code = code(problem.status());
    *problem.status_mut() = StatusCode::OK;
    let headers = problem.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(STATUS, HeaderValue::from(code));
    if let Ok(message) = HeaderValue::try_from(encoded(detail)) {
        headers.insert(MESSAGE, message);
    }
    problem.map(|_| Body::empty())
}

/// The code that says the same; where gRPC has a mapping of its own
/// (<https://grpc.io/docs/guides/status-codes>), that one.
fn code(status: StatusCode) -> u16 {
    match status {
        StatusCode::GATEWAY_TIMEOUT | StatusCode::REQUEST_TIMEOUT => 4, // DEADLINE_EXCEEDED
        StatusCode::FORBIDDEN => 7,                                     // PERMISSION_DENIED
        StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => 8, // RESOURCE_EXHAUSTED
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => 12, // UNIMPLEMENTED
        StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE => 13, // INTERNAL
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => 14,    // UNAVAILABLE
        StatusCode::UNAUTHORIZED => 16,                                     // UNAUTHENTICATED
        _ => 2,                                                             // UNKNOWN
    }
}

/// Percent-encoded: what is not printable ASCII, and the percent sign.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'$' | b'&'..=b'~' => encoded.push(char::from(byte)),
            // Writing to a string does not fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_printable_and_says_the_same() {
        assert_eq!(encoded("no answer within 5 ms"), "no answer within 5 ms");
        assert_eq!(encoded("100 % of \u{fc}\n"), "100 %25 of %C3%BC%0A");
    }

    #[test]
    fn every_status_of_a_failure_has_its_code() {
        let of = |status: u16| code(StatusCode::from_u16(status).unwrap());
        let codes =
            [(504, 4), (503, 14), (502, 14), (429, 8), (413, 8), (401, 16), (403, 7), (404, 12), (418, 2)];
        for (status, code) in codes {
            assert_eq!(of(status), code, "{status}");
        }
    }
}
