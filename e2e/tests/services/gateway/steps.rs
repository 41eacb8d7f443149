//! What Traefik does with requests before a pod gets them.

use super::site::{SOON, Site, route};
use anyhow::{Context, Result, ensure};
use goodgo_e2e::https::Answer;
use goodgo_e2e::oracle::tell;
use goodgo_e2e::scenario::{Namespace, condition, eventually};
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rates_origins_and_headers_are_the_routes_own() -> Result<()> {
    let site = Site::on(Namespace::alone("steps").await?).await?;
    let cors = json!({"origins": ["https://app.goodgo.example"], "methods": ["GET"]});
    let routes = json!([
        route("rate", "/whoami", json!({"rateLimit": {"average": 5, "period": "1m", "burst": 5}})),
        route("cors", "/health/live", json!({"cors": cors, "headers": {"x-frame-options": "DENY"}})),
    ]);
    site.shop.service("web", json!({"replicas": 1, "gateway": site.gateway(&routes)})).await?;
    site.shop.ready("web").await?;
    site.answers("/health/live", 200).await?;
    let mut statuses = BTreeMap::<u16, usize>::new();
    for _ in 0..20 {
        *statuses.entry(site.https.get("/whoami").await?.status).or_default() += 1;
    }
    assert!(statuses.keys().all(|status| [200, 429].contains(status)), "{statuses:?}");
    // Traefik counts anew whenever any route of the cluster changes, unless a Redis counts for it.
    assert!(statuses[&200] >= 5 && statuses.get(&429).is_some_and(|refused| *refused >= 5), "{statuses:?}");
    let preflight = [("origin", "https://app.goodgo.example"), ("access-control-request-method", "GET")];
    let answer = site.https.send(site.request("OPTIONS", "/health/live", &preflight)?).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.headers["access-control-allow-origin"], "https://app.goodgo.example");
    let stranger = [("origin", "https://evil.example"), ("access-control-request-method", "GET")];
    let answer = site.https.send(site.request("OPTIONS", "/health/live", &stranger)?).await?;
    assert!(!answer.headers.contains_key("access-control-allow-origin"), "{answer:?}");
    let answer = site.https.get("/health/live").await?;
    assert_eq!(answer.headers["x-frame-options"], "DENY");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_compressed_only_where_it_helps() -> Result<()> {
    let site = Site::new("gzip", 1).await?;
    let routes = json!([
        route("packed", "/echo", json!({"compress": true})),
        route("plain", "/plain/echo", json!({"stripPrefix": "/plain"})),
    ]);
    site.shop.service("web", json!({"replicas": 1, "gateway": site.gateway(&routes)})).await?;
    site.shop.ready("web").await?;
    let echo = async |path: &str, accept: Option<&str>, kind: &str, body: String| -> Result<Option<String>> {
        let mut request = Request::post(path).header("host", &site.host).header("content-type", kind);
        if let Some(accept) = accept {
            request = request.header("accept-encoding", accept);
        }
        let answer = site.https.send(request.body(Full::from(body))?).await?;
        ensure!(answer.status == 200, "{path}: {answer:?}");
        Ok(answer.headers.get("content-encoding").map(|name| name.to_str().map(str::to_owned)).transpose()?)
    };
    let long = || "the same words again and again ".repeat(200);
    eventually("the app answers", SOON, || async { echo("/echo", None, "text/plain", long()).await }).await?;
    assert_eq!(echo("/echo", Some("gzip"), "text/plain", long()).await?.as_deref(), Some("gzip"));
    assert_eq!(echo("/echo", None, "text/plain", long()).await?, None, "who doesn't ask");
    assert_eq!(echo("/echo", Some("gzip"), "text/plain", "short".to_owned()).await?, None, "too short");
    assert_eq!(
        echo("/echo", Some("gzip"), "text/event-stream", long()).await?,
        None,
        "events go out at once"
    );
    assert_eq!(echo("/plain/echo", Some("gzip"), "text/plain", long()).await?, None, "not declared");
    Ok(())
}

