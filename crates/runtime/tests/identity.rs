//! Who may call, and what the app is told of them: callers' tokens and fixed keys at the service port, our own tokens on
//! calls.

#![cfg(test)]

mod support;

use std::net::SocketAddr;

use goodgo_runtime_config::{Caller, Issuer, RuntimeConfig, TargetService};
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::StreamBody;
use hyper::body::Frame;
use jsonwebtoken::Algorithm;
use support::tokens::{Signer, claims, raw, soon};
use support::{Running, assert_problem, config, full, get, json, mirror, nobody, send, text, to};

const ISS: &str = "https://kubernetes.default.svc";
const AUD: &str = "goodgo:cluster/shop/user-service";
const SUBJECT: &str = "system:serviceaccount:shop:order-service";

fn caller(name: &str, subject: &str) -> Caller {
    Caller { name: name.to_owned(), subject: subject.to_owned() }
}

/// Believes `signers`, and lets order-service call.
fn guarded(signers: &[&Signer]) -> RuntimeConfig {
    let mut config = config([]);
    let authentication = &mut config.inbound.authentication;
    authentication.required = true;
    authentication.audience = AUD.to_owned();
    let keys = signers.iter().map(|signer| serde_json::from_value(signer.jwk()).unwrap()).collect();
    authentication.issuers = vec![Issuer { issuer: ISS.to_owned(), keys }];
    config.inbound.callers = vec![caller("shop/order-service", SUBJECT)];
    config
}

fn with_token(token: &str) -> Request<support::Body> {
    Request::get("/").header("x-service-auth", token).body(full("")).unwrap()
}

async fn refused(address: SocketAddr, token: &str) -> String {
    let response = send(address, with_token(token)).await;
    assert_eq!(response.status(), 401);
    let challenge = response.headers()["www-authenticate"].to_str().unwrap().to_owned();
    assert!(challenge.starts_with("ServiceToken "), "{challenge}");
    let problem = json(response).await;
    assert_eq!(problem["reason"], "CallerUnauthenticated");
    let detail = problem["detail"].as_str().unwrap().to_owned();
    let reason = detail.rsplit(": ").next().unwrap();
    assert!(challenge.contains(reason), "{challenge} does not say {reason}");
    assert!(!detail.contains(token), "the token is repeated: {detail}");
    detail
}

#[tokio::test]
async fn the_app_is_told_who_calls_and_nobody_can_pose_as_somebody_else() {
    let (app, signer) = (mirror().await, Signer::new(Algorithm::ES256, "k"));
    let running = Running::start(app.address, &guarded(&[&signer])).await;
    let token = signer.sign(&claims(ISS, AUD, SUBJECT, soon()));
    let mut forged = with_token(&token);
    for (name, value) in [
        ("x-goodgo-caller", "shop/admin"),
        ("X_Goodgo_Caller", "shop/admin"),
        ("x-goodgo-context", "00112233445566778899aabbccddeeff"),
        ("x-internal-api-key", "guess"),
        ("x-goodgo-timeout-ms", "5000"),
        ("accept", "text/plain"),
    ] {
        forged.headers_mut().append(name, HeaderValue::from_static(value));
    }
    forged.headers_mut().insert("connection", HeaderValue::from_static("x-goodgo-caller, x-service-auth"));
    assert_problem(send(running.service(), forged).await, 401, "CallerUnauthenticated").await;
    let mut forged = with_token(&token);
    forged.headers_mut().append("x-goodgo-caller", HeaderValue::from_static("shop/admin"));
    forged.headers_mut().append("X_Goodgo_Caller", HeaderValue::from_static("shop/admin"));
    forged.headers_mut().append("x-internal-api-key", HeaderValue::from_static("guess"));
    forged.headers_mut().append("x-goodgo-timeout-ms", HeaderValue::from_static("5000"));
    let seen = text(send(running.service(), forged).await).await;
    let mut told: Vec<_> =
        seen.lines().filter(|line| line.contains("goodgo") || line.starts_with("x-")).collect();
    // Made by this runtime, whatever the client sends.
    told.retain(|line| !line.starts_with("x-correlation-id: "));
    assert_eq!(told, ["x-goodgo-caller: shop/order-service", "x-goodgo-timeout-ms: 5000"], "{seen}");
    running.stop().await;
}

