//! Headers that tell identities or carry the platform's own news: nobody but the runtime sets what the app sees of them.

use std::collections::HashSet;

use goodgo_runtime_config::headers;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

use crate::proxy::deadline::TIMEOUT_MS;

/// A caller's token, bare (no scheme).
pub(crate) const SERVICE_AUTH: HeaderName = HeaderName::from_static(headers::SERVICE_AUTH);
/// A fixed key.
pub(crate) const API_KEY: HeaderName = HeaderName::from_static(headers::API_KEY);
/// What the app is told about its caller: `namespace/name`, or `key`.
pub(crate) const CALLER: HeaderName = HeaderName::from_static(headers::CALLER);
/// What an app that was called with a fixed key is told.
pub(crate) const CALLED_WITH_KEY: HeaderValue = HeaderValue::from_static("key");
/// `low`: work that is shed first.
pub(crate) const PRIORITY: HeaderName = HeaderName::from_static("x-goodgo-priority");

/// `gateway`: what the gateway says of a request that it has let through itself.
pub(crate) const AUTHENTICATED: HeaderName = HeaderName::from_static(headers::AUTHENTICATED);
/// Its value.
pub(crate) const BY_GATEWAY: &[u8] = headers::BY_GATEWAY.as_bytes();

/// All of the platform's headers but the credentials begin with it, those of later versions too.
const PREFIX: &[u8] = b"x-goodgo-";

/// Whether only the platform has headers of this (lower-case) name.
pub(crate) fn is_platforms(name: &[u8]) -> bool {
    name.starts_with(PREFIX)
        || name == SERVICE_AUTH.as_str().as_bytes()
        || name == API_KEY.as_str().as_bytes()
}

/// Removes the headers whose names `is` picks; allocates nothing where there are none.
pub(crate) fn remove_where(headers: &mut HeaderMap, is: impl Fn(&HeaderName) -> bool) {
    // Collected first: the names borrow from the map that they are removed from.
    let picked: Vec<HeaderName> = headers.keys().filter(|name| is(name)).cloned().collect();
    for name in picked {
        headers.remove(name);
    }
}

/// Names that a client can't speak through.
///
/// An underscore counts as a hyphen: servers in the tradition of CGI (WSGI, Rack, PHP) hand both to the app as one name,
/// so that `X_Goodgo_Caller` would be read as the runtime's word.
#[derive(Debug, Clone, Default)]
pub(crate) struct Protected {
    /// Lower case, with hyphens.
    names: HashSet<Box<[u8]>>,
    /// Whether deadline and priority are taken too: nobody outside has a say in how the app's work is done.
    outside: bool,
}

impl Protected {
    /// Of the service port: what the caller's runtime tells ours. Deadline and priority stay, the next hop counts on them.
    pub(crate) fn inside() -> Self {
        Self::default()
    }

    /// Of the gateway port: those, what would make the request another one, and `names`, which the routes'
    /// authentication sets.
    pub(crate) fn outside<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names = names.into_iter().chain(headers::NOT_FROM_OUTSIDE);
        Self { names: names.map(|name| canonical(name.as_bytes())).collect(), outside: true }
    }

    /// Removes them from a head or from trailers.
    pub(crate) fn strip(&self, headers: &mut HeaderMap) {
        // There on most requests.
        headers.remove(&SERVICE_AUTH);
        headers.remove(&API_KEY);
        remove_where(headers, |name| self.contains(name));
    }

    fn contains(&self, name: &HeaderName) -> bool {
        let bytes = name.as_str().as_bytes();
        if !self.outside && (*name == TIMEOUT_MS || *name == PRIORITY) {
            return false;
        }
        let underscored = bytes.contains(&b'_');
        // Without underscores there is nothing to allocate.
        if underscored { self.has(&canonical(bytes)) } else { self.has(bytes) }
    }

    fn has(&self, name: &[u8]) -> bool {
        is_platforms(name) || self.names.contains(name)
    }
}

fn canonical(name: &[u8]) -> Box<[u8]> {
    name.iter().map(|byte| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(protected: &Protected, names: &[&'static str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for name in names {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("1"));
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("2"));
        }
        protected.strip(&mut headers);
        let mut left: Vec<_> = headers.keys().map(|name| name.as_str().to_owned()).collect();
        left.sort_unstable();
        left
    }

    const SENT: [&str; 10] = [
        "X-Goodgo-Caller",
        "x_goodgo_caller",
        "x-goodgo-of-tomorrow",
        "x-service-auth",
        "X_Service-Auth",
        "x-internal-api-key",
        "x-user-id",
        "X_User_Id",
        "x-goodgo-timeout-ms",
        "x-goodgo-priority",
    ];

    #[test]
    fn inside_the_platforms_headers_go_and_deadline_and_priority_stay() {
        let stay = ["x-goodgo-priority", "x-goodgo-timeout-ms", "x-user-id", "x_user_id"];
        assert_eq!(left(&Protected::inside(), &SENT), stay);
    }

    #[test]
    fn outside_the_routes_headers_and_the_deadline_go_as_well() {
        let none: Vec<String> = Vec::new();
        assert_eq!(left(&Protected::outside(["X-User-Id"]), &SENT), none);
        let overrides = ["X-HTTP-Method-Override", "X_Original_URL", "x-rewrite-url", "accept"];
        assert_eq!(left(&Protected::outside([]), &overrides), ["accept"]);
    }

    /// Every header whose name an app could take for a protected one is gone, and no other is.
    #[test]
    fn a_hundred_thousand_random_names_are_removed_exactly_when_a_cgi_server_would_confuse_them() {
        let protected = Protected::outside(["X-User-Id", "x-role"]);
        let mut random = fastrand::Rng::with_seed(7);
        let seeds =
            ["x-user-id", "x-role", "x-goodgo-caller", "x-service-auth", "accept", "x-roles", "xuser-id"];
        for _ in 0..crate::executions() {
            let mut name = random.choice(seeds).unwrap().as_bytes().to_vec();
            for byte in &mut name {
                match random.u8(..8) {
                    0 if *byte == b'-' => *byte = b'_',
                    1 => *byte = byte.to_ascii_uppercase(),
                    2 if random.u8(..16) == 0 => *byte = b'z',
                    _ => {}
                }
            }
            let cgi = String::from_utf8(name.clone()).unwrap().to_ascii_uppercase().replace('-', "_");
            let confused = ["X_USER_ID", "X_ROLE", "X_SERVICE_AUTH"].contains(&cgi.as_str())
                || cgi.starts_with("X_GOODGO_");
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_bytes(&name).unwrap(), HeaderValue::from_static("x"));
            protected.strip(&mut headers);
            assert_eq!(headers.is_empty(), confused, "{}", String::from_utf8_lossy(&name));
        }
    }
}
