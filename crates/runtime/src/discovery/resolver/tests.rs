//! With the resolv.conf of a pod, whose servers are the tests' own.

// Made for the integration tests; here a part of it is enough.
#[allow(dead_code)]
#[path = "../../../tests/support/dns.rs"]
mod dns;

use std::net::Ipv4Addr;

use dns::{Dns, Mood};
use hickory_resolver::proto::rr::RecordType;
use hickory_resolver::system_conf::parse_resolv_conf;

use super::*;

const RESOLV_CONF: &str = "\
search shop.svc.cluster.local svc.cluster.local cluster.local
options ndots:5
nameserver 10.96.0.10
";

fn resolver(servers: &[&Dns]) -> Resolver {
    let (config, options) = parse_resolv_conf(RESOLV_CONF).unwrap();
    let (domain, search, _) = searched(config).into_parts();
    let servers = servers.iter().map(|dns| at(dns.address)).collect();
    Resolver::with(ResolverConfig::from_parts(domain, search, servers), options, Metrics::default()).unwrap()
}

async fn find(resolver: &Resolver, host: &str) -> Result<Vec<SocketAddr>, LookupError> {
    let query = Query { pods: None, host: host.to_owned(), port: 80 };
    Ok(resolver.find(&query).await?.addresses)
}

#[tokio::test]
async fn short_names_are_searched_and_fully_qualified_ones_are_not() {
    let dns = Dns::start().await;
    dns.host("iam.shop.svc.cluster.local.", &[Ipv4Addr::new(10, 0, 0, 1)], 5);
    dns.host("iam.billing.svc.cluster.local.", &[Ipv4Addr::new(10, 0, 0, 2)], 5);
    dns.host("api.example.com.", &[Ipv4Addr::new(192, 0, 2, 7)], 5);
    let resolver = resolver(&[&dns]);
    for (host, address) in [
        ("iam", "10.0.0.1:80"),
        ("iam.shop.svc.cluster.local.", "10.0.0.1:80"),
        ("iam.billing", "10.0.0.2:80"),
        ("IAM.billing.svc", "10.0.0.2:80"),
        ("api.example.com", "192.0.2.7:80"),
    ] {
        assert_eq!(find(&resolver, host).await, Ok(vec![address.parse().unwrap()]), "{host}");
    }
    // Fewer dots than five: the search list came first.
    assert_eq!(dns.queries("api.example.com.shop.svc.cluster.local.", RecordType::A), 1);
    assert_eq!(find(&resolver, "iam.").await, Err(LookupError::Absent));
    assert_eq!(dns.queries("iam.svc.cluster.local.", RecordType::A), 0);
}

#[tokio::test]
async fn one_of_two_servers_is_enough() {
    for mood in [Mood::Silent, Mood::Failing] {
        let (bad, good) = (Dns::start().await, Dns::start().await);
        bad.is(mood);
        good.host("iam.shop.svc.cluster.local.", &[Ipv4Addr::new(10, 0, 0, 1)], 5);
        for servers in [[&bad, &good], [&good, &bad]] {
            let found = find(&resolver(&servers), "iam.shop.svc.cluster.local.").await;
            assert_eq!(found, Ok(vec!["10.0.0.1:80".parse().unwrap()]), "{mood:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_is_as_fresh_as_its_shortest_ttl_and_each_address_counts_once() {
    let dns = Dns::start().await;
    let pods = "_service._tcp.ab--pods.shop.svc.cluster.local.";
    let one = "10.0.0.1:14001".parse().unwrap();
    let other = "10.0.0.2:3000".parse().unwrap();
    dns.pods(pods, &[other, one, one], 30);
    dns.host("pod-0.ab--pods.shop.svc.cluster.local.", &[Ipv4Addr::new(10, 0, 0, 2)], 7);
    let query = Query { pods: Some(pods.to_owned()), host: "ab".to_owned(), port: 3000 };
    let found = resolver(&[&dns]).find(&query).await.unwrap();
    assert_eq!(found, Found { addresses: vec![one, other], ttl: Duration::from_secs(7) });
}

#[tokio::test]
async fn an_error_is_no_absence() {
    let dns = Dns::start().await;
    dns.host("iam.shop.svc.cluster.local.", &[Ipv4Addr::new(10, 0, 0, 1)], 5);
    dns.is(Mood::Failing);
    let query = Query {
        pods: Some("_service._tcp.iam--pods.shop.svc.cluster.local.".to_owned()),
        host: "iam.shop.svc.cluster.local.".to_owned(),
        port: 3000,
    };
    assert!(matches!(resolver(&[&dns]).find(&query).await, Err(LookupError::Failed(_))));
}
