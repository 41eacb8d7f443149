//! The operator as a process beside simulated nodes, where its pod would not run.

use crate::part::{Part, Program, Ready};
use crate::paths;
use crate::plan::Plan;
use crate::product::NAMESPACE;
use anyhow::{Context, Result};
use std::path::Path;

const ADMIN_PORT: u16 = 8080;

pub(super) fn part(plan: &Plan, program: &Path) -> Result<Part> {
    let folder = paths::checkout().join("crds");
    let mut manifests = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n");
    for entry in std::fs::read_dir(&folder).with_context(|| format!("failed to list {}", folder.display()))? {
        let crd = entry?.path();
        let text =
            std::fs::read_to_string(&crd).with_context(|| format!("failed to read {}", crd.display()))?;
        manifests.push_str("---\n");
        manifests.push_str(&text);
    }
    paths::write(&plan.file("operator.yaml"), "environment: local\n")?;
    Ok(Part {
        needs: &["kwok", "kube-controller-manager"],
        args: vec!["run".to_owned()],
        env: vec![("KUBECONFIG", plan.arg("kubeconfig"))],
        ready: Ready::Url(format!("http://{}:{ADMIN_PORT}/readyz", plan.address)),
        manifests: Some(manifests),
        ..Part::new("goodgo-operator", Program::File(program.to_path_buf()))
    }
    .flags([
        ("config", plan.arg("operator.yaml")),
        ("admin-address", format!("{}:{ADMIN_PORT}", plan.address)),
        ("namespace", NAMESPACE.to_owned()),
    ]))
}
