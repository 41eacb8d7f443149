//! kube-proxy: Service addresses, in the cluster's own network namespace.

use crate::part::{Part, Program, Ready};
use crate::paths;
use crate::plan::Plan;
use crate::tools;
use anyhow::Result;

pub(super) fn part(plan: &Plan) -> Result<Part> {
    let config = serde_json::json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
        "bindAddress": plan.address,
        "healthzBindAddress": format!("{}:10256", plan.address),
        "metricsBindAddress": "127.0.0.1:10249",
        "clientConnection": {"kubeconfig": plan.file("kubeconfig-proxy")},
        "hostnameOverride": plan.node(),
        "mode": "iptables",
        "iptables": {"minSyncPeriod": "100ms"},
        "detectLocalMode": "ClusterCIDR", "clusterCIDR": plan.pod_range(),
        // Connection tracking's limits belong to the machine and can't be set from a namespace.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    });
    paths::write(&plan.file("kube-proxy.yaml"), format!("{config:#}\n"))?;
    Ok(Part {
        needs: &["kube-apiserver"],
        ready: Ready::Url(format!("http://{}:10256/healthz", plan.address)),
        ..Part::new("kube-proxy", Program::Tool(tools::KUBE_PROXY))
    }
    .flags([("config", plan.arg("kube-proxy.yaml"))]))
}
