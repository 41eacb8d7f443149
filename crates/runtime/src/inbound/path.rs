//! Paths that mean one thing to everybody.
//!
//! On the gateway port a path must be in normal form, so that a route that is matched here is the one that the app serves
//! ([`normal`]). Event paths are closed on both ports, also to whoever counts on an app that reads paths generously
//! ([`Closed`]).

use std::borrow::Cow;

/// Brings a path into normal form (RFC 3986 6.2.2): escaped letters, digits, `-`, `.`, `_` and `~` are unescaped, other
/// escapes are in upper case. Nothing is allocated where nothing changes.
///
/// # Errors
/// What makes the path one that servers read in different ways.
pub(crate) fn normal(path: &str) -> Result<Cow<'_, str>, &'static str> {
    let mut normal = None;
    if path.contains('%') {
        normal = Some(unescape(path)?);
    }
    let text = normal.as_deref().unwrap_or(path);
    let inner = text.strip_prefix('/').ok_or("it does not begin with '/'")?;
    let mut segments = inner.split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => return Err("it has a dot segment"),
            "" if segments.peek().is_some() => return Err("it has an empty segment"),
            _ => {}
        }
    }
    if text.contains(';') {
        return Err("it has a ';', which some servers take for the start of parameters");
    }
    if text.contains('\\') {
        return Err("it has a backslash, which some servers take for '/'");
    }
    if !text.bytes().all(is_path_byte) {
        return Err("it has a character that must be escaped");
    }
    Ok(match normal {
        Some(changed) if changed != path => Cow::Owned(changed),
        _ => Cow::Borrowed(path),
    })
}

/// RFC 3986 3.3: `pchar` and '/'.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,=:@/".contains(&byte)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn unescape(path: &str) -> Result<String, &'static str> {
    let mut text = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((plain, escaped)) = rest.split_once('%') {
        text.push_str(plain);
        let (digits, after) = escaped.split_at_checked(2).ok_or("it has an incomplete escape")?;
        let byte = hex(digits.as_bytes()).ok_or("it has an escape that is not one")?;
        match byte {
            b'/' | b'\\' => return Err("it has an escaped '/' or backslash"),
            b';' => return Err("it has an escaped ';'"),
            0..0x20 | 0x7f => return Err("it has an escaped control character"),
            _ if is_unreserved(byte) => text.push(char::from(byte)),
            _ => {
                text.push('%');
                text.push_str(&digits.to_ascii_uppercase());
            }
        }
        rest = after;
    }
    text.push_str(rest);
    Ok(text)
}

fn hex(digits: &[u8]) -> Option<u8> {
    let [high, low] = digits else { return None };
    let value = |digit: &u8| char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    Some(value(high)? << 4 | value(low)?)
}

/// What is below `prefix`, in whole segments: empty or beginning with '/'. A prefix's final '/' does not count.
pub(crate) fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix.strip_suffix('/').unwrap_or(prefix))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// Paths that no port serves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Closed(Vec<String>);

impl Closed {
    pub(crate) fn new(paths: &[String]) -> Self {
        Self(paths.iter().map(|path| generous(path)).collect())
    }

    /// Whether any server could take `path` for one of them.
    pub(crate) fn contains(&self, path: &str) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let read = generous(path);
        self.0.contains(&read)
    }
}

/// Reads a path as the most generous of servers: unescaped as often as it can be, '\' for '/', without parameters, dot
/// and empty segments, cut off at NUL, in lower case.
fn generous(path: &str) -> String {
    let mut bytes = path.as_bytes().to_vec();
    // Each turn makes it shorter, so this ends.
    while let Some(fewer) = unescape_all(&bytes) {
        bytes = fewer;
    }
    let mut segments: Vec<Vec<u8>> = Vec::new();
    let until_nul = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    for segment in until_nul.split(|byte| matches!(byte, b'/' | b'\\')) {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        match name {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            _ => segments.push(name.to_ascii_lowercase()),
        }
    }
    format!("/{}", String::from_utf8_lossy(&segments.join(&b'/')))
}

