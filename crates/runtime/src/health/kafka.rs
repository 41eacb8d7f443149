//! Kafka: whether one of the bootstrap brokers accepts a connection.

use tokio::net::TcpStream;

use super::check::{Error, Probe};

pub(super) struct Kafka {
    bootstrap: Vec<String>,
}

impl Kafka {
    pub(super) fn new(bootstrap: Vec<String>) -> Self {
        Self { bootstrap }
    }
}

impl Probe for Kafka {
    async fn check(&mut self) -> Result<(), Error> {
        if self.bootstrap.is_empty() {
            return Err(Error::BadUrl("there is no broker in it"));
        }
        // All at once: the first ones may be the dead ones.
        let connecting = self.bootstrap.iter().map(|broker| {
            Box::pin(async move {
                let connected = TcpStream::connect(broker.as_str()).await;
                connected.map_err(|source| Error::Connect { to: broker.clone(), source })
            })
        });
        futures::future::select_ok(connecting).await.map(|_| ())
    }
}
