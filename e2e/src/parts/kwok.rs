//! kwok: nodes that only say they run pods. Statuses move as in a real cluster and nothing runs.

use crate::part::{Part, Program, Ready};
use crate::paths;
use crate::plan::Plan;
use crate::tools;
use anyhow::Result;

/// As many nodes as the largest spread a service may ask for.
const NODES: usize = 3;

/// What happens to nodes and pods.
const STAGES: &str = include_str!("kwok-stages.yaml");

pub(super) fn part(plan: &Plan) -> Result<Part> {
    paths::write(&plan.file("kwok-stages.yaml"), STAGES)?;
    Ok(Part {
        needs: &["kube-apiserver"],
        ready: Ready::Condition { object: "node/node-1".to_owned(), condition: "Ready" },
        manifests: Some((1..=NODES).map(node).collect::<Vec<_>>().join("---\n")),
        ..Part::new("kwok", Program::Tool(tools::KWOK))
    }
    .flags([
        ("config", plan.arg("kwok-stages.yaml")),
        ("kubeconfig", plan.arg("kubeconfig-addons")),
        ("manage-all-nodes", "true".to_owned()),
        ("cidr", plan.pod_range()),
        ("node-ip", plan.address.clone()),
        ("server-address", format!("{}:10247", plan.address)),
        ("node-lease-duration-seconds", "40".to_owned()),
    ]))
}

fn node(number: usize) -> String {
    format!(
        "\
apiVersion: v1
kind: Node
metadata:
  name: node-{number}
  labels: {{kubernetes.io/hostname: node-{number}, kubernetes.io/os: linux, topology.kubernetes.io/zone: zone-{number}}}
"
    )
}
