//! A cluster with real pods, isolated so that several live on one machine and one kill ends all of it.
//!
//! ```text
//! up ── record, network, cgroups ──► outer: nsenter --net, unshare --mount --pid --kill-child
//!                                      └─ init (PID 1): private mounts, reaps orphans
//!                                           └─ supervise: starts the parts, writes status.json
//!                                                └─ etcd, kube-apiserver, containerd, kubelet, pods …
//! ```
//! Killing the outer process ends everything inside at once. What the kernel keeps by name (network
//! namespace, veth, cgroups) is recorded before it is made, so `down`, or the next `up`, finds it.

mod cgroup;
mod inside;
mod leftovers;
mod machine;
mod network;
mod record;

pub use inside::{init, outer, supervise};
pub use leftovers::{leftovers, leftovers_of_checkout};
pub use record::Record;

use crate::kubectl::Kubectl;
use crate::plan::{Nodes, Options, Plan};
use crate::process::{State, last_lines};
use crate::progress::Step;
use crate::{images, loopback, paths, pki, tools};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How a cluster stands, as its supervisor last wrote it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Status {
    /// All parts work and all manifests are applied.
    pub ready: bool,
    /// Why it is not, for good.
    pub failed: Option<String>,
    /// Each part.
    pub parts: BTreeMap<String, State>,
}

/// How long a cluster lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Until `down`.
    UntilDown,
    /// Until [`Cluster`] is dropped or its process ends, however it ends.
    WithCaller,
}

/// What a caller wants of a cluster that is not up yet.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Real or simulated.
    pub nodes: Nodes,
    /// Settings of its parts.
    pub options: Options,
    /// How long it lives.
    pub lifetime: Lifetime,
}

/// Name of the cluster that `make demo` brings up and `make down` ends.
pub const DEFAULT: &str = "dev";

/// What a person types to end the cluster of this name.
pub fn down_command(name: &str) -> String {
    if name == DEFAULT { "make down".to_owned() } else { format!("goodgo-dev down --name {name}") }
}

fn up_command(name: &str) -> String {
    if name == DEFAULT { "make demo".to_owned() } else { format!("goodgo-dev up --name {name}") }
}

/// A cluster that is up.
#[derive(Debug)]
pub struct Cluster {
    name: String,
    plan: Plan,
    owned: Option<File>,
}

impl Cluster {
    /// Brings the cluster of this name up, or returns the one that is.
    ///
    /// # Errors
    /// A part's own last words when it does not work; what the machine refused.
    pub async fn up(name: &str, wanted: Wanted) -> Result<Self> {
        let real = wanted.nodes == Nodes::Real;
        let pause = tokio::task::spawn_blocking(move || {
            tools::ensure(if real { &tools::CLUSTER } else { &tools::SIMULATED })?;
            real.then(images::pause).transpose()
        })
        .await??;
        let (plan, owned) = begin(name, &wanted)?;
        let cluster = Self { name: name.to_owned(), plan, owned };
        cluster.wait_until_up().await?;
        if let Some(pause) = pause {
            images::import(&cluster.plan, &pause)?;
        }
        Ok(cluster)
    }

    /// The cluster of this name, which must be up.
    ///
    /// # Errors
    /// When it is not.
    pub fn attach(name: &str) -> Result<Self> {
        let record = Record::of(name)?.filter(Record::is_alive);
        let Some(record) = record else {
            bail!("failed to find a running cluster {name}: bring it up with `{}`", up_command(name));
        };
        if let Some(reason) = status(&record.plan).failed {
            bail!("failed to use the cluster {name}: {reason}\n  end it with `{}`", down_command(name));
        }
        Ok(Self { name: name.to_owned(), plan: record.plan, owned: None })
    }

