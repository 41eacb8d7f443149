//! Identities for the bench: a signing key with its key set, and tokens that are renewed while requests are under way.
//!
//! The tokens' folder looks like a projected volume: `..data` is a link that one rename moves to the next version.

use crate::paths;
use anyhow::{Context, Result};
use goodgo_runtime_config::Issuer;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::KeyPair;
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `iss` of the tokens.
const ISSUER: &str = "https://issuer.goodgo.bench";
/// `aud` of tokens for the callee.
pub(crate) const AUDIENCE: &str = "goodgo:bench/callee";
/// `sub` of the caller.
pub(crate) const SUBJECT: &str = "system:serviceaccount:bench:caller";
/// The shortest life that the kubelet gives a token.
const LIFE: Duration = Duration::from_secs(600);
const KEY_ID: &str = "bench-1";

/// The current token of a caller.
#[derive(Debug, Default)]
pub(crate) struct Token {
    text: Mutex<String>,
    version: AtomicU64,
}

impl Token {
    /// Changes whenever the token does.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The token.
    pub(crate) fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, text: String) {
        *self.text.lock().unwrap_or_else(PoisonError::into_inner) = text;
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// The issuer and what it renews.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The issuer as a callee's configuration names it.
    pub(crate) issuer: Issuer,
    /// The caller's token.
    pub(crate) token: Arc<Token>,
    /// Folder with one file a call.
    pub(crate) folder: PathBuf,
    stop: Arc<AtomicBool>,
    renewing: Option<JoinHandle<Result<()>>>,
}

impl Identity {
    /// Makes a key, issues the first tokens for `calls`, and renews them every `period`.
    ///
    /// # Errors
    /// When the key can't be made or the folder not written.
    pub(crate) fn start(folder: &Path, calls: &'static [&'static str], period: Duration) -> Result<Self> {
        let pair = KeyPair::generate().context("failed to make a signing key")?;
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes())
            .context("failed to read the signing key")?;
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).context("failed to make the key set")?;
        jwk.common.key_id = Some(KEY_ID.to_owned());
        let public = serde_json::from_value(serde_json::to_value(jwk)?)?;
        let issuer = Issuer { issuer: ISSUER.to_owned(), keys: vec![public] };

        let volume = Volume { folder: folder.to_owned(), calls, key };
        let (token, stop) = (Arc::new(Token::default()), Arc::new(AtomicBool::new(false)));
        token.set(volume.renew(0)?);
        let (current, ended) = (Arc::clone(&token), Arc::clone(&stop));
        let renewing = std::thread::spawn(move || {
            for version in 1.. {
                std::thread::park_timeout(period);
                if ended.load(Ordering::Acquire) {
                    break;
                }
                current.set(volume.renew(version)?);
            }
            Ok(())
        });
        Ok(Self { issuer, token, folder: folder.to_owned(), stop, renewing: Some(renewing) })
    }

    /// Ends the renewal; says how many tokens there were.
    ///
    /// # Errors
    /// The first renewal that failed.
    pub(crate) fn finish(mut self) -> Result<u64> {
        self.stop.store(true, Ordering::Release);
        if let Some(renewing) = self.renewing.take() {
            renewing.thread().unpark();
            renewing.join().map_err(|_| anyhow::anyhow!("failed to end the renewal of tokens"))??;
        }
        Ok(self.token.version())
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(renewing) = &self.renewing {
            renewing.thread().unpark();
        }
    }
}

struct Volume {
    folder: PathBuf,
    calls: &'static [&'static str],
    key: EncodingKey,
}

impl Volume {
    /// Issues a token, puts it where the kubelet would, and returns it.
    fn renew(&self, version: u64) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("failed to tell the time")?;
        let header = Header { kid: Some(KEY_ID.to_owned()), ..Header::new(Algorithm::ES256) };
        let claims = json!({
            "iss": ISSUER, "aud": [AUDIENCE], "sub": SUBJECT, "jti": version.to_string(),
            "iat": now.as_secs(), "nbf": now.as_secs(), "exp": (now + LIFE).as_secs(),
        });
        let token = encode(&header, &claims, &self.key).context("failed to sign a token")?;

        let name = format!("..v{version}");
        for call in self.calls {
            paths::write(&self.folder.join(&name).join(call), &token)?;
        }
        let failed = || format!("failed to swap tokens in {}", self.folder.display());
        let next = self.folder.join("..data_tmp");
        symlink(&name, &next).with_context(failed)?;
        fs::rename(&next, self.folder.join("..data")).with_context(failed)?;
        for call in self.calls {
            let link = self.folder.join(call);
            if !link.is_symlink() {
                symlink(format!("..data/{call}"), &link).with_context(failed)?;
            }
        }
        if let Some(old) = version.checked_sub(1) {
            fs::remove_dir_all(self.folder.join(format!("..v{old}"))).with_context(failed)?;
        }
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{DecodingKey, Validation, decode};

    #[test]
    fn tokens_are_renewed_in_place_and_the_key_set_verifies_them() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::start(folder.path(), &["callee"], Duration::from_millis(20)).unwrap();
        let first = fs::read_to_string(folder.path().join("callee")).unwrap();
        let began = std::time::Instant::now();
        while identity.token.version() < 3 && began.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let token = identity.token.text();
        assert_ne!(token, first);
        let jwk: Jwk =
            serde_json::from_value(serde_json::to_value(&identity.issuer.keys[0]).unwrap()).unwrap();
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_audience(&[AUDIENCE]);
        rules.set_issuer(&[ISSUER]);
        let claims = decode::<serde_json::Value>(&token, &DecodingKey::from_jwk(&jwk).unwrap(), &rules)
            .unwrap()
            .claims;
        assert_eq!(claims["sub"], SUBJECT);
        assert!(identity.finish().unwrap() >= 3);
    }
}
