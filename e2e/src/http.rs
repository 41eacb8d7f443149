//! A plain HTTP client for calls from the host into a cluster.
//!
//! The host has no runtime that could prove who it is, so it shows a fixed key, as other callers without one do.

use crate::oracle::tell;
use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;

/// Header in which a caller without a runtime shows its key.
pub const KEY_HEADER: &str = "x-internal-api-key";
/// The key that the examples (`examples/keys.yaml`) and the services of tests accept.
pub const KEY: &str = "a-key-for-the-demo-only";

/// What a new connection is waited for. Kernels that once saw the first packet of one go astray, before kube-proxy had the
/// Service's rules, send all others of that connection after it: only another connection arrives.
const CONNECT: Duration = Duration::from_secs(3);
/// Before another one is tried.
const AGAIN: Duration = Duration::from_millis(200);

/// `GET`s a URL (`http://` only) with [`KEY`] and returns status and body.
///
/// # Errors
/// When no answer came within `patience`.
pub async fn get(url: &str, patience: Duration) -> Result<(u16, String)> {
    let request = Request::get(url).header(KEY_HEADER, KEY).body(Full::default());
    send(request.with_context(|| format!("failed to read the URL {url}"))?, patience).await
}

/// Sends a request as it is, over a connection that is tried for until there is one, and returns status and body.
///
/// # Errors
/// When no answer came within `patience`.
pub async fn send(request: Request<Full<hyper::body::Bytes>>, patience: Duration) -> Result<(u16, String)> {
    let url = request.uri().to_string();
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT));
    let client: Client<_, Full<hyper::body::Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let call = async {
        let answer = loop {
            match client.request(request.clone()).await {
                Err(error) if error.is_connect() => tell(&format!("no connection for {url}: {error:?}")),
                answered => break answered?,
            }
            tokio::time::sleep(AGAIN).await;
        };
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        anyhow::Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    let answered = tokio::time::timeout(patience, call).await;
    answered
        .with_context(|| format!("failed to hear from {url} within {patience:?}"))?
        .with_context(|| format!("failed to GET {url}"))
}
