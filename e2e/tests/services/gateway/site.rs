//! A namespace with a host of its own, and its client.

use anyhow::{Context, Result, ensure};
use goodgo_e2e::https::{Answer, Https};
use goodgo_e2e::pki;
use goodgo_e2e::product;
use goodgo_e2e::scenario::{Namespace, eventually};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls;

pub(super) const SOON: Duration = Duration::from_secs(30);
pub(super) const SECRET: &str = "certificate";

/// A namespace with a host of its own and a certificate for it.
pub(super) struct Site {
    pub(super) shop: Namespace,
    pub(super) host: String,
    pub(super) https: Https,
    pub(super) plain: SocketAddr,
}

impl Site {
    pub(super) async fn new(purpose: &str, pods: u32) -> Result<Self> {
        Self::on(Namespace::new(purpose, pods).await?).await
    }

    pub(super) async fn on(shop: Namespace) -> Result<Self> {
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

    pub(super) fn gateway(&self, routes: &Value) -> Value {
        json!({"hosts": [self.host], "tls": {"secret": SECRET}, "routes": routes})
    }

    /// Waits until the path answers so.
    pub(super) async fn answers(&self, path: &str, status: u16) -> Result<Answer> {
        eventually(&format!("{path} answers {status}"), SOON, || async {
            let answer = self.https.get(path).await?;
            ensure!(answer.status == status, "{answer:?}");
            Ok(answer)
        })
        .await
    }

    pub(super) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Request<Full<Bytes>>> {
        let mut request = Request::builder().method(method).uri(path).header("host", &self.host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(request.body(Full::default())?)
    }

    /// The request line and head as they are, over TLS; the status code of the answer.
    pub(super) async fn raw(&self, head: &str) -> Result<u16> {
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

pub(super) fn route(name: &str, path: &str, more: Value) -> Value {
    let mut route = json!({"name": name, "path": path, "auth": {"none": {}}});
    if let (Some(route), Value::Object(more)) = (route.as_object_mut(), more) {
        route.extend(more);
    }
    route
}
