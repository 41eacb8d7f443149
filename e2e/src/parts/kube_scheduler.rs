//! Puts pods on nodes.

use crate::part::{Part, Program, Ready};
use crate::plan::Plan;
use crate::tools;

pub(super) fn part(plan: &Plan) -> Part {
    Part {
        needs: &["kube-apiserver"],
        ready: Ready::Url(format!("https://{}:10259/healthz", plan.address)),
        ..Part::new("kube-scheduler", Program::Tool(tools::KUBE_SCHEDULER))
    }
    .flags([
        ("kubeconfig", plan.arg("kubeconfig-scheduler")),
        ("bind-address", plan.address.clone()),
        ("cert-dir", plan.arg("pki/scheduler")),
        ("authentication-kubeconfig", plan.arg("kubeconfig-scheduler")),
        ("authorization-kubeconfig", plan.arg("kubeconfig-scheduler")),
        ("leader-elect", "false".to_owned()),
        ("kube-api-qps", "300".to_owned()),
        ("kube-api-burst", "600".to_owned()),
    ])
}
