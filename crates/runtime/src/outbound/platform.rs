//! The platform's own headers on a request that leaves the pod: what a callee of the platform is told, and that nobody
//! else is told anything.

use goodgo_runtime_config::Priority;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

/// On a response: how many tries were made below, so that the layer above repeats nothing.
pub(crate) const RETRIED: HeaderName = HeaderName::from_static("x-goodgo-retried");
/// On a request: `low` is shed first.
pub(crate) const PRIORITY: HeaderName = HeaderName::from_static("x-goodgo-priority");

/// Say something of this pod alone, or are the callee's runtime's to set.
const NEVER_SENT: [HeaderName; 3] =
    [HeaderName::from_static("x-goodgo-context"), HeaderName::from_static("x-goodgo-caller"), RETRIED];
/// The platform's that do not start with its name.
const PLATFORMS: [HeaderName; 6] = [
    HeaderName::from_static("x-correlation-id"),
    HeaderName::from_static("x-service-auth"),
    HeaderName::from_static("x-internal-api-key"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
];
const PREFIX: &str = "x-goodgo-";

/// For a GoodGoService: takes away what must stay here, and states the priority of the call.
pub(super) fn to_service(headers: &mut HeaderMap, priority: Priority) {
    for name in &NEVER_SENT {
        headers.remove(name);
    }
    if priority == Priority::Low {
        headers.insert(PRIORITY, HeaderValue::from_static("low"));
    }
}

/// For anybody else: takes away everything of the platform, whoever set it.
pub(super) fn to_stranger(headers: &mut HeaderMap) {
    for name in &PLATFORMS {
        headers.remove(name);
    }
    if headers.keys().any(|name| name.as_str().starts_with(PREFIX)) {
        let ours: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with(PREFIX)).cloned().collect();
        for name in ours {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> HeaderMap {
        let ours = PLATFORMS.into_iter().chain(NEVER_SENT);
        let more =
            ["x-goodgo-timeout-ms", "x-goodgo-priority", "x-goodgo-anything", "authorization", "accept"];
        let more = more.map(HeaderName::from_static);
        ours.chain(more).map(|name| (name, HeaderValue::from_static("1"))).collect()
    }

    #[test]
    fn strangers_learn_nothing_of_the_platform() {
        let mut headers = everything();
        to_stranger(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "authorization"]);
    }

    #[test]
    fn services_learn_what_is_theirs() {
        let mut headers = everything();
        to_service(&mut headers, Priority::Normal);
        assert!(NEVER_SENT.iter().all(|name| !headers.contains_key(name)));
        assert!(PLATFORMS.iter().all(|name| headers.contains_key(name)));
        assert_eq!(headers[PRIORITY], "1", "what the request being served says continues");
        to_service(&mut headers, Priority::Low);
        assert_eq!(headers[PRIORITY], "low");
    }
}
