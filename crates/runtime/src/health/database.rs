//! PostgreSQL: `SELECT 1` over one kept connection.
//!
//! One that ended in between (a serverless database that went to sleep, a failover) is made again within the same check:
//! only a database that can't be had now has failed.

use std::error::Error as _;
use std::sync::Arc;

use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::check::{Error, Probe};
use super::postgres_url::{self, Trust};
use super::url::UrlFile;
use crate::upstream::Tls;

pub(super) struct Database {
    url: UrlFile,
    verified: MakeRustlsConnect,
    anybody: MakeRustlsConnect,
    kept: Option<Client>,
}

impl Database {
    pub(super) fn new(url: UrlFile, tls: &Tls) -> Self {
        let verified = tls.client_config();
        Self {
            url,
            anybody: MakeRustlsConnect::new(unverified(verified.clone())),
            verified: MakeRustlsConnect::new(verified),
            kept: None,
        }
    }

    async fn connect(&self, url: &str) -> Result<Client, Error> {
        let (config, trust) = postgres_url::parse(url)?;
        match (config.get_ssl_mode(), trust) {
            (tokio_postgres::config::SslMode::Disable, _) => connect(&config, NoTls).await,
            (_, Trust::Anybody) => connect(&config, self.anybody.clone()).await,
            (_, Trust::Verified) => connect(&config, self.verified.clone()).await,
        }
    }
}

async fn connect<T>(config: &tokio_postgres::Config, tls: T) -> Result<Client, Error>
where
    T: MakeTlsConnect<Socket, Stream: Send + 'static>,
{
    let (client, connection) = config.connect(tls).await.map_err(|error| answer(&error))?;
    // Ends with the client.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = %answer(&error), "the database connection of the check ended");
        }
    });
    Ok(client)
}

impl Probe for Database {
    async fn check(&mut self) -> Result<(), Error> {
        let (url, changed) = self.url.read()?;
        let url = url.to_owned();
        // Taken out while it is in use: a check that is given up leaves a connection in an unknown state behind.
        if let Some(client) = self.kept.take().filter(|client| !changed && !client.is_closed())
            && client.simple_query("SELECT 1").await.is_ok()
        {
            self.kept = Some(client);
            return Ok(());
        }
        let client = self.connect(&url).await?;
        client.simple_query("SELECT 1").await.map_err(|error| answer(&error))?;
        self.kept = Some(client);
        Ok(())
    }
}

/// What the server or the system said. Neither ever repeats a password.
fn answer(error: &tokio_postgres::Error) -> Error {
    if let Some(said) = error.as_db_error() {
        return Error::Answer(format!("{} ({})", said.message(), said.code().code()));
    }
    match error.source() {
        Some(source) => Error::Answer(format!("{error}: {source}")),
        None => Error::Answer(error.to_string()),
    }
}

/// libpq's `prefer`: encrypted if the server can, without asking who it is.
pub(super) fn unverified(mut config: ClientConfig) -> ClientConfig {
    config.dangerous().set_certificate_verifier(Arc::new(Anybody(Arc::new(aws_lc_rs::default_provider()))));
    config
}

/// Believes every certificate. Only where the URL permits no TLS at all.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
