//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Turns GoodGoServices into everything that such services need, and keeps it so.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Reconcile the cluster that KUBECONFIG or the pod's ServiceAccount points at.
    Run(RunArgs),
    /// Print the CustomResourceDefinition as YAML.
    Crd,
    /// Print the ClusterRole, and the Role of the operator's own namespace, as YAML.
    Rbac(RbacArgs),
}

/// How to run.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Configuration file; every default without one.
    #[arg(long, env = "GOODGO_CONFIG")]
    pub config: Option<PathBuf>,
    /// Address of /livez, /readyz and /metrics.
    #[arg(long, env = "GOODGO_ADMIN_ADDRESS", default_value = "0.0.0.0:8080")]
    pub admin_address: SocketAddr,
    /// The operator's own namespace, where its Lease is.
    #[arg(long, env = "POD_NAMESPACE", default_value = "goodgo-system")]
    pub namespace: String,
    /// Name of the Lease.
    #[arg(long, default_value = "goodgo-operator")]
    pub lease: String,
    /// Who this process is, to the Lease and in Events.
    #[arg(long, env = "POD_NAME", default_value = "goodgo-operator")]
    pub identity: String,
    /// What is logged, such as `info,goodgo_operator=debug`.
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    pub log: String,
}

/// What the roles are called.
#[derive(Clone, Debug, Args)]
pub struct RbacArgs {
    /// Name of both roles.
    #[arg(long, default_value = "goodgo-operator")]
    pub name: String,
    /// The operator's own namespace.
    #[arg(long, default_value = "goodgo-system")]
    pub namespace: String,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
