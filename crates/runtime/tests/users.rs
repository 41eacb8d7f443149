//! Users from outside with signed tokens, and the keys that are fetched for them.

#![cfg(test)]

mod support;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use goodgo_runtime_config::{Jwt, Route, RouteAuth, RuntimeConfig};
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::{Value, json};
use support::tokens::{Signer, claims, raw, soon};
use support::{Running, assert_problem, config, full, get, mirror, send, text, upstream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

const ISS: &str = "https://login.example";
const AUD: &str = "shop";

/// An issuer that publishes `keys` and counts who asks; it answers 500 while there are none.
struct Issuer {
    address: SocketAddr,
    keys: Arc<Mutex<Vec<Value>>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    async fn start(signers: &[&Signer]) -> Self {
        let keys = Arc::new(Mutex::new(signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()));
        let asked = Arc::new(AtomicUsize::new(0));
        let (published, count) = (Arc::clone(&keys), Arc::clone(&asked));
        let server = upstream(move |request| {
            count.fetch_add(1, Ordering::SeqCst);
            let keys = published.lock().unwrap().clone();
            async move {
                assert_eq!(request.uri().path(), "/keys.json");
                let status = if keys.is_empty() { 500 } else { 200 };
                let body = full(json!({ "keys": keys }).to_string());
                Response::builder().status(status).body(body).unwrap()
            }
        })
        .await;
        Self { address: server.address, keys, asked }
    }

    fn publish(&self, signers: &[&Signer]) {
        *self.keys.lock().unwrap() = signers.iter().map(|signer| signer.jwk()).collect();
    }

    fn url(&self) -> String {
        format!("http://{}/keys.json", self.address)
    }
}

fn route(name: &str, auth: RouteAuth) -> Route {
    Route {
        name: name.to_owned(),
        path: format!("/{name}"),
        exact: false,
        methods: Vec::new(),
        strip_prefix: None,
        auth,
        timeout_ms: None,
        max_body_bytes: None,
        content_types: Vec::new(),
    }
}

fn with_jwt(jwks: String) -> RuntimeConfig {
    let claims = [("sub", "X-User-Id"), ("roles", "X-Roles"), ("admin", "X-Admin")];
    let claims: BTreeMap<_, _> = claims.map(|(claim, header)| (claim.to_owned(), header.to_owned())).into();
    let jwt = Jwt { issuer: ISS.to_owned(), audience: AUD.to_owned(), jwks, claims };
    let mut config = config([]);
    config.inbound.routes = vec![route("me", RouteAuth { jwt: Some(jwt), ..RouteAuth::default() })];
    config
}

fn bearer(token: &str) -> Request<support::Body> {
    Request::get("/me").header("authorization", format!("Bearer {token}")).body(full("")).unwrap()
}

#[tokio::test]
async fn a_pod_that_calls_the_gateway_port_with_a_users_name_gets_401() {
    let (app, signer) = (mirror().await, Signer::new(Algorithm::RS256, "k"));
    let issuer = Issuer::start(&[&signer]).await;
    let running = Running::start(app.address, &with_jwt(issuer.url())).await;
    let at = running.addresses.gateway.unwrap();
    let mut request = get("/me");
    request.headers_mut().insert("X-User-Id", HeaderValue::from_static("admin"));
    let response = send(at, request).await;
    assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"goodgo\"");
    assert_problem(response, 401, "UserUnauthenticated").await;
    assert_eq!(app.connections.load(Ordering::SeqCst), 0);
    running.stop().await;
}

#[tokio::test]
async fn claims_of_a_good_token_reach_the_app_and_what_the_client_says_does_not() {
    let app = mirror().await;
    let signers = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA].map(|kind| Signer::new(kind, "k"));
    for signer in &signers {
        let issuer = Issuer::start(&[signer]).await;
        let running = Running::start(app.address, &with_jwt(issuer.url())).await;
        let at = running.addresses.gateway.unwrap();
        let mut claims = claims(ISS, AUD, "user-1", soon());
        claims["roles"] = json!(["a", "b"]);
        let token = signer.sign(&claims);
        for _ in 0..20 {
            let mut request = bearer(&token);
            for name in ["x-user-id", "x-roles", "x-admin", "x_admin"] {
                request.headers_mut().insert(name, HeaderValue::from_static("forged"));
            }
            let seen = text(send(at, request).await).await;
            assert!(seen.contains("x-user-id: user-1\n") && seen.contains("x-roles: a,b\n"), "{seen}");
            assert!(!seen.contains("forged") && !seen.contains("admin"), "{seen}");
        }
        assert_eq!(issuer.asked.load(Ordering::SeqCst), 1, "keys are fetched once");
        running.stop().await;
    }
}