/// A pod whose network is gone answers nothing, and is in the list until its probe has failed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_pod_is_tried_where_one_is_dead() -> Result<()> {
    let site = Site::new("dead", 3).await?;
    let retried = json!({"retries": {"attempts": 3}});
    let gateway = site.gateway(&json!([route("who", "/whoami", retried)]));
    site.shop.service("web", json!({"replicas": 3, "gateway": gateway})).await?;
    site.shop.ready("web").await?;
    let asked = site.answers("/whoami", 200).await?;
    let pods = site.shop.settled("web", 3, &[]).await?;
    // One that the gateway has no connection to: what was sent on one that is kept can't be asked of another pod.
    let fresh = |pod: &&Value| !asked.body.contains(pod["metadata"]["name"].as_str().unwrap_or_default());
    let pod = pods.iter().find(fresh).context("a pod that wasn't asked")?;
    let (dead, ip) = (&pod["metadata"]["name"], pod["status"]["podIP"].as_str().context("address")?);
    site.shop.platform.cluster.cut_off(ip)?;
    let (mut slow, began) = (0, std::time::Instant::now());
    for _ in 0..60 {
        let asked = std::time::Instant::now();
        let answer = site.https.get("/whoami").await?;
        ensure!(answer.status == 200, "{:?} after the pod died: {answer:?}", began.elapsed());
        ensure!(!answer.body.contains(dead.as_str().context("name")?), "a dead pod answered: {answer:?}");
        slow += u32::from(asked.elapsed() > Duration::from_millis(500));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ensure!(slow > 0, "no request met the dead pod, so that nothing was shown");
    tell(&format!("a dead pod among three: {slow} of 60 requests waited for another one, none failed"));
    Ok(())
}

/// Two of Traefik's pods and one client: what is let through is the route's rate, once, and not once for each pod.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_holds_across_the_gateways_pods() -> Result<()> {
    let site = Site::on(Namespace::alone("rate").await?).await?;
    let platform = site.shop.platform;
    goodgo_e2e::images::of_program(
        platform.cluster.plan(),
        Path::new("/usr/bin/redis-server"),
        "goodgo/redis:test",
    )?;
    site.shop.apply(&redis(&site.shop.name)).await?;
    let address = eventually("Redis runs", SOON, || async {
        let pod = site.shop.get("Pod", "redis").await?;
        ensure!(condition(&pod, "Ready").is_some_and(|ready| ready["status"] == "True"), "{}", pod["status"]);
        Ok(pod["status"]["podIP"].as_str().context("address")?.to_owned())
    })
    .await?;
    let store = format!("config.rateLimitStore.endpoints={{{address}:6379}}");
    let shown = match tokio::task::block_in_place(|| platform.install_with(&["gateway.replicas=2", &store])) {
        Ok(()) => let_through(&site).await,
        Err(error) => Err(error),
    };
    tokio::task::block_in_place(|| platform.install())?;
    shown
}

