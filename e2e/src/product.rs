//! The product on a cluster: its images built from this checkout, the operator installed by its chart.

use crate::cluster::Cluster;
use crate::history::Last;
use crate::kubectl::Kubectl;
use crate::progress::Step;
use crate::{definitions, images, paths, wheel};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the operator lives.
pub const NAMESPACE: &str = "goodgo-system";

/// What compiling the product is called in the history of builds.
const HISTORY: &str = "product";

/// An image of the product: the Dockerfile's target, the package and the program in it.
struct Image {
    target: &'static str,
    package: &'static str,
    program: &'static str,
}

const IMAGES: [Image; 3] = [
    Image { target: "operator", package: "goodgo-operator", program: "goodgo-operator" },
    Image { target: "runtime", package: "goodgo-runtime", program: "goodgo-runtime" },
    Image { target: "demo", package: "goodgo-demo-service", program: "demo" },
];

/// Image references, tagged by content: what did not change is not rolled out again.
#[derive(Debug, Clone)]
pub struct Images {
    /// The operator.
    pub operator: String,
    /// The runtime.
    pub runtime: String,
    /// The demo service.
    pub demo: String,
    /// Traefik.
    pub gateway: String,
}

/// Builds the static programs; returns the folder they are in.
///
/// # Errors
/// The compiler's last lines.
pub fn compile() -> Result<PathBuf> {
    let last = Last::of(HISTORY)?;
    let step = Step::begin("compiling operator, runtime and demo service", last.map(|last| last.time));
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--locked", "--target", images::TARGET]);
    // Always all of them: another choice of packages would compile their dependencies again.
    for image in &IMAGES {
        cargo.args(["-p", image.package, "--bin", image.program]);
    }
    let mut child = cargo
        .current_dir(paths::checkout())
        .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("RUSTFLAGS")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("failed to run cargo")?;
    let mut said = Vec::new();
    let mut packages = 0;
    for line in child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).lines()) {
        let line = line.context("failed to read cargo's output")?;
        packages += u64::from(line.trim_start().starts_with("Compiling "));
        // No total: cargo does not say how much of it is compiled already.
        step.advance(packages, None, line.trim());
        said.push(line);
    }
    if !child.wait().context("failed to wait for cargo")?.success() {
        step.failed();
        let last = said.split_off(said.len().saturating_sub(40));
        bail!("failed to compile the product:\n{}", last.join("\n"));
    }
    Last::keep(HISTORY, Last { time: step.elapsed(), packages })?;
    step.done("compiled");
    Ok(target_folder().join(images::TARGET).join("release"))
}

fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| paths::checkout().join("target"), PathBuf::from)
}

/// Builds the programs and returns the operator's, for a cluster that runs no pods.
///
/// # Errors
/// The compiler's last lines.
pub fn compile_operator() -> Result<PathBuf> {
    let [operator, ..] = &IMAGES;
    Ok(compile()?.join(operator.program))
}

/// Builds the product's images and imports them into the cluster.
///
/// # Errors
/// What compiler, buildah or containerd said.
pub fn deliver(cluster: &Cluster) -> Result<Images> {
    let programs = compile()?;
    let step = Step::begin("building and importing images", None);
    let mut names = Vec::new();
    for image in &IMAGES {
        step.advance(names.len() as u64, Some(IMAGES.len() as u64), image.target);
        names.push(deliver_one(cluster, image, &programs)?);
    }
    step.done("imported");
    let [operator, runtime, demo] =
        <[String; 3]>::try_from(names).map_err(|_| anyhow::anyhow!("failed to build three images"))?;
    Ok(Images { operator, runtime, demo, gateway: deliver_gateway(cluster)? })
}

/// Traefik's image, built once for each version and kept in the cache.
fn deliver_gateway(cluster: &Cluster) -> Result<String> {
    let name = format!("goodgo/traefik:{}", wheel::TRAEFIK_VERSION);
    let archive = paths::cache()?.join(format!("images/traefik-{}.tar", wheel::TRAEFIK_VERSION));
    if !archive.exists() {
        let program = wheel::TRAEFIK.program()?;
        let step = Step::begin("building Traefik's image", None);
        let context = tempfile::tempdir().context("failed to make a folder for the image")?;
        fs::copy(&program, context.path().join("traefik")).context("failed to copy the program")?;
        let dockerfile = paths::checkout().join("e2e/images/traefik/Dockerfile");
        images::build(&dockerfile, &[], context.path(), &format!("docker.io/{name}"), &archive)?;
        step.done("built");
    }
    images::import(cluster.plan(), &archive)?;
    Ok(name)
}

