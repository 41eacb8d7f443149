//! An HTTPS client that believes one certificate and connects to one address, whatever the host's name resolves to.

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsConnector, rustls};

/// Longest time for a whole exchange.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header fields.
    pub headers: HeaderMap,
    /// The body, as text.
    pub body: String,
}

/// A host behind an address.
#[derive(Debug, Clone)]
pub struct Https {
    address: SocketAddr,
    host: String,
    certificate: CertificateDer<'static>,
}

impl Https {
    /// `host` at `address`, which shows `certificate` (PEM) or one that is signed with it.
    ///
    /// # Errors
    /// When it is no certificate.
    pub fn new(address: SocketAddr, host: &str, certificate: &str) -> Result<Self> {
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|error| anyhow::anyhow!("failed to read the certificate: {error}"))?;
        Ok(Self { address, host: host.to_owned(), certificate })
    }

    /// Its name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// A connection by one of `versions`, with `protocol` (ALPN) agreed on.
    ///
    /// # Errors
    /// When nobody listens, or does not agree, or shows another certificate.
    pub async fn connect(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocol: &[u8],
    ) -> Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).context("failed to trust the certificate")?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from(self.host.clone()).context("failed to read the host's name")?;
        let tcp = TcpStream::connect(self.address)
            .await
            .with_context(|| format!("failed to connect to {}", self.address))?;
        tcp.set_nodelay(true).context("failed to set TCP_NODELAY")?;
        TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await
            .with_context(|| format!("failed to agree on TLS with {}", self.host))
    }

    /// Sends a request by HTTP/1.1 on a connection of its own.
    ///
    /// # Errors
    /// When no answer came within ten seconds.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer> {
        let exchange = async {
            let stream = self.connect(rustls::DEFAULT_VERSIONS, b"http/1.1").await?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            // Its end is the answer's.
            tokio::spawn(connection);
            Answer::read(sender.send_request(request).await?).await
        };
        tokio::time::timeout(PATIENCE, exchange)
            .await
            .with_context(|| format!("failed to hear from {} within {PATIENCE:?}", self.host))?
    }

    /// `GET`s a path of the host.
    ///
    /// # Errors
    /// As [`Https::send`].
    pub async fn get(&self, path: &str) -> Result<Answer> {
        let request = Request::get(path).header("host", &self.host).body(Full::default());
        self.send(request.with_context(|| format!("failed to read the path {path}"))?).await
    }

    /// A connection by HTTP/1.1 for one request after the other.
    ///
    /// # Errors
    /// As [`Https::connect`].
    pub async fn http1(&self) -> Result<http1::SendRequest<Full<Bytes>>> {
        let stream = self.connect(rustls::DEFAULT_VERSIONS, b"http/1.1").await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Its end is the last answer's.
        tokio::spawn(connection);
        Ok(sender)
    }

    /// A connection by HTTP/2 for any number of requests.
    ///
    /// # Errors
    /// As [`Https::connect`].
    pub async fn http2(&self) -> Result<http2::SendRequest<Full<Bytes>>> {
        let stream = self.connect(rustls::DEFAULT_VERSIONS, b"h2").await?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        // Its end is the last answer's.
        tokio::spawn(connection);
        Ok(sender)
    }
}

impl Answer {
    /// Reads a response to its end.
    ///
    /// # Errors
    /// When it breaks off.
    pub async fn read(response: hyper::Response<hyper::body::Incoming>) -> Result<Self> {
        let (head, body) = response.into_parts();
        let body = body.collect().await.context("failed to read the answer to its end")?.to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Self { status: head.status.as_u16(), headers: head.headers, body })
    }
}
