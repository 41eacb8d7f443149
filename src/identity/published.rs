//! What issuers publish (OpenID Connect Discovery 1.0, RFC 7517), and who signed a token of ours.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::Request;
use kube::{Client, Config};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::FetchError;

/// A public key as it was published (RFC 7517, section 4).
pub(super) type Key = BTreeMap<String, Value>;

/// Most keys of one issuer: what the runtime takes.
pub(super) const MOST_KEYS: usize = 64;
/// Time for one question, repetitions by the client included.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Key>,
}

/// The issuer that the API server names.
pub(super) async fn issuer(client: &Client) -> Result<String, FetchError> {
    let discovery: Discovery = get(client, "/.well-known/openid-configuration", "the token issuer").await?;
    Ok(discovery.issuer)
}

/// The keys that the API server publishes.
pub(super) async fn keys(client: &Client) -> Result<Vec<Key>, FetchError> {
    Ok(usable(get(client, "/openid/v1/jwks", "the API server's key set").await?))
}

/// The keys at a configured URL, asked without credentials.
pub(super) async fn keys_at(url: &str) -> Result<Vec<Key>, FetchError> {
    let url: http::Uri = url.parse().map_err(|_| FetchError::Url)?;
    let path = url.path().to_owned();
    let mut parts = url.into_parts();
    parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
    let base = http::Uri::from_parts(parts).map_err(|_| FetchError::Url)?;
    let mut config = Config::new(base);
    config.connect_timeout = Some(TIMEOUT);
    config.read_timeout = Some(TIMEOUT);
    const WHAT: &str = "identity.jwks";
    let client = Client::try_from(config).map_err(|source| FetchError::Request { what: WHAT, source })?;
    Ok(usable(get(&client, &path, WHAT).await?))
}

/// Keys without an id can't be told from each other by a token's header.
fn usable(set: KeySet) -> Vec<Key> {
    set.keys.into_iter().filter(|key| !key_id(key).is_empty()).take(MOST_KEYS).collect()
}

async fn get<T: DeserializeOwned>(client: &Client, path: &str, what: &'static str) -> Result<T, FetchError> {
    let request = Request::get(path).body(Vec::new()).map_err(|_| FetchError::Url)?;
    let answer = tokio::time::timeout(TIMEOUT, client.request(request)).await;
    answer.map_err(|_| FetchError::Timeout(what))?.map_err(|source| FetchError::Request { what, source })
}

/// The key's id; empty without one.
pub(super) fn key_id(key: &Key) -> String {
    key.get("kid").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Who signed a token, as it says itself: enough to know that a new key is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signer {
    pub(super) issuer: String,
    pub(super) key_id: String,
}

impl Signer {
    /// Reads header and payload of a token (RFC 7519) without believing them.
    pub(super) fn of_token(token: &str) -> Option<Self> {
        let mut parts = token.trim().split('.');
        let mut part = || -> Option<Value> {
            serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(parts.next()?).ok()?).ok()
        };
        let (header, payload) = (part()?, part()?);
        let text = |object: &Value, field: &str| object.get(field)?.as_str().map(str::to_owned);
        Some(Self { issuer: text(&payload, "iss")?, key_id: text(&header, "kid")? })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(header: &Value, payload: &Value) -> String {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.signature\n", part(header), part(payload))
    }

    #[test]
    fn a_token_names_its_signer() {
        let own = token(&json!({"alg": "RS256", "kid": "k1"}), &json!({"iss": "https://issuer"}));
        let signer = Signer { issuer: "https://issuer".to_owned(), key_id: "k1".to_owned() };
        assert_eq!(Signer::of_token(&own), Some(signer));
        for strange in ["", "a.b.c", &token(&json!({}), &json!({"iss": "i"})), "e30.e30.x"] {
            assert_eq!(Signer::of_token(strange), None, "{strange}");
        }
    }

    #[test]
    fn keys_without_an_id_are_of_no_use() {
        let set: KeySet =
            serde_json::from_value(json!({"keys": [{"kid": "1"}, {"kty": "RSA"}, {"kid": ""}]})).unwrap();
        assert_eq!(usable(set).iter().map(key_id).collect::<Vec<_>>(), ["1"]);
    }
}
