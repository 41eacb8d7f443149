//! Tools: programs built from the pinned Go modules under `e2e/tools`, kept by the hash of their lock files.
//!
//! A finished program is `CACHE/parts/MODULE-HASH/bin/NAME`. Two builders of one module wait for
//! each other, and a killed build leaves only a temporary name, so what is there is always whole.

use crate::history::Last;
use crate::paths;
use crate::progress::{Step, say};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program and the Go module it is built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    /// File name of the program.
    pub name: &'static str,
    /// Folder under `e2e/tools`.
    module: &'static str,
    /// Go package with the `main` function.
    package: &'static str,
    /// Go's build tags, separated by commas.
    tags: &'static str,
}

const fn tool(name: &'static str, module: &'static str, package: &'static str) -> Tool {
    Tool { name, module, package, tags: "" }
}

/// The store.
pub const ETCD: Tool = tool("etcd", "etcd", "go.etcd.io/etcd/server/v3");
/// The API server.
pub const KUBE_APISERVER: Tool = tool("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver");
/// Deployments, garbage collection, HPA and the other built-in controllers.
pub const KUBE_CONTROLLER_MANAGER: Tool =
    tool("kube-controller-manager", "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager");
/// Puts pods on nodes.
pub const KUBE_SCHEDULER: Tool = tool("kube-scheduler", "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler");
/// Runs pods.
pub const KUBELET: Tool = tool("kubelet", "kubernetes", "k8s.io/kubernetes/cmd/kubelet");
/// Service addresses.
pub const KUBE_PROXY: Tool = tool("kube-proxy", "kubernetes", "k8s.io/kubernetes/cmd/kube-proxy");
/// The command line.
pub const KUBECTL: Tool = tool("kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl");
/// Cluster DNS, with the plugins that the Corefile uses.
pub const COREDNS: Tool = tool("coredns", "kubernetes", "./coredns");
/// Installs charts.
pub const HELM: Tool = tool("helm", "kubernetes", "helm.sh/helm/v3/cmd/helm");
/// CPU and memory figures for autoscaling and `kubectl top`.
pub const METRICS_SERVER: Tool =
    tool("metrics-server", "metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server");
/// Simulated nodes.
pub const KWOK: Tool = tool("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok");
/// Dapr's sidecar, which the bench runs beside the runtime.
pub const DAPRD: Tool =
    Tool { tags: "stablecomponents", ..tool("daprd", "dapr", "github.com/dapr/dapr/cmd/daprd") };

/// What a cluster with real pods takes, in the order in which it is needed.
pub const CLUSTER: [Tool; 10] = [
    ETCD,
    KUBE_APISERVER,
    KUBECTL,
    KUBE_CONTROLLER_MANAGER,
    KUBE_SCHEDULER,
    KUBELET,
    KUBE_PROXY,
    COREDNS,
    HELM,
    METRICS_SERVER,
];

/// What a control plane with simulated nodes takes, in the order in which it is needed.
pub const SIMULATED: [Tool; 7] =
    [ETCD, KUBE_APISERVER, KUBECTL, KUBE_CONTROLLER_MANAGER, KUBE_SCHEDULER, HELM, KWOK];

/// The Kubernetes version the `kubernetes` module pins; stamped into the programs, which otherwise call themselves v0.0.0.
pub const KUBERNETES_VERSION: &str = "v1.35.4";

impl Tool {
    /// Where the finished program is, or will be.
    ///
    /// # Errors
    /// When the module's files can't be read.
    pub fn path(&self) -> Result<PathBuf> {
        Ok(module_cache(self.module)?.join("bin").join(self.name))
    }
}

/// Builds those of `wanted` that are missing, one after another, in the given order.
///
/// # Errors
/// Go's own last lines when a build fails.
pub fn ensure(wanted: &[Tool]) -> Result<()> {
    for tool in wanted {
        if !tool.path()?.exists() {
            build(tool)?;
        }
    }
    drop_build_cache()
}

