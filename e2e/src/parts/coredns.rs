//! CoreDNS: cluster DNS, SRV records of headless Services included.
//!
//! Names outside the cluster do not exist, unless `hosts` in the cluster's folder (the format of
//! hosts(5), read again every second) gives them an address: nothing here leaves the machine.

use crate::part::{Part, Program, Ready};
use crate::paths;
use crate::plan::Plan;
use crate::tools;
use anyhow::Result;

pub(super) fn part(plan: &Plan) -> Result<Part> {
    let hosts = plan.file("hosts");
    if !hosts.exists() {
        paths::write(&hosts, "# ADDRESS NAME: names outside the cluster that pods shall resolve\n")?;
    }
    paths::write(&plan.file("Corefile"), corefile(plan))?;
    Ok(Part {
        needs: &["kube-apiserver"],
        args: vec!["-conf".to_owned(), plan.arg("Corefile")],
        ready: Ready::Url("http://127.0.0.1:8181/ready".to_owned()),
        manifests: Some(service(plan)),
        ..Part::new("coredns", Program::Tool(tools::COREDNS))
    })
}

fn corefile(plan: &Plan) -> String {
    let (address, kubeconfig, hosts) = (&plan.address, plan.arg("kubeconfig-addons"), plan.arg("hosts"));
    format!(
        "\
.:53 {{
    bind {address}
    errors
    ready 127.0.0.1:8181
    loadbalance
    cache 5
    hosts {hosts} {{
        ttl 1
        reload 1s
        fallthrough
    }}
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {kubeconfig}
        pods verified
        ttl 5
        fallthrough in-addr.arpa
    }}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"
    )
}

/// A Service without selector: the process runs beside the kubelet, not in a pod.
fn service(plan: &Plan) -> String {
    let (service, address) = (plan.dns_service(), &plan.address);
    format!(
        "\
apiVersion: v1
kind: Service
metadata: {{name: kube-dns, namespace: kube-system, labels: {{k8s-app: kube-dns}}}}
spec:
  clusterIP: {service}
  ports:
  - {{name: dns, port: 53, protocol: UDP}}
  - {{name: dns-tcp, port: 53, protocol: TCP}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: kube-dns, namespace: kube-system, labels: {{kubernetes.io/service-name: kube-dns}}}}
addressType: IPv4
endpoints: [{{addresses: ['{address}'], conditions: {{ready: true}}}}]
ports:
- {{name: dns, port: 53, protocol: UDP}}
- {{name: dns-tcp, port: 53, protocol: TCP}}
"
    )
}
