//! What a client sees at the gateway: the real Traefik of the chart, in front of real pods.

use anyhow::{Context, Result, ensure};
use goodgo_e2e::https::{Answer, Https};
use goodgo_e2e::oracle::{Times, tell};
use goodgo_e2e::pki;
use goodgo_e2e::product;
use goodgo_e2e::scenario::{Namespace, eventually};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::rustls;

const SOON: Duration = Duration::from_secs(30);
const SECRET: &str = "certificate";

/// A namespace with a host of its own and a certificate for it.
struct Site {
    shop: Namespace,
    host: String,
    https: Https,
    plain: SocketAddr,
}

impl Site {
    async fn new(purpose: &str, pods: u32) -> Result<Self> {
        Self::on(Namespace::new(purpose, pods).await?).await
    }

    async fn on(shop: Namespace) -> Result<Self> {
        let host = format!("{}.goodgo.example", shop.name);
        let (certificate, key) = pki::for_host(&host)?;
        shop.apply(&json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": SECRET, "namespace": shop.name},
            "stringData": {"tls.crt": certificate, "tls.key": key}}))
            .await?;
        let kubectl = shop.platform.cluster.kubectl();
        let path = "jsonpath={.spec.clusterIP}";
        let ip = kubectl.run(&["get", "service", "goodgo-gateway", "-n", product::NAMESPACE, "-o", path])?;
        let ip = ip.parse().with_context(|| format!("the gateway's address: {ip}"))?;
        let https = Https::new(SocketAddr::new(ip, 443), &host, &certificate)?;
        Ok(Self { shop, host, https, plain: SocketAddr::new(ip, 80) })
    }

    fn gateway(&self, routes: &Value) -> Value {
        json!({"hosts": [self.host], "tls": {"secret": SECRET}, "routes": routes})
    }

    /// Waits until the path answers so.
    async fn answers(&self, path: &str, status: u16) -> Result<Answer> {
        eventually(&format!("{path} answers {status}"), SOON, || async {
            let answer = self.https.get(path).await?;
            ensure!(answer.status == status, "{answer:?}");
            Ok(answer)
        })
        .await
    }

    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<Request<Full<Bytes>>> {
        let mut request = Request::builder().method(method).uri(path).header("host", &self.host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(request.body(Full::default())?)
    }

    /// The request line and head as they are, over TLS; the status code of the answer.
    async fn raw(&self, head: &str) -> Result<u16> {
        let mut stream = self.https.connect(rustls::DEFAULT_VERSIONS, b"http/1.1").await?;
        stream.write_all(head.as_bytes()).await?;
        let mut answer = vec![0; 12];
        tokio::time::timeout(SOON, stream.read_exact(&mut answer)).await.context("no answer")??;
        let line = String::from_utf8_lossy(&answer).into_owned();
        line.split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .with_context(|| format!("no status: {line}"))
    }
}

