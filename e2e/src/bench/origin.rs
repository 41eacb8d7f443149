//! The one upstream that all peers forward to: the smallest HTTP server that hyper makes, on one thread, in a process of
//! its own so that what it spends is nobody else's.

use super::target::Size;
use anyhow::{Context, Result};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpListener;

/// Serves until the process is ended.
///
/// # Errors
/// When the port is taken.
pub async fn serve(port: u16) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("failed to listen on {address}"))?;
    loop {
        let (stream, _) = listener.accept().await.context("failed to accept a connection")?;
        stream.set_nodelay(true).context("failed to set TCP_NODELAY")?;
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
        tokio::spawn(async move {
            // A client that goes away has its own reasons.
            let _ = connection.await;
        });
    }
}

static BODY: [u8; 64 * 1024] = [b'.'; 64 * 1024];

async fn answer(request: hyper::Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let wanted = [Size::Kilobyte, Size::Kilobytes64];
    let size = wanted.into_iter().find(|size| size.path() == request.uri().path());
    // What comes with a request is read, as any app does; a peer may use it to keep the connection.
    let _ = request.into_body().collect().await;
    let body = size.and_then(|size| BODY.get(..size.bytes())).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from_static(body)));
    if size.is_none() {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    Ok(response)
}
