//! The plan of one cluster: its names, addresses and files, decided once and recorded.

use crate::paths;
use anyhow::{Context, Result};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What a caller may choose.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Options {
    /// Seconds that the autoscaler waits before it scales down (Kubernetes' own default is 300).
    pub downscale_stabilization_seconds: u32,
    /// Seconds between two looks of the autoscaler (Kubernetes' own default is 15).
    pub autoscaler_sync_seconds: u32,
    /// The operator's program, run beside simulated nodes, which can't run its pod.
    pub operator: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { downscale_stabilization_seconds: 15, autoscaler_sync_seconds: 5, operator: None }
    }
}

/// What runs the pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Nodes {
    /// A kubelet with containerd: pods run.
    Real,
    /// kwok: pods are marked as running and nothing runs.
    Simulated,
    /// None: the API alone.
    None,
}

/// One cluster: what it is called, where it listens, where its files are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Unique on the machine; also the network namespace's, and the cgroup's.
    pub id: String,
    /// Folder of all files.
    pub dir: PathBuf,
    /// What runs the pods.
    pub nodes: Nodes,
    /// Address on which everything listens: the inner end of the veth pair, or one of 127.0.0.0/8.
    pub address: String,
    /// The second octet of the cluster's networks: 10.X.0.0/16. Unused on loopback.
    pub subnet: u8,
    /// What the caller chose.
    pub options: Options,
}

/// Port of the API server.
pub const API_PORT: u16 = 6443;

impl Plan {
    /// Name of the only node.
    pub fn node(&self) -> &'static str {
        "node-1"
    }

    /// Address of the host's end of the veth pair.
    pub fn host_address(&self) -> String {
        format!("10.{}.1.1", self.subnet)
    }

    /// Range of pod addresses.
    pub fn pod_range(&self) -> String {
        format!("10.{}.64.0/24", self.subnet)
    }

    /// Range of Service addresses.
    pub fn service_range(&self) -> String {
        format!("10.{}.128.0/24", self.subnet)
    }

    /// Address of the `kubernetes` Service: the first of the range.
    pub fn kubernetes_service(&self) -> String {
        format!("10.{}.128.1", self.subnet)
    }

    /// Address of the cluster's DNS Service.
    pub fn dns_service(&self) -> String {
        format!("10.{}.128.10", self.subnet)
    }

    /// The API server, as host and cluster reach it.
    pub fn api_url(&self) -> String {
        format!("https://{}:{API_PORT}", self.address)
    }

    /// A file of the cluster.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A file of the cluster, as text for an argument.
    pub fn arg(&self, name: &str) -> String {
        self.file(name).to_string_lossy().into_owned()
    }

    /// A part's log.
    pub fn log(&self, part: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{part}.log"))
    }

    /// The administrator's kubeconfig.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.file("kubeconfig")
    }

    /// Writes a kubeconfig whose user holds the certificate `pki/NAME.crt`.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write_kubeconfig(&self, name: &str, to: &Path) -> Result<()> {
        let text = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": self.id,
            "clusters": [{"name": self.id, "cluster": {
                "server": self.api_url(), "certificate-authority": self.file("pki/ca.crt")}}],
            "users": [{"name": name, "user": {
                "client-certificate": self.file(&format!("pki/{name}.crt")),
                "client-key": self.file(&format!("pki/{name}.key"))}}],
            "contexts": [{"name": self.id, "context": {"cluster": self.id, "user": name}}],
        });
        paths::write(to, format!("{text:#}\n"))
    }

    /// How kube's client reaches the cluster as administrator.
    ///
    /// # Errors
    /// When the kubeconfig is missing or broken.
    pub async fn client_config(&self) -> Result<Config> {
        let kubeconfig =
            Kubeconfig::read_from(self.admin_kubeconfig()).context("failed to read the kubeconfig")?;
        let options = KubeConfigOptions::default();
        Config::from_custom_kubeconfig(kubeconfig, &options).await.context("failed to use the kubeconfig")
    }
}
