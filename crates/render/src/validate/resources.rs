//! Resources: quantities parsed and made canonical, defaults where scaling or the runtime needs them.

use super::violation::Report;
use crate::quantity::Quantity;
use goodgo_api::GoodGoServiceSpec;
use goodgo_api::workload::Resources;
use std::collections::BTreeMap;

/// Resources of one container in canonical form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResourcePlan {
    pub(crate) requests: BTreeMap<String, Quantity>,
    pub(crate) limits: BTreeMap<String, Quantity>,
}

impl ResourcePlan {
    /// Requests `amount` where the container neither requests nor limits `resource`: a limit alone is a request too.
    fn request(&mut self, resource: &str, amount: &str) {
        if !self.limits.contains_key(resource) && !self.requests.contains_key(resource) {
            self.requests.extend(Quantity::parse(amount).map(|amount| (resource.to_owned(), amount)));
        }
    }
}

/// The app's. An autoscaler measures in percent of the requests, so scaling brings default ones.
pub(super) fn app(spec: &GoodGoServiceSpec, report: &mut Report) -> ResourcePlan {
    let mut plan = parse("spec.resources", spec.resources.as_ref(), report);
    if let Some(scaling) = &spec.scaling {
        if scaling.cpu_percent.is_some() || scaling.memory_percent.is_none() {
            plan.request("cpu", "100m");
        }
        if scaling.memory_percent.is_some() {
            plan.request("memory", "128Mi");
        }
    }
    plan
}

/// The runtime's: small, and without a CPU limit, which would throttle the data path.
pub(super) fn runtime(spec: &GoodGoServiceSpec, report: &mut Report) -> ResourcePlan {
    let resources = spec.runtime.as_ref().and_then(|runtime| runtime.resources.as_ref());
    let mut plan = parse("spec.runtime.resources", resources, report);
    plan.request("cpu", "10m");
    plan.request("memory", "32Mi");
    if resources.is_none() {
        plan.limits.extend(Quantity::parse("128Mi").map(|limit| ("memory".to_owned(), limit)));
    }
    plan
}

/// The init containers', the app's own where they say nothing.
pub(super) fn init(spec: &GoodGoServiceSpec, report: &mut Report) -> Vec<ResourcePlan> {
    let containers = spec.init_containers.iter().enumerate();
    containers
        .map(|(index, container)| match &container.resources {
            Some(resources) => {
                parse(&format!("spec.initContainers[{index}].resources"), Some(resources), report)
            }
            None => parse("spec.resources", spec.resources.as_ref(), &mut Report::default()),
        })
        .collect()
}

fn parse(path: &str, resources: Option<&Resources>, report: &mut Report) -> ResourcePlan {
    let Some(resources) = resources else { return ResourcePlan::default() };
    let mut read = |field: &str, amounts: &BTreeMap<String, goodgo_api::types::Quantity>| -> BTreeMap<_, _> {
        let mut parsed = BTreeMap::new();
        for (resource, amount) in amounts {
            let path = format!("{path}.{field}.{resource}");
            if !is_resource(resource) {
                report.add(
                    &path,
                    "name cpu, memory, ephemeral-storage, or an extended resource such as example.com/gpu",
                );
            }
            match Quantity::parse(amount.as_str()) {
                Some(amount) => {
                    parsed.insert(resource.clone(), amount);
                }
                None => report.add(&path, "write a positive quantity, such as 250m, 128Mi or 2"),
            }
        }
        parsed
    };
    let plan = ResourcePlan {
        requests: read("requests", &resources.requests),
        limits: read("limits", &resources.limits),
    };
    for (resource, request) in &plan.requests {
        if plan.limits.get(resource).is_some_and(|limit| request.exceeds(*limit)) {
            report.add(
                &format!("{path}.requests.{resource}"),
                "a request can't be more than its limit: lower it, or raise the limit",
            );
        }
    }
    plan
}

fn is_resource(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage")
        || name.starts_with("hugepages-")
        || (name.contains('/') && crate::labels::is_key(name))
}
