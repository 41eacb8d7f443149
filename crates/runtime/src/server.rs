//! Accepts connections and serves them with a stack until their lifecycle ends.
//!
//! A connection is HTTP/2 when it starts with the preface (prior knowledge, as gRPC does), else HTTP/1.1. How it ends
//! matters as much: see [`serve_http1`] and [`serve_http2`] for what a drain does to each.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

use crate::Error;
use crate::drain::{Lifecycle, Phase};
use crate::metrics::ListenerMetrics;
use crate::proxy::Stack;

/// Largest head of an HTTP/1.1 message, and so the buffer that a connection can grow to, in bytes.
pub(crate) const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Bytes of one HTTP/2 stream that may be under way unread. Bounds memory, and a stream's throughput per round trip.
pub(crate) const HTTP2_STREAM_WINDOW: u32 = 256 * 1024;
/// The same for all streams of a connection together.
pub(crate) const HTTP2_CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of one HTTP/2 stream that may wait to be written.
pub(crate) const HTTP2_SEND_BUFFER: usize = 64 * 1024;
const HTTP2_MAX_STREAMS: u32 = 1000;

/// How long a connection may wait for a request's head, which includes idling between requests. Longer than common
/// clients keep theirs (Go and Traefik 90 s, Java 300 s): who closes first must be the client, or a request gets lost.
const HEAD_LIMIT: Duration = Duration::from_secs(310);
/// How long a connection that was accepted at the very end may take to send its request.
const LATE_LIMIT: Duration = Duration::from_secs(1);
/// Pause after a failed accept: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// No method of HTTP/1.1 starts with these (PRI is reserved, RFC 9113 11.6).
const PREFACE_START: usize = 4;

/// A listener with its address bound.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Bound {
    /// # Errors
    /// [`Error::Bind`], most often because another process has the port.
    pub(crate) async fn bind(name: &str, address: SocketAddr) -> Result<Self, Error> {
        let failed = |source| Error::Bind { listener: name.to_owned(), address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Accepts on a task of `lifecycle` until [`Phase::Finishing`].
    pub(crate) fn serve<S: Stack>(self, stack: S, lifecycle: &Lifecycle, metrics: Arc<ListenerMetrics>) {
        tracing::info!(listener = metrics.name(), address = %self.address, "listening");
        lifecycle.open().spawn(accept(self.listener, stack, lifecycle.clone(), metrics));
    }
}

async fn accept<S: Stack>(
    listener: TcpListener,
    stack: S,
    lifecycle: Lifecycle,
    metrics: Arc<ListenerMetrics>,
) {
    let spawn = |stream: TcpStream| {
        let connection = metrics.connection();
        let serving = serve(stream, stack.clone(), lifecycle.clone(), Arc::clone(&metrics));
        lifecycle.open().spawn(async move {
            serving.await;
            drop(connection);
        });
    };
    let mut finishing = pin!(lifecycle.reached(Phase::Finishing));
    loop {
        tokio::select! {
            biased;
            () = &mut finishing => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => spawn(stream),
                Err(error) => {
                    tracing::warn!(listener = metrics.name(), %error, "failed to accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    // The kernel has completed these handshakes already; closing the listener would reset them.
    while let Some(Ok((stream, _))) = listener.accept().now_or_never() {
        spawn(stream);
    }
}

async fn serve<S: Stack>(stream: TcpStream, stack: S, lifecycle: Lifecycle, metrics: Arc<ListenerMetrics>) {
    let result = match is_http2(&stream, &lifecycle).await {
        Ok(Some(true)) => serve_http2(stream, stack, &lifecycle).await,
        Ok(Some(false)) => serve_http1(stream, stack, &lifecycle).await,
        Ok(None) => return,
        Err(error) => {
            tracing::debug!(listener = metrics.name(), %error, "connection ended before its first byte");
            return;
        }
    };
    if let Err(error) = result {
        tracing::debug!(listener = metrics.name(), %error, "connection ended");
    }
}

/// Looks at the first bytes without taking them; none when the client sent nothing for too long.
async fn is_http2(stream: &TcpStream, lifecycle: &Lifecycle) -> io::Result<Option<bool>> {
    stream.set_nodelay(true)?;
    let mut start = [0_u8; PREFACE_START];
    let peeking = async {
        loop {
            let length = stream.peek(&mut start).await?;
            let seen = start.get(..length).unwrap_or_default();
            if length == 0 || !PREFACE.starts_with(seen) {
                return Ok(Some(false));
            }
            if length == PREFACE_START {
                return Ok(Some(true));
            }
            // Readable already, so peek would spin until the rest arrives.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let silent = async {
        tokio::select! {
            () = tokio::time::sleep(HEAD_LIMIT) => {}
            () = late(lifecycle) => {}
        }
    };
    tokio::select! {
        biased;
        decided = peeking => decided,
        () = silent => Ok(None),
    }
}

/// Resolves some time after [`Phase::Finishing`]: enough for a request that is on its way.
async fn late(lifecycle: &Lifecycle) {
    lifecycle.reached(Phase::Finishing).await;
    tokio::time::sleep(LATE_LIMIT).await;
}

/// HTTP/1.1: while settling, each response closes its connection (the stack says so to the client), so that clients that
/// are active move away by themselves. What still idles when the drain is finishing is closed here; what carries a
/// request ends with its response.
async fn serve_http1<S: Stack>(stream: TcpStream, stack: S, lifecycle: &Lifecycle) -> hyper::Result<()> {
    // Accepted late, with its first byte here: it ends with its first response anyway.
    let late_comer = lifecycle.phase() > Phase::Serving;
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .half_close(false)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(stack))
        .with_upgrades();
    let mut connection = pin!(connection);
    let ending =
        async { if late_comer { late(lifecycle).await } else { lifecycle.reached(Phase::Finishing).await } };
    tokio::select! {
        // What has arrived is served before the connection is asked to end.
        biased;
        result = connection.as_mut() => return result,
        () = ending => {}
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

/// HTTP/2: a GOAWAY as soon as the drain starts; streams that the client had begun by then, end (RFC 9113 6.8).
async fn serve_http2<S: Stack>(stream: TcpStream, stack: S, lifecycle: &Lifecycle) -> hyper::Result<()> {
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .max_send_buf_size(HTTP2_SEND_BUFFER)
        .max_concurrent_streams(HTTP2_MAX_STREAMS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(stack));
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        result = connection.as_mut() => return result,
        () = lifecycle.reached(Phase::Settling) => {}
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}
