//! HTTP/2 to one origin: a single connection that all requests share, made anew when the peer has sent GOAWAY.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;

use super::connect::{Connector, Transport};
use super::tls::Alpn;
use crate::proxy::{Body, Failure};
use crate::server::{HTTP2_CONNECTION_WINDOW, HTTP2_SEND_BUFFER, HTTP2_STREAM_WINDOW};

/// The shared connection, and how to make the next.
#[derive(Debug)]
pub(super) struct Channel {
    connector: Arc<Connector>,
    /// Held while connecting, so that a burst makes one connection.
    current: Mutex<Option<SendRequest<Body>>>,
}

impl Channel {
    pub(super) fn new(connector: Arc<Connector>) -> Self {
        Self { connector, current: Mutex::new(None) }
    }

    pub(super) async fn send(
        &self,
        mut request: Request<Body>,
        limit: Duration,
    ) -> Result<Response<Body>, Failure> {
        loop {
            let (mut sender, reused) = tokio::time::timeout(limit, self.sender(limit))
                .await
                .unwrap_or_else(|_| Err(self.connector.timed_out(limit)))?;
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(response.map(Body::stream)),
                Err(mut error) => match error.take_message() {
                    // Never written: the connection was going away. The next turn makes a new one.
                    Some(unsent) if reused => request = unsent,
                    _ => return Err(Failure::exchange(self.connector.to(), &error.into_error())),
                },
            }
        }
    }

    async fn sender(&self, limit: Duration) -> Result<(SendRequest<Body>, bool), Failure> {
        let mut current = self.current.lock().await;
        if let Some(sender) = current.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok((sender.clone(), true));
        }
        let sender = match self.connector.connect(Alpn::Http2, limit).await? {
            Transport::Plain(stream) => self.handshake(stream).await?,
            Transport::Tls(stream) => self.handshake(stream).await?,
        };
        *current = Some(sender.clone());
        Ok((sender, false))
    }

    async fn handshake<T>(&self, stream: T) -> Result<SendRequest<Body>, Failure>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(HTTP2_STREAM_WINDOW)
            .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
            .max_send_buf_size(HTTP2_SEND_BUFFER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Failure::exchange(self.connector.to(), &error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to upstream ended");
            }
        });
        Ok(sender)
    }
}
