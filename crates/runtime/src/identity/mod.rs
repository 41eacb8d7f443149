//! Who is who inside the cluster: the tokens that this service's calls carry, and the proofs that its callers bring.
//!
//! - [`token`]: our own tokens, one per callee, from files that the kubelet rotates.
//! - [`keys`]: fixed keys for callers without a runtime, from a mounted Secret.
//! - [`jwk`] and [`verify`]: public keys, and a signed token (RFC 7519) held against them.
//! - [`verifier`]: the same for callers' tokens, each verified once and remembered until it expires.
//! - [`headers`]: which headers tell identities, and how forged ones are removed.
//!
//! Files are looked at on a thread of their own, never on the path of a request.

pub(crate) mod headers;
pub(crate) mod jwk;
mod keys;
mod token;
#[cfg(test)]
#[path = "../../tests/support/tokens.rs"]
mod tokens;
pub(crate) mod verifier;
pub(crate) mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) use self::keys::Keys;
pub(crate) use self::token::TokenSource;
use crate::Error;

/// How often the folders are looked at. A `stat` each; a key that was taken away is refused this much later.
const INTERVAL: Duration = Duration::from_secs(1);

/// The files of this pod's identity, followed until this is dropped.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) tokens: Arc<TokenSource>,
    pub(crate) keys: Arc<Keys>,
    _stop: Sender<()>,
}

impl Identity {
    /// Reads everything once, so that the first request finds it, and follows it on a thread of its own.
    ///
    /// # Errors
    /// [`Error::Watch`] when there can't be another thread. Missing files are no error: they may appear.
    pub(crate) fn start(
        tokens: &Path,
        calls: impl IntoIterator<Item = String>,
        keys: PathBuf,
    ) -> Result<Self, Error> {
        let tokens = Arc::new(TokenSource::new(tokens, calls));
        let keys = Arc::new(Keys::new(keys));
        tokens.refresh();
        keys.refresh();
        let (stop, stopped) = channel();
        let (watched_tokens, watched_keys) = (Arc::clone(&tokens), Arc::clone(&keys));
        std::thread::Builder::new()
            .name("identity-watch".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || {
                while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    watched_tokens.refresh();
                    watched_keys.refresh();
                }
            })
            .map_err(Error::Watch)?;
        Ok(Self { tokens, keys, _stop: stop })
    }
}

/// Seconds since 1970-01-01 UTC, as tokens count them.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs()).unwrap_or_default()
}
