//! What is believed of a token, at a clock that the test sets.

use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use super::super::jwk::{INSIDE, OUTSIDE};
use super::super::tokens::{Signer, claims, raw};
use super::*;

const ISS: &str = "https://issuer";
const AUD: &str = "goodgo:shop/user-service";
const NOW: u64 = 1_900_000_000;

fn set(signers: &[&Signer]) -> KeySet {
    KeySet::new(signers.iter().map(|signer| signer.bare_jwk()), INSIDE)
}

fn good() -> Value {
    claims(ISS, AUD, "caller", NOW + 60)
}

fn with(claim: &str, value: Value) -> Value {
    let mut claims = good();
    claims[claim] = value;
    claims
}

fn check(token: &str, keys: &KeySet) -> Result<String, Denied> {
    let claims = verify(token.as_bytes(), keys, ISS, AUD, NOW)?;
    Ok(claims.subject().unwrap_or_default().to_owned())
}

#[test]
fn every_declared_algorithm_is_verified_with_its_own_key_alone() {
    let signers: Vec<_> = INSIDE.iter().map(|algorithm| Signer::new(*algorithm, "k")).collect();
    for (index, signer) in signers.iter().enumerate() {
        for (other, key) in signers.iter().enumerate() {
            let result = check(&signer.sign(&good()), &set(&[key]));
            assert_eq!(result.is_ok(), index == other, "{:?} against {:?}", INSIDE[index], INSIDE[other]);
        }
    }
}

#[test]
fn the_key_decides_the_algorithm_and_the_header_does_not() {
    let rsa = Signer::new(Algorithm::RS256, "k");
    let public = rsa.jwk();
    let keys = set(&[&rsa]);
    // The classic: an HMAC whose secret is what everybody knows of the RSA key.
    for secret in [public["n"].as_str().unwrap().as_bytes(), public.to_string().as_bytes()] {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some("k".to_owned());
        let token = jsonwebtoken::encode(&header, &good(), &EncodingKey::from_secret(secret)).unwrap();
        assert_eq!(check(&token, &keys), Err(Denied::Algorithm));
    }
    for alg in ["none", "None", "nOnE", "", "HS1024"] {
        for signature in [&b""[..], b"x"] {
            let token = raw(&json!({"alg": alg, "kid": "k"}), &good(), signature);
            assert_eq!(check(&token, &keys), Err(Denied::Malformed), "{alg}");
        }
    }
    // A key that is declared for one algorithm is not used with another of its family, rightly signed or not.
    let narrow = KeySet::new([public], INSIDE);
    assert_eq!(check(&rsa.sign(&good()), &narrow), Ok("caller".to_owned()));
    let token = rsa.sign_with(|header| header.alg = Algorithm::PS256, &good());
    assert_eq!(check(&token, &keys), Ok("caller".to_owned()));
    assert_eq!(check(&token, &narrow), Err(Denied::Algorithm));
    let outside = KeySet::new([rsa.bare_jwk()], OUTSIDE);
    assert_eq!(check(&token, &outside), Err(Denied::Algorithm));
}

#[test]
fn issuer_and_audience_must_be_there_and_right() {
    let signer = Signer::new(Algorithm::EdDSA, "k");
    let keys = set(&[&signer]);
    for (claim, value, result) in [
        ("aud", json!(AUD), Ok(())),
        ("aud", json!(["other", AUD]), Ok(())),
        ("aud", json!("goodgo:shop/other"), Err(Denied::Audience)),
        ("aud", json!(["goodgo:shop/other"]), Err(Denied::Audience)),
        ("aud", json!([]), Err(Denied::Audience)),
        ("aud", json!(null), Err(Denied::Claim)),
        ("aud", json!(1), Err(Denied::Claim)),
        ("aud", json!(""), Err(Denied::Audience)),
        ("iss", json!("https://issuer/"), Err(Denied::Issuer)),
        ("iss", json!(null), Err(Denied::Claim)),
        ("exp", json!(null), Err(Denied::Claim)),
        ("exp", json!("2000000000"), Err(Denied::Claim)),
        ("exp", json!(-1), Err(Denied::Claim)),
        ("nbf", json!("soon"), Err(Denied::Claim)),
    ] {
        let token = signer.sign(&with(claim, value.clone()));
        assert_eq!(check(&token, &keys).map(drop), result, "{claim}: {value}");
    }
}

