//! A plain HTTP client for calls from the host into a cluster.

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;

/// `GET`s a URL (`http://` only) and returns status and body.
///
/// # Errors
/// When no answer came within `patience`.
pub async fn get(url: &str, patience: Duration) -> Result<(u16, String)> {
    let client: Client<_, Full<hyper::body::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let call = async {
        let answer = client.get(url.parse()?).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        anyhow::Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    let answered = tokio::time::timeout(patience, call).await;
    answered
        .with_context(|| format!("failed to hear from {url} within {patience:?}"))?
        .with_context(|| format!("failed to GET {url}"))
}
