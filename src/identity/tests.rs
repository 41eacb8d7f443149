use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value, json};
use std::sync::Mutex;

use super::*;

fn key(id: &str) -> Key {
    Key::from([("kid".to_owned(), id.into()), ("kty".to_owned(), "RSA".into())])
}

/// Each issuer with the ids of its keys.
fn said(issuers: &[Issuer]) -> Vec<(&str, Vec<&str>)> {
    issuers.iter().map(|found| (&*found.issuer, found.keys.iter().map(id).collect())).collect()
}

fn id(key: &Key) -> &str {
    key["kid"].as_str().unwrap()
}

#[test]
fn a_key_that_is_no_longer_published_stays_for_one_life_of_a_token() {
    let (mut memory, start) = (Memory::default(), Instant::now());
    assert_eq!(said(&memory.merge("a", vec![key("1")], start)), [("a", vec!["1"])]);
    let soon = start + TOKEN_LIFE;
    assert_eq!(said(&memory.merge("a", vec![key("2")], soon)), [("a", vec!["1", "2"])]);
    assert!(memory.knows("1") && memory.knows("2") && !memory.knows("3"));
    let later = soon + Duration::from_secs(1);
    assert_eq!(said(&memory.merge("a", vec![key("2")], later)), [("a", vec!["2"])]);
}

#[test]
fn there_are_never_more_keys_than_the_runtime_takes() {
    let (mut memory, start) = (Memory::default(), Instant::now());
    let keys = |from: usize| (from..from + 40).map(|id| key(&id.to_string())).collect();
    memory.merge("a", keys(0), start);
    let issuers = memory.merge("a", keys(40), start + Duration::from_secs(1));
    assert_eq!(issuers[0].keys.len(), 40);
    assert!(memory.knows("79") && !memory.knows("0"), "what is published comes first");
}

#[test]
fn an_issuer_that_was_renamed_is_believed_as_long_as_its_tokens_live() {
    let (mut memory, start) = (Memory::default(), Instant::now());
    memory.merge("old", vec![key("1")], start);
    let both = memory.merge("new", vec![key("1")], start + Duration::from_secs(10));
    assert_eq!(said(&both), [("new", vec!["1"]), ("old", vec!["1"])]);
    let after = memory.merge("new", vec![key("1")], start + TOKEN_LIFE + Duration::from_secs(1));
    assert_eq!(said(&after), [("new", vec!["1"])]);
}

#[tokio::test]
async fn issuers_are_known_once_set_and_a_repetition_is_no_change() {
    let issuers = Issuers::default();
    assert!(issuers.current().is_empty());
    let waiting = issuers.clone();
    let waiter = tokio::spawn(async move { waiting.known().await });
    let list = vec![Issuer { issuer: "a".to_owned(), keys: vec![key("1")] }];
    assert!(issuers.set(list.clone()) && !issuers.set(list.clone()));
    waiter.await.unwrap();
    assert_eq!(*issuers.current(), list);
}

/// What an API server publishes; `None` is an API server in trouble.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<Option<Value>>>);

impl Server {
    fn publishes(&self, keys: &Value) {
        *self.0.lock().unwrap() = Some(json!({"keys": keys}));
    }

    async fn follower(&self, config: IdentityConfig) -> (Follower, IdentityConfig) {
        let keys = |State(Self(keys)): State<Self>| async move {
            let keys = keys.lock().unwrap().clone();
            keys.map(Json).ok_or(StatusCode::INTERNAL_SERVER_ERROR)
        };
        let router = axum::Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(|| async { Json(json!({"issuer": "https://cluster"})) }),
            )
            .route("/openid/v1/jwks", get(keys))
            .route("/elsewhere/keys", get(|| async { Json(json!({"keys": [{"kid": "theirs"}]})) }))
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap();
        let (issuers, token) = (Issuers::default(), PathBuf::from("/nonexistent"));
        let config = IdentityConfig { jwks: config.jwks.map(|path| format!("{url}{path}")), ..config };
        (Follower::new(client, Arc::default(), token, issuers, Metrics::default()), config)
    }
}

#[tokio::test]
async fn a_server_in_trouble_or_without_keys_takes_nothing_away() {
    let server = Server::default();
    let (mut follower, config) = server.follower(IdentityConfig::default()).await;
    assert!(matches!(follower.fetch(&config).await, Err(FetchError::Request { .. })));
    server.publishes(&json!([]));
    assert!(matches!(follower.fetch(&config).await, Err(FetchError::NoKeys)));
    server.publishes(&json!([{"kid": "1", "kty": "RSA"}]));
    let issuers = follower.fetch(&config).await.unwrap();
    assert_eq!(said(&issuers), [("https://cluster", vec!["1"])]);
    assert!(follower.memory.knows("1"));
}

#[tokio::test]
async fn a_configured_issuer_and_key_set_win() {
    let server = Server::default();
    let config = IdentityConfig {
        issuer: Some("https://elsewhere".to_owned()),
        jwks: Some("/elsewhere/keys".to_owned()),
        ..IdentityConfig::default()
    };
    let (mut follower, config) = server.follower(config).await;
    assert_eq!(said(&follower.fetch(&config).await.unwrap()), [("https://elsewhere", vec!["theirs"])]);
}
