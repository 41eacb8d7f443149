//! Holds a signed token (RFC 7519, RFC 8725) against an issuer's keys: signature, issuer, audience, time.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation};
use serde_json::{Map, Value};

use super::jwk::KeySet;

/// By how much clocks may differ, in seconds.
const SKEW: u64 = 30;
/// Longer tokens are refused unread, in bytes.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// What a verified token says.
#[derive(Debug)]
pub(crate) struct Claims {
    /// When it must not be accepted any more, skew included; seconds since 1970-01-01 UTC.
    pub(crate) until: u64,
    /// All claims by name.
    pub(crate) all: Map<String, Value>,
}

impl Claims {
    /// `sub`, when it is text.
    pub(crate) fn subject(&self) -> Option<&str> {
        self.all.get("sub").and_then(Value::as_str)
    }
}

/// Why somebody is not who they say. No variant holds any of what was presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    /// Nothing was presented.
    #[error("no credential was presented")]
    Missing,
    /// Several were, and which one counts is anybody's guess.
    #[error("more than one credential was presented")]
    Ambiguous,
    /// It can't be read.
    #[error("the token is not a signed JWT")]
    Malformed,
    /// Signed by somebody unknown.
    #[error("the token names a key that is not in its issuer's key set")]
    UnknownKey,
    /// The key is not for this algorithm.
    #[error("the token's algorithm is not one of its key's")]
    Algorithm,
    /// Changed, or signed by somebody else.
    #[error("the token's signature is wrong")]
    Signature,
    /// Of somebody who is not believed here.
    #[error("the token's issuer is not one that is accepted here")]
    Issuer,
    /// For somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// Too old.
    #[error("the token has expired")]
    Expired,
    /// Too young.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `exp`, `nbf` or `sub` is missing or is not what it should be.
    #[error("the token lacks a claim that it must have, or has it in a wrong form")]
    Claim,
    /// A claim that must become a header can't.
    #[error("a claim of the token can't be told to the app in a header")]
    ClaimNotAHeader,
    /// No key is like it.
    #[error("the key is not one of those that are valid")]
    WrongKey,
    /// The operator has no issuer for us yet.
    #[error("no issuer of identities is configured")]
    NoIssuer,
}

/// Verifies `token` as one by `issuer` for `audience` at the time `now`.
///
/// # Errors
/// The first thing that is wrong; nothing is said about claims before the signature is known to be right.
pub(crate) fn verify(
    token: &[u8],
    keys: &KeySet,
    issuer: &str,
    audience: &str,
    now: u64,
) -> Result<Claims, Denied> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Denied::Malformed);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| Denied::Malformed)?;
    // RFC 7515 4.1.11: what is marked critical and not understood makes the token invalid.
    if header.crit.is_some() {
        return Err(Denied::Malformed);
    }
    let mut denied = Denied::UnknownKey;
    for key in keys.candidates(header.kid.as_deref()) {
        if !key.algorithms.contains(&header.alg) {
            denied = if denied == Denied::UnknownKey { Denied::Algorithm } else { denied };
            continue;
        }
        let expected = expected(&key.algorithms, issuer, audience);
        match jsonwebtoken::decode(token, &key.decoding, &expected) {
            Ok(data) => return in_time(data.claims, now),
            Err(error) => match reason(error.kind()) {
                Denied::Signature => denied = Denied::Signature,
                certain => return Err(certain),
            },
        }
    }
    Err(denied)
}

/// What is held against the token. Times are compared by [`in_time`], by one clock for all.
fn expected(algorithms: &[Algorithm], issuer: &str, audience: &str) -> Validation {
    let mut expected =
        Validation { algorithms: algorithms.to_vec(), validate_exp: false, ..Validation::default() };
    expected.set_required_spec_claims(&["exp", "iss", "aud"]);
    expected.set_issuer(&[issuer]);
    expected.set_audience(&[audience]);
    expected
}

fn in_time(all: Map<String, Value>, now: u64) -> Result<Claims, Denied> {
    let until = all.get("exp").and_then(seconds).ok_or(Denied::Claim)?.saturating_add(SKEW);
    if now >= until {
        return Err(Denied::Expired);
    }
    if let Some(start) = all.get("nbf")
        && seconds(start).ok_or(Denied::Claim)? > now.saturating_add(SKEW)
    {
        return Err(Denied::NotYetValid);
    }
    Ok(Claims { until, all })
}

/// RFC 7519 2, NumericDate: seconds, perhaps with a fraction, which is cut off.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the range is checked
fn seconds(value: &Value) -> Option<u64> {
    let fraction = || value.as_f64().filter(|seconds| (0.0..1e15).contains(seconds)).map(|s| s as u64);
    value.as_u64().or_else(fraction)
}

fn reason(error: &ErrorKind) -> Denied {
    match error {
        ErrorKind::InvalidIssuer => Denied::Issuer,
        ErrorKind::InvalidAudience => Denied::Audience,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => Denied::Claim,
        ErrorKind::InvalidAlgorithm => Denied::Algorithm,
        ErrorKind::Json(_) | ErrorKind::Utf8(_) | ErrorKind::InvalidToken => Denied::Malformed,
        // Also keys that turn out to be unusable: another candidate may be right.
        _ => Denied::Signature,
    }
}

#[cfg(test)]
mod random;
#[cfg(test)]
mod tests;
