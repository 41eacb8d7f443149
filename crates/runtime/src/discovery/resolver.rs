//! One look at DNS. Nothing is kept here: [`super::follow`] does, with rules of its own.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use goodgo_runtime_config::{Target, TargetService};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, Record};
use hickory_resolver::system_conf::read_system_conf;

use super::{Found, LookupError, Metrics};
use crate::Error;

/// Time for the answer to one query. A lost packet costs this, and a call's connect timeout is 1 s by default.
const QUERY_LIMIT: Duration = Duration::from_millis(400);
/// Times that a query is sent again when no server answered it.
const QUERY_RETRIES: usize = 2;
/// Most servers that are asked (resolv.conf(5): MAXNS).
const MOST_SERVERS: usize = 3;

/// Asks the DNS servers of `/etc/resolv.conf`, or one that is given. Cheap to clone.
///
/// All servers are asked at the same time and the first that knows counts: one that is dead costs nothing, and an error
/// of one is not taken for an answer while another may have one. (The library's own pool ends with the first error.)
#[derive(Debug, Clone)]
pub(crate) struct Resolver {
    servers: Arc<[Server]>,
    metrics: Metrics,
}

#[derive(Debug)]
struct Server(TokioResolver);

/// What is looked up for a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    /// SRV name of the pods.
    pods: Option<String>,
    host: String,
    port: u16,
}

impl Query {
    /// What to look up for `target`, or its address when the host is one.
    pub(crate) fn of(target: &Target) -> Result<Self, SocketAddr> {
        let Target { scheme: _, host, port, service } = target;
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Err(SocketAddr::new(ip, *port));
        }
        let pods = service.as_ref().and_then(|TargetService { pods, identity: _ }| pods.clone());
        Ok(Self { pods, host: host.clone(), port: *port })
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.pods.as_deref().unwrap_or(&self.host))
    }
}

impl Resolver {
    /// With `server` alone, or the system's configuration. What names cost is counted in `metrics`.
    ///
    /// # Errors
    /// [`Error::Resolver`] when the library refuses the configuration.
    pub(crate) fn new(server: Option<SocketAddr>, metrics: Metrics) -> Result<Self, Error> {
        let (config, options) = match server {
            Some(server) => (ResolverConfig::from_name_servers(vec![at(server)]), ResolverOpts::default()),
            None => system(),
        };
        Self::with(config, options, metrics)
    }