#[tokio::test]
async fn trailers_say_nothing_about_identity_either() {
    let signer = Signer::new(Algorithm::EdDSA, "k");
    let app = support::upstream(|request| async move {
        use http_body_util::BodyExt;
        let trailers = request.into_body().collect().await.unwrap().trailers().cloned().unwrap_or_default();
        let mut names: Vec<_> = trailers.keys().map(|name| name.as_str().to_owned()).collect();
        names.sort_unstable();
        http::Response::new(full(names.join(",")))
    })
    .await;
    let running = Running::start(app.address, &guarded(&[&signer])).await;
    let mut trailers = HeaderMap::new();
    for name in ["x-goodgo-caller", "x-service-auth", "x-checksum"] {
        trailers.insert(name, HeaderValue::from_static("1"));
    }
    let frames = [Ok::<_, hyper::Error>(Frame::data("abc".into())), Ok(Frame::trailers(trailers))];
    let body = http_body_util::BodyExt::boxed(StreamBody::new(futures::stream::iter(frames)));
    let mut request = Request::post("/").body(body).unwrap();
    let token = signer.sign(&claims(ISS, AUD, SUBJECT, soon()));
    request.headers_mut().insert("x-service-auth", token.parse().unwrap());
    request.headers_mut().insert("trailer", "x-goodgo-caller, x-service-auth, x-checksum".parse().unwrap());
    assert_eq!(text(send(running.service(), request).await).await, "x-checksum");
    running.stop().await;
}

#[tokio::test]
async fn whoever_has_no_good_token_gets_401_with_the_reason() {
    let (app, signer) = (mirror().await, Signer::new(Algorithm::RS256, "k"));
    let stranger = Signer::new(Algorithm::RS256, "k");
    let running = Running::start(app.address, &guarded(&[&signer])).await;
    let at = running.service();
    let good = claims(ISS, AUD, SUBJECT, soon());
    let now = jsonwebtoken::get_current_timestamp();
    let expired = claims(ISS, AUD, SUBJECT, now - 31);
    let elsewhere = claims(ISS, "goodgo:cluster/shop/other", SUBJECT, soon());
    let issuer = claims("https://evil", AUD, SUBJECT, soon());
    let none = raw(&serde_json::json!({"alg": "none", "kid": "k"}), &good, b"");
    let mut early = good.clone();
    early["nbf"] = (now + 600).into();
    for (token, says) in [
        (stranger.sign(&good), "signature is wrong"),
        (Signer::new(Algorithm::RS256, "other").sign(&good), "not in its issuer's key set"),
        (signer.sign(&expired), "has expired"),
        (signer.sign(&early), "not valid yet"),
        (signer.sign(&elsewhere), "another audience"),
        (signer.sign(&issuer), "not one that is accepted"),
        (none, "not a signed JWT"),
        ("nonsense".to_owned(), "not a signed JWT"),
    ] {
        // Twice: what is remembered says the same.
        for _ in 0..2 {
            let detail = refused(at, &token).await;
            assert!(detail.contains(says), "{detail}, not {says}");
        }
    }
    let response = send(at, get("/")).await;
    assert_eq!(response.headers()["www-authenticate"], "ServiceToken realm=\"goodgo\"");
    assert_problem(response, 401, "CallerUnauthenticated").await;
    let mut twice = with_token(&signer.sign(&good));
    twice.headers_mut().append("x-service-auth", signer.sign(&good).parse().unwrap());
    assert_problem(send(at, twice).await, 401, "CallerUnauthenticated").await;
    assert_eq!(app.connections.load(std::sync::atomic::Ordering::SeqCst), 0, "none of it reached the app");
    running.stop().await;
}

#[tokio::test]
async fn a_caller_that_is_not_declared_gets_403_that_says_who_and_what_to_do() {
    let (app, signer) = (mirror().await, Signer::new(Algorithm::ES384, "k"));
    let mut config = guarded(&[&signer]);
    // Two services of one ServiceAccount can't be told apart: the first of the list stands for both.
    config.inbound.callers.push(caller("shop/twin", SUBJECT));
    let running = Running::start(app.address, &config).await;
    let token = |subject| signer.sign(&claims(ISS, AUD, subject, soon()));
    let seen = text(send(running.service(), with_token(&token(SUBJECT))).await).await;
    assert!(seen.contains("x-goodgo-caller: shop/order-service\n"), "{seen}");
    let stranger = token("system:serviceaccount:shop:stranger");
    let response = send(running.service(), with_token(&stranger)).await;
    assert_eq!(response.status(), 403);
    let problem = json(response).await;
    assert_eq!((&problem["reason"], &problem["policy"]), (&"CallerNotDeclared".into(), &"access".into()));
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("system:serviceaccount:shop:stranger") && detail.contains("spec.calls"),
        "{detail}"
    );
    assert!(detail.contains("shop/user-service"), "{detail}");
    running.stop().await;
}

