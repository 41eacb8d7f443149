//! Issuers of tokens with fresh keys.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use serde_json::{Value, json};

/// A key that signs.
pub(crate) struct Signer {
    pair: KeyPair,
    key: EncodingKey,
    algorithm: Algorithm,
    id: String,
}

impl Signer {
    pub(crate) fn new(algorithm: Algorithm, id: &str) -> Self {
        let pair = KeyPair::generate_for(match algorithm {
            Algorithm::ES256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Algorithm::ES384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Algorithm::EdDSA => &rcgen::PKCS_ED25519,
            _ => &rcgen::PKCS_RSA_SHA256,
        })
        .unwrap();
        let key = match algorithm {
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_der(&pair.serialize_der()),
            Algorithm::EdDSA => EncodingKey::from_ed_der(&pair.serialize_der()),
            _ => EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap(),
        };
        Self { pair, key, algorithm, id: id.to_owned() }
    }

    /// The public key, as its issuer publishes it.
    pub(crate) fn jwk(&self) -> Value {
        if self.algorithm == Algorithm::EdDSA {
            let x = base64url(self.pair.public_key_raw());
            return json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": self.id, "x": x});
        }
        let mut key = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        key.common.key_id = Some(self.id.clone());
        serde_json::to_value(key).unwrap()
    }

    /// The public key without a word on its algorithm.
    pub(crate) fn bare_jwk(&self) -> Value {
        let mut key = self.jwk();
        key.as_object_mut().unwrap().remove("alg");
        key
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_with(|header| header.kid = Some(self.id.clone()), claims)
    }

    pub(crate) fn sign_with(&self, change: impl FnOnce(&mut Header), claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        change(&mut header);
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }

    /// Signs what need not be claims, nor even JSON.
    pub(crate) fn sign_bytes(&self, claims: &[u8]) -> String {
        let header = json!({"typ": "JWT", "alg": self.algorithm, "kid": self.id});
        let message = format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

/// `base64url(header).base64url(claims).signature`, whatever they are.
pub(crate) fn raw(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    format!("{}.{}.{}", part(header), part(claims), base64url(signature))
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize]));
        }
    }
    text
}

/// Claims of `subject`, for `audience`, by `issuer`, that expire at `exp`.
pub(crate) fn claims(issuer: &str, audience: &str, subject: &str, exp: u64) -> Value {
    json!({"iss": issuer, "aud": audience, "sub": subject, "exp": exp})
}

/// In an hour.
pub(crate) fn soon() -> u64 {
    jsonwebtoken::get_current_timestamp() + 3600
}
