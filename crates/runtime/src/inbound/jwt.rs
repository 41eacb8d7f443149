//! Users' signed tokens in `Authorization: Bearer` (RFC 6750), and what the app is told of them.

use std::sync::Arc;

use goodgo_runtime_config::Jwt;
use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue};
use moka::sync::Cache;
use serde_json::{Map, Value};

use super::Refusal;
use super::jwks::{Fetched, KeySource};
use crate::identity::verifier::{Fingerprint, fingerprint};
use crate::identity::verify::{Denied, verify};

/// Users whose tokens are remembered.
const REMEMBERED: u64 = 8192;

/// How one route knows its users.
#[derive(Debug)]
pub(super) struct JwtAuth {
    jwt: Jwt,
    claims: Vec<(String, HeaderName)>,
    source: Arc<KeySource>,
    users: Cache<Fingerprint, Arc<User>>,
}

/// Whose token was verified.
#[derive(Debug)]
struct User {
    /// With these keys; others may not know it any more.
    generation: u64,
    /// Seconds since 1970-01-01 UTC.
    until: u64,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl JwtAuth {
    pub(super) fn new(jwt: &Jwt, source: Arc<KeySource>) -> Self {
        let header = |(claim, name): (&String, &String)| {
            Some((claim.clone(), HeaderName::from_bytes(name.as_bytes()).ok()?))
        };
        Self {
            jwt: jwt.clone(),
            claims: jwt.claims.iter().filter_map(header).collect(),
            source,
            users: Cache::new(REMEMBERED),
        }
    }

    /// Whether this is what `jwt` says.
    pub(super) fn is_for(&self, jwt: &Jwt) -> bool {
        self.jwt == *jwt
    }

    /// Verifies the token and sets the headers of its claims. `now` in seconds since 1970-01-01 UTC.
    pub(super) async fn authenticate(&self, headers: &mut HeaderMap, now: u64) -> Result<(), Refusal> {
        let token = bearer(headers).map_err(Refusal::User)?;
        let fingerprint = fingerprint(token);
        let keys = self.source.keys().await.map_err(|reason| self.unavailable(reason))?;
        let known = self.users.get(&fingerprint).filter(|user| user.generation == keys.generation);
        let user = match known {
            Some(user) if now < user.until => user,
            Some(_) => return Err(Refusal::User(Denied::Expired)),
            None => {
                let user = match self.user(token, &keys, now) {
                    // The issuer may have begun to sign with a new key.
                    Err(Denied::UnknownKey) => {
                        let keys = self.source.newer_than(&keys).await;
                        keys.ok_or(Denied::UnknownKey).and_then(|keys| self.user(token, &keys, now))
                    }
                    result => result,
                };
                let user = Arc::new(user.map_err(Refusal::User)?);
                self.users.insert(fingerprint, Arc::clone(&user));
                user
            }
        };
        for (name, value) in &user.headers {
            headers.insert(name, value.clone());
        }
        Ok(())
    }

    fn user(&self, token: &[u8], keys: &Fetched, now: u64) -> Result<User, Denied> {
        let claims = verify(token, &keys.set, &self.jwt.issuer, &self.jwt.audience, now)?;
        let headers = to_headers(&self.claims, &claims.all)?;
        Ok(User { generation: keys.generation, until: claims.until, headers })
    }

    fn unavailable(&self, reason: String) -> Refusal {
        Refusal::KeysUnavailable { issuer: self.jwt.issuer.clone(), reason }
    }
}

/// RFC 6750 2.1; the scheme's case does not count (RFC 9110 11.1).
fn bearer(headers: &HeaderMap) -> Result<&[u8], Denied> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Err(Denied::Missing),
        (Some(value), None) => value.as_bytes(),
        _ => return Err(Denied::Ambiguous),
    };
    let (scheme, token) = value.split_at_checked(7).ok_or(Denied::Missing)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return Err(Denied::Missing);
    }
    Ok(token.trim_ascii())
}

/// Absent claims and those without a plain value set nothing.
fn to_headers(
    wanted: &[(String, HeaderName)],
    claims: &Map<String, Value>,
) -> Result<Vec<(HeaderName, HeaderValue)>, Denied> {
    let mut headers = Vec::with_capacity(wanted.len());
    for (claim, name) in wanted {
        let Some(text) = claims.get(claim).map(text).transpose()?.flatten() else { continue };
        // What a server would trim, it would read as another value.
        if text.trim() != text {
            return Err(Denied::ClaimNotAHeader);
        }
        let value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| Denied::ClaimNotAHeader)?;
        headers.push((name.clone(), value));
    }
    Ok(headers)
}

fn text(value: &Value) -> Result<Option<String>, Denied> {
    Ok(match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Array(values) => {
            let mut texts = Vec::with_capacity(values.len());
            for value in values {
                let nested = value.is_array();
                let text = text(value)?.filter(|text| !nested && !text.contains(','));
                // One element that holds a comma would read as two.
                texts.push(text.ok_or(Denied::ClaimNotAHeader)?);
            }
            Some(texts.join(","))
        }
        Value::Null | Value::Object(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn header(value: Value) -> Result<Option<String>, Denied> {
        let wanted = [("claim".to_owned(), HeaderName::from_static("x-claim"))];
        let claims = Map::from_iter([("claim".to_owned(), value)]);
        let headers = to_headers(&wanted, &claims)?;
        Ok(headers.first().map(|(_, value)| String::from_utf8(value.as_bytes().to_vec()).unwrap()))
    }

    #[test]
    fn plain_claims_become_headers_and_hostile_ones_do_not() {
        for (claim, becomes) in [
            (json!("user-1"), Some("user-1")),
            (json!("José"), Some("José")),
            (json!(42), Some("42")),
            (json!(true), Some("true")),
            (json!(["a", 1, false]), Some("a,1,false")),
            (json!([]), Some("")),
            (json!(null), None),
            (json!({"a": 1}), None),
        ] {
            assert_eq!(header(claim.clone()), Ok(becomes.map(str::to_owned)), "{claim}");
        }
        for hostile in [
            json!("a\r\nx-role: admin"),
            json!("a\0"),
            json!(" admin"),
            json!("admin\t"),
            json!(["a,b"]),
            json!([["a"]]),
            json!([null]),
            json!(["a\n"]),
        ] {
            assert_eq!(header(hostile.clone()), Err(Denied::ClaimNotAHeader), "{hostile}");
        }
    }
}
