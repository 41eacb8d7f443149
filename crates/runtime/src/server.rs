//! Accepts connections and serves them with a stack until their lifecycle ends.
//!
//! A connection is HTTP/2 when it starts with the preface (prior knowledge, as gRPC does), else HTTP/1.1. How it ends
//! matters as much: see [`serve_http1`] and [`serve_http2`] for what a drain does to each.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Error;
use crate::drain::{Lifecycle, Phase};
use crate::head::{Busy, Clocked, Held, Timed};
use crate::metrics::ListenerMetrics;
use crate::proxy::Stack;
use crate::stall::Streams;

/// Largest head of a message, and so the buffer that an HTTP/1.1 connection can grow to, in bytes; then 431.
pub(crate) const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Most header fields of a request to the app; then 431. The runtime adds a few of its own, and servers take a hundred
/// (hyper, whose limit for HTTP/1.1 also holds here: setting another one would make it allocate memory for each head).
pub(crate) const MAX_HEADERS: usize = 96;
/// Bytes of one HTTP/2 stream that may be under way unread. Bounds memory, and a stream's throughput per round trip.
pub(crate) const HTTP2_STREAM_WINDOW: u32 = 64 * 1024;
/// The same for all streams of a connection together: many times that of one, or a few whose other end does not read would
/// stop all others.
pub(crate) const HTTP2_CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// Bytes of one HTTP/2 stream that may wait to be written.
pub(crate) const HTTP2_SEND_BUFFER: usize = 64 * 1024;
const HTTP2_MAX_STREAMS: u32 = 1000;
/// Streams that may end by the other end's fault before the connection does: any number. h2 takes the rest of a body for
/// such a fault when its stream was answered early, counts over the connection's life and then breaks off all that is
/// under way. What a reset saves an attacker, it saves us as well: the request's work ends with its stream.
pub(crate) const HTTP2_MAX_FAULTS: Option<usize> = None;
/// [`MAX_HEAD_BYTES`], as HTTP/2 counts them (RFC 9113 6.5.2).
const HTTP2_MAX_HEAD: u32 = 64 * 1024;

/// How often an HTTP/2 client is asked whether it is still there, and how long it may take to say so.
const HTTP2_PING_EVERY: Duration = Duration::from_secs(30);
const HTTP2_PING_LIMIT: Duration = Duration::from_secs(20);

/// How long a connection may idle between requests. Longer than common
/// clients keep theirs (Go and Traefik 90 s, Java 300 s): who closes first must be the client, or a request gets lost.
const IDLE_LIMIT: Duration = Duration::from_secs(310);
/// How long a connection may be silent that has never sent a byte: it holds a place, and no client opens one this long
/// before it has something to say.
const FIRST_BYTE_LIMIT: Duration = Duration::from_secs(30);
/// How long a connection that was accepted at the very end may take to send its request.
const LATE_LIMIT: Duration = Duration::from_secs(1);
/// Pause after a failed accept: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// When a connection on which nothing happens is asked whether its client is there, and how often again.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// No method of HTTP/1.1 starts with these (PRI is reserved, RFC 9113 11.6).
const PREFACE_START: usize = 4;

/// How long the first byte may be alone before we look again whether it is HTTP/2; doubled each time.
const PEEK_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PEEK_PAUSE: Duration = Duration::from_millis(100);

/// What clients may take of a listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Time for a request's head from its first byte on.
    pub(crate) head: Duration,
    /// Time without a byte of an unfinished body, in either direction.
    pub(crate) body: Duration,
    /// Open connections.
    pub(crate) connections: usize,
}

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
    pub(crate) fn serve<S: Stack>(
        self,
        stack: S,
        bounds: Bounds,
        lifecycle: &Lifecycle,
        metrics: Arc<ListenerMetrics>,
    ) {
        tracing::info!(listener = metrics.name(), address = %self.address, "listening");
        lifecycle.open().spawn(accept(self.listener, stack, bounds, lifecycle.clone(), metrics));
    }
}

