//! etcd: one member, on the cluster's own address, without fsync (the data dies with the cluster).

use crate::part::{Part, Program, Ready};
use crate::plan::Plan;
use crate::tools;

pub(super) fn part(plan: &Plan) -> Part {
    let address = &plan.address;
    let client = format!("http://{address}:2379");
    let peer = format!("http://{address}:2380");
    Part { ready: Ready::Url(format!("{client}/readyz")), ..Part::new("etcd", Program::Tool(tools::ETCD)) }
        .flags([
            ("data-dir", plan.arg("etcd").as_str()),
            ("listen-client-urls", &client),
            ("advertise-client-urls", &client),
            ("listen-peer-urls", &peer),
            ("initial-advertise-peer-urls", &peer),
            ("initial-cluster", &format!("default={peer}")),
            ("unsafe-no-fsync", "true"),
            ("log-level", "warn"),
            ("quota-backend-bytes", "4294967296"),
        ])
}
