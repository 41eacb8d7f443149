//! metrics-server: CPU and memory of pods, for the autoscaler and `kubectl top`.

use crate::part::{Part, Program, Ready};
use crate::plan::Plan;
use crate::tools;
use std::time::Duration;

const PORT: u16 = 4443;

pub(super) fn part(plan: &Plan) -> Part {
    Part {
        needs: &["kube-apiserver", "kubelet"],
        ready: Ready::Condition {
            object: "apiservice/v1beta1.metrics.k8s.io".to_owned(),
            condition: "Available",
        },
        // It is ready when it has scraped the node twice.
        patience: Duration::from_secs(90),
        manifests: Some(aggregation(plan)),
        ..Part::new("metrics-server", Program::Tool(tools::METRICS_SERVER))
    }
    .flags([
        ("kubeconfig", plan.arg("kubeconfig-addons")),
        ("authentication-kubeconfig", plan.arg("kubeconfig-addons")),
        ("authorization-kubeconfig", plan.arg("kubeconfig-addons")),
        ("bind-address", plan.address.clone()),
        ("secure-port", PORT.to_string()),
        ("cert-dir", plan.arg("pki/metrics-server")),
        ("kubelet-certificate-authority", plan.arg("pki/ca.crt")),
        ("kubelet-preferred-address-types", "InternalIP".to_owned()),
        // The shortest it takes; the default (60 s) makes every autoscaling test a wait.
        ("metric-resolution", "10s".to_owned()),
        ("kubelet-request-timeout", "5s".to_owned()),
    ])
}

fn aggregation(plan: &Plan) -> String {
    let address = &plan.address;
    format!(
        "\
apiVersion: v1
kind: Service
metadata: {{name: metrics-server, namespace: kube-system}}
spec:
  ports: [{{name: https, port: 443, targetPort: {PORT}}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: metrics-server, namespace: kube-system, labels: {{kubernetes.io/service-name: metrics-server}}}}
addressType: IPv4
endpoints: [{{addresses: ['{address}'], conditions: {{ready: true}}}}]
ports: [{{name: https, port: {PORT}}}]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {{name: v1beta1.metrics.k8s.io}}
spec:
  group: metrics.k8s.io
  version: v1beta1
  service: {{name: metrics-server, namespace: kube-system}}
  insecureSkipTLSVerify: true
  groupPriorityMinimum: 100
  versionPriority: 100
"
    )
}