/// One pass; none when there was nothing to do.
fn unescape_all(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.split_at_checked(2).filter(|_| *first == b'%');
        match escaped.and_then(|(digits, after)| Some((hex(digits)?, after))) {
            Some((byte, after)) => {
                text.push(byte);
                rest = after;
            }
            None => {
                text.push(*first);
                rest = after;
            }
        }
    }
    (text.len() < bytes.len()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_read_in_different_ways_is_not_normal() {
        for path in [
            "/a/../b",
            "/a/%2e%2E/b",
            "/a/.%2e",
            "/./a",
            "/a/.",
            "//a",
            "/a//b",
            "/a//",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a;x=1",
            "/a%3bx",
            "/a%00",
            "/a%0a",
            "/a%7f",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%+1",
            "*",
            "",
            "a/b",
            "/a b",
            "/a\"b",
            "/é",
            "/a|b",
            "/a%é1",
        ] {
            assert!(normal(path).is_err(), "{path}");
        }
        for (path, becomes) in [
            ("/", "/"),
            ("/a/", "/a/"),
            ("/a.b/..c/...", "/a.b/..c/..."),
            ("/%75sers/%7e", "/users/~"),
            ("/a%20%c3%a9", "/a%20%C3%A9"),
            ("/100%25", "/100%25"),
            ("/%252e%252e", "/%252e%252e"),
            ("/a:b@c,d=e+f", "/a:b@c,d=e+f"),
        ] {
            assert_eq!(normal(path).unwrap(), becomes);
        }
    }

    #[test]
    fn prefixes_are_whole_segments() {
        assert_eq!(below("/api/v1/users", "/api/v1"), Some("/users"));
        assert_eq!(below("/api/v1", "/api/v1/"), Some(""));
        assert_eq!(below("/api/v1x", "/api/v1"), None);
        assert_eq!(below("/anything", "/"), Some("/anything"));
    }

    #[test]
    fn a_closed_path_is_closed_however_it_is_written() {
        let closed = Closed::new(&["/events/order-placed".to_owned()]);
        for path in [
            "/events/order-placed",
            "/events/order-placed/",
            "/Events/ORDER-placed",
            "//events///order-placed",
            "/events/./order-placed",
            "/x/../events/order-placed",
            "/events%2forder-placed",
            "/events%252Forder-placed",
            "/%65vents/order%2dplaced",
            "/events\\order-placed",
            "/events;a=b/order-placed;c",
            "/events/order-placed%00.html",
            "/events/order-placed%20",
            "/../events/order-placed",
        ] {
            assert!(closed.contains(path), "{path}");
        }
        for path in
            ["/", "/events", "/events/order-placed/1", "/events/order-placedx", "/events/order%placed"]
        {
            assert!(!closed.contains(path), "{path}");
        }
    }

    /// Escapes random paths at random, and holds what comes out against an independent reading of what went in.
    #[test]
    fn a_hundred_thousand_random_spellings_are_read_as_one_path_or_refused() {
        let mut random = fastrand::Rng::with_seed(11);
        let closed = Closed::new(&["/e/f".to_owned()]);
        let alphabet = ["a", "e", "f", "/", "/", ".", "..", "~", "%", ";", "\\", " ", "é", "+", "\0", "//"];
        let mut accepted = 0;
        for _ in 0..crate::executions() {
            let mut meant = String::from("/");
            for _ in 0..random.usize(..6) {
                meant.push_str(random.choice(alphabet).unwrap());
            }
            let mut spelled = String::new();
            for byte in meant.bytes() {
                let must = !byte.is_ascii_graphic() || byte == b'%';
                if byte != b'/' && (must || random.u8(..3) == 0) {
                    let lower = random.bool();
                    spelled += &if lower { format!("%{byte:02x}") } else { format!("%{byte:02X}") };
                } else {
                    spelled.push(char::from(byte));
                }
            }
            let segments: Vec<_> = meant.split('/').skip(1).collect();
            let unsafe_segment = |(index, segment): (usize, &&str)| {
                ["..", "."].contains(segment) || segment.is_empty() && index + 1 < segments.len()
            };
            let ambiguous =
                segments.iter().enumerate().any(unsafe_segment) || meant.contains([';', '\\', '\0']);
            match normal(&spelled) {
                Ok(path) => {
                    accepted += 1;
                    assert!(!ambiguous, "{spelled} was accepted");
                    assert_eq!(
                        unescape_all(path.as_bytes()).unwrap_or(path.as_bytes().to_vec()),
                        meant.as_bytes()
                    );
                    assert_eq!(normal(&path).unwrap(), path, "normal form is stable");
                }
                Err(why) => assert!(ambiguous, "{spelled} was refused: {why}"),
            }
            assert_eq!(closed.contains(&spelled), generous(&meant) == "/e/f", "{spelled}");
        }
        assert!(accepted > 10_000, "{accepted}");
    }
}