#[tokio::test]
async fn a_removed_caller_and_a_removed_key_count_no_more_although_the_token_is_remembered() {
    let (app, old) = (mirror().await, Signer::new(Algorithm::EdDSA, "old"));
    let new = Signer::new(Algorithm::EdDSA, "new");
    let running = Running::start(app.address, &guarded(&[&old])).await;
    let at = running.service();
    let [token, next] = [&old, &new].map(|signer| signer.sign(&claims(ISS, AUD, SUBJECT, soon())));
    let status = async |token: &str| send(at, with_token(token)).await.status().as_u16();
    assert_eq!((status(&token).await, status(&next).await), (200, 401));
    // Rotation: for a while both are good. The refusal that is remembered is forgotten with the key set.
    let mut config = guarded(&[&old, &new]);
    config.revision = "b2".to_owned();
    running.put(&config);
    running.eventually("both keys are good", || async { status(&next).await == 200 }).await;
    assert_eq!(status(&token).await, 200);
    let mut config = guarded(&[&new]);
    config.revision = "c3".to_owned();
    running.put(&config);
    running.eventually("the old key is not", || async { status(&token).await == 401 }).await;
    assert_eq!(status(&next).await, 200);
    config.inbound.callers.clear();
    config.revision = "d4".to_owned();
    running.put(&config);
    running.eventually("the caller is not declared", || async { status(&next).await == 403 }).await;
    running.stop().await;
}

#[tokio::test]
async fn without_keys_nobody_is_let_in_and_where_it_is_not_required_everybody() {
    let (app, signer) = (mirror().await, Signer::new(Algorithm::EdDSA, "k"));
    let running = Running::start(app.address, &guarded(&[])).await;
    let token = signer.sign(&claims(ISS, AUD, SUBJECT, soon()));
    refused(running.service(), &token).await;
    let mut open = guarded(&[]);
    open.inbound.authentication.required = false;
    open.revision = "b2".to_owned();
    running.put(&open);
    let mut request = with_token(&token);
    request.headers_mut().insert("x-goodgo-caller", HeaderValue::from_static("shop/admin"));
    let status = || async { send(running.service(), get("/")).await.status() == 200 };
    running.eventually("it is open", status).await;
    let seen = text(send(running.service(), request).await).await;
    assert!(!seen.contains("goodgo-caller") && !seen.contains("service-auth"), "{seen}");
    running.stop().await;
}

#[tokio::test]
async fn fixed_keys_rotate_without_a_restart() {
    let app = mirror().await;
    let keys = tempfile::tempdir().unwrap();
    std::fs::write(keys.path().join("old"), "first\n").unwrap();
    std::fs::write(keys.path().join("empty"), "").unwrap();
    let running = Running::launch(app.address, &[], &["--keys-dir", keys.path().to_str().unwrap()]).await;
    let mut config = guarded(&[]);
    config.inbound.authentication.keys = true;
    running.put(&config);
    running.started().await;
    let keyed = async |key: &'static str| {
        let mut request = get("/");
        request.headers_mut().insert("x-internal-api-key", HeaderValue::from_static(key));
        send(running.service(), request).await
    };
    let seen = text(keyed("first").await).await;
    assert!(seen.contains("x-goodgo-caller: key\n") && !seen.contains("api-key"), "{seen}");
    for wrong in ["", "firs", "firstx", "second"] {
        assert_problem(keyed(wrong).await, 401, "CallerUnauthenticated").await;
    }
    std::fs::write(keys.path().join("new"), "second").unwrap();
    running.eventually("both are good", || async { keyed("second").await.status() == 200 }).await;
    assert_eq!(keyed("first").await.status(), 200);
    std::fs::remove_file(keys.path().join("old")).unwrap();
    running.eventually("the old one is not", || async { keyed("first").await.status() == 401 }).await;
    // Not mounted by declaration: not looked at.
    config.inbound.authentication.keys = false;
    config.revision = "b2".to_owned();
    running.put(&config);
    running.eventually("keys are off", || async { keyed("second").await.status() == 401 }).await;
    running.stop().await;
}

