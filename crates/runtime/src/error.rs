//! What can keep the runtime from starting or make it end. Failures of single requests are `proxy::Failure`.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the runtime can't run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A listener's address can't be bound; most often another process has the port.
    #[error("failed to bind the {listener} listener to {address}")]
    Bind {
        /// The listener's name, as in the port table.
        listener: String,
        /// Address that was asked for.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The handler of SIGTERM and SIGINT can't be installed.
    #[error("failed to listen for signals")]
    Signals(#[source] std::io::Error),
    /// The thread that watches the configuration file can't be started.
    #[error("failed to start the configuration watcher")]
    Watch(#[source] std::io::Error),
    /// The thread that answers on the admin port can't be started.
    #[error("failed to start the admin port's thread")]
    Aside(#[source] std::io::Error),
    /// The extra trust anchors can't be read.
    #[error("failed to read trust anchors from {path}: {reason}")]
    TrustAnchors {
        /// The PEM file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The TLS library refused its own defaults.
    #[error("failed to set up TLS")]
    Tls(#[source] tokio_rustls::rustls::Error),
    /// The resolver refused its configuration.
    #[error("failed to set up name resolution: {0}")]
    Resolver(String),
    /// The process can't write logs.
    #[error("failed to set up logging: {0}")]
    Telemetry(String),
}
