//! What an end-to-end test stands on: the cluster with the product in it, and a namespace of its own.
//!
//! The tier's runner brings the cluster up and names it in `GOODGO_CLUSTER`; [`platform`] is the only
//! place that knows. The first test of a process delivers the checkout's images and installs the
//! operator; what is installed already and did not change is left as it is.

mod namespace;

pub use namespace::{Namespace, Said, condition, is_current};

use crate::cluster::Cluster;
use crate::product::{self, Images};
use crate::{paths, tools};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::future::Future;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

/// Variable that names the cluster.
pub const VARIABLE: &str = "GOODGO_CLUSTER";

/// Traefik's API, which tells what it serves, on the port of its probes.
const TRAEFIKS_OWN_VIEW: &str = "gateway.arguments={--api=true,--api.insecure=true}";

/// Pods that the tests of one process have at once: the machine may be small.
const PODS: u32 = 14;
static FREE_PODS: Semaphore = Semaphore::const_new(PODS as usize);
static PLATFORM: OnceCell<Platform> = OnceCell::const_new();

/// The cluster with the product in it.
#[derive(Debug)]
pub struct Platform {
    /// The cluster.
    pub cluster: Cluster,
    /// This checkout's images, which it has.
    pub images: Images,
}

/// The platform that the tests of this process share.
///
/// # Errors
/// Says how to run the tests when no cluster is named; what compiler, containerd or helm said.
pub async fn platform() -> Result<&'static Platform> {
    PLATFORM.get_or_try_init(|| async { tokio::task::spawn_blocking(Platform::prepare).await? }).await
}

impl Platform {
    fn prepare() -> Result<Self> {
        let name = std::env::var(VARIABLE).unwrap_or_default();
        if name.is_empty() {
            bail!(
                "failed to find a cluster: end-to-end tests need real pods. Run them with `make test` or \
                 `goodgo-dev test --tier 3`, or bring a cluster up with `goodgo-dev up --name mine` and set \
                 {VARIABLE}=mine"
            );
        }
        let cluster = Cluster::attach(&name)?;
        let path = cluster.plan().file("product.lock");
        let lock = File::create(&path).with_context(|| format!("failed to open {}", path.display()))?;
        lock.lock().with_context(|| format!("failed to lock {}", path.display()))?;
        let images = product::deliver(&cluster)?;
        let platform = Self { cluster, images };
        platform.install_unless_there()?;
        Ok(platform)
    }

    /// Installs the operator with the values of a local environment, whether or not it is there.
    ///
    /// # Errors
    /// What helm said.
    pub fn install(&self) -> Result<()> {
        self.install_with(&[])?;
        paths::write(&self.marker(), format!("{:?}", self.images))
    }

    /// The same with further values; whoever does that puts it back by [`Self::install`].
    ///
    /// # Errors
    /// What helm said.
    pub fn install_with(&self, values: &[&str]) -> Result<()> {
        // Should the process end before it is put back, the next one does.
        let _ = fs::remove_file(self.marker());
        let common = ["config.environment=local", "replicas=1", TRAEFIKS_OWN_VIEW];
        product::install(&self.cluster, &self.images, &[&common, values].concat())
    }

    fn install_unless_there(&self) -> Result<()> {
        let installed =
            fs::read_to_string(self.marker()).is_ok_and(|text| text == format!("{:?}", self.images));
        let release = self.helm(&["status", "goodgo-operator", "--namespace", product::NAMESPACE]);
        if installed && release.is_ok_and(|text| text.contains("STATUS: deployed")) {
            return Ok(());
        }
        self.install()
    }

    fn marker(&self) -> PathBuf {
        self.cluster.plan().file("product.txt")
    }

    /// Runs helm against the cluster.
    ///
    /// # Errors
    /// What it said on stderr when it ended badly.
    pub fn helm(&self, args: &[&str]) -> Result<String> {
        let output = Command::new(tools::HELM.path()?)
            .args(args)
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .env("HELM_CACHE_HOME", self.cluster.plan().file("helm"))
            .stdin(Stdio::null())
            .output()
            .context("failed to run helm")?;
        if !output.status.success() {
            bail!("failed to helm {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Room for pods on the machine, given back when dropped.
#[derive(Debug)]
pub struct Room {
    _permit: SemaphorePermit<'static>,
}

impl Room {
    /// Waits until so many pods have room.
    ///
    /// # Errors
    /// Never; the room is not closed.
    pub async fn of(pods: u32) -> Result<Self> {
        Ok(Self { _permit: FREE_PODS.acquire_many(pods.min(PODS)).await? })
    }

    /// Waits until no other test of this process has pods: for measurements.
    ///
    /// # Errors
    /// Never; the room is not closed.
    pub async fn alone() -> Result<Self> {
        Self::of(PODS).await
    }
}

/// Asks again and again until `check` succeeds; its last error is the state that the timeout shows.
///
/// # Errors
/// That error, after `patience`.
pub async fn eventually<T, F>(what: &str, patience: Duration, mut check: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    /// Between two looks; a look is one request.
    const PAUSE: Duration = Duration::from_millis(100);
    let began = Instant::now();
    loop {
        let last = match check().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if began.elapsed() > patience {
            return Err(last.context(format!("failed to see within {patience:?} that {what}")));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
