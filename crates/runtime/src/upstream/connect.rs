//! A new transport to one address of an origin: TCP, and TLS where the origin asks for it, within one time limit.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use goodgo_runtime_config::Scheme;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::Origin;
use super::tls::{Alpn, Tls};
use crate::proxy::Failure;

/// Resolution, TCP and TLS together, unless the try says otherwise. Below the five seconds that many clients wait in
/// total, so that they get an answer that says what happened.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(4);
/// How long what was sent may stay unacknowledged: a peer whose machine is gone says nothing more, and TCP alone would
/// wait for a quarter of an hour. Not shorter, because it also counts while a peer that is well takes nothing (tcp(7)).
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(120);
/// When a connection on which nothing happens is asked whether its peer is there, and how often again.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(5));

/// Makes transports to the addresses of one origin. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Connectors(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// For messages.
    to: String,
    /// The name that the certificate must have.
    host: String,
    tls: Option<Tls>,
    /// Whether the peer is elsewhere: what is on this machine can't vanish silently.
    remote: bool,
}

/// Makes transports to one address.
#[derive(Debug)]
pub(super) struct Connector {
    origin: Connectors,
    address: SocketAddr,
    /// For messages.
    to: String,
}

/// A byte stream to the origin.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connectors {
    pub(super) fn new(origin: &Origin, tls: Tls) -> Self {
        let tls = match origin.scheme() {
            Scheme::Http => None,
            Scheme::Https => Some(tls),
        };
        let remote = matches!(origin, Origin::Callee(_));
        Self(Arc::new(Shared { to: origin.to_string(), host: origin.host().to_owned(), tls, remote }))
    }

    pub(super) fn at(&self, address: SocketAddr) -> Connector {
        let to = if self.0.remote { format!("{} at {address}", self.0.to) } else { self.0.to.clone() };
        Connector { origin: self.clone(), address, to }
    }

    /// Whether a connection takes no more than a round trip, which is short: in clear text, as inside the cluster. A TLS
    /// session with another continent may take a second.
    pub(super) fn are_quick(&self) -> bool {
        self.0.tls.is_none()
    }

    /// The origin, for messages.
    pub(super) fn to(&self) -> &str {
        &self.0.to
    }
}

impl Connector {
    /// Where it connects to, for messages.
    pub(super) fn to(&self) -> &str {
        &self.to
    }

    pub(super) async fn connect(&self, alpn: Alpn, limit: Duration) -> Result<Transport, Failure> {
        tokio::time::timeout(limit, self.connect_unlimited(alpn))
            .await
            .unwrap_or_else(|_| Err(Failure::ConnectTimeout { to: self.to.clone(), limit }))
    }

    async fn connect_unlimited(&self, alpn: Alpn) -> Result<Transport, Failure> {
        let connect_failed = |source| Failure::Connect { to: self.to.clone(), source };
        let stream = TcpStream::connect(self.address).await.map_err(connect_failed)?;
        // Small writes are whole messages here; waiting for more to send only adds latency.
        stream.set_nodelay(true).map_err(connect_failed)?;
        if self.origin.0.remote {
            watch(&stream).map_err(connect_failed)?;
        }
        let Some(tls) = &self.origin.0.tls else { return Ok(Transport::Plain(stream)) };
        let stream = tls
            .connect(&self.origin.0.host, stream, alpn)
            .await
            .map_err(|source| Failure::Tls { to: self.to.clone(), source })?;
        Ok(Transport::Tls(Box::new(stream)))
    }
}

/// Lets the kernel end the connection when its peer has vanished.
fn watch(stream: &TcpStream) -> io::Result<()> {
    let (idle, interval) = KEEPALIVE;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle).with_interval(interval))?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_LIMIT))
}

#[cfg(test)]
mod tests {
    use goodgo_runtime_config::Call;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_to_another_machine_ends_when_that_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let callee = Origin::Callee(Call::to(Scheme::Http, "iam", 80).target.unwrap());
        let app = Origin::App { port: address.port() };
        for (origin, limit) in [(callee, Some(UNACKNOWLEDGED_LIMIT)), (app, None)] {
            let connector = Connectors::new(&origin, Tls::new(None).unwrap()).at(address);
            let Ok(Transport::Plain(stream)) = connector.connect(Alpn::Http1, CONNECT_LIMIT).await else {
                panic!("no transport in clear text")
            };
            let socket = SockRef::from(&stream);
            assert_eq!(socket.tcp_user_timeout().unwrap(), limit);
            assert_eq!(socket.keepalive().unwrap(), limit.is_some());
        }
    }
}
