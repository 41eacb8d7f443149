//! What gRPC says where HTTP has a word of its own, as far as an intermediary needs it
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use std::fmt::Write;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::Body;

const MEDIA_TYPE: &[u8] = b"application/grpc";
/// In the trailers, or in the head of an answer that has nothing but a status.
pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Time is over.
pub(crate) const DEADLINE_EXCEEDED: u8 = 4;
/// The callee can't be reached, or says that it can't serve.
pub(crate) const UNAVAILABLE: u8 = 14;

/// Whether a message is gRPC's, in whatever encoding; gRPC-Web is another protocol. Media types know no case (RFC 9110
/// 8.3.1).
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return false };
    let Some((kind, rest)) = kind.as_bytes().split_at_checked(MEDIA_TYPE.len()) else { return false };
    kind.eq_ignore_ascii_case(MEDIA_TYPE)
        && matches!(rest.trim_ascii_start().first(), None | Some(b'+' | b';'))
}

/// `grpc-status`.
pub(crate) fn status(headers: &HeaderMap) -> Option<u8> {
    headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

/// What OpenTelemetry's conventions take for the server's fault, gRPC's counterparts of 5xx: UNKNOWN, DEADLINE_EXCEEDED,
/// UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS.
pub(crate) fn is_server_fault(status: u8) -> bool {
    matches!(status, 2 | DEADLINE_EXCEEDED | 12 | 13 | UNAVAILABLE | 15)
}

/// The media type of a request that is gRPC's.
pub(super) fn content_type(request: &HeaderMap) -> Option<HeaderValue> {
    is_grpc(request).then(|| request.get(CONTENT_TYPE).cloned()).flatten()
}

/// `problem`, which is of the runtime's own making, as gRPC has it: a status in the head and no message, which the protocol
/// calls Trailers-Only. Clients take any other HTTP status for an unknown error, and never show a problem's body. It is
/// for a client that sent `content_type`; `detail` is its sentence.
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
    headers.insert(GRPC_STATUS, HeaderValue::from(code));
    if let Ok(message) = HeaderValue::try_from(encoded(detail)) {
        headers.insert(GRPC_MESSAGE, message);
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
    fn grpc_is_told_by_its_media_type_in_any_case() {
        for (kind, grpc) in [
            ("application/grpc", true),
            ("Application/gRPC", true),
            ("application/grpc+proto", true),
            ("APPLICATION/GRPC+JSON", true),
            ("application/grpc; charset=utf-8", true),
            ("application/grpc ;a=b", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/grp", false),
            ("application/json", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
            assert_eq!(is_grpc(&headers), grpc, "{kind}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

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
