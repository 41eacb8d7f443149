//! The API server, with what the product must stand: ownership admission on and every request audited.

use crate::part::{Part, Program, Ready};
use crate::paths;
use crate::plan::{API_PORT, Nodes, Plan};
use crate::tools;
use anyhow::Result;

/// Who did what, without bodies: tests count requests by user, verb and status.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  nonResourceURLs: ['/healthz*', '/livez*', '/readyz*', '/metrics']
- level: Metadata
";

pub(super) fn part(plan: &Plan) -> Result<Part> {
    paths::write(&plan.file("audit-policy.yaml"), AUDIT_POLICY)?;
    let mut part = Part {
        needs: &["etcd"],
        ready: Ready::Api("/readyz".to_owned()),
        ..Part::new("kube-apiserver", Program::Tool(tools::KUBE_APISERVER))
    }
    .flags([
        ("etcd-servers", format!("http://{}:2379", plan.address)),
        ("bind-address", plan.address.clone()),
        ("advertise-address", plan.address.clone()),
        ("secure-port", API_PORT.to_string()),
        ("service-cluster-ip-range", plan.service_range()),
        ("client-ca-file", plan.arg("pki/ca.crt")),
        ("tls-cert-file", plan.arg("pki/apiserver.crt")),
        ("tls-private-key-file", plan.arg("pki/apiserver.key")),
        ("cert-dir", plan.arg("pki")),
        ("service-account-issuer", "https://kubernetes.default.svc.cluster.local".to_owned()),
        ("service-account-key-file", plan.arg("pki/tokens.pub")),
        ("service-account-signing-key-file", plan.arg("pki/tokens.key")),
        ("authorization-mode", "Node,RBAC".to_owned()),
        // Clusters that are hardened have it on: without `finalizers` rights nothing may be owned.
        ("enable-admission-plugins", "NodeRestriction,OwnerReferencesPermissionEnforcement".to_owned()),
        ("audit-policy-file", plan.arg("audit-policy.yaml")),
        ("audit-log-path", plan.arg("audit.log")),
        ("audit-log-maxsize", "200".to_owned()),
        ("audit-log-maxbackup", "2".to_owned()),
        // The names of nodes resolve nowhere: exec and logs go to the address.
        ("kubelet-preferred-address-types", "InternalIP".to_owned()),
        ("kubelet-certificate-authority", plan.arg("pki/ca.crt")),
        ("kubelet-client-certificate", plan.arg("pki/apiserver-kubelet.crt")),
        ("kubelet-client-key", plan.arg("pki/apiserver-kubelet.key")),
        // Aggregated APIs (metrics-server).
        ("requestheader-client-ca-file", plan.arg("pki/ca.crt")),
        ("requestheader-allowed-names", "front-proxy-client".to_owned()),
        ("requestheader-username-headers", "X-Remote-User".to_owned()),
        ("requestheader-group-headers", "X-Remote-Group".to_owned()),
        ("requestheader-extra-headers-prefix", "X-Remote-Extra-".to_owned()),
        ("proxy-client-cert-file", plan.arg("pki/front-proxy.crt")),
        ("proxy-client-key-file", plan.arg("pki/front-proxy.key")),
        ("enable-aggregator-routing", "true".to_owned()),
        ("profiling", "false".to_owned()),
        // At the end it waits for nobody: the cluster goes as a whole.
        ("shutdown-delay-duration", "0s".to_owned()),
    ]);
    if plan.nodes != Nodes::Real {
        // An endpoint may not be a loopback address; nothing here goes through the Service.
        part = part.flags([("endpoint-reconciler-type", "none")]);
    }
    Ok(part)
}
