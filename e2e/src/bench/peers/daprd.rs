//! Dapr's sidecar: service invocation, to its own app (one hop) and to another's through that one's sidecar (two hops).
//! Names are resolved with mDNS, so that no other part of Dapr is needed.

use super::{Peer, free_ports, loopback};
use crate::bench::process::Process;
use crate::bench::target::{Size, Target};
use crate::{paths, tools};
use anyhow::Result;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// Starts a sidecar beside `origin`, and loads it through that one alone.
///
/// # Errors
/// When it is not to be had or does not start.
pub(crate) fn daprd(folder: &Path, origin: SocketAddr) -> Result<Peer> {
    let (process, port) = start(folder, "daprd-callee", "callee", Some(origin))?;
    let target = invoking(port, "callee");
    Ok(Peer { name: "daprd", hops: 1, target, processes: vec![Arc::new(process)] })
}

/// Starts the caller's sidecar, which goes through `callee`'s to its app.
///
/// # Errors
/// When it does not start or does not find the other within half a minute.
pub(crate) fn daprd_twice(folder: &Path, callee: &Peer) -> Result<Peer> {
    let (mut process, port) = start(folder, "daprd-caller", "caller", None)?;
    let target = invoking(port, "callee");
    process.until("find the callee by mDNS", || {
        super::super::load::connection::Connection::open(&target, Size::Kilobyte)
            .and_then(|mut connection| connection.exchange(&target, Size::Kilobyte, 1))
            .is_ok()
    })?;
    let processes = [vec![Arc::new(process)], callee.processes.clone()].concat();
    Ok(Peer { name: "daprd → daprd", hops: 2, target, processes })
}

fn invoking(port: u16, app: &str) -> Target {
    Target { prefix: format!("/v1.0/invoke/{app}/method"), ..Target::at(loopback(port)) }
}

fn start(folder: &Path, name: &str, app: &str, origin: Option<SocketAddr>) -> Result<(Process, u16)> {
    tools::ensure(&[tools::DAPRD])?;
    let [http, grpc, internal, metrics] = free_ports()?;
    let resources = folder.join("dapr-resources");
    paths::write(&resources.join("empty.yaml"), "")?;
    let mut args: Vec<String> = [
        ("app-id", app.to_owned()),
        ("mode", "standalone".to_owned()),
        ("dapr-http-port", http.to_string()),
        ("dapr-grpc-port", grpc.to_string()),
        ("dapr-internal-grpc-port", internal.to_string()),
        ("metrics-port", metrics.to_string()),
        ("dapr-listen-addresses", "127.0.0.1".to_owned()),
        ("enable-mtls", "false".to_owned()),
        ("resources-path", resources.to_string_lossy().into_owned()),
        ("log-level", "warn".to_owned()),
    ]
    .iter()
    .map(|(flag, value)| format!("--{flag}={value}"))
    .collect();
    if let Some(origin) = origin {
        args.push(format!("--app-port={}", origin.port()));
    }
    // What it announces; by default it would be an address of some interface.
    let env = [("DAPR_HOST_IP", "127.0.0.1")];
    let mut process = Process::start_with(folder, name, &tools::DAPRD.path()?, &args, &env)?;
    process.listening(loopback(http))?;
    Ok((process, http))
}
