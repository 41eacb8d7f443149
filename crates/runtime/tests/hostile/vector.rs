//! The vectors' text form. A vector is a line `=== NAME | OUTCOME` and what follows it up to the next one.

use std::iter::Peekable;
use std::str::Chars;

/// What must become of a vector.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// `reaches N | STATUS…`: so many whole requests reach the app, and these answers come back, in order. `refused`
    /// for the last one: the connection ends, with 400 or without a word. `closes`: it ends after a good answer.
    Answered { reaches: usize, statuses: Vec<String> },
    /// `breaks off`: the head may have been forwarded, the body is broken; no whole request reaches the app.
    BreaksOff,
    /// `waits`: the message is not complete; nothing whole reaches the app and nothing is answered.
    Waits,
}

/// One case.
#[derive(Debug, Clone)]
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) outcome: String,
    /// The lines below, as they stand.
    pub(crate) lines: Vec<String>,
}

impl Vector {
    /// All vectors of a file; lines that begin with `# ` before the first are for the reader.
    pub(crate) fn all(text: &str) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for line in text.lines() {
            if let Some(head) = line.strip_prefix("=== ") {
                let (name, outcome) = head.split_once(" | ").unwrap_or_else(|| panic!("no outcome: {line}"));
                all.push(Self { name: name.to_owned(), outcome: outcome.to_owned(), lines: Vec::new() });
            } else if let Some(vector) = all.last_mut() {
                vector.lines.push(line.to_owned());
            }
        }
        assert!(all.iter().all(|vector| vector.lines.iter().any(|line| !line.is_empty())), "an empty vector");
        all
    }

    pub(crate) fn outcome(&self) -> Outcome {
        match self.outcome.as_str() {
            "breaks off" => Outcome::BreaksOff,
            "waits" => Outcome::Waits,
            other => {
                let (reaches, statuses) = other.split_once(" | ").expect("reaches N | STATUS…");
                let reaches = reaches.strip_prefix("reaches ").and_then(|number| number.parse().ok());
                Outcome::Answered {
                    reaches: reaches.expect("reaches N"),
                    statuses: statuses.split(' ').map(str::to_owned).collect(),
                }
            }
        }
    }

    /// The bytes that the lines spell: `\r \n \t \0 \\ \xHH`, and `{TEXT*N}` for N times TEXT.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        bytes(&self.lines.concat())
    }
}

pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '{' => {
                let inner: String = chars.by_ref().take_while(|char| *char != '}').collect();
                let (text, times) = inner.rsplit_once('*').expect("{TEXT*N}");
                out.extend(bytes(text).repeat(times.parse().expect("{TEXT*N}")));
            }
            '\\' => out.push(escape(&mut chars)),
            other => out.extend(other.to_string().bytes()),
        }
    }
    out
}

fn escape(chars: &mut Peekable<Chars<'_>>) -> u8 {
    match chars.next() {
        Some('r') => b'\r',
        Some('n') => b'\n',
        Some('t') => b'\t',
        Some('0') => 0,
        Some('\\') => b'\\',
        Some('x') => {
            let digits: String = chars.by_ref().take(2).collect();
            u8::from_str_radix(&digits, 16).expect("\\xHH")
        }
        other => panic!("\\{other:?} is not an escape"),
    }
}

#[test]
fn text_spells_bytes() {
    assert_eq!(bytes(r"a\r\n\0\x7f\\{b\n*2}"), b"a\r\n\0\x7f\\b\nb\n");
}
