//! The operator's own configuration, as far as it decides what is rendered: one typed file, the same for every service.
//!
//! Unknown fields are refused. What a service does not set follows the profile of [`Environment`].

mod environment;
mod targets;

use crate::validate::Violation;
use goodgo_api::GoodGoServiceSpec;
use goodgo_api::workload::Scaling;
use goodgo_fleet::ServiceKey;
use goodgo_runtime_config::{is_authority, is_http_url};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use targets::labels;
pub(crate) use targets::url_port;

pub use environment::{Environment, GatewayTls, Profile};
pub use targets::{
    BrokerTarget, DnsTarget, GatewayConfig, HostDomain, IdentityConfig, KafkaAuthentication, KafkaConfig,
    KafkaSecurity, Mesh, PodSelector, RateLimitStore, TracingConfig,
};

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
    /// Identities of services: the cluster's name in them, and their issuer.
    pub identity: IdentityConfig,
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
            identity: IdentityConfig::default(),
            mesh: Mesh::default(),
        }
    }
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

    /// `aud` of the tokens with which `callee` is called.
    #[must_use]
    pub fn audience(&self, callee: &ServiceKey) -> String {
        format!("goodgo.io/{}/{}/{}", self.identity.cluster_id, callee.namespace, callee.name)
    }

    /// Paths of what is set and not acted on by this version; a value that equals its default is not named.
    #[must_use]
    pub fn not_acted_on(&self) -> Vec<&'static str> {
        let security = |kafka: &KafkaConfig| kafka.security != KafkaSecurity::default();
        let fields = [
            ("kafka.topicPrefix", self.kafka.as_ref().is_some_and(|kafka| !kafka.topic_prefix.is_empty())),
            ("kafka.security", self.kafka.as_ref().is_some_and(security)),
            ("mesh", self.mesh != Mesh::default()),
        ];
        fields.into_iter().filter(|(_, set)| *set).map(|(path, _)| path).collect()
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
        for (path, wrong, what) in [
            (
                "clusterDomain",
                !is_authority(&self.cluster_domain) || self.cluster_domain.contains(':'),
                "name the cluster's DNS domain, such as cluster.local",
            ),
            (
                "identity.clusterId",
                !is_cluster_id(&self.identity.cluster_id),
                "use 1 to 63 lower case letters, digits, hyphens and dots",
            ),
            (
                "identity.issuer",
                self.identity.issuer.as_ref().is_some_and(|issuer| !(1..=512).contains(&issuer.len())),
                "write the iss of the cluster's tokens, at most 512 characters",
            ),
            (
                "identity.jwks",
                self.identity.jwks.as_ref().is_some_and(|jwks| !is_http_url(jwks)),
                "write the URL of the issuer's key set",
            ),
            (
                "kafka.bootstrap",
                self.kafka.as_ref().is_some_and(|kafka| !are_addresses(&kafka.bootstrap)),
                "name one or more brokers, each as host:port",
            ),
            (
                "gateway.entryPoints",
                self.gateway.entry_points.is_empty(),
                "name at least one entry point of the gateway, such as websecure",
            ),
            (
                "gateway.plainEntryPoints",
                self.gateway.plain_entry_points.is_empty() && self.profile().tls == GatewayTls::Off,
                "name at least one entry point without TLS, such as web: hosts have none in this environment",
            ),
            (
                "rateLimitStore.endpoints",
                self.rate_limit_store.as_ref().is_some_and(|store| !are_addresses(&store.endpoints)),
                "name one or more nodes, each as host:port",
            ),
            ("runtimeImage", self.runtime_image.is_empty(), "name the runtime's image"),
            ("dns.ports", self.dns.ports.is_empty(), "name at least one port, such as 53"),
        ] {
            if wrong {
                violations.push(Violation::new(path, what));
            }
        }
        if self.tracing.as_ref().is_some_and(|tracing| tracing.pods.is_none() && tracing.cidrs.is_empty()) {
            violations.push(Violation::new(
                "tracing",
                "say where the collector is, so that pods may reach it: pods or cidrs",
            ));
        }
        let endpoint = self.tracing.as_ref().map(|tracing| tracing.otlp_endpoint.as_str());
        if endpoint.is_some_and(|url| url_port(url).is_none() || !is_http_url(url)) {
            violations.push(Violation::new(
                "tracing.otlpEndpoint",
                "write scheme, host and port, such as http://collector.observability.svc:4317",
            ));
        }
        if violations.is_empty() { Ok(()) } else { Err(violations) }
    }
}

fn is_cluster_id(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    (1..=63).contains(&text.len()) && text.bytes().all(legal)
}

fn are_addresses(list: &[String]) -> bool {
    !list.is_empty() && list.iter().all(|address| address.contains(':') && is_authority(address))
}

pub(crate) fn is_cidr(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, length)| match (address.parse(), length.parse::<u8>()) {
        (Ok(IpAddr::V4(_)), Ok(length)) => length <= 32,
        (Ok(IpAddr::V6(_)), Ok(length)) => length <= 128,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_defaults_are_good_and_every_fault_is_said() {
        assert_eq!(PlatformConfig::default().validate(), Ok(()));
        let bad = PlatformConfig {
            cluster_domain: String::new(),
            private_ranges: vec!["10.0.0.0/8".to_owned(), "private".to_owned()],
            tracing: Some(TracingConfig {
                otlp_endpoint: "collector".to_owned(),
                protocol: "grpc".to_owned(),
                pods: None,
                cidrs: Vec::new(),
            }),
            ..PlatformConfig::default()
        };
        let paths: Vec<_> = bad.validate().unwrap_err().into_iter().map(|violation| violation.path).collect();
        assert_eq!(paths, ["privateRanges[1]", "clusterDomain", "tracing", "tracing.otlpEndpoint"]);
    }

    #[test]
    fn hosts_need_entry_points_and_limits_a_redis_with_a_port() {
        let text = "environment: local\nrateLimitStore: {endpoints: [redis]}\n\
                    gateway: {entryPoints: [], plainEntryPoints: []}";
        let bad: PlatformConfig = serde_saphyr::from_str(text).unwrap();
        let paths: Vec<_> = bad.validate().unwrap_err().into_iter().map(|violation| violation.path).collect();
        assert_eq!(paths, ["gateway.entryPoints", "gateway.plainEntryPoints", "rateLimitStore.endpoints"]);
    }

    #[test]
    fn what_is_set_for_a_later_version_is_named() {
        assert_eq!(PlatformConfig::default().not_acted_on(), [""; 0]);
        let text = "mesh: linkerd\n\
                    kafka: {bootstrap: ['kafka:9092'], brokers: {}, topicPrefix: test., security: {tls: true}}";
        let platform: PlatformConfig = serde_saphyr::from_str(text).unwrap();
        let expected = ["kafka.topicPrefix", "kafka.security", "mesh"];
        assert_eq!(platform.not_acted_on(), expected);
    }

    #[test]
    fn a_field_that_nobody_knows_is_refused_by_name() {
        let error = serde_saphyr::from_str::<PlatformConfig>("clusterDomian: cluster.local").unwrap_err();
        assert!(error.to_string().contains("clusterDomian"), "{error}");
    }
}