fn build(tool: &Tool) -> Result<()> {
    let cache = module_cache(tool.module)?;
    fs::create_dir_all(cache.join("bin")).with_context(|| format!("failed to create {}", cache.display()))?;
    let _module = lock(&cache.join("lock"))?;
    let finished = cache.join("bin").join(tool.name);
    if finished.exists() {
        return Ok(()); // another builder was faster
    }
    let go_cache = lock_shared(&paths::cache()?.join("go-build.lock"))?;
    let last = Last::of(tool.name)?;
    let step = Step::begin(&format!("building {}", tool.name), last.map(|last| last.time));
    let unfinished = cache.join("bin").join(format!(".{}.{}", tool.name, std::process::id()));
    match compile(tool, &unfinished, last.map(|last| last.packages), &step) {
        Ok(packages) => {
            fs::rename(&unfinished, &finished)
                .with_context(|| format!("failed to keep {}", finished.display()))?;
            Last::keep(tool.name, Last { time: step.elapsed(), packages })?;
            step.done("built");
        }
        Err(error) => {
            step.failed();
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
    }
    drop(go_cache);
    Ok(())
}

fn compile(tool: &Tool, to: &Path, expected: Option<u64>, step: &Step) -> Result<u64> {
    let stamp = "k8s.io/component-base/version";
    let (major, minor) = ("1", KUBERNETES_VERSION.split('.').nth(1).unwrap_or_default());
    let flags = format!(
        "-s -w -X {stamp}.gitVersion={KUBERNETES_VERSION} -X {stamp}.gitMajor={major} -X {stamp}.gitMinor={minor} \
         -X {stamp}.gitTreeState=clean"
    );
    let mut child = Command::new("nice")
        .args([
            "-n",
            "5",
            "go",
            "build",
            "-v",
            "-mod=readonly",
            "-trimpath",
            "-buildvcs=false",
            "-tags",
            tool.tags,
            "-ldflags",
            &flags,
            "-o",
        ])
        .arg(to)
        .arg(tool.package)
        .current_dir(paths::tool_modules().join(tool.module))
        .env("GOCACHE", paths::cache()?.join("go-build"))
        .env("GOFLAGS", "")
        .env("GOWORK", "off")
        .env("CGO_ENABLED", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("failed to run go; is it installed?")?;
    let mut packages = 0;
    let mut tail = VecDeque::with_capacity(20);
    for line in child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).lines()) {
        let line = line.context("failed to read go's output")?;
        if !line.starts_with("go: ") {
            packages += 1;
        }
        step.advance(packages, expected, &line);
        if tail.len() == 20 {
            tail.pop_front();
        }
        tail.push_back(line);
    }
    let status = child.wait().context("failed to wait for go")?;
    if !status.success() {
        bail!("failed to build {} ({status}):\n{}", tool.name, Vec::from(tail).join("\n"));
    }
    Ok(packages)
}

/// Go's build cache is 7.5 GB; once every tool of the cluster is finished nothing needs it.
fn drop_build_cache() -> Result<()> {
    let go_cache = paths::cache()?.join("go-build");
    if !go_cache.exists() {
        return Ok(());
    }
    for tool in CLUSTER {
        if !tool.path()?.exists() {
            return Ok(());
        }
    }
    let lock = File::create(paths::cache()?.join("go-build.lock"))
        .context("failed to open the build cache's lock")?;
    // Somebody who builds by hand in it may be in the way: that costs disk, and is no reason to stop here.
    if lock.try_lock().is_ok()
        && let Err(error) = fs::remove_dir_all(&go_cache)
    {
        say(&format!("left {} as it is: {error}", go_cache.display()));
    }
    Ok(())
}

/// `CACHE/parts/MODULE-HASH`: go.mod, go.sum and the module's own sources decide.
fn module_cache(module: &str) -> Result<PathBuf> {
    let folder = paths::tool_modules().join(module);
    let mut files = Vec::new();
    sources(&folder, &mut files)?;
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(file.strip_prefix(&folder).unwrap_or(&file).as_os_str().as_encoded_bytes());
        hash.update([0]);
        hash.update(fs::read(&file).with_context(|| format!("failed to read {}", file.display()))?);
        hash.update([0]);
    }
    let digest: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Ok(paths::cache()?.join("parts").join(format!("{module}-{digest}")))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|kind| kind == "go" || kind == "mod" || kind == "sum") {
            found.push(path);
        }
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("failed to open {}", path.display()))?;
    file.lock().with_context(|| format!("failed to lock {}", path.display()))?;
    Ok(file)
}

fn lock_shared(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("failed to open {}", path.display()))?;
    file.lock_shared().with_context(|| format!("failed to lock {}", path.display()))?;
    Ok(file)
}
