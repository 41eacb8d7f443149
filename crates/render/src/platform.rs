//! The operator's own configuration, as far as it decides what is rendered: one typed file, the same for every service.
//!
//! Unknown fields are refused. What a service does not set follows the profile of [`Environment`].

use crate::validate::Violation;
use goodgo_api::GoodGoServiceSpec;
use goodgo_api::workload::Scaling;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What the platform team decides for all services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PlatformConfig {
    /// Profile of defaults.
    pub environment: Environment,
    /// DNS domain of the cluster.
    pub cluster_domain: String,
    /// Image of the communication runtime.
    pub runtime_image: String,
    /// Namespaces whose services are reconciled; all of them when empty.
    pub watch_namespaces: Vec<String>,
    /// The operator's own pods, which ask each runtime what it runs.
    pub operator: PodSelector,
    /// Where pods resolve names.
    pub dns: DnsTarget,
    /// Address ranges (CIDR) that calls to `everywhere` never reach: the cluster and what is near it.
    pub private_ranges: Vec<String>,
    /// The gateway.
    pub gateway: GatewayConfig,
    /// Who reads metrics; nobody unless set.
    pub monitoring: Option<PodSelector>,
    /// The platform's Kafka; none unless set.
    pub kafka: Option<KafkaConfig>,
    /// Where traces go; nowhere unless set.
    pub tracing: Option<TracingConfig>,
    /// Redis that keeps rate limits across the gateway's replicas.
    pub rate_limit_store: Option<RateLimitStore>,
    /// The cluster's token issuer, when the one that the API server publishes can't be used.
    pub identity: Option<IdentityConfig>,
    /// The service mesh.
    pub mesh: Mesh,
}

impl Default for PlatformConfig {
    fn default() -> Self {
        Self {
            environment: Environment::default(),
            cluster_domain: "cluster.local".to_owned(),
            runtime_image: concat!("goodgo/runtime:", env!("CARGO_PKG_VERSION")).to_owned(),
            watch_namespaces: Vec::new(),
            operator: PodSelector {
                namespace: "goodgo-system".to_owned(),
                pod_labels: labels(&[("app.kubernetes.io/name", "goodgo-operator")]),
            },
            dns: DnsTarget::default(),
            private_ranges: [
                "10.0.0.0/8",
                "100.64.0.0/10",
                "169.254.0.0/16",
                "172.16.0.0/12",
                "192.168.0.0/16",
                "fc00::/7",
                "fe80::/10",
            ]
            .map(str::to_owned)
            .to_vec(),
            gateway: GatewayConfig::default(),
            monitoring: None,
            kafka: None,
            tracing: None,
            rate_limit_store: None,
            identity: None,
            mesh: Mesh::default(),
        }
    }
}

/// A profile of defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// One machine.
    Local,
    /// As production, smaller.
    Staging,
    /// The default: who forgets to say gets the safe one.
    #[default]
    Production,
}

/// What an environment decides where a service is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Pods of a service, and fewest pods of a scaled one.
    pub replicas: i32,
    /// Copies of each topic partition.
    pub topic_replication: i32,
    /// Copies that must have a message before it counts.
    pub topic_min_in_sync: i32,
    /// TLS at the gateway.
    pub tls: GatewayTls,
}

/// Whether hosts of the gateway have certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayTls {
    /// Only where a service asks for it.
    Off,
    /// With the platform's default where a service names none.
    On,
    /// A service must name one unless the platform has a default issuer.
    Required,
}

impl Environment {
    /// The table of defaults.
    #[must_use]
    pub const fn profile(self) -> Profile {
        match self {
            Self::Local => {
                Profile { replicas: 1, topic_replication: 1, topic_min_in_sync: 1, tls: GatewayTls::Off }
            }
            Self::Staging => {
                Profile { replicas: 2, topic_replication: 3, topic_min_in_sync: 2, tls: GatewayTls::On }
            }
            Self::Production => {
                Profile { replicas: 3, topic_replication: 3, topic_min_in_sync: 2, tls: GatewayTls::Required }
            }
        }
    }

    /// The name in configuration and in `deployment.environment.name` of traces.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }
}

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
    /// Entry points of hosts that no domain covers.
    pub entry_points: Vec<String>,
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
    /// Entry points of such hosts: the internal or the external ones.
    #[serde(default)]
    pub entry_points: Vec<String>,
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
    /// Secret of the gateway's namespace with its credentials.
    #[serde(default)]
    pub secret: Option<String>,
}

/// The cluster's token issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityConfig {
    /// `iss` of service account tokens.
    pub issuer: String,
    /// URL of its key set; discovered unless set.
    #[serde(default)]
    pub jwks: Option<String>,
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

impl PlatformConfig {
    /// The defaults of this environment.
    #[must_use]
    pub const fn profile(&self) -> Profile {
        self.environment.profile()
    }

