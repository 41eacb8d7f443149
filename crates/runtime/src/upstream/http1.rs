//! HTTP/1.1 connections to one peer: a stack of idle ones, the freshest on top.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connect::{Connector, Transport};
use super::peer::Undelivered;
use super::tls::Alpn;
use crate::proxy::{Body, Failure};
use crate::server::MAX_HEAD_BYTES;

/// Most connections of one peer that idle at a time; a burst beyond it closes what it opened.
const MOST_IDLE: usize = 256;

/// The idle connections, and how to make more.
#[derive(Debug)]
pub(super) struct Pool {
    connector: Arc<Connector>,
    idle_limit: Duration,
    idle: Mutex<IdleConnections>,
}

#[derive(Debug, Default)]
struct IdleConnections {
    /// Oldest in front.
    stack: VecDeque<(Instant, SendRequest<Body>)>,
    /// Whether a task is there that closes the expired ones.
    reaping: bool,
}

impl Pool {
    pub(super) fn new(connector: Arc<Connector>, idle_limit: Duration) -> Arc<Self> {
        Arc::new(Self { connector, idle_limit, idle: Mutex::default() })
    }

    pub(super) async fn send(
        self: &Arc<Self>,
        mut request: Request<Body>,
        limit: Duration,
    ) -> Result<Response<Body>, Undelivered> {
        loop {
            let (mut sender, reused) = match self.checkout() {
                Some(sender) => (sender, true),
                // Boxed: a TLS handshake would make the future of every request as large as its own.
                None => match Box::pin(self.connect(limit)).await {
                    Ok(sender) => (sender, false),
                    Err(failure) => return Err(Undelivered::unsent(failure, request)),
                },
            };
            match sender.try_send_request(request).await {
                Ok(response) => {
                    let lease = Lease { sender, pool: Arc::clone(self) };
                    return Ok(response.map(|body| Body::leased(body, lease)));
                }
                // hyper hands the request back only when none of it was written. The peer closed the connection while it
                // idled; each turn uses one up, so the loop ends with a new one.
                Err(mut error) => match (error.take_message(), reused) {
                    (Some(unsent), true) => request = unsent,
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

    async fn connect(&self, limit: Duration) -> Result<SendRequest<Body>, Failure> {
        match self.connector.connect(Alpn::Http1, limit).await? {
            Transport::Plain(stream) => self.handshake(stream).await,
            Transport::Tls(stream) => self.handshake(stream).await,
        }
    }

    async fn handshake<T>(&self, stream: T) -> Result<SendRequest<Body>, Failure>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = Builder::new()
            .max_buf_size(MAX_HEAD_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Failure::unsent(self.connector.to(), &error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "connection to upstream ended");
            }
        });
        Ok(sender)
    }

    fn checkout(&self) -> Option<SendRequest<Body>> {
        let mut idle = self.lock();
        while let Some((since, sender)) = idle.stack.pop_back() {
            if since.elapsed() >= self.idle_limit {
                // All below are older still.
                idle.stack.clear();
                return None;
            }
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    fn put(self: &Arc<Self>, sender: SendRequest<Body>) {
        let mut idle = self.lock();
        if idle.stack.len() >= MOST_IDLE {
            idle.stack.pop_front();
        }
        idle.stack.push_back((Instant::now(), sender));
        if !idle.reaping
            && let Ok(executor) = tokio::runtime::Handle::try_current()
        {
            idle.reaping = true;
            executor.spawn(reap(Arc::downgrade(self), self.idle_limit));
        }
    }

    /// Connections that wait for a request.
    pub(super) fn idle(&self) -> usize {
        self.lock().stack.len()
    }

    /// Closes what has idled too long; returns whether anything is left.
    fn expire(&self) -> bool {
        let mut idle = self.lock();
        while idle.stack.front().is_some_and(|(since, _)| since.elapsed() >= self.idle_limit) {
            idle.stack.pop_front();
        }
        idle.reaping = !idle.stack.is_empty();
        idle.reaping
    }

    fn lock(&self) -> MutexGuard<'_, IdleConnections> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn reap(pool: Weak<Pool>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        match pool.upgrade() {
            Some(pool) if pool.expire() => {}
            _ => return,
        }
    }
}

/// A connection that is carrying an answer. Dropped before the answer's end, the connection is closed.
#[derive(Debug)]
pub(crate) struct Lease {
    sender: SendRequest<Body>,
    pool: Arc<Pool>,
}

impl Lease {
    /// The answer is complete: the connection may carry the next request.
    pub(crate) fn release(mut self) {
        if self.sender.is_ready() {
            self.pool.put(self.sender);
        } else if !self.sender.is_closed()
            && let Ok(executor) = tokio::runtime::Handle::try_current()
        {
            // The answer came before the end of the request's body, or the connection has not turned around yet.
            executor.spawn(async move {
                if self.sender.ready().await.is_ok() {
                    self.pool.put(self.sender);
                }
            });
        }
    }
}
