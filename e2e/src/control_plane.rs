//! A control plane for tests that need no pods: etcd and an API server on loopback, no root needed.

use crate::kubectl::Kubectl;
use crate::plan::{Nodes, Options, Plan};
use crate::process::Running;
use crate::{parts, pki, tools};
use anyhow::{Context, Result};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What a control plane has.
#[derive(Debug, Clone, Default)]
pub struct ControlPlaneOptions {
    /// Also run kube-controller-manager: garbage collection, ReplicaSets, service account tokens.
    pub controllers: bool,
}

/// A running control plane. Dropping it ends it and removes its files; when the test process is
/// killed the kernel ends it.
#[derive(Debug)]
pub struct ControlPlane {
    // Before the folder: fields drop in order, and etcd must end before its data goes.
    _running: Running,
    plan: Plan,
    _dir: TempDir,
}

impl ControlPlane {
    /// Starts one; a few seconds once the tools are built.
    ///
    /// # Errors
    /// The part that failed, with its last log lines.
    pub async fn start(options: ControlPlaneOptions) -> Result<Self> {
        let mut wanted = vec![tools::ETCD, tools::KUBE_APISERVER, tools::KUBECTL];
        if options.controllers {
            wanted.push(tools::KUBE_CONTROLLER_MANAGER);
        }
        tokio::task::spawn_blocking(move || tools::ensure(&wanted)).await??;
        let dir = tempfile::Builder::new().prefix("goodgo-").tempdir().context("failed to make a folder")?;
        let plan = Plan {
            id: "control-plane".to_owned(),
            dir: dir.path().to_path_buf(),
            nodes: Nodes::None,
            address: loopback_address()?,
            subnet: 250,
            options: Options::default(),
        };
        pki::write(&plan)?;
        let parts = parts::control_plane(&plan, options.controllers)?;
        let running = Running::start(&plan, parts, |_| {}).await?;
        Ok(Self { _running: running, plan, _dir: dir })
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.plan.admin_kubeconfig()
    }

    /// The API server.
    pub fn url(&self) -> String {
        self.plan.api_url()
    }

    /// Every request that the server answered, one JSON object a line.
    pub fn audit_log(&self) -> PathBuf {
        self.plan.file("audit.log")
    }

    /// Folder of its files, logs among them.
    pub fn dir(&self) -> &Path {
        &self.plan.dir
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
}

/// An address of 127.0.0.0/8 on which nobody listens: every control plane has the usual ports on an
/// address of its own, so none races another for a free port.
fn loopback_address() -> Result<String> {
    let mut random = RandomState::new().build_hasher();
    for attempt in 0..16u8 {
        random.write_u8(attempt);
        let [a, b, c, ..] = random.finish().to_le_bytes();
        let address = format!("127.{}.{b}.{}", a.max(1), c.clamp(1, 254));
        if [2379, 2380, crate::plan::API_PORT]
            .iter()
            .all(|port| TcpListener::bind((address.as_str(), *port)).is_ok())
        {
            return Ok(address);
        }
    }
    anyhow::bail!("failed to find a free loopback address")
}
