//! Serves connections as they come: HTTP/1.1 with WebSocket, and HTTP/2 in clear text, which gRPC speaks.

use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Pause after a failed accept: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `router` until `told` resolves, then finishes what is under way.
pub(crate) async fn serve(listener: TcpListener, router: Router, told: impl Future<Output = ()>) {
    let (ending, is_ending) = watch::channel(false);
    let accept = async {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(connection(stream, router.clone(), is_ending.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = accept => {}
        () = told => {}
    }
    drop((listener, is_ending));
    ending.send_replace(true);
    ending.closed().await;
}

async fn connection(stream: TcpStream, router: Router, mut ending: watch::Receiver<bool>) {
    if let Err(error) = serve_one(stream, router, &mut ending).await {
        tracing::debug!(%error, "connection ended");
    }
}

async fn serve_one(
    stream: TcpStream,
    router: Router,
    ending: &mut watch::Receiver<bool>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true).map_err(io::Error::other)?;
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection =
        builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        _ = ending.wait_for(|ending| *ending) => {}
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}