fn route(name: &str, path: &str, more: Value) -> Value {
    let mut route = json!({"name": name, "path": path, "auth": {"none": {}}});
    if let (Some(route), Value::Object(more)) = (route.as_object_mut(), more) {
        route.extend(more);
    }
    route
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_declared_is_reached_and_nothing_else() -> Result<()> {
    let site = Site::new("gateway", 1).await?;
    let routes = json!([
        route("who", "/api/whoami", json!({"stripPrefix": "/api", "methods": ["GET"]})),
        route(
            "echo",
            "/echo",
            json!({"methods": ["POST"], "contentTypes": ["application/json"], "maxBody": "1Ki"})
        ),
    ]);
    site.shop.service("web", json!({"replicas": 1, "gateway": site.gateway(&routes)})).await?;
    let service = site.shop.ready("web").await?;
    assert_eq!(service["status"]["url"], format!("https://{}", site.host));
    let answer = site.answers("/api/whoami", 200).await?;
    assert!(answer.body.contains("\"service\":\"web\""), "{answer:?}");
    for path in ["/", "/whoami", "/api", "/api/whoamix", "/health/live", "/API/whoami"] {
        assert_eq!(site.https.get(path).await?.status, 404, "{path}");
    }
    let send = |method: &'static str,
                path: &'static str,
                headers: Vec<(&'static str, &'static str)>,
                body: String| {
        let request = Request::builder().method(method).uri(path).header("host", &site.host);
        let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        let https = site.https.clone();
        async move { Ok::<_, anyhow::Error>(https.send(request.body(Full::from(body))?).await?.status) }
    };
    let json = vec![("content-type", "application/json")];
    assert_eq!(send("DELETE", "/api/whoami", vec![], String::new()).await?, 405);
    assert_eq!(send("POST", "/echo", json.clone(), "{}".to_owned()).await?, 200);
    assert_eq!(send("POST", "/echo", vec![("content-type", "text/plain")], "{}".to_owned()).await?, 415);
    assert_eq!(send("POST", "/echo", json, "x".repeat(2_000)).await?, 413);
    // The same paths in other words: an answer of the app would be 200.
    for target in [
        "/api%2fwhoami",
        "/api/%77hoami/../../health/live",
        "//health/live",
        "/api/../health/live",
        "/api/whoami/../../health/live",
        "/api/%2e%2e/health/live",
        "/api/whoami%2f..%2f..%2fhealth%2flive",
        "/api/whoami/..%2f..%2fhealth/live",
        "/api\\..\\health\\live",
        "/.//health/live",
        "/health/live;/api/whoami",
        "/health/live?/api/whoami",
        "http://other.example/health/live",
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", site.host);
        let status = site.raw(&head).await?;
        assert!(status >= 300, "{target} answered {status}");
    }
    // Hosts are compared without case, and a final dot is no other host.
    let head = format!(
        "GET /api/whoami HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        site.host.to_uppercase()
    );
    assert_eq!(site.raw(&head).await?, 200);
    let head = "GET /api/whoami HTTP/1.1\r\nHost: stranger.example\r\nConnection: close\r\n\r\n";
    assert_eq!(site.raw(head).await?, 404);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_begins_at_1_2_and_plain_http_is_redirected() -> Result<()> {
    let site = Site::new("tls", 1).await?;
    let routes = json!([route("who", "/whoami", json!({}))]);
    site.shop.service("web", json!({"replicas": 1, "gateway": site.gateway(&routes)})).await?;
    site.shop.ready("web").await?;
    site.answers("/whoami", 200).await?;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        site.https.connect(&[version], b"h2").await.with_context(|| format!("{version:?}"))?;
    }
    assert_eq!(offer_tls_1_1(site.plain.ip()).await?, [0x15, 2, 70], "a fatal alert: protocol_version");
    let stream = TcpStream::connect(site.plain).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let answer = Answer::read(sender.send_request(site.request("GET", "/whoami?a=b", &[])?).await?).await?;
    assert!(matches!(answer.status, 301 | 308), "{answer:?}");
    assert_eq!(answer.headers["location"], format!("https://{}/whoami?a=b", site.host));
    Ok(())
}

/// A ClientHello that knows TLS 1.1 alone (RFC 4346 7.4.1.2); the kind of record, the level and the word of the alert.
async fn offer_tls_1_1(ip: std::net::IpAddr) -> Result<[u8; 3]> {
    let mut hello = vec![3, 2];
    hello.extend([7; 32]); // random
    hello.push(0); // no session
    hello.extend([0, 4, 0xc0, 0x14, 0, 0x35]); // ECDHE_RSA and RSA with AES-256-CBC
    hello.extend([1, 0]); // no compression
    let length = u8::try_from(hello.len())?;
    let mut record = vec![0x16, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(hello);
    let mut stream = TcpStream::connect((ip, 443)).await?;
    stream.write_all(&record).await?;
    let mut alert = [0; 7];
    tokio::time::timeout(SOON, stream.read_exact(&mut alert)).await.context("no answer")??;
    Ok([alert[0], alert[5], alert[6]])
}

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
async fn who_holds_a_path_keeps_it() -> Result<()> {
    let site = Site::new("claims", 2).await?;
    let gateway = site.gateway(&json!([route("who", "/whoami", json!({}))]));
    site.shop.service("first", json!({"replicas": 1, "gateway": gateway})).await?;
    site.shop.ready("first").await?;
    site.answers("/whoami", 200).await?;
    site.shop.service("a-second", json!({"replicas": 1, "gateway": gateway})).await?;
    site.shop.until("a-second", "RoutesReady", "False", &["first"], SOON).await?;
    for _ in 0..20 {
        assert!(site.https.get("/whoami").await?.body.contains("\"service\":\"first\""));
    }
    site.shop.delete("GoodGoService", "first").await?;
    eventually("the second one serves", SOON, || async {
        let answer = site.https.get("/whoami").await?;
        ensure!(answer.body.contains("\"service\":\"a-second\""), "{answer:?}");
        Ok(())
    })
    .await
}

/// Asks without a pause until told to stop: how many were answered by whom, and what went wrong.
async fn ask(https: Https, go: Arc<AtomicBool>) -> Result<(BTreeMap<String, usize>, Vec<String>)> {
    let mut sender = https.http2().await?;
    let (mut pods, mut failures) = (BTreeMap::new(), Vec::new());
    let uri = format!("https://{}/whoami", https.host());
    while go.load(Ordering::Relaxed) {
        if sender.ready().await.is_err() {
            sender = https.http2().await?; // the gateway said goodbye
        }
        let request = Request::get(&uri).body(Full::default())?;
        match sender.send_request(request).await {
            Err(error) => failures.push(error.to_string()),
            Ok(response) => {
                let answer = Answer::read(response).await?;
                if answer.status == 200 {
                    let said: Value = serde_json::from_str(&answer.body)?;
                    *pods.entry(said["pod"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
                } else {
                    failures.push(format!("{} {}", answer.status, answer.body));
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok((pods, failures))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_update_behind_the_gateway_fails_nothing() -> Result<()> {
    let site = Site::on(Namespace::alone("roll").await?).await?;
    let gateway = site.gateway(&json!([route("who", "/whoami", json!({}))]));
    site.shop.service("web", json!({"replicas": 3, "gateway": gateway})).await?;
    site.shop.ready("web").await?;
    site.answers("/whoami", 200).await?;
    let old = site.shop.settled("web", 3, &[]).await?;
    let old: Vec<_> =
        old.iter().map(|pod| pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned()).collect();
    let go = Arc::new(AtomicBool::new(true));
    let clients: Vec<_> = (0..4).map(|_| tokio::spawn(ask(site.https.clone(), Arc::clone(&go)))).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    site.shop.edit("GoodGoService", "web", json!({"spec": {"restartToken": "again"}})).await?;
    site.shop.settled("web", 3, &old).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    go.store(false, Ordering::Relaxed);
    let (mut pods, mut failures) = (BTreeMap::<String, usize>::new(), Vec::new());
    for client in clients {
        let (answered, failed) = client.await??;
        failures.extend(failed);
        for (pod, count) in answered {
            *pods.entry(pod).or_default() += count;
        }
    }
    tell(&format!(
        "rolling update behind the gateway: {} answered by {} pods",
        pods.values().sum::<usize>(),
        pods.len()
    ));
    ensure!(failures.is_empty(), "{} failed: {:?}", failures.len(), failures.first());
    ensure!(pods.len() >= 4, "{pods:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_route_is_live_soon() -> Result<()> {
    const TURNS: usize = 20;
    let site = Site::on(Namespace::alone("live").await?).await?;
    let gateway = |path: &str| site.gateway(&json!([route("who", path, json!({"stripPrefix": "/x"}))]));
    site.shop.service("web", json!({"replicas": 1, "gateway": gateway("/x/whoami")})).await?;
    site.shop.ready("web").await?;
    site.answers("/x/whoami", 200).await?;
    let mut live = Times::default();
    for turn in 0..TURNS {
        let path = if turn % 2 == 0 { "/x/health/live" } else { "/x/whoami" };
        site.shop.edit("GoodGoService", "web", json!({"spec": {"gateway": gateway(path)}})).await?;
        let began = Instant::now();
        site.answers(path, 200).await?;
        live.add(began.elapsed());
    }
    tell(&format!("a new route, from its apply to its first 200: {live} (wanted: p95 ≤ 2 s)"));
    Ok(())
}
