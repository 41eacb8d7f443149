//! The parts of the platform that services meet: DNS, the gateway, Kafka, the trace collector, and where each of them is.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Pods by their labels in one namespace; all pods of the namespace when no label is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodSelector {
    /// Their namespace.
    pub namespace: String,
    /// Their labels.
    #[serde(default)]
    pub pod_labels: BTreeMap<String, String>,
}

/// Where pods resolve names: pods of the cluster, or address ranges (a node-local cache), or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct DnsTarget {
    /// Pods of the cluster's DNS.
    pub pods: Option<PodSelector>,
    /// Address ranges (CIDR) of DNS servers that are no pods.
    pub cidrs: Vec<String>,
    /// Ports that the DNS pods listen on, UDP and TCP.
    pub ports: Vec<u16>,
}

impl Default for DnsTarget {
    fn default() -> Self {
        Self {
            pods: Some(PodSelector {
                namespace: "kube-system".to_owned(),
                pod_labels: labels(&[("k8s-app", "kube-dns")]),
            }),
            cidrs: Vec::new(),
            ports: vec![53],
        }
    }
}

/// The gateway (Traefik).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// Its pods.
    pub pods: PodSelector,
    /// Domains whose names may be hosts; every domain when empty. The first match decides the entry points.
    pub domains: Vec<HostDomain>,
    /// Entry points of hosts with TLS whose domain has none of its own.
    pub entry_points: Vec<String>,
    /// Entry points without TLS: hosts without TLS are served there, those with it are redirected from there.
    pub plain_entry_points: Vec<String>,
    /// cert-manager ClusterIssuer for services that name no certificate.
    pub default_issuer: Option<String>,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            pods: PodSelector {
                namespace: "goodgo-gateway".to_owned(),
                pod_labels: labels(&[("app.kubernetes.io/name", "traefik")]),
            },
            domains: Vec::new(),
            entry_points: vec!["websecure".to_owned()],
            plain_entry_points: vec!["web".to_owned()],
            default_issuer: None,
        }
    }
}

/// A domain whose names may be hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostDomain {
    /// `goodgo.example` permits it and every name below it.
    pub domain: String,
    /// Entry points of such hosts: the internal or the external ones. The gateway's unless set.
    #[serde(default)]
    pub entry_points: Vec<String>,
    /// Their entry points without TLS, where `entryPoints` are set. Unless set such hosts are redirected from nowhere, and
    /// those without TLS are served at `entryPoints`.
    #[serde(default)]
    pub plain_entry_points: Vec<String>,
}

impl HostDomain {
    /// Whether `host` is the domain or a name below it.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        host.strip_suffix(self.domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

/// The platform's Kafka.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KafkaConfig {
    /// `host:port` of brokers to begin with.
    pub bootstrap: Vec<String>,
    /// Where brokers are, for egress.
    pub brokers: BrokerTarget,
    /// Put before every topic's name.
    #[serde(default)]
    pub topic_prefix: String,
    /// How connections are secured.
    #[serde(default)]
    pub security: KafkaSecurity,
}

/// Where brokers are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BrokerTarget {
    /// Broker pods in this cluster.
    pub pods: Option<PodSelector>,
    /// Address ranges (CIDR) of brokers elsewhere.
    pub cidrs: Vec<String>,
    /// Ports of the brokers.
    pub ports: Vec<u16>,
}

/// How connections to Kafka are secured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct KafkaSecurity {
    /// TLS to the brokers.
    pub tls: bool,
    /// How clients prove who they are.
    pub authentication: KafkaAuthentication,
    /// Secret, in each service's namespace, with the credentials of `scram` or `mtls`.
    pub secret: Option<String>,
}

/// How clients prove to Kafka who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KafkaAuthentication {
    /// Not at all.
    #[default]
    None,
    /// SASL/SCRAM-SHA-512 from a mounted Secret.
    Scram,
    /// A client certificate from a mounted Secret.
    Mtls,
    /// SASL/OAUTHBEARER with the pod's projected token.
    OauthBearer,
}

/// Where traces go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TracingConfig {
    /// OTLP endpoint, such as `http://collector.observability.svc.cluster.local:4317`.
    pub otlp_endpoint: String,
    /// Protocol of the endpoint, as `OTEL_EXPORTER_OTLP_PROTOCOL` names it.
    #[serde(default = "grpc")]
    pub protocol: String,
    /// The collector's pods, for egress.
    #[serde(default)]
    pub pods: Option<PodSelector>,
    /// Address ranges (CIDR) of a collector elsewhere, for egress.
    #[serde(default)]
    pub cidrs: Vec<String>,
}

/// Redis that keeps rate limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RateLimitStore {
    /// `host:port` of each node.
    pub endpoints: Vec<String>,
    /// Secret with its `username` and `password`. Traefik reads it in the namespace of each service that limits rates.
    #[serde(default)]
    pub secret: Option<String>,
}

/// The cluster's token issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct IdentityConfig {
    /// Part of every audience: a token of one cluster is worth nothing in another with the same issuer. A change replaces
    /// all pods.
    pub cluster_id: String,
    /// `iss` of service account tokens; discovered unless set.
    pub issuer: Option<String>,
    /// URL of its key set; the API server's own unless set.
    pub jwks: Option<String>,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self { cluster_id: "cluster".to_owned(), issuer: None, jwks: None }
    }
}

/// The service mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mesh {
    /// None. (`off` would be a boolean to Helm's YAML.)
    #[default]
    None,
    /// Linkerd injects its proxy.
    Linkerd,
    /// Istio injects its proxy.
    Istio,
}

impl TracingConfig {
    /// Port of the endpoint: the one written, or the scheme's.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        url_port(&self.otlp_endpoint)
    }
}

/// Port of a URL: the one written, or the scheme's.
pub(crate) fn url_port(url: &str) -> Option<u16> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    match authority.rsplit_once(':') {
        Some((_, port)) => port.parse().ok(),
        None if scheme == "https" => Some(443),
        None => Some(80),
    }
}

pub(super) fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn grpc() -> String {
    "grpc".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_covers_itself_and_names_below_it() {
        let domain = HostDomain {
            domain: "goodgo.example".to_owned(),
            entry_points: vec![],
            plain_entry_points: vec![],
        };
        assert!(domain.covers("goodgo.example") && domain.covers("api.goodgo.example"));
        assert!(!domain.covers("notgoodgo.example") && !domain.covers("goodgo.example.evil"));
    }

    #[test]
    fn the_collectors_port_is_the_one_written_or_the_schemes() {
        let port = |endpoint: &str| {
            let otlp_endpoint = endpoint.to_owned();
            TracingConfig { otlp_endpoint, protocol: grpc(), pods: None, cidrs: Vec::new() }.port()
        };
        assert_eq!(port("http://collector:4317/v1"), Some(4317));
        assert_eq!(port("https://collector"), Some(443));
        assert_eq!(port("http://collector"), Some(80));
        assert_eq!(port("collector:4317"), None);
        assert_eq!(port("http://collector:x"), None);
    }
}
