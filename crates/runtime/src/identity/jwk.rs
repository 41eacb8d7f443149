//! Public keys of an issuer (RFC 7517), each with the algorithms that it may be used with.
//!
//! What a key is for is decided here, from the key alone. A token's header only names one of these; it can't make an RSA
//! modulus the secret of an HMAC, or ask for no signature at all (RFC 8725 3.1).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

/// For tokens of services.
pub(crate) const INSIDE: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
/// For tokens of users.
pub(crate) const OUTSIDE: &[Algorithm] = &[Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// The usable keys of one issuer.
#[derive(Debug, Default)]
pub(crate) struct KeySet(Vec<Key>);

/// A public key.
#[derive(Debug)]
pub(crate) struct Key {
    id: Option<String>,
    /// All of one family, never empty.
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) decoding: DecodingKey,
}

impl KeySet {
    /// Those of `keys` that verify signatures with one of `allowed`. Others (for encryption, secret ones, of kinds that
    /// are not known here) are left out, as RFC 7517 5 asks.
    pub(crate) fn new(keys: impl IntoIterator<Item = Value>, allowed: &[Algorithm]) -> Self {
        Self(keys.into_iter().filter_map(|key| Key::new(key, allowed)).collect())
    }

    /// The content of a fetched key set; none when it is not one.
    pub(crate) fn parse(bytes: &[u8], allowed: &[Algorithm]) -> Option<Self> {
        let Value::Object(mut set) = serde_json::from_slice(bytes).ok()? else { return None };
        let Value::Array(keys) = set.remove("keys")? else { return None };
        Some(Self::new(keys, allowed))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys that may have signed a token that names `id`: all of them when it names none.
    pub(crate) fn candidates(&self, id: Option<&str>) -> impl Iterator<Item = &Key> {
        self.0.iter().filter(move |key| id.is_none() || key.id.as_deref() == id)
    }
}

impl Key {
    fn new(key: Value, allowed: &[Algorithm]) -> Option<Self> {
        let key: Jwk = serde_json::from_value(key).ok()?;
        let common = &key.common;
        if common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
            return None;
        }
        let verifies = |operations: &Vec<KeyOperations>| operations.contains(&KeyOperations::Verify);
        if common.key_operations.as_ref().is_some_and(|operations| !verifies(operations)) {
            return None;
        }
        let of_kind: &[Algorithm] = match &key.algorithm {
            AlgorithmParameters::RSA(_) => {
                &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256]
            }
            AlgorithmParameters::EllipticCurve(point) => match point.curve {
                EllipticCurve::P256 => &[Algorithm::ES256],
                EllipticCurve::P384 => &[Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(point) if point.curve == EllipticCurve::Ed25519 => {
                &[Algorithm::EdDSA]
            }
            _ => return None,
        };
        // The key's own word narrows what its kind allows; a word that is not known here allows nothing.
        let own = match common.key_algorithm {
            Some(named) => Some(Algorithm::try_from(named).ok()?),
            None => None,
        };
        let algorithms: Vec<_> = of_kind
            .iter()
            .copied()
            .filter(|algorithm| allowed.contains(algorithm) && own.is_none_or(|own| own == *algorithm))
            .collect();
        if algorithms.is_empty() {
            return None;
        }
        Some(Self { decoding: DecodingKey::from_jwk(&key).ok()?, id: key.common.key_id, algorithms })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn algorithms(key: Value, allowed: &[Algorithm]) -> Option<Vec<Algorithm>> {
        Key::new(key, allowed).map(|key| key.algorithms)
    }

    #[test]
    fn the_key_decides_what_it_is_for() {
        let rsa = json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"});
        let all = [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256];
        assert_eq!(algorithms(rsa.clone(), INSIDE), Some(all.to_vec()));
        assert_eq!(algorithms(rsa, OUTSIDE), Some(vec![Algorithm::RS256]));
        let narrowed = json!({"kty": "RSA", "n": "AQAB", "e": "AQAB", "alg": "PS256", "use": "sig"});
        assert_eq!(algorithms(narrowed.clone(), INSIDE), Some(vec![Algorithm::PS256]));
        assert_eq!(algorithms(narrowed, OUTSIDE), None);
        let p384 = json!({"kty": "EC", "crv": "P-384", "x": "AQAB", "y": "AQAB"});
        assert_eq!(algorithms(p384, INSIDE), Some(vec![Algorithm::ES384]));
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": "AQAB", "key_ops": ["verify"]});
        assert_eq!(algorithms(ed, OUTSIDE), Some(vec![Algorithm::EdDSA]));
        for unusable in [
            json!({"kty": "oct", "k": "AQAB", "alg": "HS256"}),
            json!({"kty": "RSA", "n": "AQAB", "e": "AQAB", "use": "enc"}),
            json!({"kty": "RSA", "n": "AQAB", "e": "AQAB", "key_ops": ["encrypt"]}),
            json!({"kty": "RSA", "n": "AQAB", "e": "AQAB", "alg": "HS256"}),
            json!({"kty": "RSA", "n": "AQAB", "e": "AQAB", "alg": "RSA-OAEP"}),
            json!({"kty": "EC", "crv": "P-521", "x": "AQAB", "y": "AQAB"}),
            json!({"kty": "AKP", "pub": "AQAB"}),
            json!("nonsense"),
        ] {
            assert_eq!(algorithms(unusable.clone(), INSIDE), None, "{unusable}");
        }
    }
}
