//! gzip (RFC 1952), with constant memory in both directions.
//!
//! - [`encode`]: requests on their way out, answers of the app on their way back.
//! - [`decode`]: requests that another runtime encoded, before the app gets them.
//!
//! What may be encoded and is worth it is decided here, for both directions by the same rules.

mod decode;
mod encode;

use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, HeaderName,
};
use http::{HeaderMap, HeaderValue};

pub(crate) use self::decode::{LARGEST, decoded};
pub(crate) use self::encode::{Place, When, encoded};

/// The coding's name in `Content-Encoding` and `Accept-Encoding`.
pub(crate) const GZIP: HeaderValue = HeaderValue::from_static("gzip");
/// On a request that a runtime encoded: how many bytes its body has decoded. Without it a body is the app's own, which may
/// be encoded for the app at the other end, and is left as it is.
pub(crate) const DECODED_LENGTH: HeaderName = HeaderName::from_static("x-goodgo-decoded-length");

/// Smaller bodies fit into one packet anyway, in bytes.
pub(crate) const THRESHOLD: u64 = 1024;
/// Digests of the bytes as they are sent (RFC 9530 and its predecessors): compressing would break them.
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("signature"),
];

/// RFC 9110 12.5.3: gzip is listed, and not with a weight of zero.
pub(crate) fn is_taken(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip =
            parts.next().is_some_and(|c| c.eq_ignore_ascii_case("gzip") || c.eq_ignore_ascii_case("x-gzip"));
        let weight = parts.find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")));
        is_gzip && weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|weight| weight > 0.0))
    })
}

/// Whether a body with these headers may be encoded, and shrinks when it is.
pub(crate) fn is_worth_it(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    text(CONTENT_TYPE).is_some_and(compresses_well)
        && !headers.contains_key(CONTENT_ENCODING)
        && !headers.contains_key(CONTENT_RANGE)
        && !DIGESTS.iter().any(|name| headers.contains_key(name))
        && !headers.get_all(CACHE_CONTROL).iter().any(forbids_transforming)
}

/// RFC 9111 5.2.1.6 and 5.2.2.6.
fn forbids_transforming(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("no-transform"))
}

fn compresses_well(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_one_of = |types: &[&str]| types.contains(&media_type.as_str());
    // Events are waited for one by one, and each is small.
    (media_type.starts_with("text/") && media_type != "text/event-stream")
        || media_type.ends_with("+json")
        || media_type.ends_with("+xml")
        || is_one_of(&[
            "application/json",
            "application/xml",
            "application/x-ndjson",
            "application/javascript",
            "application/graphql",
            "application/x-www-form-urlencoded",
            "image/svg+xml",
        ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn only_what_is_worth_it_and_allowed_is_encoded() {
        let json = ("content-type", "application/json; charset=utf-8");
        assert!(is_worth_it(&headers(&[json])));
        assert!(is_worth_it(&headers(&[json, ("cache-control", "max-age=1")])));
        assert!(is_worth_it(&headers(&[("content-type", "application/problem+json")])));
        for not in [
            &[("content-type", "image/png")][..],
            &[("content-type", "application/grpc")],
            &[("content-type", "text/event-stream; charset=utf-8")],
            &[],
            &[json, ("content-encoding", "br")],
            &[json, ("content-range", "bytes 0-1/2")],
            &[json, ("content-digest", "sha-256=:x:")],
            &[json, ("cache-control", "No-Transform")],
            &[json, ("cache-control", "private"), ("cache-control", "max-age=1, no-transform")],
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in not {
                map.append(*name, HeaderValue::from_static(value));
            }
            assert!(!is_worth_it(&map), "{not:?}");
        }
    }

    #[test]
    fn a_coding_is_taken_unless_its_weight_is_zero() {
        for (value, taken) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("x-gzip", true),
            ("identity", false),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("gzip;q=x", false),
            ("br", false),
            ("", false),
        ] {
            assert_eq!(is_taken(&headers(&[("accept-encoding", value)])), taken, "{value}");
        }
        assert!(!is_taken(&HeaderMap::new()));
    }
}
