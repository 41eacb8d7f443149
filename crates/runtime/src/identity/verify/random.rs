//! Random tokens, and random claims under a good signature: what is believed says what it must, whatever the rest is.

use super::super::jwk::INSIDE;
use super::super::tokens::Signer;
use super::*;
use crate::corpus::{Corpus, executions, executions_or};

const ISS: &str = "https://issuer";
const AUD: &str = "goodgo:shop/user-service";
const NOW: u64 = 1_900_000_000;
const MANIFEST: &str = env!("CARGO_MANIFEST_DIR");

const PARTS: [&str; 16] = [
    ".",
    "..",
    "=",
    "e30",
    "eyJhbGciOiJub25lIn0",
    "eyJhbGciOiJFZERTQSJ9",
    "eyJhbGciOiJIUzI1NiJ9",
    "bm9uZQ",
    "AA",
    "_-",
    "\u{0}",
    "é",
    " ",
    "bnVsbA",
    "W10",
    "IiI",
];

const CLAIMS: [&str; 24] = [
    "null",
    "true",
    "0",
    "-1",
    "1e300",
    "1900000029",
    "1900000031",
    "1899999970",
    "18446744073709551616",
    "\"\"",
    "[]",
    "{}",
    ",",
    ":",
    "\"aud\":",
    "\"iss\":",
    "\"exp\":",
    "\"nbf\":1900000000",
    "\"sub\":\"admin\"",
    "\"https://issuer\"",
    "\"goodgo:shop/user-service\"",
    "\\u0000",
    "é",
    ".5",
];

fn keys(signers: &[&Signer]) -> KeySet {
    KeySet::new(signers.iter().map(|signer| signer.bare_jwk()), INSIDE)
}

#[test]
fn no_random_token_is_believed() {
    let (one, other) = (Signer::new(Algorithm::EdDSA, "k"), Signer::new(Algorithm::ES256, "k"));
    let keys = keys(&[&one, &other]);
    let outcomes = Corpus::open(MANIFEST, "token").run(executions(), &PARTS, |token| {
        let denied = verify(token, &keys, ISS, AUD, NOW).map(drop).unwrap_err();
        format!("{denied:?}")
    });
    println!("{outcomes} outcomes");
    assert!(outcomes >= 4, "{outcomes} outcomes");
}

#[test]
fn a_good_signature_lets_no_random_claims_pass() {
    let signer = Signer::new(Algorithm::EdDSA, "k");
    let keys = keys(&[&signer]);
    let mut believed = 0;
    let outcomes = Corpus::open(MANIFEST, "claims").run(executions_or(10_000), &CLAIMS, |claims| {
        let token = signer.sign_bytes(claims);
        match verify(token.as_bytes(), &keys, ISS, AUD, NOW) {
            Err(denied) => format!("{denied:?}"),
            Ok(claims) => {
                believed += 1;
                let all = &claims.all;
                let says = |claim: &str, what: &str| match all.get(claim) {
                    Some(Value::Array(several)) => several.iter().any(|one| one == what),
                    one => one.is_some_and(|one| one == what),
                };
                assert!(says("iss", ISS) && says("aud", AUD), "{all:?}");
                let time = |claim: &str| all.get(claim).map(|time| time.as_f64().unwrap());
                assert!(time("exp").unwrap() >= (NOW - SKEW) as f64, "{all:?}");
                assert!(time("nbf").is_none_or(|start| start < (NOW + SKEW + 1) as f64), "{all:?}");
                let subject = ["without", "with"][usize::from(claims.subject().is_some())];
                format!("believed {subject} a subject")
            }
        }
    });
    println!("{believed} believed, {outcomes} outcomes");
    assert!(believed > 100 && outcomes >= 6, "{believed} believed, {outcomes} outcomes");
}
