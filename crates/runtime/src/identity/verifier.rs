//! Verifies callers' tokens, each once: what was found is remembered, so that a request costs a hash and a look-up.
//!
//! A verifier belongs to one set of issuers and one audience; when either changes, a new one with an empty memory takes its
//! place. Whether the subject may call is not remembered: that is asked of the configuration in force, each time.

use std::sync::Arc;
use std::time::Duration;

use goodgo_runtime_config::{Authentication, Issuer};
use moka::sync::Cache;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::jwk::{INSIDE, KeySet};
use super::verify::{Denied, verify};

/// Tokens that are remembered, by their digest: no token stays in memory.
const REMEMBERED: u64 = 8192;
/// Refused ones, few and briefly: they must not push out the good ones, nor outlive a corrected clock.
const REMEMBERED_REFUSALS: u64 = 1024;
const REFUSAL_LIFE: Duration = Duration::from_secs(5);

/// A token's SHA-256.
pub(crate) type Fingerprint = [u8; 32];

/// The fingerprint by which a token is remembered.
pub(crate) fn fingerprint(token: &[u8]) -> Fingerprint {
    Sha256::digest(token).into()
}

/// Verifies tokens for one audience.
#[derive(Debug)]
pub(crate) struct Verifier {
    audience: String,
    issuers: Vec<(String, KeySet)>,
    good: Cache<Fingerprint, Arc<Caller>>,
    refused: Cache<Fingerprint, Denied>,
}

/// Whose token it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// `sub`.
    pub(crate) subject: Box<str>,
    /// When the token must not be accepted any more; seconds since 1970-01-01 UTC.
    until: u64,
}

/// Enough of the claims to choose the keys by; what it says is verified with them.
#[derive(Deserialize)]
struct Claimed {
    iss: String,
}

impl Verifier {
    pub(crate) fn new(authentication: &Authentication) -> Self {
        let Authentication { required: _, audience, issuers, keys: _ } = authentication;
        let key_set = |Issuer { issuer, keys }: &Issuer| {
            let keys = keys.iter().map(|key| Value::Object(key.clone().into_iter().collect()));
            (issuer.clone(), KeySet::new(keys, INSIDE))
        };
        Self {
            audience: audience.clone(),
            issuers: issuers.iter().map(key_set).collect(),
            good: Cache::new(REMEMBERED),
            refused: Cache::builder().max_capacity(REMEMBERED_REFUSALS).time_to_live(REFUSAL_LIFE).build(),
        }
    }

    /// Whose token this is, at the time `now` in seconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// Why it is nobody's.
    pub(crate) fn verify(&self, token: &[u8], now: u64) -> Result<Arc<Caller>, Denied> {
        let fingerprint = fingerprint(token);
        if let Some(caller) = self.good.get(&fingerprint) {
            return if now < caller.until { Ok(caller) } else { Err(Denied::Expired) };
        }
        if let Some(denied) = self.refused.get(&fingerprint) {
            return Err(denied);
        }
        match self.verify_anew(token, now) {
            Ok(caller) => {
                let caller = Arc::new(caller);
                self.good.insert(fingerprint, Arc::clone(&caller));
                Ok(caller)
            }
            Err(denied) => {
                self.refused.insert(fingerprint, denied);
                Err(denied)
            }
        }
    }

    fn verify_anew(&self, token: &[u8], now: u64) -> Result<Caller, Denied> {
        if self.issuers.is_empty() || self.audience.is_empty() {
            return Err(Denied::NoIssuer);
        }
        let claimed: Claimed =
            jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| Denied::Malformed)?;
        let mut denied = Denied::Issuer;
        for (issuer, keys) in self.issuers.iter().filter(|(issuer, _)| *issuer == claimed.iss) {
            match verify(token, keys, issuer, &self.audience, now) {
                Ok(claims) => {
                    let subject = claims.subject().ok_or(Denied::Claim)?.into();
                    return Ok(Caller { subject, until: claims.until });
                }
                Err(reason) => denied = reason,
            }
        }
        Err(denied)
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::Algorithm;

    use super::super::tokens::{Signer, claims};
    use super::*;

    const NOW: u64 = 1_900_000_000;

    fn authentication(issuers: &[(&str, &Signer)]) -> Authentication {
        let issuer = |(issuer, signer): &(&str, &Signer)| Issuer {
            issuer: (*issuer).to_owned(),
            keys: vec![serde_json::from_value(signer.jwk()).unwrap()],
        };
        Authentication {
            audience: "us".to_owned(),
            issuers: issuers.iter().map(issuer).collect(),
            ..Authentication::default()
        }
    }

    fn subject(verifier: &Verifier, token: &str, now: u64) -> Result<String, Denied> {
        verifier.verify(token.as_bytes(), now).map(|caller| caller.subject.to_string())
    }

    #[test]
    fn an_issuers_keys_are_good_for_that_issuer_alone() {
        let [a, b] = ["k", "k"].map(|id| Signer::new(Algorithm::EdDSA, id));
        let verifier = Verifier::new(&authentication(&[("a", &a), ("b", &b)]));
        assert_eq!(subject(&verifier, &a.sign(&claims("a", "us", "x", NOW + 9)), NOW), Ok("x".to_owned()));
        assert_eq!(subject(&verifier, &b.sign(&claims("b", "us", "y", NOW + 9)), NOW), Ok("y".to_owned()));
        assert_eq!(
            subject(&verifier, &b.sign(&claims("a", "us", "x", NOW + 9)), NOW),
            Err(Denied::Signature)
        );
        assert_eq!(subject(&verifier, &a.sign(&claims("c", "us", "x", NOW + 9)), NOW), Err(Denied::Issuer));
        let nobody = Verifier::new(&authentication(&[]));
        assert_eq!(subject(&nobody, &a.sign(&claims("a", "us", "x", NOW + 9)), NOW), Err(Denied::NoIssuer));
    }

    #[test]
    fn a_remembered_token_expires_all_the_same_and_no_token_is_kept() {
        let signer = Signer::new(Algorithm::EdDSA, "k");
        let verifier = Verifier::new(&authentication(&[("a", &signer)]));
        let token = signer.sign(&claims("a", "us", "x", NOW + 10));
        assert_eq!(subject(&verifier, &token, NOW), Ok("x".to_owned()));
        assert!(verifier.good.contains_key(&fingerprint(token.as_bytes())));
        assert_eq!(subject(&verifier, &token, NOW + 39), Ok("x".to_owned()));
        assert_eq!(subject(&verifier, &token, NOW + 40), Err(Denied::Expired));
        assert_eq!(
            subject(&verifier, &token, NOW),
            Ok("x".to_owned()),
            "a clock that was put right is believed"
        );
        assert!(!format!("{verifier:?}").contains(&token));
    }

    #[test]
    fn a_refusal_is_remembered_too_and_says_the_same() {
        let signer = Signer::new(Algorithm::EdDSA, "k");
        let verifier = Verifier::new(&authentication(&[("a", &signer)]));
        let token = signer.sign(&claims("a", "them", "x", NOW + 10));
        for _ in 0..2 {
            assert_eq!(subject(&verifier, &token, NOW), Err(Denied::Audience));
        }
        assert!(verifier.refused.contains_key(&fingerprint(token.as_bytes())));
        assert!(!verifier.good.contains_key(&fingerprint(token.as_bytes())));
    }
}
