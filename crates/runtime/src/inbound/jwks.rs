//! An outside issuer's public keys: fetched when first needed, again in the background, and at once when a token names a
//! key that is not among them. Old ones stay while the issuer is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::{ACCEPT, HOST};
use http::{HeaderValue, Request, StatusCode, Uri};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::collect::collect;
use crate::identity::jwk::{KeySet, OUTSIDE};
use crate::identity::verifier::{Fingerprint, fingerprint};
use crate::proxy::Body;
use crate::upstream::{Alpn, Tls};

/// Age from which keys are fetched again.
const REFRESH_AFTER: Duration = Duration::from_secs(300);
/// Time between attempts while there are no keys at all.
const PAUSE: Duration = Duration::from_secs(1);
/// Time between attempts that tokens with unknown keys, or stale keys, cause: anybody can make up a key's name.
const LONG_PAUSE: Duration = Duration::from_secs(10);
/// Time for one attempt.
const FETCH_LIMIT: Duration = Duration::from_secs(5);
const MAX_BYTES: usize = 512 * 1024;

/// One URL's keys.
#[derive(Debug)]
pub(crate) struct KeySource {
    url: String,
    tls: Tls,
    current: ArcSwapOption<Fetched>,
    /// Held while fetching, so that a burst makes one request.
    turn: Mutex<Turn>,
    refreshing: AtomicBool,
}

#[derive(Debug, Default)]
struct Turn {
    failed_at: Option<Instant>,
    failure: String,
    unknown_at: Option<Instant>,
}

/// The keys as they were at one time.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// Counts the contents that differed.
    pub(crate) generation: u64,
    pub(crate) set: KeySet,
    content: Fingerprint,
    at: Instant,
}

impl KeySource {
    pub(super) fn new(url: &str, tls: Tls) -> Arc<Self> {
        Arc::new(Self {
            url: url.to_owned(),
            tls,
            current: ArcSwapOption::empty(),
            turn: Mutex::default(),
            refreshing: AtomicBool::new(false),
        })
    }

    /// The keys.
    ///
    /// # Errors
    /// Why there never have been any.
    pub(super) async fn keys(self: &Arc<Self>) -> Result<Arc<Fetched>, String> {
        if let Some(fetched) = self.current.load_full() {
            if fetched.at.elapsed() >= REFRESH_AFTER && !self.refreshing.swap(true, Ordering::AcqRel) {
                tokio::spawn(refresh(Arc::clone(self)));
            }
            return Ok(fetched);
        }
        let mut turn = self.turn.lock().await;
        // Somebody else may have had their turn while we waited for ours.
        if let Some(fetched) = self.current.load_full() {
            return Ok(fetched);
        }
        if turn.failed_at.is_some_and(|at| at.elapsed() < PAUSE) {
            return Err(turn.failure.clone());
        }
        self.fetch(&mut turn).await.ok_or_else(|| turn.failure.clone())
    }

    /// Keys that are not `seen`, fetched now unless that was done a moment ago; none when there are no others.
    ///
    /// On a task of its own: a client that names a made-up key and goes away must not take the fetch with it, and with it
    /// everybody's new keys.
    pub(super) async fn newer_than(self: &Arc<Self>, seen: &Fetched) -> Option<Arc<Fetched>> {
        let (source, seen) = (Arc::clone(self), seen.generation);
        tokio::spawn(async move { source.other_than(seen).await }).await.ok().flatten()
    }

    async fn other_than(&self, seen: u64) -> Option<Arc<Fetched>> {
        let mut turn = self.turn.lock().await;
        let differs = |fetched: &Arc<Fetched>| fetched.generation != seen;
        if let Some(newer) = self.current.load_full().filter(differs) {
            return Some(newer);
        }
        if turn.unknown_at.is_some_and(|at| at.elapsed() < LONG_PAUSE) {
            return None;
        }
        turn.unknown_at = Some(Instant::now());
        self.fetch(&mut turn).await.filter(differs)
    }

    /// One attempt. A set without a usable key is a failure: it would lock everybody out.
    async fn fetch(&self, turn: &mut Turn) -> Option<Arc<Fetched>> {
        let result = timeout(FETCH_LIMIT, get(&self.url, &self.tls)).await;
        let content = result.unwrap_or_else(|_| Err(format!("no answer within {} s", FETCH_LIMIT.as_secs())));
        let set = content.and_then(|content| {
            let set = KeySet::parse(&content, OUTSIDE).filter(|set| !set.is_empty());
            let set = set.ok_or_else(|| "it is not a key set with a usable key".to_owned())?;
            Ok((set, fingerprint(&content)))
        });
        match set {
            Ok((set, content)) => {
                turn.failed_at = None;
                let generation = match self.current.load().as_ref() {
                    Some(previous) if previous.content == content => previous.generation,
                    Some(previous) => previous.generation + 1,
                    None => 0,
                };
                let fetched = Arc::new(Fetched { generation, set, content, at: Instant::now() });
                self.current.store(Some(Arc::clone(&fetched)));
                Some(fetched)
            }
            Err(reason) => {
                tracing::warn!(url = %self.url, reason, "failed to fetch an issuer's keys");
                turn.failed_at = Some(Instant::now());
                turn.failure = reason;
                None
            }
        }
    }
}