#[tokio::test]
async fn forged_and_foreign_tokens_get_401() {
    let (app, signer) = (mirror().await, Signer::new(Algorithm::RS256, "k"));
    let issuer = Issuer::start(&[&signer]).await;
    let running = Running::start(app.address, &with_jwt(issuer.url())).await;
    let at = running.addresses.gateway.unwrap();
    let good = claims(ISS, AUD, "user-1", soon());
    let hmac = {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some("k".to_owned());
        let secret = signer.jwk()["n"].as_str().unwrap().to_owned();
        jsonwebtoken::encode(&header, &good, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    };
    let mut hostile = good.clone();
    hostile["sub"] = json!("a\r\nx-admin: 1");
    for token in [
        String::new(),
        hmac,
        raw(&json!({"alg": "none", "kid": "k"}), &good, b""),
        Signer::new(Algorithm::RS256, "k").sign(&good),
        signer.sign_with(|header| header.alg = Algorithm::RS512, &good),
        signer.sign(&claims(ISS, "other", "user-1", soon())),
        signer.sign(&claims("https://evil", AUD, "user-1", soon())),
        signer.sign(&claims(ISS, AUD, "user-1", soon() - 7200)),
        signer.sign(&hostile),
    ] {
        let response = send(at, bearer(&token)).await;
        assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer "), "{token}");
        assert_problem(response, 401, "UserUnauthenticated").await;
    }
    let mut basic = get("/me");
    basic.headers_mut().insert("authorization", HeaderValue::from_static("Basic dTpw"));
    assert_problem(send(at, basic).await, 401, "UserUnauthenticated").await;
    assert_eq!(app.connections.load(Ordering::SeqCst), 0);
    running.stop().await;
}

#[tokio::test]
async fn a_new_key_is_fetched_at_once_and_made_up_ones_do_not_flood_the_issuer() {
    let app = mirror().await;
    let [old, new] = ["old", "new"].map(|id| Signer::new(Algorithm::ES256, id));
    let issuer = Issuer::start(&[&old]).await;
    let running = Running::start(app.address, &with_jwt(issuer.url())).await;
    let at = running.addresses.gateway.unwrap();
    let [first, second] = [&old, &new].map(|signer| signer.sign(&claims(ISS, AUD, "user-1", soon())));
    assert_eq!(send(at, bearer(&first)).await.status(), 200);
    issuer.publish(&[&new]);
    assert_eq!(send(at, bearer(&second)).await.status(), 200);
    assert_eq!(send(at, bearer(&first)).await.status(), 401, "the key that was taken away counts no more");
    let made_up = Signer::new(Algorithm::ES256, "made-up").sign(&claims(ISS, AUD, "user-1", soon()));
    for _ in 0..50 {
        assert_eq!(send(at, bearer(&made_up)).await.status(), 401);
    }
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 2);
    // While the issuer is away, what is known stays known, through changes of the configuration too.
    issuer.publish(&[]);
    let mut changed = with_jwt(issuer.url());
    changed.revision = "b2".to_owned();
    changed.inbound.routes.push(route("open", RouteAuth { none: true, ..RouteAuth::default() }));
    running.put(&changed);
    let in_force = || async { send(at, get("/open")).await.status() == 200 };
    running.eventually("the route is open", in_force).await;
    assert_eq!(send(at, bearer(&second)).await.status(), 200);
    running.stop().await;
}

#[tokio::test]
async fn without_any_keys_the_route_is_unavailable_and_recovers() {
    let (app, signer) = (mirror().await, Signer::new(Algorithm::EdDSA, "k"));
    let issuer = Issuer::start(&[]).await;
    let running = Running::start(app.address, &with_jwt(issuer.url())).await;
    let at = running.addresses.gateway.unwrap();
    let token = signer.sign(&claims(ISS, AUD, "user-1", soon()));
    for _ in 0..10 {
        let response = send(at, bearer(&token)).await;
        assert_eq!(response.headers()["retry-after"], "1");
        assert_problem(response, 503, "KeysUnavailable").await;
    }
    assert!(issuer.asked.load(Ordering::SeqCst) < 10, "attempts are limited");
    issuer.publish(&[&signer]);
    running.eventually("keys are there", || async { send(at, bearer(&token)).await.status() == 200 }).await;
    running.stop().await;
}

/// Serves `keys` over TLS, with a certificate for `name` by an authority whose own is written to `file`.
async fn over_tls(keys: Value, name: &str, file: &std::path::Path) -> SocketAddr {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    std::fs::write(file, authority.self_signed(&authority_key).unwrap().pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let signed = CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .signed_by(&key, &rcgen::Issuer::new(authority, authority_key))
        .unwrap();
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.der().clone()], private)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let body = json!({ "keys": [keys] }).to_string();
            let service = service_fn(move |_: Request<Incoming>| {
                let response = Response::new(full(body.clone()));
                async move { Ok::<_, Infallible>(response) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

#[tokio::test]
async fn keys_are_fetched_over_tls_from_whom_the_certificate_names_alone() {
    let (app, signer) = (mirror().await, Signer::new(Algorithm::ES256, "k"));
    let folder = tempfile::tempdir().unwrap();
    let token = signer.sign(&claims(ISS, AUD, "user-1", soon()));
    for (name, status) in [("localhost", 200), ("elsewhere.example", 503)] {
        let file = folder.path().join(name);
        let at = over_tls(signer.jwk(), name, &file).await;
        let running = Running::launch(app.address, &[], &["--tls-ca-file", file.to_str().unwrap()]).await;
        running.put(&with_jwt(format!("https://localhost:{}/keys.json", at.port())));
        running.started().await;
        let response = send(running.addresses.gateway.unwrap(), bearer(&token)).await;
        assert_eq!(response.status(), status, "{name}");
        running.stop().await;
    }
}
