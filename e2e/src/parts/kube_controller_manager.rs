//! The built-in controllers, with limits raised so that they never are what a test measures.

use crate::part::{Part, Program, Ready};
use crate::plan::Plan;
use crate::tools;

pub(super) fn part(plan: &Plan) -> Part {
    let options = &plan.options;
    Part {
        needs: &["kube-apiserver"],
        ready: Ready::Url(format!("https://{}:10257/healthz", plan.address)),
        ..Part::new("kube-controller-manager", Program::Tool(tools::KUBE_CONTROLLER_MANAGER))
    }
    .flags([
        ("kubeconfig", plan.arg("kubeconfig-controller-manager")),
        ("bind-address", plan.address.clone()),
        ("cert-dir", plan.arg("pki/controller-manager")),
        ("authentication-kubeconfig", plan.arg("kubeconfig-controller-manager")),
        ("authorization-kubeconfig", plan.arg("kubeconfig-controller-manager")),
        ("root-ca-file", plan.arg("pki/ca.crt")),
        ("service-account-private-key-file", plan.arg("pki/tokens.key")),
        ("cluster-signing-cert-file", plan.arg("pki/ca.crt")),
        ("cluster-signing-key-file", plan.arg("pki/ca.key")),
        ("use-service-account-credentials", "true".to_owned()),
        ("leader-elect", "false".to_owned()),
        // Kubernetes' defaults (20 and 30) bound any convergence figure with many Deployments.
        ("kube-api-qps", "300".to_owned()),
        ("kube-api-burst", "600".to_owned()),
        ("concurrent-deployment-syncs", "20".to_owned()),
        ("concurrent-replicaset-syncs", "20".to_owned()),
        ("concurrent-endpoint-syncs", "20".to_owned()),
        ("horizontal-pod-autoscaler-sync-period", format!("{}s", options.autoscaler_sync_seconds)),
        (
            "horizontal-pod-autoscaler-downscale-stabilization",
            format!("{}s", options.downscale_stabilization_seconds),
        ),
        // By default a pod's CPU counts for nothing in its first five minutes.
        ("horizontal-pod-autoscaler-cpu-initialization-period", "10s".to_owned()),
        ("horizontal-pod-autoscaler-initial-readiness-delay", "5s".to_owned()),
    ])
}