async fn refresh(source: Arc<KeySource>) {
    let mut turn = source.turn.lock().await;
    if turn.failed_at.is_none_or(|at| at.elapsed() >= LONG_PAUSE) {
        source.fetch(&mut turn).await;
    }
    source.refreshing.store(false, Ordering::Release);
}

async fn get(url: &str, tls: &Tls) -> Result<Bytes, String> {
    let uri: Uri = url.parse().map_err(|_| "its URL is not one".to_owned())?;
    let host = uri.host().ok_or("its URL has no host")?.trim_matches(['[', ']']).to_owned();
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream = TcpStream::connect((host.as_str(), port))
        .await
        .map_err(|error| format!("failed to connect: {error}"))?;
    if secure {
        let stream =
            tls.connect(&host, stream, Alpn::Http1).await.map_err(|error| format!("TLS: {error}"))?;
        exchange(&uri, stream).await
    } else {
        exchange(&uri, stream).await
    }
}

async fn exchange<T>(uri: &Uri, stream: T) -> Result<Bytes, String>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    // Ends with the sender.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to an issuer ended");
        }
    });
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = path.parse().map_err(|_| "its URL has no path".to_owned())?;
    let host = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    request.headers_mut().insert(HOST, host.ok_or("its URL has no host")?);
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    let response = sender.send_request(request).await.map_err(failed)?;
    // A redirect is not followed: it could lead anywhere.
    if response.status() != StatusCode::OK {
        return Err(format!("it answers {}", response.status()));
    }
    collect(response.into_body(), MAX_BYTES)
        .await
        .ok_or_else(|| "its answer is too long or breaks off".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as Lock;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const POINT: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    /// Answers every request with what stands in the lock; breaks off when nothing does.
    async fn issuer() -> (String, Arc<Lock<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let content = Arc::new(Lock::new(String::new()));
        let served = Arc::clone(&content);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 1024]).await;
                let body = served.lock().unwrap().clone();
                if !body.is_empty() {
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                    stream.write_all((head + &body).as_bytes()).await.unwrap();
                }
            }
        });
        (url, content)
    }

    fn set(id: &str) -> String {
        format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"{id}","x":"{POINT}"}}]}}"#)
    }

    /// Lets time pass in between, and time alone: the network has its own.
    async fn later(seconds: u64) {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::time::resume();
    }

    async fn has_generation(source: &Arc<KeySource>, generation: u64) -> bool {
        for _ in 0..200 {
            if source.keys().await.unwrap().generation == generation {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }

    #[tokio::test]
    async fn old_keys_serve_while_new_ones_are_fetched_and_stay_while_the_issuer_is_away() {
        let (url, content) = issuer().await;
        let source = KeySource::new(&url, Tls::new(None).unwrap());
        for unusable in ["", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"AQAB"}]}"#] {
            *content.lock().unwrap() = unusable.to_owned();
            assert!(source.keys().await.is_err(), "{unusable}");
            later(1).await;
        }
        *content.lock().unwrap() = set("a");
        assert_eq!(source.keys().await.unwrap().generation, 0);
        *content.lock().unwrap() = set("b");
        later(299).await;
        assert_eq!(source.keys().await.unwrap().generation, 0);
        later(1).await;
        assert_eq!(source.keys().await.unwrap().generation, 0, "nobody waits for a refresh");
        assert!(has_generation(&source, 1).await, "the refresh came to nothing");
        content.lock().unwrap().clear();
        later(301).await;
        assert!(has_generation(&source, 1).await);
        later(301).await;
        assert!(source.keys().await.unwrap().set.candidates(Some("b")).count() == 1);
        while source.refreshing.load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // The same content is the same generation: what was verified with it stays verified.
        *content.lock().unwrap() = set("b");
        later(301).await;
        let before = source.keys().await.unwrap();
        for _ in 0..200 {
            if !Arc::ptr_eq(&before, &source.keys().await.unwrap()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let after = source.keys().await.unwrap();
        assert!(!Arc::ptr_eq(&before, &after) && after.generation == 1);
    }
}