fn deliver_one(cluster: &Cluster, image: &Image, programs: &Path) -> Result<String> {
    let dockerfile = paths::checkout().join("Dockerfile");
    let program = programs.join(image.program);
    let mut hash = Sha256::new();
    for file in [&dockerfile, &program] {
        hash.update(fs::read(file).with_context(|| format!("failed to read {}", file.display()))?);
    }
    let digest: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let name = format!("goodgo/{}:{}-{digest}", image.target, env!("CARGO_PKG_VERSION"));
    let archive = paths::cache()?.join(format!("images/{}.tar", image.target));
    let label = paths::cache()?.join(format!("images/{}.name", image.target));
    if !archive.exists() || fs::read_to_string(&label).ok().as_deref() != Some(&name) {
        let context = tempfile::tempdir().context("failed to make a folder for the image")?;
        fs::copy(&program, context.path().join(image.program)).context("failed to copy the program")?;
        let version = format!("VERSION={}", tag(&name));
        let options = ["--target", image.target, "--build-arg", &version];
        images::build(&dockerfile, &options, context.path(), &format!("docker.io/{name}"), &archive)?;
        paths::write(&label, &name)?;
    }
    images::import(cluster.plan(), &archive)?;
    Ok(name)
}

/// Installs or upgrades operator and gateway by the chart, for the local environment; returns when they are available.
///
/// # Errors
/// What helm said, with the state of the operator's pods.
pub fn install(cluster: &Cluster, images: &Images, values: &[&str]) -> Result<()> {
    let kubectl = cluster.kubectl();
    kubectl.apply(&definitions::TRAEFIK.yaml()?)?;
    let (repository, tag) = images.gateway.rsplit_once(':').context("an image has a tag")?;
    let gateway = [
        "gateway.enabled=true".to_owned(),
        format!("gateway.image.repository={repository}"),
        format!("gateway.image.tag={tag}"),
    ];
    let values: Vec<&str> = gateway.iter().map(String::as_str).chain(values.iter().copied()).collect();
    install_with(&kubectl, images, &values)
}

/// The same on a cluster that is not ours, whose gateway is its own business.
///
/// # Errors
/// What helm said, with the state of the operator's pods.
pub fn install_with(kubectl: &Kubectl, images: &Images, values: &[&str]) -> Result<()> {
    let step = Step::begin("installing the operator", None);
    let chart = paths::checkout().join("helm/goodgo-operator");
    let mut helm = kubectl.helm()?;
    helm.args(["upgrade", "--install", "goodgo-operator"])
        .arg(&chart)
        .args(["--namespace", NAMESPACE, "--create-namespace", "--wait", "--timeout", "2m", "--values"])
        .arg(chart.join("values-local.yaml"))
        .args(["--set", &format!("image.tag={}", tag(&images.operator))])
        .args(["--set", &format!("runtime.image.tag={}", tag(&images.runtime))]);
    for value in values {
        helm.args(["--set", value]);
    }
    let output = helm.output().context("failed to run helm")?;
    if !output.status.success() {
        step.failed();
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let look = |args: &[&str]| kubectl.run(args).unwrap_or_else(|error| format!("{error:#}"));
        let pods = look(&["-n", NAMESPACE, "get", "pods", "-o", "wide"]);
        let gateway = look(&["-n", NAMESPACE, "logs", "deployment/goodgo-gateway", "--tail=20"]);
        let events = look(&["-n", NAMESPACE, "get", "events", "--sort-by=.lastTimestamp"]);
        let log = look(&["-n", NAMESPACE, "logs", "deployment/goodgo-operator", "--tail=20"]);
        bail!("failed to install the operator: {said}\n{pods}{events}{log}{gateway}");
    }
    step.done("available");
    Ok(())
}

fn tag(image: &str) -> &str {
    image.rsplit_once(':').map_or("latest", |(_, tag)| tag)
}

/// The example manifests, with this checkout's demo image.
///
/// # Errors
/// When the folder can't be read.
pub fn examples(demo: &str) -> Result<String> {
    let folder = paths::checkout().join("examples");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .with_context(|| format!("failed to list {}", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "yaml"))
        .collect();
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
        let lines = text.lines().map(|line| match line.split_once("image: goodgo/demo:") {
            Some((indent, _)) => format!("{indent}image: {demo}\n"),
            None => format!("{line}\n"),
        });
        all.push(lines.collect::<String>());
    }
    Ok(all.join("---\n"))
}

impl Images {
    /// The released images, for a cluster that gets them by itself.
    pub fn released() -> Self {
        let name = |image: &str| format!("goodgo/{image}:{}", env!("CARGO_PKG_VERSION"));
        Self {
            operator: name("operator"),
            runtime: name("runtime"),
            demo: name("demo"),
            gateway: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_accept_the_key_that_the_host_shows() {
        let examples = examples("goodgo/demo:test").unwrap();
        assert!(examples.contains(&format!("demo: {}\n", crate::http::KEY)), "{examples}");
        assert_eq!(
            examples.matches("keys: {secret: example-keys}").count(),
            2,
            "user-service and order-service"
        );
    }
}