#[tokio::test]
async fn a_call_proves_who_makes_it_to_a_callee_that_asks() {
    let signer = Signer::new(Algorithm::ES256, "k");
    let app = mirror().await;
    let callee = Running::start(app.address, &guarded(&[&signer])).await;
    let mut call = to(callee.service());
    call.target.as_mut().unwrap().service = Some(TargetService { pods: None, identity: true });
    let tokens = tempfile::tempdir().unwrap();
    let file = tokens.path().join("user-service");
    let folder = tokens.path().to_str().unwrap();
    let caller = Running::launch(nobody().await, &["user-service"], &["--tokens-dir", folder]).await;
    caller.put(&config([("user-service", call)]));
    caller.started().await;
    let at = caller.call("user-service");
    let response = send(at, get("/")).await;
    assert!(response.headers().contains_key("retry-after"));
    assert_problem(response, 503, "IdentityUnavailable").await;
    let token = |subject| signer.sign(&claims(ISS, AUD, subject, soon()));
    let rotate = |token: &str| {
        std::fs::write(tokens.path().join("next"), token).unwrap();
        std::fs::rename(tokens.path().join("next"), &file).unwrap();
    };
    rotate(&token(SUBJECT));
    caller.eventually("the token is read", || async { send(at, get("/")).await.status() == 200 }).await;
    // What the app says of itself does not count.
    let seen = text(send(at, with_token("mine")).await).await;
    assert!(seen.contains("x-goodgo-caller: shop/order-service\n"), "{seen}");
    rotate(&token("system:serviceaccount:shop:other"));
    caller.eventually("the token is rotated", || async { send(at, get("/")).await.status() == 403 }).await;
    std::fs::remove_file(&file).unwrap();
    caller.eventually("the token is gone", || async { send(at, get("/")).await.status() == 503 }).await;
    caller.stop().await;
    callee.stop().await;
}

#[tokio::test]
async fn who_is_no_service_of_ours_never_gets_a_token() {
    let external = mirror().await;
    let tokens = tempfile::tempdir().unwrap();
    std::fs::write(tokens.path().join("payments"), "secret").unwrap();
    let folder = tokens.path().to_str().unwrap();
    let caller = Running::launch(nobody().await, &["payments"], &["--tokens-dir", folder]).await;
    caller.put(&config([("payments", to(external.address))]));
    caller.started().await;
    let seen = text(send(caller.call("payments"), get("/")).await).await;
    assert!(!seen.contains("x-service-auth") && !seen.contains("secret"), "{seen}");
    caller.stop().await;
}

#[tokio::test]
async fn event_paths_are_closed_on_both_ports() {
    let app = mirror().await;
    let mut config = config([]);
    config.inbound.event_paths = vec!["/events/order-placed".to_owned()];
    config.inbound.routes = vec![goodgo_runtime_config::Route {
        name: "all".to_owned(),
        path: "/".to_owned(),
        exact: false,
        methods: Vec::new(),
        strip_prefix: None,
        auth: goodgo_runtime_config::RouteAuth { none: true, ..Default::default() },
        timeout_ms: None,
        max_body_bytes: None,
        content_types: Vec::new(),
    }];
    let running = Running::start(app.address, &config).await;
    let gateway = running.addresses.gateway.unwrap();
    for path in
        ["/events/order-placed", "/EVENTS/order-placed/", "/events/%6frder-placed", "/events//order-placed"]
    {
        assert_problem(send(running.service(), get(path)).await, 404, "EventPath").await;
    }
    assert_problem(send(gateway, get("/events/order-placed")).await, 404, "EventPath").await;
    assert_problem(send(gateway, get("/events/%6Frder%2dplaced/")).await, 404, "EventPath").await;
    assert_problem(send(gateway, get("/events%2forder-placed")).await, 400, "PathNotNormal").await;
    for at in [running.service(), gateway] {
        assert_eq!(send(at, get("/events/order-placed/1")).await.status(), 200);
    }
    running.stop().await;
}
