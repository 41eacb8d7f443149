//! What is declared is reached, and nothing else.

use super::site::{SOON, Site, route};
use anyhow::{Context, Result};
use goodgo_e2e::https::Answer;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::rustls;

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
    let mut request = site.request("GET", "/api/whoami", &[])?;
    for number in 0..150 {
        request
            .headers_mut()
            .insert(HeaderName::try_from(format!("x-more-{number}"))?, HeaderValue::from_static("1"));
    }
    assert_eq!(site.https.send(request).await?.status, 431);
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
