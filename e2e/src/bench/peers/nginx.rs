//! nginx: one process that is its own worker, connections to the origin kept alive.

use super::{CONNECTIONS, Peer, free_ports, loopback};
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
pub(crate) fn nginx(folder: &Path, origin: SocketAddr) -> Result<Peer> {
    let [port] = free_ports()?;
    let config = folder.join("nginx.conf");
    paths::write(&config, conf(folder, port, origin))?;
    let (config, prefix) = (config.to_string_lossy(), folder.to_string_lossy());
    let args = ["-c", &config, "-p", &prefix].map(str::to_owned);
    let mut process = Process::start(folder, "nginx", Path::new("nginx"), &args)?;
    process.listening(loopback(port))?;
    let target = Target::at(loopback(port));
    Ok(Peer { name: "nginx", hops: 1, target, processes: vec![Arc::new(process)] })
}

fn conf(folder: &Path, port: u16, origin: SocketAddr) -> String {
    let folder = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {folder}/nginx-{kind};\n"))
        .concat();
    format!(
        "\
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 32768; }}
http {{
{temporary}  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 300s;
  upstream origin {{
    server {origin};
    keepalive {CONNECTIONS};
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_next_upstream error timeout http_502 http_503 http_504;
      proxy_next_upstream_tries 3;
    }}
  }}
}}
"
    )
}
