//! Authentication at the gateway: who is asked, what a client can't say of itself, and what stays closed.

use super::site::{SOON, Site, route};
use anyhow::{Result, ensure};
use goodgo_e2e::https::Answer;
use goodgo_e2e::scenario::eventually;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Asked at the gateway by what iam-service says.
fn asked() -> Value {
    let forward = json!({"service": "iam-service", "path": "/auth/verify", "headers": ["X-User-Id"]});
    json!({"auth": {"at": "Gateway", "forward": forward}})
}

async fn ask(site: &Site, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    site.https.send(site.request("GET", path, headers)?).await
}

/// What the app saw, by name.
fn seen(answer: &Answer) -> Result<BTreeMap<String, Vec<String>>> {
    Ok(serde_json::from_str(&answer.body)?)
}

async fn let_through(site: &Site, path: &str) -> Result<Answer> {
    eventually(&format!("{path} is let through"), SOON, || async {
        let answer = ask(site, path, &[("authorization", "Bearer eve")]).await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(answer)
    })
    .await
}

async fn what_a_client_says_of_itself_is_nobodys_word(site: &Site) -> Result<()> {
    let forged = [
        ("authorization", "Bearer eve"),
        ("x-user-id", "admin"),
        ("x_user_id", "admin"),
        ("x-goodgo-authenticated", "gateway"),
        ("connection", "close, x-user-id"),
        ("x-http-method-override", "DELETE"),
        ("x-original-url", "/admin"),
        ("forwarded", "for=10.0.0.1"),
        ("x-forwarded-user", "admin"),
        ("x-service-auth", "forged"),
    ];
    let answer = ask(site, "/headers", &forged).await?;
    let headers = seen(&answer)?;
    assert_eq!(headers.get("x-user-id"), Some(&vec!["eve".to_owned()]), "{headers:?}");
    ensure!(
        !headers.keys().any(|name| name == "x_user_id" || name.starts_with("x-goodgo-auth")),
        "{headers:?}"
    );
    for name in
        ["x-http-method-override", "x-original-url", "forwarded", "x-forwarded-user", "x-service-auth"]
    {
        ensure!(!headers.contains_key(name), "{name} came through: {headers:?}");
    }
    // Without a word of who it is, nothing that it says itself helps.
    for forged in [
        vec![],
        vec![("x-user-id", "admin")],
        vec![("x-goodgo-authenticated", "gateway")],
        vec![
            ("x-forwarded-uri", "/open"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-host", "localhost"),
        ],
        vec![("x-original-url", "/open"), ("x-rewrite-url", "/open")],
    ] {
        let answer = ask(site, "/headers", &forged).await?;
        assert_eq!(answer.status, 401, "{forged:?}: {answer:?}");
        ensure!(answer.headers.contains_key("www-authenticate"), "{answer:?}");
    }
    // A route that anybody may use says nothing of a user.
    let answer = ask(site, "/open/headers", &forged[1..]).await?;
    let headers = seen(&answer)?;
    ensure!(!headers.contains_key("x-user-id") && !headers.contains_key("x_user_id"), "{headers:?}");
    Ok(())
}

fn routes() -> Value {
    json!([
        route("asked", "/headers", asked()),
        route("open", "/open/headers", json!({"stripPrefix": "/open"})),
        route(
            "nobody",
            "/nobody",
            json!({"stripPrefix": "/nobody",
            "auth": {"at": "Gateway", "forward": {"service": "nobody", "path": "/verify"}}})
        ),
    ])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_asks_and_the_pods_take_its_word() -> Result<()> {
    let site = Site::new("edge", 3).await?;
    let iam = json!({"hosts": [site.host], "tls": {"secret": super::site::SECRET},
        "routes": [route("iam", "/auth", json!({"auth": asked()["auth"]}))]});
    site.shop.service("iam-service", json!({"replicas": 1, "gateway": iam})).await?;
    site.shop.service("web", json!({"replicas": 1, "gateway": site.gateway(&routes())})).await?;
    site.shop
        .until("web", "RoutesReady", "False", &["route nobody is closed", "there is no GoodGoService"], SOON)
        .await?;
    let answer = let_through(&site, "/headers").await?;
    assert_eq!(seen(&answer)?.get("x-user-id"), Some(&vec!["eve".to_owned()]));
    what_a_client_says_of_itself_is_nobodys_word(&site).await?;
    assert_eq!(ask(&site, "/nobody/whoami", &[("authorization", "Bearer eve")]).await?.status, 503);
    // The path that is asked is no public route: one that covers it asks first.
    assert_eq!(ask(&site, "/auth/verify", &[]).await?.status, 401);

    // From the pod to the gateway and back, a route is never open in between.
    let in_pod = json!({"auth": {"forward": asked()["auth"]["forward"]}});
    for (turn, auth) in
        [in_pod["auth"].clone(), asked()["auth"].clone()].into_iter().cycle().take(6).enumerate()
    {
        let mut routes = routes();
        routes[0]["auth"] = auth;
        let calls = json!([{"service": "iam-service"}]);
        site.shop
            .edit("GoodGoService", "web", json!({"spec": {"calls": calls, "gateway": {"routes": routes}}}))
            .await?;
        let until = tokio::time::Instant::now() + std::time::Duration::from_secs(3);
        while tokio::time::Instant::now() < until {
            let answer =
                ask(&site, "/headers", &[("x-goodgo-authenticated", "gateway"), ("x-user-id", "admin")])
                    .await?;
            ensure!(answer.status != 200, "open in turn {turn}: {answer:?}");
        }
        let_through(&site, "/headers").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_runtime_the_gateway_asks_alone() -> Result<()> {
    let site = Site::new("edge-off", 2).await?;
    site.shop.service("iam-service", json!({"replicas": 1})).await?;
    let spec = json!({"replicas": 1, "runtime": {"enabled": false}, "gateway": site.gateway(&routes())});
    site.shop.service("web", spec).await?;
    let answer = let_through(&site, "/headers").await?;
    assert_eq!(seen(&answer)?.get("x-user-id"), Some(&vec!["eve".to_owned()]));
    what_a_client_says_of_itself_is_nobodys_word(&site).await?;
    assert_eq!(ask(&site, "/nobody/whoami", &[("authorization", "Bearer eve")]).await?.status, 503);
    // The same paths in other words.
    for target in [
        "/open/headers/../../health/live",
        "/open/headers/..%2f..%2fhealth/live",
        "/open%2f..%2fhealth%2flive",
        "/open/headers/%2e%2e/%2e%2e/health/live",
        "//health/live",
        "/open/../headers",
        "/open/headers/..",
        "/./headers",
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", site.host);
        let status = site.raw(&head).await?;
        ensure!(status >= 300, "{target} answered {status}");
    }
    Ok(())
}

/// Who authenticates moves from the pods to the gateway and back. Something else's object where a child belongs stops half of
/// it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_of_the_runtime_opens_nothing_also_when_it_comes_to_half() -> Result<()> {
    let site = Site::new("switch", 5).await?;
    site.shop.service("iam-service", json!({"replicas": 1})).await?;
    let in_pod = json!({"auth": {"forward": asked()["auth"]["forward"]}});
    let gateway = site.gateway(&json!([route("asked", "/headers", in_pod)]));
    let calls = json!([{"service": "iam-service"}]);
    site.shop.service("web", json!({"replicas": 1, "calls": calls, "gateway": gateway})).await?;
    site.shop.ready("web").await?;
    let_through(&site, "/headers").await?;
    let closed = async |what: &str, seconds: u64| -> Result<()> {
        let until = tokio::time::Instant::now() + std::time::Duration::from_secs(seconds);
        while tokio::time::Instant::now() < until {
            let answer = ask(&site, "/headers", &[("x-user-id", "admin")]).await?;
            ensure!(answer.status != 200, "open {what}: {answer:?}");
        }
        Ok(())
    };
    let foreign = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "web--pdb", "namespace": site.shop.name},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "other"}}}});
    site.shop.apply(&foreign).await?;
    let off = json!({"spec": {"replicas": 2, "runtime": {"enabled": false}}});
    site.shop.edit("GoodGoService", "web", off).await?;
    site.shop.until("web", "ChildConflict", "True", &["web--pdb"], SOON).await?;
    closed("with half of it applied", 15).await?;
    site.shop.delete("PodDisruptionBudget", "web--pdb").await?;
    closed("once the way is free", 5).await?;
    let answer = eventually("the gateway asks", std::time::Duration::from_secs(120), || async {
        let answer = ask(&site, "/headers", &[("authorization", "Bearer eve")]).await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(answer)
    })
    .await?;
    assert_eq!(seen(&answer)?.get("x-user-id"), Some(&vec!["eve".to_owned()]));
    site.shop.edit("GoodGoService", "web", json!({"spec": {"runtime": {"enabled": true}}})).await?;
    closed("on the way back", 15).await?;
    let_through(&site, "/headers").await?;
    Ok(())
}