async fn accept<S: Stack>(
    listener: TcpListener,
    stack: S,
    bounds: Bounds,
    lifecycle: Lifecycle,
    metrics: Arc<ListenerMetrics>,
) {
    let spawn = |stream: TcpStream, place: Option<OwnedSemaphorePermit>| {
        let held = Held { _place: place, _gauge: metrics.connection() };
        let serving = serve(stream, stack.clone(), bounds, lifecycle.clone(), Arc::clone(&metrics), held);
        lifecycle.open().spawn(serving);
    };
    let places = Arc::new(Semaphore::new(bounds.connections));
    // Waits for a place first: who finds none waits in the kernel's queue, and the drain goes on.
    let next = async || {
        let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
        Ok::<_, io::Error>((listener.accept().await?.0, place))
    };
    let mut finishing = pin!(lifecycle.reached(Phase::Finishing));
    loop {
        tokio::select! {
            biased;
            () = &mut finishing => break,
            accepted = next() => match accepted {
                Ok((stream, place)) => spawn(stream, Some(place)),
                Err(error) => {
                    tracing::warn!(listener = metrics.name(), %error, "failed to accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    // The kernel has completed these handshakes already; closing the listener would reset them.
    while let Some(Ok((stream, _))) = listener.accept().now_or_never() {
        spawn(stream, None);
    }
}

async fn serve<S: Stack>(
    stream: TcpStream,
    stack: S,
    bounds: Bounds,
    lifecycle: Lifecycle,
    metrics: Arc<ListenerMetrics>,
    held: Held,
) {
    let result = match is_http2(&stream, bounds.head, &lifecycle).await {
        Ok(Some(true)) => {
            let result = serve_http2(stream, stack, &bounds, &lifecycle).await;
            drop(held);
            result
        }
        Ok(Some(false)) => serve_http1(stream, stack, &bounds, held, &lifecycle).await,
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
async fn is_http2(stream: &TcpStream, head: Duration, lifecycle: &Lifecycle) -> io::Result<Option<bool>> {
    stream.set_nodelay(true)?;
    // Whoever vanishes without a word is noticed, also behind a protocol that the runtime does not read.
    SockRef::from(stream).set_tcp_keepalive(&KEEPALIVE)?;
    let mut start = [0_u8; PREFACE_START];
    let (mut pause, mut waited) = (PEEK_PAUSE, Duration::ZERO);
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
            // Readable already, so peek would spin until the rest arrives. HTTP/1.1's limit ends it if it does not.
            if waited >= head / 2 {
                return Ok(Some(false));
            }
            tokio::time::sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(LONGEST_PEEK_PAUSE);
        }
    };
    let silent = async {
        tokio::select! {
            () = tokio::time::sleep(FIRST_BYTE_LIMIT) => {}
            () = late(lifecycle) => {}
        }
    };
    tokio::select! {
        biased;
        decided = peeking => decided,
        () = silent => Ok(None),
    }
}

/// A connection's own stack. hyper asks from the connection's task alone, so the lock is always free; a clone for each
/// request would count what all layers share up and down again.
struct Own<S>(Mutex<S>);

impl<S> Own<S> {
    fn new(stack: S) -> Self {
        Self(Mutex::new(stack))
    }
}

impl<S: Stack> Service<Request<Incoming>> for Own<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, request: Request<Incoming>) -> S::Future {
        // Every layer is always ready: what there is to wait for is waited for by the future.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).call(request)
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
async fn serve_http1<S: Stack>(
    stream: TcpStream,
    stack: S,
    bounds: &Bounds,
    held: Held,
    lifecycle: &Lifecycle,
) -> hyper::Result<()> {
    // Accepted late, with its first byte here: it ends with its first response anyway.
    let late_comer = lifecycle.phase() > Phase::Serving;
    let busy = Arc::new(Busy::default());
    let service = Clocked::new(Own::new(stack), Arc::clone(&busy));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_LIMIT)
        .half_close(false)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_header_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(Timed::new(stream, busy, bounds, held)), service)
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
async fn serve_http2<S: Stack>(
    stream: TcpStream,
    stack: S,
    bounds: &Bounds,
    lifecycle: &Lifecycle,
) -> hyper::Result<()> {
    let streams = Streams::new(bounds.body);
    let connection = http2::Builder::new(streams.clone())
        .timer(TokioTimer::new())
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .max_send_buf_size(HTTP2_SEND_BUFFER)
        .max_concurrent_streams(HTTP2_MAX_STREAMS)
        .max_local_error_reset_streams(HTTP2_MAX_FAULTS)
        .max_header_list_size(HTTP2_MAX_HEAD)
        .keep_alive_interval(HTTP2_PING_EVERY)
        .keep_alive_timeout(HTTP2_PING_LIMIT)
        .serve_connection(TokioIo::new(stream), streams.serving(Own::new(stack)));
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        result = connection.as_mut() => return result,
        () = lifecycle.reached(Phase::Settling) => {}
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_never_says_anything_gives_its_place_back_soon() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let started = Instant::now();
        let decided = is_http2(&stream, Duration::from_secs(10), &Lifecycle::new()).await.unwrap();
        assert_eq!(decided, None);
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    }
}
