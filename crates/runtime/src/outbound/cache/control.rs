//! `Cache-Control` (RFC 9111 5.2), read so that what can't be understood forbids.

use http::header::{CACHE_CONTROL, HeaderName};
use http::{HeaderMap, HeaderValue};

const PRAGMA: HeaderName = HeaderName::from_static("pragma");

/// The directives of a request or a response that a cache obeys. Times are seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Directives {
    pub(super) no_store: bool,
    pub(super) no_cache: bool,
    pub(super) private: bool,
    pub(super) public: bool,
    pub(super) must_revalidate: bool,
    pub(super) max_age: Option<u64>,
    pub(super) s_maxage: Option<u64>,
    pub(super) min_fresh: Option<u64>,
}

impl Directives {
    /// Of either kind of message; what is not a list of directives counts as `no-store`.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut directives = Self::default();
        for value in headers.get_all(CACHE_CONTROL) {
            if directives.read(value).is_none() {
                directives.no_store = true;
            }
        }
        if !headers.contains_key(CACHE_CONTROL) {
            // RFC 9111 5.4: what HTTP/1.0 clients say instead.
            directives.no_cache = headers
                .get(PRAGMA)
                .and_then(|value| value.to_str().ok())
                .is_some_and(|value| value.to_ascii_lowercase().contains("no-cache"));
        }
        directives
    }

    fn read(&mut self, value: &HeaderValue) -> Option<()> {
        let mut rest = value.to_str().ok()?;
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                return Some(());
            }
            let (name, after) = token(rest)?;
            let (argument, after) = match after.strip_prefix('=') {
                None => (None, after),
                Some(after) if after.starts_with('"') => {
                    let (text, after) = quoted(after)?;
                    (Some(text), after)
                }
                Some(after) => {
                    let (text, after) = token(after)?;
                    (Some(text), after)
                }
            };
            self.set(name, argument);
            rest = after.trim_start_matches([' ', '\t']);
            if !rest.is_empty() && !rest.starts_with(',') {
                return None;
            }
        }
    }

    fn set(&mut self, name: &str, argument: Option<&str>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        // Of two the smaller one, so that the order says nothing.
        let time = |known: Option<u64>| {
            let seconds = argument.and_then(seconds).unwrap_or(0);
            Some(known.map_or(seconds, |known| known.min(seconds)))
        };
        if is("no-store") {
            self.no_store = true;
        } else if is("no-cache") {
            // With field names it would only forbid those; forbidding all is always right.
            self.no_cache = true;
        } else if is("private") {
            self.private = true;
        } else if is("public") {
            self.public = true;
        } else if is("must-revalidate") {
            self.must_revalidate = true;
        } else if is("max-age") {
            self.max_age = time(self.max_age);
        } else if is("s-maxage") {
            self.s_maxage = time(self.s_maxage);
        } else if is("min-fresh") {
            // What can't be read can't be satisfied.
            let seconds = argument.and_then(seconds).unwrap_or(u64::MAX);
            self.min_fresh = Some(self.min_fresh.map_or(seconds, |known| known.max(seconds)));
        }
    }
}

/// RFC 9111 1.2.2: digits alone; more than fits is "for ever".
pub(super) fn seconds(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse::<u32>().unwrap_or(u32::MAX).into())
}

fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
    let (token, rest) = text.split_at_checked(end)?;
    (!token.is_empty()).then_some((token, rest))
}

/// A quoted string, its escapes left as they are: no directive that matters has any.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut escaped = false;
    let end = inside.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    let (text, rest) = inside.split_at_checked(end)?;
    Some((text, rest.strip_prefix('"')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Directives {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CACHE_CONTROL, HeaderValue::from_str(value).unwrap());
        }
        Directives::of(&headers)
    }

    #[test]
    fn directives_are_read_from_all_lines_in_any_case() {
        let read = of(&["Max-Age=60 , PUBLIC", "s-maxage=\"10\",must-revalidate,,x-other=\"a, no-store\""]);
        let expected = Directives {
            public: true,
            must_revalidate: true,
            max_age: Some(60),
            s_maxage: Some(10),
            ..Directives::default()
        };
        assert_eq!(read, expected, "what is quoted is no directive");
        assert!(of(&["private=\"set-cookie\""]).private);
        assert!(of(&["no-cache=\"a\\\"b\", max-age=1"]).no_cache);
    }

    #[test]
    fn what_is_not_understood_forbids() {
        for value in
            ["max-age=60; public", "=1", "max-age==1", "private=\"unclosed", "a b", "max-age=", "\"x\""]
        {
            assert!(of(&[value]).no_store, "{value}");
        }
        assert_eq!(of(&["max-age=1.5"]).max_age, Some(0));
        assert_eq!(of(&["max-age"]).max_age, Some(0));
        assert_eq!(of(&["max-age=-1"]).max_age, Some(0));
        assert_eq!(of(&["max-age=5, max-age=3"]).max_age, Some(3));
        assert_eq!(of(&["max-age=99999999999999999999"]).max_age, Some(u64::from(u32::MAX)));
        assert_eq!(of(&["min-fresh=x"]).min_fresh, Some(u64::MAX));
    }

    #[test]
    fn pragma_counts_where_there_is_nothing_newer() {
        let mut headers = HeaderMap::from_iter([(PRAGMA, HeaderValue::from_static("No-Cache"))]);
        assert!(Directives::of(&headers).no_cache);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=1"));
        assert!(!Directives::of(&headers).no_cache);
    }

    /// Whatever stands around it in the list, a prohibition is seen or the list as a whole forbids.
    #[test]
    fn nothing_hides_a_prohibition() {
        const PIECES: [&str; 16] = [
            "max-age",
            "public",
            "x",
            "=",
            "\"",
            "\\",
            ",",
            ", ",
            " ",
            "1",
            "60",
            "a",
            ";",
            "private-x",
            "no",
            "-store",
        ];
        for seed in 0..crate::executions() {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut list = || -> String {
                (0..random.usize(0..10)).map(|_| PIECES[random.usize(0..PIECES.len())]).collect()
            };
            let (before, behind) = (list(), list());
            let prohibition = ["no-store", "private", "no-cache"][usize::try_from(seed % 3).unwrap()];
            let forbids = |values: &[&str]| {
                let read = of(values);
                read.no_store || read.private || read.no_cache
            };
            assert!(forbids(&[&before, prohibition, &behind]), "{before:?} {behind:?}");
            // In one line a quoted string that is left open would swallow it; such a line is not understood.
            assert!(forbids(&[&format!("{before},{prohibition}")]), "{before:?}");
        }
    }
}
