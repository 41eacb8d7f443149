//! Rules are read back by a parser of Traefik's grammar that shares nothing with the writer: a tokenizer of Go's literals,
//! and a recursive descent in which `&&` binds closer than `||`.

use super::*;

/// What a rule means: groups that hold when one of them holds, each when all of its parts hold.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Read {
    Call(String, Vec<String>),
    All(Vec<Read>),
    Any(Vec<Read>),
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn spaces(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn takes(&mut self, token: &str) -> bool {
        self.spaces();
        let found = self.rest.strip_prefix(token.as_bytes());
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn any(&mut self) -> Option<Read> {
        let mut parts = vec![self.all()?];
        while self.takes("||") {
            parts.push(self.all()?);
        }
        Some(if parts.len() == 1 { parts.remove(0) } else { Read::Any(parts) })
    }

    fn all(&mut self) -> Option<Read> {
        let mut parts = vec![self.part()?];
        while self.takes("&&") {
            parts.push(self.part()?);
        }
        Some(if parts.len() == 1 { parts.remove(0) } else { Read::All(parts) })
    }

    fn part(&mut self) -> Option<Read> {
        if self.takes("(") {
            let inner = self.any()?;
            return self.takes(")").then_some(inner);
        }
        self.spaces();
        let letters = self.rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let (name, rest) = self.rest.split_at(letters);
        self.rest = rest;
        if name.is_empty() || !self.takes("(") {
            return None;
        }
        let mut arguments = Vec::new();
        loop {
            self.spaces();
            arguments.push(self.literal()?);
            if !self.takes(",") {
                break;
            }
        }
        self.takes(")").then(|| Read::Call(String::from_utf8(name.to_vec()).unwrap(), arguments))
    }

    /// Go's string literals. Raw ones drop carriage returns, quoted ones hold no newline.
    fn literal(&mut self) -> Option<String> {
        let (quote, mut rest) = self.rest.split_first()?;
        let mut text = Vec::new();
        loop {
            let (byte, after) = rest.split_first()?;
            rest = after;
            match (quote, byte) {
                (b'`', b'`') | (b'"', b'"') => break,
                (b'`', b'\r') => {}
                (b'`', byte) => text.push(*byte),
                (b'"', b'\\') => {
                    let (escape, after) = rest.split_first()?;
                    rest = after;
                    match escape {
                        b'\\' | b'"' => text.push(*escape),
                        b'n' => text.push(b'\n'),
                        b'x' => {
                            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                            text.push(u8::from_str_radix(digits, 16).ok()?);
                            rest = rest.get(2..)?;
                        }
                        _ => return None,
                    }
                }
                (b'"', b'\n') => return None,
                (b'"', byte) => text.push(*byte),
                _ => return None,
            }
        }
        self.rest = rest;
        String::from_utf8(text).ok()
    }
}

fn read(rule: &str) -> Option<Read> {
    let mut reader = Reader { rest: rule.as_bytes() };
    let read = reader.any()?;
    reader.spaces();
    reader.rest.is_empty().then_some(read)
}

/// What was meant, in the reader's words.
fn meant(rule: &Rule) -> Read {
    let call = |name: &str, text: &str| Read::Call(name.to_owned(), vec![text.to_owned()]);
    match rule {
        Rule::Host(host) => call("Host", host),
        Rule::Path(path) => call("Path", path),
        Rule::PathPrefix(path) => call("PathPrefix", path),
        Rule::Method(method) => call("Method", method),
        Rule::Header(name, value) => Read::Call("Header".to_owned(), vec![name.clone(), value.clone()]),
        Rule::All(rules) => Read::All(rules.iter().map(meant).collect()),
        Rule::Any(rules) => Read::Any(rules.iter().map(meant).collect()),
    }
}

/// How many rules are tried: 10⁶, or what the environment says.
fn executions() -> u64 {
    std::env::var("GOODGO_EXECUTIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(1_000_000)
}

/// SplitMix64, from a fixed seed: a million rules take seconds, and a failure comes again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }

    /// Whatever can stand in a string, with a liking for what means something to Traefik, Go or a URL.
    fn text(&mut self) -> String {
        const PIECES: &[&str] = &[
            "a",
            "Z",
            "0",
            ".",
            "-",
            "/",
            "`",
            "\"",
            "\\",
            "(",
            ")",
            "{",
            "}",
            "|",
            "&",
            "!",
            ",",
            "*",
            "%",
            "~",
            "\r",
            "\n",
            "\t",
            " ",
            "\0",
            "\u{7f}",
            "é",
            "\u{2028}",
            "\u{1f980}",
            "`) || PathPrefix(`/",
            "\") || Host(\"evil.example",
            "%2f",
            "..",
            "//",
            "\\x60",
            "\\`",
            " && ",
            "Host(`a`)",
        ];
        (0..self.below(9)).map(|_| PIECES[self.below(PIECES.len())]).collect()
    }
}

#[test]
fn every_rule_is_read_back_as_it_was_meant_whatever_the_texts_hold() {
    let mut random = Random(1);
    for _ in 0..executions() {
        let hosts: Vec<_> = (0..=random.below(3)).map(|_| Host(random.text())).collect();
        let type_ = if random.below(3) == 0 { PathType::Exact } else { PathType::Prefix };
        let mut rule = Rule::hosts(&hosts).unwrap().and(Rule::path(&HttpPath(random.text()), type_));
        let methods = [HttpMethod::Get, HttpMethod::Post, HttpMethod::Delete];
        let methods = &methods[..random.below(4)];
        if !methods.is_empty() {
            rule = rule.and(Rule::methods(methods.iter().copied()));
        }
        if random.below(3) == 0 {
            rule = rule.and(Rule::Header(random.text(), random.text()));
        }
        let text = rule.to_string();
        assert_eq!(read(&text), Some(meant(&rule)), "{text}");
        assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text:?}");
    }
}

#[test]
fn a_prefix_is_the_path_itself_and_what_is_below_it_by_whole_segments() {
    let rule = |path: &str, type_| Rule::path(&HttpPath(path.to_owned()), type_).to_string();
    assert_eq!(rule("/users", PathType::Prefix), "Path(`/users`) || PathPrefix(`/users/`)");
    assert_eq!(rule("/users/", PathType::Prefix), rule("/users", PathType::Prefix));
    assert_eq!(rule("/", PathType::Prefix), "PathPrefix(`/`)");
    assert_eq!(rule("/users/", PathType::Exact), "Path(`/users/`)");
}

#[test]
fn parts_are_put_together_with_parentheses_where_they_are_needed() {
    let hosts = [Host("b.c".to_owned()), Host("a.b".to_owned())];
    let rule = Rule::hosts(&hosts).unwrap().and(Rule::path(&HttpPath("/u".to_owned()), PathType::Prefix));
    let rule = rule.and(Rule::methods([HttpMethod::Post, HttpMethod::Get, HttpMethod::Post]));
    let expected = "(Host(`a.b`) || Host(`b.c`)) && (Path(`/u`) || PathPrefix(`/u/`)) && (Method(`GET`) || Method(`POST`))";
    assert_eq!(rule.to_string(), expected);
    assert_eq!(Rule::hosts(&[] as &[Host]), None, "no rule is for every host");
}

#[test]
fn the_reader_refuses_what_is_no_rule() {
    for text in [
        "",
        "Host(`a`",
        "Host(a)",
        "Host(`a`) &&",
        "Host(`a`) Path(`/`)",
        "(Host(`a`)",
        "Host(`a`)`",
        "Host(\"\\q\")",
    ] {
        assert_eq!(read(text), None, "{text}");
    }
}
