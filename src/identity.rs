//! Whose tokens the runtimes believe: the cluster's issuer and its public keys, kept up to date.
//!
//! They are public, and the API server shows them to every ServiceAccount (`system:service-account-issuer-discovery`). One
//! request an hour fetches the keys, and one more as soon as the operator's own mounted token, which the kubelet renews
//! with the newest key, is signed by a key that nobody knows yet. A key that is no longer published stays for one life of
//! a token, because tokens that it signed are still on their way. Without keys nobody would be let in, so nothing is
//! rendered before the first answer; pods that run keep the keys that they have.

mod published;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use goodgo_render::PlatformConfig;
use goodgo_render::platform::IdentityConfig;
use goodgo_runtime_config::Issuer;
use kube::Client;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use self::published::{Key, MOST_KEYS, Signer};
use crate::metrics::Metrics;

/// The token that the kubelet mounts for this process; there is none outside a cluster.
pub const OWN_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// How often the keys are fetched: what the API server's `Cache-Control` permits.
const EVERY: Duration = Duration::from_secs(3600);
/// How often the own token and the configuration are looked at, which costs no request.
const LOOK: Duration = Duration::from_secs(10);
/// Shortest time between two fetches because of an unknown key: a token that stays strange must not make a storm.
const PATIENCE: Duration = Duration::from_secs(60);
/// Life of the tokens that pods have (`expirationSeconds` of the projected volume).
const TOKEN_LIFE: Duration = Duration::from_secs(3600);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// What is known of the issuers; clones share it.
#[derive(Clone, Debug)]
pub struct Issuers(watch::Sender<Option<Arc<Vec<Issuer>>>>);

impl Default for Issuers {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Issuers {
    /// The issuers; none before the first answer.
    #[must_use]
    pub fn current(&self) -> Arc<Vec<Issuer>> {
        self.0.borrow().clone().unwrap_or_default()
    }

    /// Resolves once they are known.
    pub async fn known(&self) {
        // The sender lives in `self`: waiting can't fail.
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }

    /// Puts these in force; says whether they are others than before.
    fn set(&self, issuers: Vec<Issuer>) -> bool {
        self.0.send_if_modified(|current| {
            let changed = current.as_deref() != Some(&issuers);
            if changed {
                *current = Some(Arc::new(issuers));
            }
            changed
        })
    }
}

/// Why the keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No usable answer.
    #[error("failed to fetch {what}: {source}")]
    Request {
        /// What was asked for.
        what: &'static str,
        /// Why.
        source: kube::Error,
    },
    /// No answer in time: the client repeats for minutes what a server in trouble refuses.
    #[error("failed to fetch {0} in time")]
    Timeout(&'static str),
    /// The configured URL is none.
    #[error("failed to use identity.jwks: write the URL of the issuer's key set")]
    Url,
    /// An answer without a key would lock everybody out.
    #[error("failed to find a key in the issuer's key set")]
    NoKeys,
}

/// Keeps [`Issuers`] up to date.
pub struct Follower {
    client: Client,
    platform: Arc<ArcSwap<PlatformConfig>>,
    own_token: PathBuf,
    issuers: Issuers,
    metrics: Metrics,
    memory: Memory,
    /// The issuer that the API server named.
    discovered: Option<String>,
}

impl Follower {
    /// Follows the API server's issuer, or the configured one, into `issuers`.
    #[must_use]
    pub fn new(
        client: Client,
        platform: Arc<ArcSwap<PlatformConfig>>,
        own_token: PathBuf,
        issuers: Issuers,
        metrics: Metrics,
    ) -> Self {
        let (memory, discovered) = (Memory::default(), None);
        Self { client, platform, own_token, issuers, metrics, memory, discovered }
    }

    /// Fetches now and then, and calls `changed` when the issuers are others than before.
    pub async fn follow(mut self, changed: impl Fn()) {
        let (mut retry, mut before) = (FIRST_RETRY, self.platform.load().identity.clone());
        loop {
            let config = self.platform.load().identity.clone();
            if config != before {
                // Somebody decided whom to believe: nobody else is, from now on.
                self.memory = Memory::default();
                before = config.clone();
            }
            let pause = match self.fetch(&config).await {
                Ok(issuers) => {
                    self.metrics.identity_fetched("ok");
                    if self.issuers.set(issuers) {
                        info!(keys = self.memory.keys.len(), "the issuer's keys are known");
                        changed();
                    }
                    retry = FIRST_RETRY;
                    EVERY
                }
                Err(error) => {
                    self.metrics.identity_fetched("failed");
                    warn!(%error, "the keys known before stay in force");
                    let pause = retry;
                    retry = (retry * 2).min(LONGEST_RETRY);
                    pause
                }
            };
            self.wait(&config, pause).await;
        }
    }

    async fn fetch(&mut self, config: &IdentityConfig) -> Result<Vec<Issuer>, FetchError> {
        let stranger = self.signer().is_some_and(|own| Some(&own.issuer) != self.discovered.as_ref());
        if config.issuer.is_none() && (self.discovered.is_none() || stranger) {
            self.discovered = Some(published::issuer(&self.client).await?);
        }
        let issuer = config.issuer.clone().or_else(|| self.discovered.clone()).unwrap_or_default();
        let keys = match &config.jwks {
            Some(url) => published::keys_at(url).await?,
            None => published::keys(&self.client).await?,
        };
        if keys.is_empty() {
            return Err(FetchError::NoKeys);
        }
        Ok(self.memory.merge(&issuer, keys, Instant::now()))
    }

    /// Waits `pause`, or until the configuration is another or the own token is signed by a key that is not known.
    async fn wait(&self, config: &IdentityConfig, pause: Duration) {
        let began = Instant::now();
        while let Some(left) = pause.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
            tokio::time::sleep(left.min(LOOK)).await;
            let stranger = || self.signer().is_some_and(|own| !self.memory.knows(&own.key_id));
            let own = config.jwks.is_none() && began.elapsed() >= PATIENCE && stranger();
            if own || self.platform.load().identity != *config {
                return;
            }
        }
    }

    fn signer(&self) -> Option<Signer> {
        Signer::of_token(&std::fs::read_to_string(&self.own_token).ok()?)
    }
}

/// Keys by issuer and key id, each with the time when it was published last.
#[derive(Default)]
struct Memory {
    keys: BTreeMap<(String, String), (Key, Instant)>,
}

impl Memory {
    /// Takes what `issuer` publishes now, and forgets what nobody has published for one life of a token.
    fn merge(&mut self, issuer: &str, published: Vec<Key>, now: Instant) -> Vec<Issuer> {
        for key in published {
            self.keys.insert((issuer.to_owned(), published::key_id(&key)), (key, now));
        }
        // The runtime takes so many; what is published comes first.
        let life = if self.keys.len() > MOST_KEYS { Duration::ZERO } else { TOKEN_LIFE };
        self.keys.retain(|_, (_, seen)| now.duration_since(*seen) <= life);
        let mut issuers: BTreeMap<&str, Vec<Key>> = BTreeMap::new();
        for ((issuer, _), (key, _)) in &self.keys {
            issuers.entry(issuer).or_default().push(key.clone());
        }
        let issuer = |(issuer, keys): (&str, Vec<Key>)| Issuer { issuer: issuer.to_owned(), keys };
        issuers.into_iter().map(issuer).collect()
    }

    fn knows(&self, key_id: &str) -> bool {
        self.keys.keys().any(|(_, known)| known == key_id)
    }
}

#[cfg(test)]
mod tests;
