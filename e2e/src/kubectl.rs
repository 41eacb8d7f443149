//! kubectl and helm against one cluster, for what a person would do with them: apply, get, wait, install.

use crate::tools::{self, Tool};
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// kubectl and helm against one cluster.
#[derive(Debug, Clone)]
pub struct Kubectl {
    /// `None`: the caller's current context, with the programs on `PATH`.
    kubeconfig: Option<PathBuf>,
}

impl Kubectl {
    /// The pinned programs with this kubeconfig.
    pub fn new(kubeconfig: &Path) -> Self {
        Self { kubeconfig: Some(kubeconfig.to_path_buf()) }
    }

    /// The machine's own programs with the current context.
    pub fn current() -> Self {
        Self { kubeconfig: None }
    }

    /// kubectl, ready for arguments.
    ///
    /// # Errors
    /// When the cache of tools can't be found.
    pub fn command(&self) -> Result<Command> {
        self.program("kubectl", tools::KUBECTL)
    }

    /// helm, ready for arguments.
    ///
    /// # Errors
    /// When the cache of tools can't be found.
    pub fn helm(&self) -> Result<Command> {
        self.program("helm", tools::HELM)
    }

    fn program(&self, name: &str, tool: Tool) -> Result<Command> {
        let mut command = match &self.kubeconfig {
            Some(kubeconfig) => {
                let mut command = Command::new(tool.path()?);
                command.env("KUBECONFIG", kubeconfig);
                command
            }
            None => Command::new(name),
        };
        command.stdin(Stdio::null());
        Ok(command)
    }

    /// Runs it and returns what it printed.
    ///
    /// # Errors
    /// What it said on stderr when it ended badly.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        self.run_with(args, None)
    }

    /// Server-side applies YAML (several documents allowed) and returns what kubectl said.
    ///
    /// # Errors
    /// The server's refusal, in its words.
    pub fn apply(&self, manifests: &str) -> Result<String> {
        let args = ["apply", "--server-side", "--force-conflicts", "--field-manager=goodgo-dev", "-f", "-"];
        self.run_with(&args, Some(manifests))
    }

    /// Server-side applies YAML to a namespace, as a person does: what someone else owns is refused.
    ///
    /// # Errors
    /// The server's refusal, in its words.
    pub fn apply_in(&self, namespace: &str, manifests: &str) -> Result<String> {
        self.run_with(&["apply", "--server-side", "-n", namespace, "-f", "-"], Some(manifests))
    }

    /// The same, taking over what someone else changed meanwhile.
    ///
    /// # Errors
    /// The server's refusal, in its words.
    pub fn apply_over(&self, namespace: &str, manifests: &str) -> Result<String> {
        let args = ["apply", "--server-side", "--force-conflicts", "-n", namespace, "-f", "-"];
        self.run_with(&args, Some(manifests))
    }

    /// Server-side applies a file or a folder.
    ///
    /// # Errors
    /// The server's refusal, in its words.
    pub fn apply_file(&self, path: &Path) -> Result<String> {
        let path = path.to_string_lossy();
        self.run(&["apply", "--server-side", "--field-manager=kubectl", "-f", &path])
    }

    fn run_with(&self, args: &[&str], input: Option<&str>) -> Result<String> {
        let mut child = self
            .command()?
            .args(args)
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("failed to run kubectl")?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            // A broken pipe means kubectl ended early; its own words below say why.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output().context("failed to wait for kubectl")?;
        if !output.status.success() {
            bail!("failed to kubectl {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
