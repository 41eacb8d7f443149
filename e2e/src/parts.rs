//! The parts, one file each, and the clusters as lists of them.
//!
//! To add one: write `parts/NAME.rs` with a `part(&Plan) -> Result<Part>` that writes its
//! configuration and says how it starts and when it is ready, and name it in a list below.
//! Order is for the reader; [`Part::needs`](crate::part::Part::needs) decides what waits for what.

pub(crate) mod containerd;
mod coredns;
mod etcd;
mod kube_apiserver;
mod kube_controller_manager;
mod kube_proxy;
mod kube_scheduler;
mod kubelet;
mod kwok;
mod metrics_server;
mod operator;

use crate::part::Part;
use crate::plan::Plan;
use anyhow::Result;

/// A cluster with real pods.
///
/// # Errors
/// When a part's configuration can't be written.
pub fn cluster(plan: &Plan) -> Result<Vec<Part>> {
    Ok(vec![
        etcd::part(plan),
        containerd::part(plan)?,
        kube_apiserver::part(plan)?,
        kube_controller_manager::part(plan),
        kube_scheduler::part(plan),
        kubelet::part(plan)?,
        kube_proxy::part(plan)?,
        coredns::part(plan)?,
        metrics_server::part(plan),
    ])
}

/// A cluster whose nodes are simulated: everything is scheduled and nothing runs.
///
/// # Errors
/// When a part's configuration can't be written.
pub fn simulated(plan: &Plan) -> Result<Vec<Part>> {
    let mut parts = vec![
        etcd::part(plan),
        kube_apiserver::part(plan)?,
        kube_controller_manager::part(plan),
        kube_scheduler::part(plan),
        kwok::part(plan)?,
    ];
    if let Some(program) = &plan.options.operator {
        parts.push(operator::part(plan, program)?);
    }
    Ok(parts)
}

/// The API alone, with garbage collection and the other built-in controllers when asked.
///
/// # Errors
/// When a part's configuration can't be written.
pub fn control_plane(plan: &Plan, controllers: bool) -> Result<Vec<Part>> {
    let mut parts = vec![etcd::part(plan), kube_apiserver::part(plan)?];
    if controllers {
        parts.push(kube_controller_manager::part(plan));
    }
    Ok(parts)
}
