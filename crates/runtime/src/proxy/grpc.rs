//! What gRPC says where HTTP has a word of its own, as far as an intermediary needs it
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderName};

const MEDIA_TYPE: &[u8] = b"application/grpc";
/// In the trailers, or in the head of an answer that has nothing but a status.
pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

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
    matches!(status, 2 | 4 | 12 | 13 | UNAVAILABLE | 15)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

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
}
