//! Who has a path keeps it.

use super::site::{SOON, Site, route};
use anyhow::{Result, ensure};
use goodgo_e2e::scenario::eventually;
use serde_json::json;

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

/// A redirect of a whole host would lead every path of it that nobody declares to a stranger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_hosts_are_redirected_and_a_host_that_is_served_is_not() -> Result<()> {
    let site = Site::new("moved", 2).await?;
    let routes = json!([route("who", "/whoami", json!({}))]);
    let mut gateway = site.gateway(&routes);
    let old = format!("old.{}", site.host);
    gateway["redirectFrom"] = json!([old]);
    site.shop.service("web", json!({"replicas": 1, "gateway": gateway})).await?;
    site.shop.ready("web").await?;
    site.answers("/whoami", 200).await?;
    let moved = async |host: &str, path: &str| -> Result<(u16, String)> {
        let stream = tokio::net::TcpStream::connect(site.plain).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = hyper::Request::get(path)
            .header("host", host)
            .body(http_body_util::Full::<hyper::body::Bytes>::default())?;
        let answer = goodgo_e2e::https::Answer::read(sender.send_request(request).await?).await?;
        let location = answer.headers.get("location").and_then(|value| value.to_str().ok());
        Ok((answer.status, location.unwrap_or_default().to_owned()))
    };
    let (status, location) = moved(&old, "/whoami?a=b").await?;
    ensure!(status == 301 && location == format!("https://{}/whoami?a=b", site.host), "{status} {location}");

    let mut stranger = json!({"hosts": [format!("evil.{}", site.host)], "tls": {"secret": super::site::SECRET}, "routes": routes});
    stranger["redirectFrom"] = json!([site.host]);
    site.shop.service("evil", json!({"replicas": 1, "gateway": stranger})).await?;
    site.shop.until("evil", "RoutesReady", "False", &["web"], SOON).await?;
    for _ in 0..10 {
        assert_eq!(site.https.get("/nowhere").await?.status, 404);
        let (_, location) = moved(&site.host, "/whoami").await?;
        ensure!(location == format!("https://{}/whoami", site.host), "{location}");
    }
    Ok(())
}
