//! A control plane for tests that need no pods: etcd and an API server on loopback, no root needed.

use crate::kubectl::Kubectl;
use crate::plan::{Nodes, Options, Plan};
use crate::process::Running;
use crate::{loopback, parts, pki, tools};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Folders are called `goodgo-api-PID-…`.
const PREFIX: &str = "goodgo-api-";

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
        sweep();
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let dir = tempfile::Builder::new().prefix(&prefix).tempdir().context("failed to make a folder")?;
        let plan = Plan {
            id: "control-plane".to_owned(),
            dir: dir.path().to_path_buf(),
            nodes: Nodes::None,
            address: loopback::address()?,
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

/// Removes the folders of killed processes: their parts ended with them, their files could not.
fn sweep() {
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            // Another process may sweep the same folder: whoever comes second finds nothing.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
