//! Whether a GraphQL request only reads: queries may be repeated, mutations and subscriptions never.
//!
//! A small scanner over the document (<https://spec.graphql.org/October2021/#sec-Document-Syntax>) that knows strings,
//! comments and brackets, and so finds the definitions. It does not parse what is inside them: that is the callee's. What
//! it does not understand counts as not reading.

use std::borrow::Cow;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::request::Parts;
use serde::Deserialize;

/// Deeper nesting is refused; documents that people write have a tenth of it.
const MAX_DEPTH: usize = 200;

/// Whether this request is for a GraphQL endpoint: by its media types, or by the path that servers use by convention
/// (<https://graphql.github.io/graphql-over-http/draft/>).
pub(super) fn is_graphql(head: &Parts) -> bool {
    let names_it = |name| {
        head.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains("application/graphql"))
    };
    head.uri.path().trim_end_matches('/').rsplit('/').next() == Some("graphql")
        || names_it(CONTENT_TYPE)
        || names_it(ACCEPT)
}

/// Whether the `query` of the URL, where there is one, only reads; none without.
pub(super) fn url_reads(head: &Parts) -> Option<bool> {
    let mut queries = form_urlencoded::parse(head.uri.query()?.as_bytes())
        .filter(|(name, _)| name == "query")
        .map(|(_, document)| reads(&document));
    let first = queries.next()?;
    // Servers differ in which of two they take.
    Some(first && queries.next().is_none())
}

/// Whether the document in this body only reads.
pub(super) fn body_reads(head: &Parts, body: &[u8]) -> bool {
    /// Other members say nothing about what the document does; `operationName` only chooses among operations, all of
    /// which must read.
    #[derive(Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        query: Cow<'a, str>,
    }
    let media_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/graphql") {
        return std::str::from_utf8(body).is_ok_and(reads);
    }
    media_type.eq_ignore_ascii_case("application/json")
        && serde_json::from_slice(body).is_ok_and(|Request { query }| reads(&query))
}

/// Whether `document` has operations, and all of them are queries.
fn reads(document: &str) -> bool {
    let mut scanner = Scanner { rest: document.strip_prefix('\u{feff}').unwrap_or(document) };
    let mut queries = false;
    loop {
        let Some(definition) = scanner.definition() else { return false };
        match definition {
            Definition::Query => queries = true,
            Definition::Fragment => {}
            Definition::End => return queries,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Definition {
    Query,
    Fragment,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Name(&'a str),
    Punctuator(char),
    /// A number or a string: never at the start of a definition.
    Value,
    End,
}

struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    /// Reads one definition to the end of its selection set; none when it is not one that only reads.
    fn definition(&mut self) -> Option<Definition> {
        let definition = match self.token()? {
            Token::End => return Some(Definition::End),
            Token::Punctuator('{') => {
                return self.skip_brackets('{').map(|()| Definition::Query);
            }
            Token::Name("query") => Definition::Query,
            Token::Name("fragment") => Definition::Fragment,
            _ => return None,
        };
        // Its name, variables, type condition and directives, up to the selection set.
        loop {
            match self.token()? {
                Token::Punctuator('{') => return self.skip_brackets('{').map(|()| definition),
                Token::Punctuator(open @ ('(' | '[')) => self.skip_brackets(open)?,
                Token::Punctuator(')' | ']' | '}') | Token::End => return None,
                Token::Name(_) | Token::Punctuator(_) | Token::Value => {}
            }
        }
    }

    /// Reads on to the bracket that closes `open`, which has been read.
    fn skip_brackets(&mut self, open: char) -> Option<()> {
        let mut closers = vec![closer(open)?];
        while let Some(expected) = closers.last() {
            match self.token()? {
                Token::Punctuator(c) if c == *expected => {
                    closers.pop();
                }
                Token::Punctuator(c @ ('(' | '[' | '{')) if closers.len() < MAX_DEPTH => {
                    closers.push(closer(c)?);
                }
                Token::Punctuator('(' | '[' | '{' | ')' | ']' | '}') | Token::End => return None,
                Token::Name(_) | Token::Punctuator(_) | Token::Value => {}
            }
        }
        Some(())
    }

    /// The next token; none for what is no GraphQL.
    fn token(&mut self) -> Option<Token<'a>> {
        self.skip_ignored();
        let Some(first) = self.rest.chars().next() else { return Some(Token::End) };
        match first {
            'a'..='z' | 'A'..='Z' | '_' => {
                Some(Token::Name(self.take(|c| c.is_ascii_alphanumeric() || c == '_')))
            }
            '0'..='9' | '-' => {
                self.take(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.' | '_'));
                Some(Token::Value)
            }
            '"' => self.string().map(|()| Token::Value),
            '!' | '$' | '&' | '(' | ')' | '.' | ':' | '=' | '@' | '[' | ']' | '{' | '|' | '}' => {
                self.rest = self.rest.strip_prefix(first)?;
                Some(Token::Punctuator(first))
            }
            _ => None,
        }
    }

    /// White space, commas and comments.
    fn skip_ignored(&mut self) {
        loop {
            self.take(|c| matches!(c, ' ' | '\t' | '\n' | '\r' | ',' | '\u{feff}'));
            if !self.rest.starts_with('#') {
                return;
            }
            self.take(|c| !matches!(c, '\n' | '\r'));
        }
    }

    fn take(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    /// A string to its end: `"…"` on one line with escapes, or `"""…"""` in which only `\"""` is one.
    fn string(&mut self) -> Option<()> {
        if let Some(mut block) = self.rest.strip_prefix(r#"""""#) {
            loop {
                let (before, after) = block.split_once(r#"""""#)?;
                block = after;
                if !before.ends_with('\\') {
                    self.rest = after;
                    return Some(());
                }
            }
        }
        let mut rest = self.rest.strip_prefix('"')?.chars();
        loop {
            match rest.next()? {
                '"' => break,
                '\n' | '\r' => return None,
                '\\' => {
                    rest.next()
                        .filter(|c| matches!(c, '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' | 'u'))?;
                }
                _ => {}
            }
        }
        self.rest = rest.as_str();
        Some(())
    }
}

fn closer(open: char) -> Option<char> {
    match open {
        '(' => Some(')'),
        '[' => Some(']'),
        '{' => Some('}'),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
