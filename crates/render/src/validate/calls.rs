//! Calls: to itself, to one callee in two spellings, and two under one name.

use super::violation::Report;
use super::{call_names, is_service_name};
use goodgo_api::GoodGoServiceSpec;
use goodgo_fleet::ServiceKey;
use std::collections::BTreeMap;

pub(super) fn check(own: &ServiceKey, spec: &GoodGoServiceSpec, report: &mut Report) {
    let mut spelt: BTreeMap<ServiceKey, bool> = BTreeMap::new();
    for (index, call) in spec.calls.iter().enumerate() {
        let path = format!("spec.calls[{index}]");
        let namespace = call.namespace.as_ref().map_or(own.namespace.as_str(), |name| name.as_str());
        let callee = ServiceKey::new(namespace, call.service.as_str());
        if !is_service_name(call.service.as_str()) || !is_service_name(call.name().as_str()) {
            report.add(&path, "service and as are names of lower case letters, digits and single hyphens, at most 40 characters");
        }
        if &callee == own {
            report.add(&path, "a service can't call itself through the platform: remove the call and use 127.0.0.1 in the app");
        }
        let with_namespace = call.namespace.is_some();
        if spelt.insert(callee, with_namespace).is_some_and(|before| before != with_namespace) {
            report.add(
                &path,
                &format!(
                    "{} is in namespace {namespace} already: write its namespace in both calls or in none",
                    call.service
                ),
            );
        }
    }
    for (index, call) in spec.external_calls.iter().enumerate() {
        if !is_service_name(call.name.as_str()) {
            report.add(
                &format!("spec.externalCalls[{index}].name"),
                "use at most 40 lower case letters, digits and single hyphens, with a letter first",
            );
        }
        let without_host = call.host.is_none() && call.protocol != goodgo_api::calls::ExternalProtocol::Tcp;
        if without_host {
            report.add(&format!("spec.externalCalls[{index}].host"), "name the host of the call");
        }
        for (position, cidr) in call.cidrs.iter().flatten().enumerate() {
            if !crate::platform::is_cidr(cidr.as_str()) {
                report.add(
                    &format!("spec.externalCalls[{index}].cidrs[{position}]"),
                    "write an address range in CIDR notation, such as 10.1.2.0/24",
                );
            }
        }
    }
    if call_names(spec).len() != spec.calls.len() + spec.external_calls.len() {
        report.add("spec.calls", "two calls would give the app the same variable: rename one with 'as'");
    }
}
