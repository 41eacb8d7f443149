//! A new transport to an origin: name resolution, TCP, and TLS where the origin asks for it, within one time limit.

use std::net::SocketAddr;
use std::time::Duration;

use goodgo_runtime_config::Scheme;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::Origin;
use super::tls::{Alpn, Tls};
use crate::proxy::Failure;

/// Resolution, TCP and TLS together, unless the request says otherwise. Below the five seconds that many clients wait in total, so that they get an answer
/// that says what happened.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(4);

/// Makes transports to one origin.
#[derive(Debug)]
pub(super) struct Connector {
    /// For messages.
    to: String,
    host: String,
    port: u16,
    tls: Option<Tls>,
}

/// A byte stream to the origin.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connector {
    pub(super) fn new(origin: &Origin, tls: Tls) -> Self {
        Self {
            to: origin.to_string(),
            host: origin.host().to_owned(),
            port: origin.port(),
            tls: match origin.scheme() {
                Scheme::Http => None,
                Scheme::Https => Some(tls),
            },
        }
    }

    /// Where it connects to, for messages.
    pub(super) fn to(&self) -> &str {
        &self.to
    }

    pub(super) async fn connect(&self, alpn: Alpn, limit: Duration) -> Result<Transport, Failure> {
        tokio::time::timeout(limit, self.connect_unlimited(alpn))
            .await
            .unwrap_or_else(|_| Err(self.timed_out(limit)))
    }

    pub(super) fn timed_out(&self, limit: Duration) -> Failure {
        Failure::ConnectTimeout { to: self.to.clone(), limit }
    }

    async fn connect_unlimited(&self, alpn: Alpn) -> Result<Transport, Failure> {
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((self.host.as_str(), self.port))
            .await
            .map_err(|source| Failure::Resolve { host: self.host.clone(), source })?
            .collect();
        let connect_failed = |source| Failure::Connect { to: self.to.clone(), source };
        let stream = TcpStream::connect(addresses.as_slice()).await.map_err(connect_failed)?;
        // Small writes are whole messages here; waiting for more to send only adds latency.
        stream.set_nodelay(true).map_err(connect_failed)?;
        let Some(tls) = &self.tls else { return Ok(Transport::Plain(stream)) };
        let stream = tls
            .connect(&self.host, stream, alpn)
            .await
            .map_err(|source| Failure::Tls { to: self.to.clone(), source })?;
        Ok(Transport::Tls(Box::new(stream)))
    }
}