    /// With these servers and search list, and limits of our own.
    fn with(config: ResolverConfig, mut options: ResolverOpts, metrics: Metrics) -> Result<Self, Error> {
        options.timeout = QUERY_LIMIT;
        options.attempts = QUERY_RETRIES;
        options.ip_strategy =
            if prefers_ipv4() { LookupIpStrategy::Ipv4thenIpv6 } else { LookupIpStrategy::Ipv6thenIpv4 };
        // One cache is enough, and a refresh must reach the server.
        options.cache_size = 0;
        let (domain, search, servers) = config.into_parts();
        let only = |server| {
            let config = ResolverConfig::from_parts(domain.clone(), search.clone(), vec![server]);
            let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
            *builder.options_mut() = options.clone();
            builder.build().map(Server)
        };
        let servers: Result<Arc<[_]>, _> = servers.into_iter().take(MOST_SERVERS).map(only).collect();
        servers.map(|servers| Self { servers, metrics }).map_err(|error| Error::Resolver(error.to_string()))
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// One look, at all servers.
    pub(super) async fn find(&self, query: &Query) -> Result<Found, LookupError> {
        let mut asked: FuturesUnordered<_> = self.servers.iter().map(|server| server.find(query)).collect();
        let mut failed = LookupError::Failed("there is no DNS server to ask".to_owned());
        while let Some(answer) = asked.next().await {
            match answer {
                Err(LookupError::Failed(reason)) => failed = LookupError::Failed(reason),
                definite => return definite,
            }
        }
        Err(failed)
    }
}

impl Server {
    /// The pods' addresses, each with the port that its SRV record names; the host's addresses when there is no such
    /// record. Without ready pods that is the Service's address, where connecting fails with a clear reason.
    async fn find(&self, query: &Query) -> Result<Found, LookupError> {
        let Query { pods, host, port } = query;
        if let Some(pods) = pods {
            match self.pods(name(pods)?).await {
                Err(LookupError::Absent) => {}
                found => return found,
            }
        }
        let (addresses, ttl) = self.addresses(name(host)?).await?;
        let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, *port)).collect();
        Found::new(addresses, ttl).ok_or(LookupError::Absent)
    }

    /// Priorities and weights are not looked at: a headless Service gives all its pods the same.
    async fn pods(&self, name: Name) -> Result<Found, LookupError> {
        let lookup = self.0.srv_lookup(name).await.map_err(|error| failed(&error))?;
        let mut ttl = shortest(lookup.answers());
        let mut given: HashMap<&Name, Vec<IpAddr>> = HashMap::new();
        for record in lookup.additionals() {
            given.entry(&record.name).or_default().extend(record.data.ip_addr());
        }
        let mut addresses = Vec::new();
        let mut missing = Vec::new();
        for record in lookup.answers() {
            let RData::SRV(srv) = &record.data else { continue };
            match given.get(&srv.target).filter(|ips| !ips.is_empty()) {
                Some(ips) => addresses.extend(ips.iter().map(|ip| SocketAddr::new(*ip, srv.port))),
                // RFC 2782: a target of "." says that the service is decidedly not there.
                None if srv.target.is_root() => {}
                None => missing.push((srv.target.clone(), srv.port)),
            }
        }
        ttl = ttl.min(shortest(lookup.additionals().iter().filter(|record| record.data.ip_addr().is_some())));
        missing.truncate(super::MAX_ADDRESSES);
        let resolved = missing.into_iter().map(async |(target, port)| (self.addresses(target).await, port));
        let mut error = LookupError::Absent;
        for (resolved, port) in join_all(resolved).await {
            match resolved {
                Ok((ips, its_ttl)) => {
                    ttl = ttl.min(its_ttl);
                    addresses.extend(ips.into_iter().map(|ip| SocketAddr::new(ip, port)));
                }
                // A pod may have gone between both answers; the others are there.
                Err(LookupError::Absent) => {}
                Err(failed) => error = failed,
            }
        }
        Found::new(addresses, ttl).ok_or(error)
    }

    async fn addresses(&self, name: Name) -> Result<(Vec<IpAddr>, Duration), LookupError> {
        let lookup = self.0.lookup_ip(name).await.map_err(|error| failed(&error))?;
        Ok((lookup.iter().collect(), shortest(lookup.as_lookup().answers())))
    }
}

/// Labels are taken as they are: IDNA would refuse the `--` of a headless Service's name.
fn name(text: &str) -> Result<Name, LookupError> {
    Name::from_ascii(text).map_err(|error| LookupError::Failed(format!("{text} is no DNS name: {error}")))
}

fn shortest<'a>(records: impl IntoIterator<Item = &'a Record>) -> Duration {
    let ttl = records.into_iter().map(|record| record.ttl).min();
    Duration::from_secs(ttl.unwrap_or(u32::MAX).into())
}

fn failed(error: &NetError) -> LookupError {
    if error.is_no_records_found() { LookupError::Absent } else { LookupError::Failed(error.to_string()) }
}

fn at(server: SocketAddr) -> NameServerConfig {
    let mut config = NameServerConfig::udp_and_tcp(server.ip());
    for connection in &mut config.connections {
        connection.port = server.port();
    }
    config
}

fn system() -> (ResolverConfig, ResolverOpts) {
    match read_system_conf() {
        Ok((config, options)) => (searched(config), options),
        // resolv.conf(5): a machine without that file, or without a server in it, asks itself.
        Err(error) => {
            tracing::warn!(%error, "no usable /etc/resolv.conf; asking the DNS server on 127.0.0.1");
            let local = NameServerConfig::udp_and_tcp(IpAddr::from([127, 0, 0, 1]));
            (ResolverConfig::from_name_servers(vec![local]), ResolverOpts::default())
        }
    }
}

/// Only the search list counts: the domain of the machine's own name is no part of it in a pod.
fn searched(config: ResolverConfig) -> ResolverConfig {
    let (_, search, servers) = config.into_parts();
    ResolverConfig::from_parts(None, search, servers)
}

/// Whether names with addresses of both families are to be used over IPv4, which every dual-stack peer has: unless IPv6
/// is the only family with a way out. `connect` on a UDP socket asks the routing table and sends nothing.
fn prefers_ipv4() -> bool {
    let routed = |from: &str, to: &str| UdpSocket::bind(from).is_ok_and(|socket| socket.connect(to).is_ok());
    // Addresses for documentation (RFC 5737, RFC 3849): the way to them is the default route.
    routed("0.0.0.0:0", "192.0.2.1:9") || !routed("[::]:0", "[2001:db8::1]:9")
}

#[cfg(test)]
mod tests;