#[test]
fn clocks_may_differ_by_thirty_seconds() {
    let signer = Signer::new(Algorithm::EdDSA, "k");
    let keys = set(&[&signer]);
    for (claim, value, result) in [
        ("exp", json!(NOW - 29), Ok(())),
        ("exp", json!(NOW - 30), Err(Denied::Expired)),
        ("exp", json!(0), Err(Denied::Expired)),
        ("exp", json!(1.5e9), Err(Denied::Expired)),
        ("exp", json!(u64::MAX), Ok(())),
        ("nbf", json!(NOW + 30), Ok(())),
        ("nbf", json!(NOW + 31), Err(Denied::NotYetValid)),
    ] {
        let token = signer.sign(&with(claim, value.clone()));
        assert_eq!(check(&token, &keys).map(drop), result, "{claim}: {value}");
    }
}

#[test]
fn a_key_is_found_by_its_id_or_by_trying_all() {
    let [first, second, stranger] = ["a", "b", "c"].map(|id| Signer::new(Algorithm::ES256, id));
    let keys = set(&[&first, &second]);
    assert_eq!(check(&second.sign(&good()), &keys), Ok("caller".to_owned()));
    assert_eq!(check(&second.sign_with(|_| (), &good()), &keys), Ok("caller".to_owned()));
    assert_eq!(check(&stranger.sign(&good()), &keys), Err(Denied::UnknownKey));
    assert_eq!(check(&stranger.sign_with(|_| (), &good()), &keys), Err(Denied::Signature));
    let posing = stranger.sign_with(|header| header.kid = Some("a".to_owned()), &good());
    assert_eq!(check(&posing, &keys), Err(Denied::Signature));
    // Two keys of one name, as in the middle of a rotation.
    let renamed = Signer::new(Algorithm::ES256, "a");
    assert_eq!(check(&renamed.sign(&good()), &set(&[&first, &renamed])), Ok("caller".to_owned()));
    assert_eq!(check(&first.sign(&good()), &KeySet::default()), Err(Denied::UnknownKey));
}

#[test]
fn what_is_critical_and_unknown_makes_a_token_invalid() {
    let signer = Signer::new(Algorithm::EdDSA, "k");
    let token = signer.sign_with(|header| header.crit = Some(vec!["b64".to_owned()]), &good());
    assert_eq!(check(&token, &set(&[&signer])), Err(Denied::Malformed));
    for text in ["", ".", "..", "...", "a.b", "a.b.c", &"a".repeat(100_000)] {
        assert_eq!(check(text, &set(&[&signer])), Err(Denied::Malformed));
    }
}

/// Bytes are changed, cut out, doubled and swapped at random: nothing but the token itself is ever accepted.
#[test]
fn a_hundred_thousand_damaged_tokens_are_refused() {
    let signer = Signer::new(Algorithm::EdDSA, "k");
    let keys = set(&[&signer]);
    let token = signer.sign(&good()).into_bytes();
    let mut random = fastrand::Rng::with_seed(3);
    let mut reached = 0;
    for _ in 0..crate::executions() {
        let mut damaged = token.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..damaged.len());
            match random.u8(..5) {
                0 => damaged[at] = random.u8(..),
                1 => damaged[at] = *random.choice(b"ABCabc019-_.").unwrap(),
                2 => damaged.truncate(at.max(1)),
                3 => damaged.insert(at, random.alphanumeric() as u8),
                _ => {
                    let with = random.usize(..damaged.len());
                    damaged.swap(at, with);
                }
            }
        }
        match verify(&damaged, &keys, ISS, AUD, NOW) {
            Ok(_) => assert_eq!(damaged, token),
            Err(Denied::Signature) => reached += 1,
            Err(_) => {}
        }
    }
    assert!(reached > 10_000, "only {reached} came as far as the signature");
}
