//! What an answer is kept under: the target, the path with its query, and everything about the request that may say on
//! whose behalf it is made.
//!
//! A list of headers that carry identities is never complete, so it is the other way round: those that are known to carry
//! none are left out, and any other one makes a key of its own. `Vary` sees to the negotiation headers among them.

use http::Request;

/// Say nothing of whose request it is, or are this hop's own.
const NEUTRAL: [&str; 37] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "date",
    "dnt",
    "expect",
    "grpc-timeout",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "origin",
    "pragma",
    "priority",
    "range",
    "referer",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade-insecure-requests",
    "user-agent",
    "via",
    "x-correlation-id",
    "x-goodgo-priority",
    "x-goodgo-timeout-ms",
    "x-request-id",
    "x-service-auth",
];

/// Bytes that two requests share exactly when they may share an answer.
pub(super) type Key = Box<[u8]>;

/// The key of `request` to the target `lineage`.
pub(super) fn of<B>(lineage: u64, request: &Request<B>) -> Key {
    let mut key = Vec::with_capacity(128);
    key.extend_from_slice(&lineage.to_le_bytes());
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    append(&mut key, path.as_bytes());
    // A map hands out its names in no particular order; the values of one name keep theirs.
    let mut names: Vec<_> =
        request.headers().keys().filter(|name| !NEUTRAL.contains(&name.as_str())).collect();
    names.sort_unstable_by_key(|name| name.as_str());
    for name in names {
        append(&mut key, name.as_str().as_bytes());
        let values = request.headers().get_all(name);
        key.extend_from_slice(&values.iter().count().to_le_bytes());
        for value in values {
            append(&mut key, value.as_bytes());
        }
    }
    key.into_boxed_slice()
}

/// Length first: nothing that follows can be taken for a part of it.
fn append(key: &mut Vec<u8>, part: &[u8]) {
    key.extend_from_slice(&part.len().to_le_bytes());
    key.extend_from_slice(part);
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;
    use crate::corpus::{Corpus, executions};

    fn request(path: &str, headers: &[(String, String)]) -> Request<()> {
        let mut request = Request::get(path).body(()).unwrap();
        *request.headers_mut() = headers
            .iter()
            .map(|(name, value)| (HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap()))
            .fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            });
        request
    }

    #[test]
    fn every_identity_has_its_own() {
        let plain = of(1, &request("/users/1", &[]));
        let with =
            |name: &str, value: &str| of(1, &request("/users/1", &[(name.to_owned(), value.to_owned())]));
        for name in ["authorization", "cookie", "x-user-id", "x-tenant", "x-api-key", "baggage", "forwarded"]
        {
            assert_ne!(with(name, "alice"), plain, "{name}");
            assert_ne!(with(name, "alice"), with(name, "bob"), "{name}");
            assert_eq!(with(name, "alice"), with(name, "alice"), "{name}");
        }
        for name in NEUTRAL {
            assert_eq!(with(name, "1"), plain, "{name}");
        }
        assert_ne!(of(2, &request("/users/1", &[])), plain);
        assert_ne!(of(1, &request("/users/1?", &[])), plain);
    }

    fn headers(random: &mut fastrand::Rng) -> Vec<(String, String)> {
        const NAMES: [&str; 5] = ["authorization", "cookie", "x-a", "x-b", "accept"];
        const VALUES: [&str; 6] = ["", "a", "b", "ab", "a,b", "x-a"];
        let mut header = |_| (NAMES[random.usize(0..5)].to_owned(), VALUES[random.usize(0..6)].to_owned());
        let length = usize::from(header(0).1.len() > 1) + 1;
        (0..length).map(&mut header).collect()
    }

    /// What two requests must have in common.
    fn meaning(headers: &[(String, String)]) -> Vec<(String, String)> {
        let mut named: Vec<_> = headers.iter().filter(|(name, _)| name != "accept").cloned().collect();
        named.sort_by(|(a, _), (b, _)| a.cmp(b));
        named
    }

    #[test]
    fn keys_are_equal_exactly_when_the_requests_are() {
        let mut equals = 0;
        for seed in 0..executions() {
            let mut random = fastrand::Rng::with_seed(seed);
            let (one, other) = (headers(&mut random), headers(&mut random));
            let (path, path_too) = (random.choice(["/", "/a"]).unwrap(), random.choice(["/", "/a"]).unwrap());
            let equal = path == path_too && meaning(&one) == meaning(&other);
            let keys = (of(1, &request(path, &one)), of(1, &request(path_too, &other)));
            assert_eq!(keys.0 == keys.1, equal, "{one:?} {other:?}");
            equals += u32::from(equal);
        }
        assert!(equals > 1_000, "{equals} pairs were equal");
    }

    /// `path`, then `name: value` lines.
    fn read(text: &str) -> Option<Request<()>> {
        let (path, lines) = text.split_once('\n').unwrap_or((text, ""));
        let mut request = Request::get(path).body(()).ok()?;
        for line in lines.lines().take(32) {
            let (name, value) = line.split_once(": ")?;
            request
                .headers_mut()
                .append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
        }
        Some(request)
    }

    /// Everything that may make the answer another one, in an order that does not depend on how it was sent.
    fn sense(request: &Request<()>) -> (String, Vec<(String, Vec<u8>)>) {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let mut headers: Vec<_> = request
            .headers()
            .iter()
            .filter(|(name, _)| !NEUTRAL.contains(&name.as_str()))
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect();
        headers.sort_by(|(one, _), (other, _)| one.cmp(other));
        (path, headers)
    }

    #[test]
    fn random_requests_share_a_key_exactly_when_they_ask_the_same() {
        const TOKENS: [&str; 16] = [
            "\n",
            "---\n",
            ": ",
            "authorization: a",
            "cookie: b",
            "accept: c",
            "x-a: ",
            "x-b: a",
            "/",
            "?",
            "a",
            ",",
            "%00",
            "é",
            " ",
            "http://h",
        ];
        let outcomes =
            Corpus::open(env!("CARGO_MANIFEST_DIR"), "cache-key").run(executions(), &TOKENS, |input| {
                let text = String::from_utf8_lossy(input);
                let (one, other) = text.split_once("---\n").unwrap_or((&text, &text));
                let (Some(one), Some(other)) = (read(one), read(other)) else {
                    return "no requests".to_owned();
                };
                let (sense, sense_too) = (sense(&one), sense(&other));
                let equal = sense == sense_too;
                assert_eq!(of(1, &one) == of(1, &other), equal, "{text}");
                assert_ne!(of(1, &one), of(2, &other));
                let headers = ["no", "one", "two", "several"][sense.1.len().min(3)];
                let paths = ["different", "equal"][usize::from(sense.0 == sense_too.0)];
                format!("{} with {headers} header, {paths} paths", if equal { "equal" } else { "different" })
            });
        assert!(outcomes >= 10, "{outcomes} outcomes");
    }
}
