//! Protocols that are more than a request and an answer.

use super::site::{SOON, Site, route};
use anyhow::{Context, Result, ensure};
use futures::{SinkExt, StreamExt};
use goodgo_e2e::https::Https;
use goodgo_e2e::pki;
use goodgo_e2e::scenario::eventually;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio_rustls::rustls;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_and_websockets_go_through() -> Result<()> {
    let site = Site::new("streams", 2).await?;
    let (socket, other) =
        (site.gateway(&json!([route("ws", "/ws", json!({}))])), format!("grpc.{}", site.host));
    site.shop.service("web", json!({"replicas": 1, "gateway": socket})).await?;
    let (certificate, key) = pki::for_host(&other)?;
    site.shop
        .apply(&json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": "grpc", "namespace": site.shop.name},
            "stringData": {"tls.crt": certificate, "tls.key": key}}))
        .await?;
    let service = route("demo", "/goodgo.demo.v1.Demo", json!({}));
    let gateway = json!({"hosts": [other], "tls": {"secret": "grpc"}, "routes": [service]});
    site.shop.service("calls", json!({"protocol": "GRPC", "replicas": 1, "gateway": gateway})).await?;
    site.shop.ready("web").await?;
    site.shop.ready("calls").await?;

    let https = Https::new(SocketAddr::new(site.plain.ip(), 443), &other, &certificate)?;
    let answer = eventually("gRPC is answered", SOON, || async {
        let request = Request::post(format!("https://{other}/goodgo.demo.v1.Demo/WhoAmI"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::from(Bytes::from_static(&[0; 5])))?;
        let response = https.http2().await?.send_request(request).await?;
        ensure!(response.status() == 200, "{response:?}");
        Ok(response.into_body().collect().await?)
    })
    .await?;
    assert_eq!(answer.trailers().context("trailers")?["grpc-status"], "0");
    assert!(String::from_utf8_lossy(&answer.to_bytes()).contains("calls-"), "the pod's name");

    let (mut stream, _) = eventually("a WebSocket is open", SOON, || async {
        let stream = site.https.connect(rustls::DEFAULT_VERSIONS, b"http/1.1").await?;
        Ok(tokio_tungstenite::client_async(format!("wss://{}/ws", site.host), stream).await?)
    })
    .await?;
    stream.send(Message::text("there and back")).await?;
    let answer = stream.next().await.context("no message")??;
    assert_eq!(answer, Message::text("there and back"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn graphql_is_asked_at_its_one_path() -> Result<()> {
    let site = Site::new("graphql", 1).await?;
    let more = json!({"methods": ["POST"], "contentTypes": ["application/json"], "maxBody": "64Ki"});
    let spec = json!({"protocol": "GRAPHQL", "replicas": 1, "gateway": site.gateway(&json!([route("graphql", "/graphql", more)]))});
    site.shop.service("web", spec).await?;
    site.shop.ready("web").await?;
    let answer = eventually("the query is answered", SOON, || async {
        let query = json!({"query": "{ whoami { service pod } }"}).to_string();
        let request =
            Request::post("/graphql").header("host", &site.host).header("content-type", "application/json");
        let answer = site.https.send(request.body(Full::from(query))?).await?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(answer)
    })
    .await?;
    let said: Value = serde_json::from_str(&answer.body)?;
    assert_eq!(said["data"]["whoami"]["service"], "web");
    assert_eq!(site.https.get("/graphql?query={whoami{pod}}").await?.status, 405);
    Ok(())
}
