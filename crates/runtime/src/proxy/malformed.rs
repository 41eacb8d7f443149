//! Which messages are not forwarded, because runtime and app could understand them differently. The parser refuses what
//! is not HTTP; this refuses what is, and still means two things. `tests/hostile` shows both.

use http::header::{HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, Method, Request, Uri, Version};

use super::Failure;

/// # Errors
/// [`Failure::ConnectMethod`], [`Failure::Malformed`].
pub(super) fn check<B>(request: &Request<B>) -> Result<(), Failure> {
    if request.method() == Method::CONNECT {
        return Err(Failure::ConnectMethod);
    }
    check_target(request.method(), request.uri())?;
    check_host(request.headers(), request.version())?;
    check_coding(request.headers())
}

/// RFC 9112 3.2: a path, a URL without a user (RFC 9110 4.2.4), or `*` for OPTIONS. The parser takes `a:80` and `a` too,
/// which are CONNECT's, and would have become `/` on the way.
fn check_target(method: &Method, uri: &Uri) -> Result<(), Failure> {
    match uri.authority() {
        Some(_) if uri.scheme().is_none() => {
            return Err(Failure::Malformed("its target is neither a path nor a URL"));
        }
        Some(authority) if !is_plain(authority) => {
            return Err(Failure::Malformed("its target's authority is not a host and a port"));
        }
        _ => {}
    }
    let path = uri.path();
    if path.starts_with('/') || path == "*" && method == Method::OPTIONS {
        return Ok(());
    }
    Err(Failure::Malformed("its target is neither a path nor a URL"))
}

/// RFC 9112 3.2: exactly one Host in HTTP/1.1, and no other value than a host and a port; it may be empty.
fn check_host(headers: &HeaderMap, version: Version) -> Result<(), Failure> {
    let mut hosts = headers.get_all(HOST).iter();
    let Some(host) = hosts.next() else {
        let needed = version == Version::HTTP_11;
        return if needed { Err(Failure::Malformed("it has no Host")) } else { Ok(()) };
    };
    if hosts.next().is_some() {
        return Err(Failure::Malformed("it has more than one Host"));
    }
    if host.is_empty() || Authority::try_from(host.as_bytes()).is_ok_and(|host| is_plain(&host)) {
        return Ok(());
    }
    Err(Failure::Malformed("its Host is not a host and a port"))
}

fn is_plain(authority: &Authority) -> bool {
    let text = authority.as_str();
    let has_port = text.len() > authority.host().len();
    // A comma may stand in a name by RFC 3986, but many read it as a list.
    !text.contains(['@', ',']) && (!has_port || authority.port_u16().is_some())
}

/// RFC 9112 6.1: `Transfer-Encoding` ends at this hop, which undoes `chunked` and nothing else. Another coding would reach
/// the app without its name, and `chunked` twice is read as once by some.
fn check_coding(headers: &HeaderMap) -> Result<(), Failure> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Failure::Malformed("its transfer coding is not chunked alone")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(uri: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap()).is_ok()
    }

    #[test]
    fn a_target_is_a_path_or_a_url() {
        for (uri, good) in [
            ("/a?b", true),
            ("http://a/b", true),
            ("http://a:80", true),
            ("http://u@a/b", false),
            ("a:80", false),
            ("a", false),
            ("*", false),
        ] {
            assert_eq!(checked(uri, &[("host", "a")]), good, "{uri}");
        }
        let options = Request::options("*").header("host", "a").body(()).unwrap();
        assert!(check(&options).is_ok());
    }

    #[test]
    fn a_host_is_one_host() {
        for (host, good) in [
            ("a", true),
            ("a.example:80", true),
            ("[::1]:80", true),
            ("127.0.0.1", true),
            ("", true),
            ("a:b", false),
            ("a:70000", false),
            ("u@a", false),
            ("a,b", false),
            ("a b", false),
            ("a/b", false),
        ] {
            assert_eq!(checked("/", &[("host", host)]), good, "{host}");
        }
        assert!(!checked("/", &[]) && !checked("/", &[("host", "a"), ("host", "a")]));
    }

    #[test]
    fn a_coding_is_chunked_once() {
        for (codings, good) in [
            (&["chunked"][..], true),
            (&["Chunked"], true),
            (&["gzip, chunked"], false),
            (&["chunked, chunked"], false),
            (&["chunked", "chunked"], false),
            (&[""], false),
        ] {
            let mut headers = vec![("host", "a")];
            headers.extend(codings.iter().map(|coding| ("transfer-encoding", *coding)));
            assert_eq!(checked("/", &headers), good, "{codings:?}");
        }
    }
}
