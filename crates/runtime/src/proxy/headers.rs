//! Hop-by-hop headers (RFC 9110 7.6.1): they end at this hop, in both directions.

use http::header::{CONNECTION, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue};

/// Headers that describe one connection even when `Connection` does not list them.
const HOP_BY_HOP: [HeaderName; 5] = [
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Removes what belongs to this hop alone, and returns the protocol of an upgrade that was asked for or granted.
///
/// Framing is not lost with `Transfer-Encoding`: it is derived from the body anew. `TE: trailers` stays, as gRPC demands
/// it and trailers pass through.
pub(super) fn strip(headers: &mut HeaderMap) -> Option<HeaderValue> {
    // Most messages have none, and one look at each name costs less than looking for each of them.
    if !headers.keys().any(is_of_hop) {
        return None;
    }
    let trailers = takes_trailers(headers);
    let mut upgrade = None;
    if headers.contains_key(CONNECTION) {
        // Collected first: the names borrow from the map that they are removed from.
        let listed: Vec<HeaderName> = tokens(headers, &CONNECTION)
            .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
            .collect();
        if listed.contains(&UPGRADE) {
            upgrade = headers.get(UPGRADE).filter(|protocol| is_websocket(protocol)).cloned();
        }
        headers.remove(CONNECTION);
        for name in listed {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    headers.remove(TE);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    upgrade
}

fn is_of_hop(name: &HeaderName) -> bool {
    *name == CONNECTION || *name == TE || HOP_BY_HOP.contains(name)
}

/// The one protocol that is switched to. Behind any other, HTTP/2 above all, requests would go by that no layer has seen: no
/// route, no authentication, no removed header.
fn is_websocket(protocol: &HeaderValue) -> bool {
    protocol.as_bytes().eq_ignore_ascii_case(b"websocket")
}

/// Asks this hop's neighbour for, or grants it, the switch to `protocol`.
pub(super) fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

fn takes_trailers(headers: &HeaderMap) -> bool {
    // A weight may follow: `trailers;q=0.5`.
    tokens(headers, &TE).any(|token| {
        token.split(';').next().is_some_and(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
    })
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_connection_lists_is_removed_with_it() {
        let mut headers = headers(&[
            ("connection", "keep-alive, X-Secret"),
            ("connection", "x-other"),
            ("x-secret", "1"),
            ("x-other", "2"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("te", "gzip"),
            ("upgrade", "websocket"),
            ("authorization", "Bearer t"),
            ("content-length", "3"),
        ]);
        assert_eq!(strip(&mut headers), None, "upgrade was not listed in Connection");
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "content-length"]);
    }

    #[test]
    fn trailers_stay_announced() {
        for te in ["trailers", "gzip, Trailers;q=0.5"] {
            let mut headers = headers(&[("te", te), ("connection", "te")]);
            strip(&mut headers);
            assert_eq!(headers[TE], "trailers");
        }
    }

    #[test]
    fn nothing_but_websocket_is_switched_to() {
        for protocol in ["h2c", "websocket, h2c", "HTTP/2.0", ""] {
            let mut headers =
                headers(&[("connection", "upgrade, http2-settings"), ("http2-settings", "AAMAAABk")]);
            headers.insert(UPGRADE, HeaderValue::from_static(protocol));
            assert_eq!(strip(&mut headers), None, "{protocol}");
            assert!(headers.is_empty(), "{headers:?}");
        }
    }

    #[test]
    fn an_upgrade_is_returned_with_its_protocol() {
        let mut headers = headers(&[("connection", "Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(strip(&mut headers).unwrap(), "websocket");
        assert!(headers.is_empty());
        set_upgrade(&mut headers, HeaderValue::from_static("websocket"));
        assert_eq!(headers[CONNECTION], "upgrade");
    }
}
