//! Kafka: whether one of the bootstrap brokers answers.
//!
//! It is asked for the versions of its protocol, which every listener answers before it asks who is there, SASL or not. A
//! listener that speaks TLS takes that for a broken session; a handshake is all that can be asked of it then, as the check
//! has no certificate to show. Nothing secret is sent, so that it does not matter which certificate the broker has.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig};

use super::check::{Error, Probe};
use super::database::unverified;
use crate::upstream::Tls;

/// `ApiVersions`, version 0, of a client without a name (<https://kafka.apache.org/protocol#The_Messages_ApiVersions>):
/// length, key 18, version, correlation id, length of the name.
const QUESTION: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, b'g', b'o', b'o', b'd', 0xff, 0xff];
const CORRELATION_ID: [u8; 4] = *b"good";
/// Shortest and longest answer, in bytes: correlation id, error and the number of versions; no broker has thousands.
const ANSWER_LENGTH: std::ops::RangeInclusive<u32> = 10..=65_536;
/// First bytes of an alert of TLS 1.0 to 1.3, as servers send it to who speaks something else.
const TLS_ALERT: [u8; 2] = [21, 3];
/// What one broker has for its answer, so that a silent one is named.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

pub(super) struct Kafka {
    bootstrap: Vec<String>,
    tls: TlsConnector,
}

/// What came back.
enum Answer {
    Versions,
    /// Nothing, or an alert: perhaps it speaks TLS.
    Refused,
}

impl Kafka {
    pub(super) fn new(bootstrap: Vec<String>, tls: &Tls) -> Self {
        let config: ClientConfig = unverified(tls.client_config());
        Self { bootstrap, tls: TlsConnector::from(Arc::new(config)) }
    }

    async fn ask(&self, broker: &str) -> Result<(), Error> {
        let asking = async {
            match question(connect(broker).await?, broker).await? {
                Answer::Versions => Ok(()),
                Answer::Refused => self.shake_hands(connect(broker).await?, broker).await,
            }
        };
        let answer = tokio::time::timeout(ANSWER_LIMIT, asking).await;
        answer.unwrap_or_else(|_| {
            Err(Error::Answer(format!("{broker} says nothing within {} s", ANSWER_LIMIT.as_secs())))
        })
    }

    async fn shake_hands(&self, stream: TcpStream, broker: &str) -> Result<(), Error> {
        let host = broker.rsplit_once(':').map_or(broker, |(host, _)| host).trim_matches(['[', ']']);
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| Error::BadUrl("a broker has no host"))?;
        match self.tls.connect(name, stream).await {
            Ok(_) => Ok(()),
            // It wants to see a certificate, or a version that is not spoken here: somebody is there.
            Err(error) if is_alert(&error) => Ok(()),
            Err(_) => Err(Error::Answer(format!("{broker} speaks neither Kafka nor TLS"))),
        }
    }
}

fn is_alert(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::AlertReceived(_)))
}

async fn connect(broker: &str) -> Result<TcpStream, Error> {
    TcpStream::connect(broker).await.map_err(|source| Error::Connect { to: broker.to_owned(), source })
}

async fn question(mut stream: TcpStream, broker: &str) -> Result<Answer, Error> {
    let mut head = [0; 8];
    let asked = async {
        stream.write_all(&QUESTION).await?;
        stream.read_exact(&mut head).await
    };
    let ended = asked.await.is_err();
    if head.starts_with(&TLS_ALERT) || (ended && head == [0; 8]) {
        return Ok(Answer::Refused);
    }
    let [a, b, c, d, correlation_id @ ..] = head;
    let length = u32::from_be_bytes([a, b, c, d]);
    if ended || correlation_id != CORRELATION_ID || !ANSWER_LENGTH.contains(&length) {
        return Err(Error::Answer(format!("{broker} does not speak Kafka's protocol")));
    }
    Ok(Answer::Versions)
}

impl Probe for Kafka {
    async fn check(&mut self) -> Result<(), Error> {
        if self.bootstrap.is_empty() {
            return Err(Error::BadUrl("there is no broker in it"));
        }
        // All at once: the first ones may be the dead ones.
        let asking = self.bootstrap.iter().map(|broker| Box::pin(self.ask(broker)));
        futures::future::select_ok(asking).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    use super::*;

    /// Serves each connection with `serve`.
    async fn broker<F, R>(serve: F) -> SocketAddr
    where
        F: Fn(TcpStream) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        address
    }

    async fn check(broker: SocketAddr) -> Result<(), Error> {
        Kafka::new(vec![broker.to_string()], &Tls::new(None).unwrap()).check().await
    }

    /// Answers what it is asked as a broker does, with one version of one message.
    async fn answering(mut stream: TcpStream) {
        let mut question = [0; 14];
        stream.read_exact(&mut question).await.unwrap();
        assert_eq!(question[4..8], [0, 18, 0, 0]);
        let mut answer = vec![0, 0, 0, 16];
        answer.extend_from_slice(&question[8..12]);
        answer.extend_from_slice(&[0, 0, 0, 0, 0, 1, 0, 18, 0, 0, 0, 3]);
        stream.write_all(&answer).await.unwrap();
    }

    fn acceptor() -> TlsAcceptor {
        let made = rcgen::generate_simple_self_signed(vec!["kafka".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    #[tokio::test]
    async fn a_broker_is_up_when_it_answers_in_its_protocol_or_over_tls() {
        check(broker(answering).await).await.unwrap();
        let tls = acceptor();
        let secure = broker(move |stream| {
            let tls = tls.clone();
            async move {
                let Ok(mut stream) = tls.accept(stream).await else { return };
                let _ = stream.read_u8().await;
            }
        });
        check(secure.await).await.unwrap();
    }

    #[tokio::test]
    async fn a_port_that_accepts_and_is_no_broker_is_down() {
        let closing = broker(|stream| async move { drop(stream) }).await;
        let http = broker(|mut stream: TcpStream| async move {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            let _ = stream.read(&mut [0; 64]).await;
        })
        .await;
        for (what, address) in [("it closes", closing), ("it speaks HTTP", http)] {
            let error = check(address).await.expect_err(what).to_string();
            assert!(error.contains("Kafka"), "{error}");
        }
        let silent = broker(|stream| async move {
            std::future::pending::<()>().await;
            drop(stream);
        })
        .await;
        let error = check(silent).await.expect_err("it is silent").to_string();
        assert!(error.contains("says nothing"), "{error}");
        let both = vec![silent.to_string(), broker(answering).await.to_string()];
        Kafka::new(both, &Tls::new(None).unwrap()).check().await.unwrap();
    }
}
