//! TLS towards callees outside the cluster: the certificate and its name are always verified.
//!
//! The public trust anchors are compiled in, because the image is empty. Those of the system that the runtime finds itself
//! in are added (`SSL_CERT_FILE`, `SSL_CERT_DIR`, the places where distributions keep them), and those of a PEM file.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::Error;

/// What is spoken inside; each has its own connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alpn {
    Http1,
    Http2,
}

/// Opens verified TLS sessions. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl Tls {
    /// With the public trust anchors, the system's, and those in the PEM file `extra`.
    ///
    /// # Errors
    /// [`Error::TrustAnchors`] when `extra` can't be read, is no PEM, or has no usable certificate.
    pub(crate) fn new(extra: Option<&Path>) -> Result<Self, Error> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        add_system(&mut roots);
        if let Some(path) = extra {
            add(&mut roots, path).map_err(|reason| Error::TrustAnchors { path: path.to_owned(), reason })?;
        }
        let mut http1 = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(Error::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut http2 = http1.clone();
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        http2.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { http1: Arc::new(http1), http2: Arc::new(http2) })
    }

    /// The same trust without a protocol inside, for what is neither HTTP/1.1 nor HTTP/2.
    pub(crate) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::clone(&self.http1);
        config.alpn_protocols.clear();
        config
    }

    /// Handshake with `host` over `stream`; a final dot of the name is not part of SNI (RFC 6066 3).
    pub(crate) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
        alpn: Alpn,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.strip_suffix('.').unwrap_or(host).to_owned())
            .map_err(io::Error::other)?;
        let config = match alpn {
            Alpn::Http1 => &self.http1,
            Alpn::Http2 => &self.http2,
        };
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
        let (_, session) = stream.get_ref();
        if alpn == Alpn::Http2 && session.alpn_protocol() != Some(b"h2") {
            return Err(io::Error::other("the callee does not speak HTTP/2"));
        }
        Ok(stream)
    }
}

/// A system may have none, and one that can't be read must not keep a pod from starting: without it calls fail that need
/// it, and say so.
fn add_system(roots: &mut RootCertStore) {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "failed to read some of the system's trust anchors");
    }
    for certificate in found.certs {
        let before = roots.len();
        // What is no certificate for this library was none yesterday either: distributions carry a few of them.
        if roots.add(certificate).is_ok()
            && let Some((added, known)) = roots.roots.split_last()
            && known.get(..before).is_some_and(|known| known.contains(added))
        {
            roots.roots.pop();
        }
    }
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let before = roots.len();
    for certificate in certificates {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.len() == before {
        return Err("there is no certificate in it".to_owned());
    }
    Ok(())
}
