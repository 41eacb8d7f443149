//! The kubelet: runs the pods of the only node.

use crate::part::{Part, Program, Ready};
use crate::paths;
use crate::plan::Plan;
use crate::tools;
use anyhow::Result;
use std::time::Duration;

pub(super) fn part(plan: &Plan) -> Result<Part> {
    paths::write(&plan.file("kubelet.yaml"), config(plan))?;
    paths::write(&plan.file("resolv.conf"), "# Pods resolve through the cluster's DNS alone.\n")?;
    std::fs::create_dir_all(plan.file("pod-logs"))?;
    Ok(Part {
        needs: &["kube-apiserver", "containerd"],
        ready: Ready::Condition { object: format!("node/{}", plan.node()), condition: "Ready" },
        patience: Duration::from_secs(120),
        ..Part::new("kubelet", Program::Tool(tools::KUBELET))
    }
    .flags([
        ("config", plan.arg("kubelet.yaml").as_str()),
        ("kubeconfig", &plan.arg("kubeconfig-kubelet")),
        ("root-dir", &plan.arg("kubelet")),
        ("cert-dir", &plan.arg("kubelet/pki")),
        ("hostname-override", plan.node()),
        ("node-ip", &plan.address),
        ("v", "1"),
    ]))
}

fn config(plan: &Plan) -> String {
    let config = serde_json::json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "address": plan.address,
        "healthzBindAddress": "127.0.0.1",
        "readOnlyPort": 0,
        "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": true},
            "x509": {"clientCAFile": plan.file("pki/ca.crt")}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": plan.file("pki/kubelet.crt"),
        "tlsPrivateKeyFile": plan.file("pki/kubelet.key"),
        "containerRuntimeEndpoint": format!("unix://{}", plan.arg("containerd.sock")),
        "volumePluginDir": plan.file("kubelet/plugins"),
        "podLogsDir": plan.file("pod-logs"),
        "clusterDNS": [plan.dns_service()], "clusterDomain": "cluster.local",
        "resolvConf": plan.file("resolv.conf"),
        // One cgroup root a cluster: a kubelet kills what it finds in pod cgroups and does not know.
        "cgroupRoot": format!("/{}", plan.id), "cgroupDriver": "cgroupfs", "cgroupsPerQOS": true,
        "enforceNodeAllocatable": [], "failCgroupV1": false, "failSwapOn": false,
        "oomScoreAdj": 0,
        "maxPods": 200,
        // Images are imported once and can't be pulled again: never collect them, and bear a full disk.
        "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "200Mi", "imagefs.available": "200Mi"},
        "serializeImagePulls": false,
        "registryPullQPS": 0, "eventRecordQPS": 0,
        "kubeAPIQPS": 100, "kubeAPIBurst": 200,
        "syncFrequency": "10s", "fileCheckFrequency": "20s",
        "shutdownGracePeriod": "0s",
    });
    format!("{config:#}\n")
}
