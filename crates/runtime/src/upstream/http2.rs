//! HTTP/2 to one peer: one connection that all requests share, made anew when the peer has sent GOAWAY. A further one is
//! made when all streams that the peer permits are in use, because what waits for a stream waits behind strangers.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::connect::{Connector, Transport};
use super::peer::Undelivered;
use super::tls::Alpn;
use crate::proxy::{Body, Failure};
use crate::server::{HTTP2_CONNECTION_WINDOW, HTTP2_MAX_FAULTS, HTTP2_SEND_BUFFER, HTTP2_STREAM_WINDOW};

/// Most connections to one peer. A peer that permits a hundred streams (RFC 9113 6.5.2 asks for no fewer) then takes
/// four hundred calls at a time.
const MOST_CONNECTIONS: usize = 4;

/// The connections to one peer, and how to make the next.
#[derive(Debug)]
pub(super) struct Channel {
    connector: Arc<Connector>,
    /// Held for moments only.
    connections: Mutex<Vec<Arc<Connection>>>,
    /// Held while connecting, so that a burst makes one connection.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Body>,
    /// Streams whose answer is not complete.
    streams: AtomicUsize,
    /// Most streams that the peer permits now.
    permitted: Arc<AtomicUsize>,
}

/// One stream of a connection, until the answer's end.
#[derive(Debug)]
pub(crate) struct Stream(Arc<Connection>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    fn has_room(&self) -> bool {
        self.streams() < self.permitted.load(Ordering::Relaxed)
    }
}

/// What [`Channel::checkout`] found.
enum Checkout {
    /// A stream; the flag says whether the connection is to be used although it is full.
    Stream(Stream, Fullness),
    /// There is no connection at all.
    Nothing,
}

/// There is no connection; `telling` as in [`Undelivered`].
struct Unconnected {
    failure: Failure,
    telling: bool,
}

#[derive(PartialEq, Eq)]
enum Fullness {
    Room,
    /// Another connection would help, and may be made.
    Full,
}

impl Channel {
    pub(super) fn new(connector: Arc<Connector>) -> Self {
        Self { connector, connections: Mutex::default(), connecting: tokio::sync::Mutex::new(()) }
    }

    pub(super) async fn send(
        &self,
        mut request: Request<Body>,
        limit: Duration,
    ) -> Result<Response<Body>, Undelivered> {
        loop {
            let (stream, reused) = match self.checkout() {
                Checkout::Stream(stream, Fullness::Room) => (stream, true),
                // Boxed, as for HTTP/1.1: most requests find a connection.
                Checkout::Stream(stream, Fullness::Full) => {
                    (Box::pin(self.another(stream, limit)).await, true)
                }
                Checkout::Nothing => match Box::pin(self.first(limit)).await {
                    Ok(stream) => stream,
                    Err(Unconnected { failure, telling }) => {
                        return Err(Undelivered { telling, ..Undelivered::unsent(failure, request) });
                    }
                },
            };
            match stream.0.sender.clone().try_send_request(request).await {
                Ok(response) => return Ok(response.map(|body| Body::streamed(body, stream))),
                Err(mut error) => match (error.take_message(), reused) {
                    // Never written: the connection was going away. The next turn makes a new one.
                    (Some(unsent), true) => {
                        self.discard(&stream);
                        request = unsent;
                    }
                    (Some(unsent), false) => {
                        let failure = Failure::unsent(self.connector.to(), &error.into_error());
                        return Err(Undelivered::unsent(failure, unsent));
                    }
                    (None, _) => {
                        let failure = Failure::exchange(self.connector.to(), &error.into_error());
                        return Err(Undelivered::lost(failure));
                    }
                },
            }
        }
    }

    /// A stream of the first connection that has room, so that those behind it can run dry; else of the least busy one.
    fn checkout(&self) -> Checkout {
        let mut connections = self.lock();
        connections.retain(|connection| !connection.sender.is_closed());
        if let Some(connection) = connections.iter().find(|connection| connection.has_room()) {
            return Checkout::Stream(stream(connection), Fullness::Room);
        }
        let Some(connection) = connections.iter().min_by_key(|connection| connection.streams()) else {
            return Checkout::Nothing;
        };
        let may_grow = connections.len() < MOST_CONNECTIONS;
        Checkout::Stream(stream(connection), if may_grow { Fullness::Full } else { Fullness::Room })
    }

    /// The first connection; whoever comes meanwhile waits for the same.
    async fn first(&self, limit: Duration) -> Result<(Stream, bool), Unconnected> {
        let begun = Instant::now();
        let waited = || {
            let failure = Failure::ConnectTimeout { to: self.connector.to().to_owned(), limit };
            Unconnected { failure, telling: false }
        };
        let _connecting = tokio::time::timeout(limit, self.connecting.lock()).await.map_err(|_| waited())?;
        if let Checkout::Stream(stream, _) = self.checkout() {
            return Ok((stream, true));
        }
        let left = limit.checked_sub(begun.elapsed()).ok_or_else(waited)?;
        match self.connect(left).await {
            Ok(stream) => Ok((stream, false)),
            // Most of its time went into waiting for somebody else.
            Err(Failure::ConnectTimeout { .. }) if left < limit / 2 => Err(waited()),
            Err(failure) => Err(Unconnected { failure, telling: true }),
        }
    }

    /// A stream of one more connection; `full` when somebody else is making it, or it can't be made.
    async fn another(&self, full: Stream, limit: Duration) -> Stream {
        let Ok(_connecting) = self.connecting.try_lock() else { return full };
        match self.connect(limit).await {
            Ok(stream) => stream,
            Err(failure) => {
                tracing::debug!(%failure, "no further connection; its streams are waited for");
                full
            }
        }
    }

    async fn connect(&self, limit: Duration) -> Result<Stream, Failure> {
        let connection = match self.connector.connect(Alpn::Http2, limit).await? {
            Transport::Plain(stream) => self.handshake(stream).await?,
            Transport::Tls(stream) => self.handshake(stream).await?,
        };
        let connection = Arc::new(connection);
        let stream = stream(&connection);
        self.lock().push(connection);
        Ok(stream)
    }

    async fn handshake<T>(&self, stream: T) -> Result<Connection, Failure>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(HTTP2_STREAM_WINDOW)
            .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
            .max_send_buf_size(HTTP2_SEND_BUFFER)
            .max_local_error_reset_streams(HTTP2_MAX_FAULTS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Failure::unsent(self.connector.to(), &error))?;
        let permitted = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
        let current = Arc::clone(&permitted);
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            let ended = poll_fn(|cx| {
                let polled = Pin::as_mut(&mut connection).poll(cx);
                current.store(connection.current_max_send_streams(), Ordering::Relaxed);
                polled
            });
            if let Err(error) = ended.await {
                tracing::debug!(%error, "connection to upstream ended");
            }
        });
        Ok(Connection { sender, streams: AtomicUsize::new(0), permitted })
    }

    /// Connections that take requests.
    pub(super) fn open(&self) -> usize {
        self.lock().iter().filter(|connection| !connection.sender.is_closed()).count()
    }

    /// Its connection takes no more requests, though it has not ended.
    fn discard(&self, stream: &Stream) {
        self.lock().retain(|connection| !Arc::ptr_eq(connection, &stream.0));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stream(connection: &Arc<Connection>) -> Stream {
    connection.streams.fetch_add(1, Ordering::Relaxed);
    Stream(Arc::clone(connection))
}
