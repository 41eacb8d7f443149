//! `goodgo-dev up` and `down`.

use anyhow::Result;
use goodgo_e2e::cluster::{Cluster, DEFAULT, Lifetime, Wanted, down_command};
use goodgo_e2e::host;
use goodgo_e2e::plan::{Nodes, Options};
use goodgo_e2e::progress::say;
use goodgo_e2e::test_run::{CLUSTER, TestRun};

/// Which cluster.
#[derive(Debug, clap::Args)]
pub(crate) struct Name {
    /// Its name; clusters of different names, and of different checkouts, run side by side
    #[arg(long, default_value = DEFAULT, env = "GOODGO_CLUSTER")]
    pub(crate) name: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    name: Name,
    #[command(flatten)]
    cluster: Settings,
}

/// How a cluster is made when it is not up yet.
#[derive(Debug, clap::Args)]
pub(crate) struct Settings {
    /// Simulate the nodes even where pods could run
    #[arg(long)]
    simulated: bool,
    /// Seconds the autoscaler waits before it scales down (Kubernetes' default is 300)
    #[arg(long, default_value_t = Options::default().downscale_stabilization_seconds)]
    downscale_stabilization: u32,
}

impl Settings {
    /// Prepares the machine and decides whether pods can run on it.
    pub(crate) fn wanted(&self) -> Result<Wanted> {
        host::prepare()?;
        let options =
            Options { downscale_stabilization_seconds: self.downscale_stabilization, ..Options::default() };
        let obstacle = if self.simulated { Some("asked for".to_owned()) } else { host::prepare_for_pods()? };
        let nodes = if let Some(obstacle) = obstacle {
            say(&format!(
                "nodes are SIMULATED ({obstacle}): statuses move, nothing runs and no call can be made"
            ));
            Nodes::Simulated
        } else {
            Nodes::Real
        };
        Ok(Wanted { nodes, options, lifetime: Lifetime::UntilDown })
    }
}

pub(crate) async fn up(arguments: &Arguments) -> Result<()> {
    let name = &arguments.name.name;
    let cluster = Cluster::up(name, arguments.cluster.wanted()?).await?;
    println!("export KUBECONFIG={}", cluster.kubeconfig().display());
    println!("export PATH={}:$PATH   # kubectl and helm", super::parts::folder()?.display());
    println!("# when done: {}", down_command(name));
    Ok(())
}

pub(crate) fn down(name: &Name) -> Result<()> {
    // The test cluster belongs to its test run: only what a run left behind is removed.
    let _mine = (name.name == CLUSTER).then(TestRun::begin).transpose()?;
    Cluster::down(&name.name)?;
    say(&format!("cluster {} is gone", name.name));
    Ok(())
}
