//! Who may call is proven by tokens that nobody handed out, and taken back within seconds.

use anyhow::{Context, Result, ensure};
use goodgo_e2e::http;
use goodgo_e2e::oracle::{Times, tell};
use goodgo_e2e::scenario::{Namespace, eventually};
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(60);

/// What the caller answers to a request that makes it call iam-service.
async fn through(shop: &Namespace, caller: &str) -> Result<(u16, String)> {
    http::get(&format!("http://{}/users/1", shop.address(caller).await?), SOON).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declared_caller_is_let_in_by_its_token_and_nobody_without_one() -> Result<()> {
    let shop = Namespace::new("identity", 3).await?;
    shop.service("iam-service", json!({"port": 3001, "access": {"keys": null}})).await?;
    shop.service("user-service", json!({"port": 3002, "calls": [{"service": "iam-service"}]})).await?;
    shop.ready("iam-service").await?;
    shop.ready("user-service").await?;
    shop.until("iam-service", "InForce", "True", &[], SOON).await?;

    let (status, body) = through(&shop, "user-service").await?;
    ensure!(status == 200 && body.contains("orders:read"), "{status} {body}");

    // From the host: no token, a token that is none, and a key that iam-service knows nothing of.
    let url = format!("http://{}/internal/permissions/1", shop.address("iam-service").await?);
    for header in [None, Some(("x-service-auth", "e30.e30.e30")), Some((http::KEY_HEADER, http::KEY))] {
        let mut request = Request::get(&url);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let (status, body) = http::send(request.body(Full::default())?, SOON).await?;
        assert_eq!(status, 401, "{header:?}: {body}");
    }

    // A valid token of this cluster for this callee, whose owner declares no such call.
    let audience = format!("--audience=goodgo.io/cluster/{}/iam-service", shop.name);
    let token = shop.kubectl(&["create", "token", "default", &audience]).await?;
    let request = Request::get(&url).header("x-service-auth", token.trim());
    let (status, body) = http::send(request.body(Full::default())?, SOON).await?;
    assert_eq!(status, 403, "an undeclared caller: {body}");

    // The caller's own, for somebody else.
    let audience = format!("--audience=goodgo.io/cluster/{}/user-service", shop.name);
    let token = shop.kubectl(&["create", "token", "user-service--app", &audience]).await?;
    let request = Request::get(&url).header("x-service-auth", token.trim());
    let (status, body) = http::send(request.body(Full::default())?, SOON).await?;
    assert_eq!(status, 401, "another audience: {body}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_sees_neither_tokens_nor_keys() -> Result<()> {
    let shop = Namespace::new("tokens", 2).await?;
    shop.service("iam-service", json!({"port": 3001})).await?;
    shop.service("user-service", json!({"port": 3002, "calls": [{"service": "iam-service"}]})).await?;
    let pods = shop.settled("user-service", 1, &[]).await?;
    let mounts = |container: &Value| -> Vec<String> {
        let mounts = container["volumeMounts"].as_array().into_iter().flatten();
        mounts.filter_map(|mount| mount["mountPath"].as_str()).map(str::to_owned).collect()
    };
    let spec = &pods[0]["spec"];
    let runtime = &spec["initContainers"][0];
    assert_eq!(runtime["name"], "goodgo-runtime", "first of all init containers");
    let expected = ["/etc/goodgo/runtime", "/var/run/goodgo/tokens", "/etc/goodgo/keys"];
    assert_eq!(mounts(runtime), expected, "{runtime}");
    assert_eq!(mounts(&spec["containers"][0]), Vec::<String>::new(), "the app mounts nothing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_caller_is_refused_while_its_pods_run_on() -> Result<()> {
    const TURNS: usize = 20;
    let shop = Namespace::alone("revoke").await?;
    shop.service("iam-service", json!({"port": 3001})).await?;
    shop.service("user-service", json!({"port": 3002, "calls": [{"service": "iam-service"}]})).await?;
    shop.ready("iam-service").await?;
    shop.ready("user-service").await?;
    let pods = shop.settled("user-service", 1, &[]).await?;

    // Asked with the caller's own token and not through its runtime, which is told as well: what counts is the callee.
    let url = format!("http://{}/internal/permissions/1", shop.address("iam-service").await?);
    let audience = format!("--audience=goodgo.io/cluster/{}/iam-service", shop.name);
    let token = shop.kubectl(&["create", "token", "user-service--app", &audience]).await?;
    let until = async |wanted: u16| {
        let began = Instant::now();
        eventually(&format!("iam-service answers {wanted}"), SOON, || async {
            let request = Request::get(&url).header("x-service-auth", token.trim());
            let (status, body) = http::send(request.body(Full::default())?, SOON).await?;
            ensure!(status == wanted, "{status} {body}");
            Ok(())
        })
        .await?;
        anyhow::Ok(began.elapsed())
    };
    let (mut revoked, mut granted) = (Times::default(), Times::default());
    for _ in 0..TURNS {
        let nobody = json!({"spec": {"access": {"callers": []}}});
        shop.edit("GoodGoService", "iam-service", nobody).await?;
        revoked.add(until(403).await?);
        let again = json!({"spec": {"access": {"callers": [{"service": "user-service"}]}}});
        shop.edit("GoodGoService", "iam-service", again).await?;
        granted.add(until(200).await?);
    }
    tell(&format!("from kubectl apply to refused: {revoked}"));
    tell(&format!("from kubectl apply to accepted: {granted}"));
    let after = shop.settled("user-service", 1, &[]).await?;
    assert_eq!(after[0]["metadata"]["uid"], pods[0]["metadata"]["uid"], "and no pod was replaced");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_without_a_runtime_is_told_how_it_gets_in() -> Result<()> {
    let shop = Namespace::new("nameless", 2).await?;
    shop.service("iam-service", json!({"port": 3001, "access": {"keys": null}})).await?;
    let calls = json!({"calls": [{"service": "iam-service"}], "runtime": {"enabled": false}});
    shop.service("web", calls).await?;
    let web = shop.until("web", "CallsResolved", "False", &["iam-service", "runtime"], SOON).await?;
    assert_eq!(web["status"]["calls"][0]["reason"], "CallerHasNoIdentity", "{}", web["status"]);
    let iam = shop.until("iam-service", "CallsResolved", "True", &["web"], SOON).await?;
    let said = goodgo_e2e::scenario::condition(&iam, "CallsResolved").context("the condition")?;
    assert!(said["message"].to_string().contains("CallerHasNoIdentity"), "{said}");
    Ok(())
}
