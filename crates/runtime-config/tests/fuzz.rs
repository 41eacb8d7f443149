//! Damaged files: whatever is read, nothing panics, and what is accepted can be written and read again as the same.

#![cfg(test)]

#[path = "../../runtime/tests/support/corpus.rs"]
mod corpus;

use corpus::{Corpus, executions};
use goodgo_runtime_config::{Error, MAX_FILE_BYTES, parse};

const TOKENS: [&str; 20] = [
    "null",
    "true",
    "-1",
    "0",
    "1",
    "65536",
    "1e9",
    "\"\"",
    "[]",
    "{}",
    ",",
    ":",
    "\u{0}",
    "\\u0000",
    "é",
    "\"calls\"",
    "GRPC",
    "503",
    "\"x\":1,",
    "a.b",
];

#[test]
fn no_damage_makes_the_reader_panic_or_accept_what_it_would_not_write() {
    let (mut accepted, mut refused) = (0_u64, 0_u64);
    let outcomes = Corpus::open(env!("CARGO_MANIFEST_DIR"), "config").run(executions(), &TOKENS, |bytes| {
        match parse(bytes) {
            Ok(config) => {
                let text = config.to_json().unwrap();
                assert!(text.len() <= MAX_FILE_BYTES);
                assert_eq!(parse(text.as_bytes()).unwrap(), config, "{text}");
                accepted += 1;
                format!("accepted {:?}", config.protocol)
            }
            Err(error) => {
                assert!(error.to_string().starts_with("failed to "), "{error}");
                refused += 1;
                kind(&error)
            }
        }
    });
    println!("{accepted} accepted, {refused} refused, {outcomes} outcomes");
    assert!(accepted > 0 && refused > 0, "{accepted} accepted, {refused} refused: the damage shows nothing");
    assert!(outcomes > 25, "{outcomes} outcomes");
}

/// An error without what it quotes, counts and names: the same for every input that is refused for the same reason.
fn kind(error: &Error) -> String {
    let Error::Invalid(violations) = error else {
        let text = error.to_string();
        let text = text.split(" at line ").next().unwrap_or_default();
        // What is quoted may have quotes itself.
        return text.split(['`', '"']).next().unwrap_or_default().to_owned();
    };
    // Paths without the names that the file gives.
    let first = violations.first().map(|violation| violation.path.as_str()).unwrap_or_default();
    let path: Vec<_> = first.split(['.', '[']).filter(|part| part.chars().all(char::is_alphabetic)).collect();
    format!("invalid {} {}", path.first().unwrap_or(&""), path.last().unwrap_or(&""))
}
