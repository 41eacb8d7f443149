//! Variables of the user against derived ones: what would silently be overwritten is refused, with the remedy.

use super::violation::Report;
use goodgo_api::GoodGoServiceSpec;
use goodgo_api::calls::ExternalProtocol;
use goodgo_api::workload::EnvVar;
use std::collections::BTreeMap;

pub(super) fn check(spec: &GoodGoServiceSpec, report: &mut Report) {
    let derived = derived(spec);
    check_list("spec.env", &spec.env, &derived, report);
    for (index, container) in spec.init_containers.iter().enumerate() {
        check_list(&format!("spec.initContainers[{index}].env"), &container.env, &derived, report);
    }
}

/// Derived variables, each with what it comes from. `PORT`, `SERVICE_NAME` and `OTEL_…` are offers: the user's own win.
fn derived(spec: &GoodGoServiceSpec) -> BTreeMap<String, String> {
    let calls = spec.calls.iter().map(|call| {
        let name = call.name();
        (
            format!("{}_URL", name.env_stem()),
            format!("the call {name}: rename the call with 'as', or take the variable out"),
        )
    });
    let external = spec.external_calls.iter().flat_map(|call| {
        let suffixes: &[&str] =
            if call.protocol == ExternalProtocol::Tcp { &["HOST", "PORT"] } else { &["URL"] };
        suffixes.iter().map(|suffix| {
            let source =
                format!("the external call {}: rename the call, or take the variable out", call.name);
            (format!("{}_{suffix}", call.name.env_stem()), source)
        })
    });
    calls.chain(external).collect()
}

fn check_list(path: &str, env: &[EnvVar], derived: &BTreeMap<String, String>, report: &mut Report) {
    for (index, variable) in env.iter().enumerate() {
        let name = variable.name.as_str();
        let path = format!("{path}[{index}].name");
        if name == "EVENTS_URL" || name.starts_with("GOODGO_") {
            report.add(&path, &format!("{name} is the platform's own: choose another name"));
        } else if let Some(source) = derived.get(name) {
            report.add(&path, &format!("{name} comes from {source}"));
        }
    }
}
