//! HAProxy: one thread, connections to the origin reused for any client, retries on.

use super::{Peer, free_ports, loopback};
use crate::bench::process::Process;
use crate::bench::target::Target;
use crate::paths;
use anyhow::Result;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// Starts it in front of `origin`.
///
/// # Errors
/// When it does not start.
pub(crate) fn haproxy(folder: &Path, origin: SocketAddr) -> Result<Peer> {
    let [port] = free_ports()?;
    let config = folder.join("haproxy.cfg");
    paths::write(&config, cfg(port, origin))?;
    // -db: in the foreground, so that the id is the worker's.
    let args = ["-db", "-f", &config.to_string_lossy()].map(str::to_owned);
    let mut process = Process::start(folder, "haproxy", Path::new("haproxy"), &args)?;
    process.listening(loopback(port))?;
    let target = Target::at(loopback(port));
    Ok(Peer { name: "HAProxy", hops: 1, target, processes: vec![Arc::new(process)] })
}

/// It wants two files for every possible connection; the limit of open files may be lower, and the origin's are few.
fn cfg(port: u16, origin: SocketAddr) -> String {
    format!(
        "\
global
  nbthread 1
  maxconn 16384
  no strict-limits
defaults
  mode http
  option http-keep-alive
  option redispatch
  http-reuse always
  retries 2
  retry-on conn-failure empty-response 502 503 504
  timeout connect 1s
  timeout client 300s
  timeout server 5s
  timeout http-keep-alive 300s
frontend inbound
  bind 127.0.0.1:{port}
  default_backend origin
backend origin
  server origin {origin}
"
    )
}
