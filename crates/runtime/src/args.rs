//! The command line: what is frozen in the pod template.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Parser;
use goodgo_runtime_config::ports;

const AFTER_HELP: &str = "\
How it is used:
  The operator puts this program beside each app as a native sidecar:

    goodgo-runtime --config /etc/goodgo/runtime/runtime.json \\
      --app-port 3000 --call iam-service=14100 --call payments=14101

  Callers reach the app through --service-port. The app reaches a declared call at http://127.0.0.1:<its port>;
  where that goes stands in the configuration file and may change at any time without a restart.

  The app container's preStop hook calls GET :14011/drain, which answers when the pod serves nobody any more.

Try it:
  goodgo-runtime --check runtime.json            is this file good? (exit code 0 or 1, reason on stderr)
  curl localhost:14010/config                    which revision runs, and the last refused one's reason
  curl localhost:14010/metrics                   Prometheus text";

/// The communication runtime beside a GoodGo service: forwards traffic to the app and the app's calls to their callees,
/// follows its configuration file while it runs, and drains the pod without losing a request.
#[derive(Debug, Clone, Parser)]
#[command(name = "goodgo-runtime", version, after_long_help = AFTER_HELP)]
pub struct Args {
    /// Configuration file that the operator writes; watched, and swapped in while running.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/goodgo/runtime/runtime.json",
        env = "GOODGO_RUNTIME_CONFIG"
    )]
    pub config: PathBuf,

    /// Time between two looks at the configuration file.
    #[arg(
        long,
        value_name = "MILLISECONDS",
        default_value_t = 250,
        value_parser = clap::value_parser!(u32).range(1..=60_000)
    )]
    pub config_interval: u32,

    /// Validate this configuration file, say what is wrong with it, and exit.
    #[arg(long, value_name = "FILE", exclusive = true)]
    pub check: Option<PathBuf>,

    /// Port of the app on 127.0.0.1; without it (an app that speaks no HTTP) only calls are served.
    #[arg(long, value_name = "PORT")]
    pub app_port: Option<u16>,

    /// A declared call and its loopback port; once per call.
    #[arg(long = "call", value_name = "NAME=PORT")]
    pub calls: Vec<CallPort>,

    /// Port for traffic to the app from inside the cluster.
    #[arg(long, value_name = "PORT", default_value_t = ports::SERVICE)]
    pub service_port: u16,

    /// Port for traffic to the app from the gateway.
    #[arg(long, value_name = "PORT", default_value_t = ports::GATEWAY)]
    pub gateway_port: u16,

    /// Port for probes, running configuration and metrics.
    #[arg(long, value_name = "PORT", default_value_t = ports::ADMIN)]
    pub admin_port: u16,

    /// Port for the preStop hook.
    #[arg(long, value_name = "PORT", default_value_t = ports::DRAIN)]
    pub drain_port: u16,

    /// Address of the service, gateway, admin and drain listeners; calls always listen on 127.0.0.1.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0")]
    pub listen: IpAddr,

    /// The pod's termination grace period. A pod that lives longer after its drain was not ended (the app was restarted
    /// by a probe), and the runtime starts over.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub grace_period: u32,

    /// Threads that carry traffic. One is enough for tens of thousands of requests a second.
    #[arg(long, value_name = "N", default_value = "1", env = "GOODGO_RUNTIME_WORKER_THREADS")]
    pub worker_threads: NonZeroUsize,

    /// Folder with this pod's tokens: one file per call whose callee asks who calls, named after the call.
    #[arg(long, value_name = "DIR", default_value = "/var/run/goodgo/tokens", env = "GOODGO_RUNTIME_TOKENS")]
    pub tokens_dir: PathBuf,

    /// Folder with fixed keys for callers without a runtime: one file per key, all valid at once.
    #[arg(long, value_name = "DIR", default_value = "/etc/goodgo/keys", env = "GOODGO_RUNTIME_KEYS")]
    pub keys_dir: PathBuf,

    /// Time for a request's head from its first byte on; after it, 408.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub head_timeout: u32,

    /// Time for which the client of an unfinished body may send nothing; after it, 408. Streams of gRPC have none. Also the
    /// time for which a client may take nothing of an answer; after it, the answer is cut off.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub body_timeout: u32,

    /// Connections that one listener has open at once; further ones wait in the accept queue.
    #[arg(long, value_name = "N", default_value = "10000")]
    pub max_connections: NonZeroUsize,

    /// PEM file with trust anchors for TLS (https calls, issuers' keys, databases, the collector of traces), in addition to
    /// the public ones that are built in and those of the system (SSL_CERT_FILE, SSL_CERT_DIR, /etc/ssl).
    #[arg(long, value_name = "FILE", env = "GOODGO_RUNTIME_TLS_CA_FILE")]
    pub tls_ca_file: Option<PathBuf>,

    /// DNS server that is asked for callees, instead of those of /etc/resolv.conf; names are then taken as they are,
    /// without a search list.
    #[arg(long, value_name = "ADDRESS:PORT", env = "GOODGO_RUNTIME_DNS_SERVER")]
    pub dns_server: Option<SocketAddr>,
    /// Folder with the URLs of what the service depends on: the files `database` and `redis`. Read again at each check.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/etc/goodgo/dependencies",
        env = "GOODGO_RUNTIME_DEPENDENCIES_DIR"
    )]
    pub dependencies_dir: PathBuf,

    /// What is logged (JSON lines on stderr): a level, or directives such as info,goodgo_runtime=debug.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "GOODGO_RUNTIME_LOG")]
    pub log: String,
}

/// One `--call NAME=PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallPort {
    /// The call's name, as in the configuration file.
    pub name: String,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

impl FromStr for CallPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, port) = text
            .split_once('=')
            .ok_or_else(|| "write it as NAME=PORT, for example iam-service=14100".to_owned())?;
        if name.is_empty() {
            return Err("the call's name is missing before '='".to_owned());
        }
        let port = port.parse().map_err(|_| format!("{port:?} is not a port (0 to 65535)"))?;
        Ok(Self { name: name.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_operators_command_line_is_understood() {
        let args = Args::try_parse_from([
            "goodgo-runtime",
            "--config",
            "/etc/goodgo/runtime/runtime.json",
            "--service-port",
            "14001",
            "--app-port",
            "3000",
            "--call",
            "iam-service=14100",
            "--call",
            "payments=14101",
        ])
        .unwrap();
        assert_eq!(args.app_port, Some(3000));
        assert_eq!(args.gateway_port, 14002);
        assert_eq!(args.calls.len(), 2);
        assert_eq!(args.calls[1], CallPort { name: "payments".to_owned(), port: 14101 });
        assert_eq!(args.worker_threads.get(), 1);
    }

    #[test]
    fn a_call_without_a_port_is_refused_with_the_remedy() {
        for text in ["iam-service", "=1", "iam-service=", "iam-service=70000"] {
            let error = Args::try_parse_from(["goodgo-runtime", "--call", text]).unwrap_err().to_string();
            assert!(error.contains("NAME=PORT"), "{error}");
        }
    }

    #[test]
    fn the_help_is_consistent() {
        Args::command().debug_assert();
    }
}