    /// Pods of a service that is not scaled automatically.
    #[must_use]
    pub fn replicas(&self, spec: &GoodGoServiceSpec) -> i32 {
        spec.replicas.unwrap_or(self.profile().replicas)
    }

    /// Fewest pods of a service that is: its own number, or the profile's as far as its maximum permits.
    #[must_use]
    pub fn min_replicas(&self, scaling: &Scaling) -> i32 {
        scaling.min.unwrap_or(self.profile().replicas).min(scaling.max)
    }

    /// The service's name in cluster DNS, fully qualified with its final dot: the resolver's search list is skipped.
    #[must_use]
    pub fn dns_name(&self, service: &str, namespace: &str) -> String {
        format!("{service}.{namespace}.svc.{}.", self.cluster_domain)
    }

    /// Checks what the types alone can't hold.
    ///
    /// # Errors
    /// Every value that is out of its bounds, with its path and what to do.
    pub fn validate(&self) -> Result<(), Vec<Violation>> {
        let mut violations = Vec::new();
        let mut ranges = vec![("privateRanges", &self.private_ranges), ("dns.cidrs", &self.dns.cidrs)];
        if let Some(kafka) = &self.kafka {
            ranges.push(("kafka.brokers.cidrs", &kafka.brokers.cidrs));
        }
        if let Some(tracing) = &self.tracing {
            ranges.push(("tracing.cidrs", &tracing.cidrs));
        }
        for (path, cidrs) in ranges {
            for (index, cidr) in cidrs.iter().enumerate().filter(|(_, cidr)| !is_cidr(cidr)) {
                violations.push(Violation::new(
                    format!("{path}[{index}]"),
                    format!("{cidr:?} is no address range: write it in CIDR notation, such as 10.0.0.0/8"),
                ));
            }
        }
        for (path, empty, what) in [
            (
                "clusterDomain",
                self.cluster_domain.is_empty(),
                "name the cluster's DNS domain, such as cluster.local",
            ),
            ("runtimeImage", self.runtime_image.is_empty(), "name the runtime's image"),
            ("dns.ports", self.dns.ports.is_empty(), "name at least one port, such as 53"),
        ] {
            if empty {
                violations.push(Violation::new(path, what));
            }
        }
        if self.tracing.as_ref().is_some_and(|tracing| tracing.pods.is_none() && tracing.cidrs.is_empty()) {
            violations.push(Violation::new(
                "tracing",
                "say where the collector is, so that pods may reach it: pods or cidrs",
            ));
        }
        if self.tracing.as_ref().is_some_and(|tracing| tracing.port().is_none()) {
            violations.push(Violation::new(
                "tracing.otlpEndpoint",
                "write scheme, host and port, such as http://collector.observability.svc:4317",
            ));
        }
        if violations.is_empty() { Ok(()) } else { Err(violations) }
    }
}

impl TracingConfig {
    /// Port of the endpoint: the one written, or the scheme's.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        let (scheme, rest) = self.otlp_endpoint.split_once("://")?;
        let authority = rest.split('/').next()?;
        match authority.rsplit_once(':') {
            Some((_, port)) => port.parse().ok(),
            None if scheme == "https" => Some(443),
            None => Some(80),
        }
    }
}

pub(crate) fn is_cidr(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, length)| match (address.parse(), length.parse::<u8>()) {
        (Ok(IpAddr::V4(_)), Ok(length)) => length <= 32,
        (Ok(IpAddr::V6(_)), Ok(length)) => length <= 128,
        _ => false,
    })
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
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
        let domain = HostDomain { domain: "goodgo.example".to_owned(), entry_points: Vec::new() };
        assert!(domain.covers("goodgo.example") && domain.covers("api.goodgo.example"));
        assert!(!domain.covers("notgoodgo.example") && !domain.covers("goodgo.example.evil"));
    }

    #[test]
    fn ranges_are_checked_by_their_family() {
        for cidr in ["10.0.0.0/8", "fc00::/7", "::/0", "1.2.3.4/32"] {
            assert!(is_cidr(cidr), "{cidr}");
        }
        for cidr in ["10.0.0.0", "10.0.0.0/33", "fc00::/129", "/8", "a/8", "10.0.0/8"] {
            assert!(!is_cidr(cidr), "{cidr}");
        }
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

    #[test]
    fn the_defaults_are_good_and_every_fault_is_said() {
        assert_eq!(PlatformConfig::default().validate(), Ok(()));
        let bad = PlatformConfig {
            cluster_domain: String::new(),
            private_ranges: vec!["10.0.0.0/8".to_owned(), "private".to_owned()],
            tracing: Some(TracingConfig {
                otlp_endpoint: "collector".to_owned(),
                protocol: grpc(),
                pods: None,
                cidrs: Vec::new(),
            }),
            ..PlatformConfig::default()
        };
        let paths: Vec<_> = bad.validate().unwrap_err().into_iter().map(|violation| violation.path).collect();
        assert_eq!(paths, ["privateRanges[1]", "clusterDomain", "tracing", "tracing.otlpEndpoint"]);
    }
}
