//! One small program that plays every service of the GoodGo platform: the examples and the tests run it beside the
//! runtime, and it knows nothing of it. Calls go to the URL in `<SERVICE>_URL`, as any app's would.
//!
//! | variable | default | meaning |
//! | --- | --- | --- |
//! | `SERVICE_NAME` | `demo` | whose endpoints it serves, see [`routes`] |
//! | `PORT` | 3000 | where it listens |
//! | `HOSTNAME` | | the pod's name, told by `/whoami` |
//! | `EXIT_AT_ONCE` | true | on SIGTERM exit without finishing anything: the worst that an app can do to its callers |

mod call;
mod grpc;
mod routes;
mod serve;
mod websocket;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::call::Callees;
use crate::routes::Demo;

/// Two threads: `/burn` must not starve the probes on a machine with one core.
#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().json().flatten_event(true).with_writer(std::io::stderr).init();
    let demo = Demo {
        service: variable("SERVICE_NAME").unwrap_or_else(|| "demo".to_owned()),
        pod: variable("HOSTNAME").unwrap_or_default(),
        callees: Callees::new(|callee| variable(&Callees::variable(callee))),
        sick: AtomicBool::new(false),
    };
    let port = match variable("PORT") {
        Some(port) => port.parse().with_context(|| format!("failed to read PORT: {port:?} is not a port"))?,
        None => 3000,
    };
    let exit_at_once = variable("EXIT_AT_ONCE").is_none_or(|value| value != "false");

    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("failed to listen on {address}"))?;
    tracing::info!(service = demo.service, %address, exit_at_once, "listening");
    // As PID 1 of a container a process that does not handle SIGTERM ignores it.
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let told = async move {
        terminate.recv().await;
        tracing::info!("SIGTERM");
        if exit_at_once {
            std::process::exit(0);
        }
    };
    serve::serve(listener, routes::router(Arc::new(demo)), told).await;
    Ok(())
}

/// Empty counts as unset.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
