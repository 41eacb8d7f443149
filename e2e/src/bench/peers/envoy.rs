//! Envoy: one worker, retries and outlier detection on, as a mesh would configure a sidecar.

use super::{CONNECTIONS, Peer, free_ports, loopback};
use crate::bench::process::Process;
use crate::bench::target::Target;
use crate::paths;
use crate::wheel;
use anyhow::Result;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// Starts it in front of `origin`.
///
/// # Errors
/// When it is not to be had or does not start.
pub(crate) fn envoy(folder: &Path, origin: SocketAddr) -> Result<Peer> {
    let program = wheel::ENVOY.program()?;
    let [port] = free_ports()?;
    let config = folder.join("envoy.yaml");
    paths::write(&config, yaml(port, origin))?;
    let config = config.to_string_lossy();
    let args = ["-c", &config, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"];
    let mut process = Process::start(folder, "envoy", &program, &args.map(str::to_owned))?;
    process.listening(loopback(port))?;
    let target = Target::at(loopback(port));
    Ok(Peer { name: "Envoy", hops: 1, target, processes: vec![Arc::new(process)] })
}

fn yaml(port: u16, origin: SocketAddr) -> String {
    let (host, origin_port) = (origin.ip(), origin.port());
    format!(
        "\
static_resources:
  listeners:
  - name: inbound
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: inbound
          route_config:
            virtual_hosts:
            - name: origin
              domains: ['*']
              routes:
              - match: {{prefix: /}}
                route:
                  cluster: origin
                  timeout: 5s
                  retry_policy:
                    retry_on: connect-failure,refused-stream,reset-before-request,retriable-status-codes
                    retriable_status_codes: [502, 503, 504]
                    num_retries: 2
                    retry_back_off: {{base_interval: 0.1s, max_interval: 2s}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: origin
    type: STATIC
    connect_timeout: 1s
    outlier_detection: {{consecutive_5xx: 5, interval: 1s, base_ejection_time: 10s}}
    circuit_breakers:
      thresholds:
      - {{max_connections: {CONNECTIONS}, max_requests: {CONNECTIONS}, max_pending_requests: {CONNECTIONS}, retry_budget: {{}}}}
    load_assignment:
      cluster_name: origin
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: {host}, port_value: {origin_port}}}}}}}
"
    )
}
