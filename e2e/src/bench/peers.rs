//! What stands between client and origin, one file a peer. All run at the same time and idle until their turn.

mod daprd;
mod envoy;
mod goodgo;
mod haproxy;
mod nginx;

pub(crate) use daprd::{daprd, daprd_twice};
pub(crate) use envoy::envoy;
pub(crate) use goodgo::{CALLS, GoodGo};
pub(crate) use haproxy::haproxy;
pub(crate) use nginx::nginx;

use super::process::Process;
use super::target::Target;
use anyhow::{Context, Result};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

/// Requests that the client may have open to a peer, and the peer to the origin, with room to spare.
const CONNECTIONS: u32 = 1024;

/// One way from the client to the origin.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Its name in tables.
    pub(crate) name: &'static str,
    /// Proxies on the way.
    pub(crate) hops: u32,
    /// Where requests go.
    pub(crate) target: Target,
    /// The proxies on the way.
    pub(crate) processes: Vec<Arc<Process>>,
}

/// `N` different ports on loopback that nobody has.
///
/// # Errors
/// When there are none.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    // Kept until all are found, so that none is found twice.
    let mut held = Vec::with_capacity(N);
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to find a free port")?;
        *port = listener.local_addr().context("failed to find a free port")?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// A port of this machine.
pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
