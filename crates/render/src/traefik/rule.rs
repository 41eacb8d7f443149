//! Traefik's rules, made of typed parts and written in one place: no text of a user ever becomes part of the grammar.
//!
//! The grammar is that of Traefik v3, which reads a rule as an expression of Go: function calls with string literals,
//! `&&`, `||` and parentheses.

#[cfg(test)]
mod tests;

use goodgo_api::gateway::PathType;
use goodgo_api::types::{Host, HttpMethod, HttpPath};
use serde::{Serialize, Serializer};
use std::fmt;

/// Which requests a route is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The request's host.
    Host(String),
    /// The whole path.
    Path(String),
    /// The beginning of the path, which may end in the middle of a segment.
    PathPrefix(String),
    /// The method.
    Method(&'static str),
    /// A header with this value.
    Header(String, String),
    /// All of them. Never empty.
    All(Vec<Self>),
    /// One of them. Never empty.
    Any(Vec<Self>),
}

impl Rule {
    /// One of these hosts; none without any, for nothing is routed for every host.
    pub(crate) fn hosts<'a>(hosts: impl IntoIterator<Item = &'a Host>) -> Option<Self> {
        let mut hosts: Vec<_> = hosts.into_iter().map(|host| host.0.clone()).collect();
        hosts.sort();
        (!hosts.is_empty()).then(|| Self::any(hosts.into_iter().map(Self::Host).collect()))
    }

    /// A path as the API compares it: exactly, or by whole segments.
    pub(crate) fn path(path: &HttpPath, type_: PathType) -> Self {
        let text = path.as_str();
        if type_ == PathType::Exact {
            return Self::Path(text.to_owned());
        }
        let segments = text.strip_suffix('/').unwrap_or(text);
        let below = Self::PathPrefix(format!("{segments}/"));
        if segments.is_empty() { below } else { Self::Any(vec![Self::Path(segments.to_owned()), below]) }
    }

    /// One of these methods.
    pub(crate) fn methods(methods: impl IntoIterator<Item = HttpMethod>) -> Self {
        let mut methods: Vec<_> = methods.into_iter().map(crate::runtime_config::calls::method).collect();
        methods.sort_unstable();
        methods.dedup();
        Self::any(methods.into_iter().map(Self::Method).collect())
    }

    /// Both of them.
    pub(crate) fn and(self, other: Self) -> Self {
        match self {
            Self::All(mut rules) => {
                rules.push(other);
                Self::All(rules)
            }
            first => Self::All(vec![first, other]),
        }
    }

    fn any(mut rules: Vec<Self>) -> Self {
        match (rules.pop(), rules.is_empty()) {
            (Some(only), true) => only,
            (last, _) => {
                rules.extend(last);
                Self::Any(rules)
            }
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rules, operator) = match self {
            Self::Host(host) => return write!(f, "Host({})", Literal(host)),
            Self::Path(path) => return write!(f, "Path({})", Literal(path)),
            Self::PathPrefix(path) => return write!(f, "PathPrefix({})", Literal(path)),
            Self::Method(method) => return write!(f, "Method({})", Literal(method)),
            Self::Header(name, value) => return write!(f, "Header({}, {})", Literal(name), Literal(value)),
            Self::All(rules) => (rules, " && "),
            Self::Any(rules) => (rules, " || "),
        };
        for (index, rule) in rules.iter().enumerate() {
            if index > 0 {
                f.write_str(operator)?;
            }
            match rule {
                Self::All(_) | Self::Any(_) => write!(f, "({rule})")?,
                part => write!(f, "{part}")?,
            }
        }
        Ok(())
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A string literal of Go: between backquotes as it is, where it can be, else with escapes.
struct Literal<'a>(&'a str);

impl fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = self;
        if text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'`') {
            return write!(f, "`{text}`");
        }
        f.write_str("\"")?;
        for byte in text.bytes() {
            match byte {
                b'"' | b'\\' => write!(f, "\\{}", char::from(byte))?,
                b' '..=b'~' => write!(f, "{}", char::from(byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        f.write_str("\"")
    }
}
