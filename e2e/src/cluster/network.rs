//! The cluster's network: a namespace, a veth pair to the host and routes to pods and Services.

use super::Record;
use crate::host::run;
use crate::plan::{Nodes, Plan};
use anyhow::{Context, Result};

/// Second octets to choose from: 10.200.0.0/16 to 10.249.0.0/16.
const SUBNETS: std::ops::Range<u8> = 200..250;

/// A subnet that no cluster has and no route of this machine mentions.
pub(super) fn free_subnet(taken: &[Record], nodes: Nodes) -> Result<u8> {
    let routes = match nodes {
        Nodes::Real => run("ip", &["-4", "route", "show", "table", "all"])?,
        // Addresses that nobody is routed to can't collide.
        Nodes::Simulated | Nodes::None => String::new(),
    };
    SUBNETS
        .clone()
        .find(|subnet| {
            !taken.iter().any(|record| record.plan.subnet == *subnet)
                && !routes.contains(&format!("10.{subnet}."))
        })
        .context("failed to find a free network: 10.200.0.0/16 to 10.249.0.0/16 are all in use")
}

pub(super) fn host_link(plan: &Plan) -> String {
    format!("goodgo{}", plan.subnet)
}

/// The namespace's file, for `nsenter --net=`.
pub(super) fn namespace_file(plan: &Plan) -> String {
    format!("/run/netns/{}", plan.id)
}

pub(super) fn make(plan: &Plan) -> Result<()> {
    let (id, outside, inside) = (plan.id.as_str(), host_link(plan), "up0");
    let (host, node) = (plan.host_address(), plan.address.clone());
    run("ip", &["netns", "add", id])?;
    run("ip", &["link", "add", &outside, "type", "veth", "peer", "name", inside, "netns", id])?;
    run("ip", &["addr", "add", &format!("{host}/30"), "dev", &outside])?;
    run("ip", &["link", "set", &outside, "up"])?;
    run("ip", &["-n", id, "addr", "add", &format!("{node}/30"), "dev", inside])?;
    run("ip", &["-n", id, "link", "set", "lo", "up"])?;
    run("ip", &["-n", id, "link", "set", inside, "up"])?;
    run("ip", &["-n", id, "route", "add", "default", "via", &host])?;
    for range in [plan.pod_range(), plan.service_range()] {
        run("ip", &["route", "add", &range, "via", &node])?;
    }
    let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
    run("nsenter", &[&format!("--net={}", namespace_file(plan)), "sh", "-c", forward])?;
    Ok(())
}

/// Takes the link of the pod with this address down, as if its node were gone.
pub(super) fn cut_off(plan: &Plan, ip: &str) -> Result<()> {
    let neighbour = run("ip", &["-n", &plan.id, "neigh", "show", ip])?;
    let mac = neighbour.split_whitespace().skip_while(|word| *word != "lladdr").nth(1);
    let mac = mac.with_context(|| format!("failed to find the pod with the address {ip}: {neighbour}"))?;
    let table = run("bridge", &["-n", &plan.id, "fdb", "show"])?;
    let line = table.lines().find(|line| line.starts_with(mac) && line.contains(" dev veth"));
    let link = line.and_then(|line| line.split_whitespace().skip_while(|word| *word != "dev").nth(1));
    let link = link.with_context(|| format!("failed to find the link of {mac}:\n{table}"))?;
    run("ip", &["-n", &plan.id, "link", "set", link, "down"]).map(drop)
}

/// Removes link (its routes go with it) and namespace, as far as they exist.
pub(super) fn remove(plan: &Plan) -> Result<()> {
    let link = host_link(plan);
    if std::path::Path::new("/sys/class/net").join(&link).exists() {
        run("ip", &["link", "del", &link])?;
    }
    if std::path::Path::new(&namespace_file(plan)).exists() {
        run("ip", &["netns", "del", &plan.id])?;
    }
    Ok(())
}
