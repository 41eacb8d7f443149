//! Images: static binaries of the host in images FROM scratch, built without a daemon and imported
//! into a cluster's containerd. Nothing is pulled.

use crate::host::run;
use crate::parts::containerd::SANDBOX_IMAGE;
use crate::paths;
use crate::plan::Plan;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The target whose binaries run in an empty image.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// An image archive that holds the pod sandbox's process, built once and kept in the cache.
///
/// # Errors
/// What the compiler or buildah said.
pub fn pause() -> Result<PathBuf> {
    let source = paths::checkout().join("e2e/images/pause");
    let archive = paths::cache()?.join("images/pause-1.tar");
    if archive.exists() {
        return Ok(archive);
    }
    let context = tempfile::tempdir().context("failed to make a folder for the pause image")?;
    let binary = context.path().join("pause");
    let program = source.join("pause.rs");
    run(
        "rustc",
        &[
            "--edition=2024",
            "--target",
            TARGET,
            "-Copt-level=s",
            "-Cpanic=abort",
            "-Cstrip=symbols",
            "-Ctarget-feature=+crt-static",
            "-o",
            &text(&binary),
            &text(&program),
        ],
    )?;
    build(&source.join("Dockerfile"), &[], context.path(), SANDBOX_IMAGE, &archive)?;
    Ok(archive)
}

/// Builds a Dockerfile into an archive (`docker load` and `ctr import` read it); `options` are buildah's.
///
/// # Errors
/// What buildah said.
pub fn build(dockerfile: &Path, options: &[&str], context: &Path, name: &str, archive: &Path) -> Result<()> {
    let store = tempfile::tempdir().context("failed to make a folder for buildah")?;
    let storage =
        ["--root", &text(&store.path().join("root")), "--runroot", &text(&store.path().join("run"))]
            .map(str::to_owned);
    let buildah = |args: &[&str]| -> Result<()> {
        let output = Command::new("buildah")
            .args(&storage)
            .args(["--storage-driver", "vfs"])
            .args(args)
            .stdin(Stdio::null())
            .output()
            .context("failed to run buildah")?;
        if !output.status.success() {
            bail!("failed to build {name}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    };
    let (file, folder) = (text(dockerfile), text(context));
    let mut args = vec!["bud", "--isolation", "chroot", "--pull-never", "--tag", name, "--file", &file];
    args.extend(options);
    args.push(&folder);
    buildah(&args)?;

    let folder = archive.parent().context("failed to find the archive's folder")?;
    fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
    let unfinished = archive.with_extension(format!("{}.tmp", std::process::id()));
    buildah(&["push", name, &format!("docker-archive:{}:{name}", unfinished.display())])?;
    fs::rename(&unfinished, archive).with_context(|| format!("failed to keep {}", archive.display()))
}

/// A program of this machine with the libraries that it loads, as an image of nothing else.
///
/// # Errors
/// When it isn't there; what ldd, buildah or containerd said.
pub fn of_program(plan: &Plan, program: &Path, name: &str) -> Result<()> {
    let context = tempfile::tempdir().context("failed to make a folder for the image")?;
    let libraries = run("ldd", &[&text(program)])?;
    let libraries = libraries.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
    for file in libraries.chain([program.to_owned()]) {
        let inside = context.path().join("root").join(file.strip_prefix("/").unwrap_or(&file));
        let folder = inside.parent().context("failed to find the file's folder")?;
        fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
        fs::copy(&file, &inside).with_context(|| format!("failed to copy {}", file.display()))?;
    }
    let dockerfile = context.path().join("Dockerfile");
    let entry = serde_json::json!([text(program)]);
    let lines = format!("FROM scratch\nCOPY root /\nUSER 65532:65532\nENTRYPOINT {entry}\n");
    fs::write(&dockerfile, lines).context("failed to write the image's recipe")?;
    let archive = context.path().join("image.tar");
    build(&dockerfile, &[], context.path(), &format!("docker.io/{name}"), &archive)?;
    import(plan, &archive)
}

/// Imports an archive into the cluster, replacing the image of that name.
///
/// # Errors
/// What containerd said.
pub fn import(plan: &Plan, archive: &Path) -> Result<()> {
    let socket = plan.arg("containerd.sock");
    run("ctr", &["--address", &socket, "--namespace", "k8s.io", "images", "import", &text(archive)]).map(drop)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