fn redis(namespace: &str) -> Value {
    let security = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true,
        "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "redis", "namespace": namespace}, "spec": {
        "terminationGracePeriodSeconds": 1, "containers": [{"name": "redis", "image": "goodgo/redis:test",
            "imagePullPolicy": "Never", "args": ["--protected-mode", "no", "--save", ""], "securityContext": security,
            "readinessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 1}}]}})
}

async fn let_through(site: &Site) -> Result<()> {
    const AVERAGE: u32 = 100;
    const BURST: u32 = 20;
    const LENGTH: Duration = Duration::from_secs(20);
    let limit = json!({"rateLimit": {"average": AVERAGE, "period": "1s", "burst": BURST}});
    let gateway = site.gateway(&json!([route("who", "/whoami", limit)]));
    site.shop.service("web", json!({"replicas": 1, "gateway": gateway})).await?;
    site.shop.ready("web").await?;
    eventually("Redis counts", SOON, || async {
        let steps = site.shop.list("Middleware", "goodgo.io/service=web").await?;
        ensure!(steps.iter().any(|step| step["spec"]["rateLimit"]["redis"].is_object()), "{steps:?}");
        Ok(())
    })
    .await?;
    site.answers("/whoami", 200).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let began = std::time::Instant::now();
    let clients = (0..16).map(|_| {
        let (https, host) = (site.https.clone(), site.host.clone());
        tokio::spawn(async move {
            let (mut sender, mut admitted, mut refused, mut told) =
                (https.http1().await?, 0_u32, 0_u32, 0_u32);
            while began.elapsed() < LENGTH {
                let request = Request::get("/whoami").header("host", &host).body(Full::default())?;
                let answer = Answer::read(sender.send_request(request).await?).await?;
                match answer.status {
                    200 => admitted += 1,
                    429 => {
                        refused += 1;
                        told += u32::from(answer.headers.contains_key("retry-after"));
                    }
                    _ => anyhow::bail!("{answer:?}"),
                }
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
            Ok::<_, anyhow::Error>((admitted, refused, told))
        })
    });
    let (mut admitted, mut refused, mut told) = (0, 0, 0);
    for client in clients.collect::<Vec<_>>() {
        let (some, none, word) = client.await??;
        (admitted, refused, told) = (admitted + some, refused + none, told + word);
    }
    let length = began.elapsed().as_secs_f64();
    let declared = f64::from(AVERAGE).mul_add(length, f64::from(BURST));
    tell(&format!(
        "two gateway pods, {AVERAGE}/s declared: {admitted} let through and {refused} refused in {length:.1} s, {:.1} % of what is declared",
        f64::from(admitted) * 100.0 / declared
    ));
    ensure!((0.95..=1.05).contains(&(f64::from(admitted) / declared)), "{admitted} of {declared}");
    ensure!(refused > 0 && told == refused, "{told} of {refused} were told when to come again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_come_how_many_at_once_and_to_which_pod() -> Result<()> {
    let site = Site::new("more", 2).await?;
    let by_key = json!({"average": 1, "period": "1h", "burst": 1, "by": "Header", "header": "x-api-key"});
    let routes = json!([
        route("nobody", "/whoami", json!({"ipAllow": ["203.0.113.0/24"]})),
        route("few", "/burn", json!({"inFlight": 1})),
        route("keys", "/health/ready", json!({"rateLimit": by_key})),
        route("same", "/same/whoami", json!({"stripPrefix": "/same", "sticky": true})),
    ]);
    site.shop.service("web", json!({"replicas": 2, "gateway": site.gateway(&routes)})).await?;
    site.shop.ready("web").await?;
    site.answers("/same/whoami", 200).await?;
    assert_eq!(site.https.get("/whoami").await?.status, 403);
    let mut statuses = Vec::new();
    let burning = (0..4).map(|_| async { site.https.get("/burn?ms=1500").await.map(|answer| answer.status) });
    for status in futures::future::join_all(burning).await {
        statuses.push(status?);
    }
    ensure!(statuses.contains(&200) && statuses.contains(&429), "one at once: {statuses:?}");
    let with_key = async |key: &str| -> Result<u16> {
        Ok(site.https.send(site.request("GET", "/health/ready", &[("x-api-key", key)])?).await?.status)
    };
    assert_eq!([with_key("a").await?, with_key("a").await?, with_key("b").await?], [200, 429, 200]);
    let answer = site.https.get("/same/whoami").await?;
    let cookie = answer.headers["set-cookie"].to_str()?.split(';').next().unwrap_or_default().to_owned();
    for _ in 0..10 {
        let again = site.https.send(site.request("GET", "/same/whoami", &[("cookie", &cookie)])?).await?;
        assert_eq!(again.body, answer.body, "the same pod");
    }
    Ok(())
}