    /// Ends the cluster of this name and removes every trace of it, also of one that was killed.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn down(name: &str) -> Result<()> {
        let _machine = record::lock()?;
        if let Some(record) = Record::of(name)? {
            remove(&record)?;
        }
        sweep()
    }

    /// What it is called and where its files are.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The administrator's kubeconfig, usable from the host.
    pub fn kubeconfig(&self) -> PathBuf {
        self.plan.admin_kubeconfig()
    }

    /// kubectl as administrator.
    pub fn kubectl(&self) -> Kubectl {
        Kubectl::new(&self.kubeconfig())
    }

    /// A client as administrator.
    ///
    /// # Errors
    /// When the kubeconfig can't be used.
    pub async fn client(&self) -> Result<kube::Client> {
        Ok(kube::Client::try_from(self.plan.client_config().await?)?)
    }

    /// Takes the network of the pod with this address away, as if its node were gone.
    ///
    /// # Errors
    /// When there is no such pod.
    pub fn cut_off(&self, ip: &str) -> Result<()> {
        network::cut_off(&self.plan, ip)
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        status(&self.plan)
    }

    async fn wait_until_up(&self) -> Result<()> {
        let step = Step::begin("starting the cluster", None);
        let began = Instant::now();
        loop {
            let status = self.status();
            if let Some(reason) = status.failed {
                step.failed();
                bail!("failed to start the cluster: {reason}\n  end it with `{}`", down_command(&self.name));
            }
            if status.ready {
                step.done(&format!("{} parts ready", status.parts.len()));
                return Ok(());
            }
            let alive = Record::of(&self.name)?.is_some_and(|record| record.is_alive());
            if !alive && began.elapsed() > Duration::from_secs(5) {
                step.failed();
                bail!(
                    "failed to start the cluster: its supervisor ended\n{}",
                    last_lines(&self.plan.log("supervisor"))
                );
            }
            let waiting: Vec<String> = status
                .parts
                .iter()
                .filter(|(_, state)| matches!(state, State::Starting(_)))
                .map(|(name, _)| name.clone())
                .collect();
            let ready = status.parts.values().filter(|state| matches!(state, State::Ready(_))).count();
            step.advance(
                ready as u64,
                Some(status.parts.len() as u64),
                &format!("waiting for {}", waiting.join(", ")),
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.owned.is_some()
            && let Err(error) = Self::down(&self.name)
        {
            crate::progress::say(&format!("failed to remove the cluster {}: {error:#}", self.name));
        }
    }
}

/// How the cluster of this plan stands, as its supervisor last wrote it.
pub fn status(plan: &Plan) -> Status {
    fs::read(plan.file("status.json"))
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}

/// Makes what the cluster needs on the host and starts its outer process, unless it is running.
fn begin(name: &str, wanted: &Wanted) -> Result<(Plan, Option<File>)> {
    let _machine = record::lock()?;
    sweep()?;
    if let Some(record) = Record::of(name)? {
        if record.plan.nodes != wanted.nodes {
            bail!(
                "failed to use the cluster {name}: it runs with {:?} nodes; end it first with `{}`",
                record.plan.nodes,
                down_command(name)
            );
        }
        return Ok((record.plan, None));
    }
    let id = record::id(name);
    let subnet = network::free_subnet(&Record::all()?, wanted.nodes)?;
    let real = wanted.nodes == Nodes::Real;
    let plan = Plan {
        dir: paths::clusters()?.join(&id),
        id,
        nodes: wanted.nodes,
        address: if real { format!("10.{subnet}.1.2") } else { loopback::address()? },
        subnet,
        options: wanted.options.clone(),
    };
    // From here on a kill leaves something behind: the record comes first.
    Record::write(name, &plan)?;
    pki::write(&plan)?;
    if real {
        machine::remember()?;
        network::make(&plan)?;
        cgroup::make(&plan.id)?;
    }
    let owned = match wanted.lifetime {
        Lifetime::UntilDown => None,
        Lifetime::WithCaller => Some(record::own(&plan)?),
    };
    start_outer(&plan)?;
    record::link(name, &plan)?;
    Ok((plan, owned))
}

fn start_outer(plan: &Plan) -> Result<()> {
    let log = plan.log("supervisor");
    paths::write(&log, "")?;
    let out = File::options().append(true).open(&log).context("failed to open the supervisor's log")?;
    Command::new(record::program()?)
        .args(["outer", "--dir"])
        .arg(&plan.dir)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(out.try_clone().context("failed to share the log")?)
        .stderr(out)
        .spawn()
        .context("failed to start the cluster's outer process")?;
    let began = Instant::now();
    while !record::outer_is_alive(&plan.dir) {
        if began.elapsed() > Duration::from_secs(5) {
            bail!("failed to start the cluster's outer process\n{}", last_lines(&log));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Removes what killed clusters left.
fn sweep() -> Result<()> {
    for record in Record::all()? {
        if !record.is_alive() {
            remove(&record)?;
        }
    }
    Ok(())
}

fn remove(record: &Record) -> Result<()> {
    record.kill()?;
    if record.plan.nodes == Nodes::Real {
        cgroup::remove(&record.plan.id)?;
        network::remove(&record.plan)?;
    }
    record.forget()?;
    if Record::all()?.is_empty() {
        machine::restore()?;
    }
    Ok(())
}
