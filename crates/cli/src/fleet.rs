//! Services against each other, as the operator's own graph sees them.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use goodgo_api::GoodGoService;
use goodgo_fleet::{AskState, CallState, Declaration, Fleet, ServiceKey, TopicState};

use crate::findings::{Finding, Severity};
use crate::manifests::Manifest;

/// A manifest that can be read as what it says it is.
pub(crate) struct Service {
    pub(crate) manifest: Manifest,
    pub(crate) key: ServiceKey,
    pub(crate) object: GoodGoService,
}

/// The graph of `services`.
pub(crate) fn of(services: &[Service]) -> Fleet {
    let mut fleet = Fleet::default();
    for service in services {
        fleet.upsert(service.key.clone(), Declaration::from_service(&service.object));
    }
    fleet
}

/// The service that a person calls `name`: `namespace/name`, or a name that only one has.
///
/// # Errors
/// Nobody has that name, or several have.
pub(crate) fn named(name: &str, services: &[Service]) -> Result<ServiceKey> {
    let keys = services.iter().map(|service| &service.key);
    let found: Vec<_> = keys.filter(|key| key.name == name || key.to_string() == name).collect();
    match found.as_slice() {
        [key] => Ok((*key).clone()),
        [] => bail!("there is no GoodGoService {name} in the files given"),
        [first, ..] => bail!("several namespaces have a {name}: name it as {first}"),
    }
}

/// What is wrong between the services.
pub(crate) fn findings(services: &[Service]) -> Vec<Finding> {
    let fleet = of(services);
    let given: BTreeSet<&str> = services.iter().map(|service| service.key.namespace.as_str()).collect();
    let mut findings = Vec::new();
    for service in services {
        calls(service, &fleet, &given, &mut findings);
        topics(service, &fleet, &mut findings);
        routes(service, &fleet, &given, &mut findings);
        cycle(service, &fleet, &mut findings);
    }
    findings
}

fn calls(service: &Service, fleet: &Fleet, given: &BTreeSet<&str>, findings: &mut Vec<Finding>) {
    let Service { manifest, key, object } = service;
    let view = fleet.view(key);
    for (name, call) in &view.calls {
        let Some(message) = call.message(key) else { continue };
        let index = object.spec.calls.iter().position(|declared| declared.name().as_str() == name.as_str());
        let path = index.map_or("spec.calls".to_owned(), |index| format!("spec.calls[{index}]"));
        // Files of other namespaces may lie elsewhere.
        let elsewhere = call.state == CallState::Missing && !given.contains(call.callee.namespace.as_str());
        let severity = if elsewhere { Severity::Warning } else { Severity::Error };
        findings.push(Finding::new(manifest, severity, &path, message));
    }
}

fn topics(service: &Service, fleet: &Fleet, findings: &mut Vec<Finding>) {
    let Service { manifest, key, object } = service;
    let Some(events) = &object.spec.events else { return };
    let view = fleet.view(key).topics;
    for (index, publish) in events.publishes.iter().enumerate() {
        let topic = publish.topic.as_str();
        let path = format!("spec.events.publishes[{index}]");
        let Some(seen) = view.publishes.get(topic) else { continue };
        if let Some(message) = seen.state.message(topic, key) {
            findings.push(Finding::new(manifest, Severity::Error, &path, message));
        }
        if seen.state == TopicState::Owned && !seen.consumed {
            let message = format!("nobody subscribes to {topic}");
            findings.push(Finding::new(manifest, Severity::Warning, &path, message));
        }
    }
    for (index, subscribe) in events.subscribes.iter().enumerate() {
        let topic = subscribe.topic.as_str();
        let Some(seen) = view.subscribes.get(topic) else { continue };
        let Some(message) = seen.state.message(topic, key) else { continue };
        let path = format!("spec.events.subscribes[{index}]");
        findings.push(Finding::new(manifest, Severity::Error, &path, message));
    }
}

fn routes(service: &Service, fleet: &Fleet, given: &BTreeSet<&str>, findings: &mut Vec<Finding>) {
    let view = fleet.view(&service.key);
    for (asked, state) in &view.asks {
        let Some(message) = state.message(&service.key, asked) else { continue };
        let elsewhere = *state == AskState::Missing && !given.contains(asked.namespace.as_str());
        let severity = if elsewhere { Severity::Warning } else { Severity::Error };
        let message = format!("routes that ask {asked} are closed: {message}");
        findings.push(Finding::new(&service.manifest, severity, "spec.gateway.routes", message));
    }
    for (claim, holder) in view.lost {
        let message =
            format!("{claim} is claimed by {holder} too, which comes first: take it out of one of them");
        findings.push(Finding::new(&service.manifest, Severity::Error, "spec.gateway.routes", message));
    }
}

/// Said once, at the first service of the circle.
fn cycle(service: &Service, fleet: &Fleet, findings: &mut Vec<Finding>) {
    let Some(chain) = fleet.cycle(&service.key).filter(|chain| chain.iter().min() == Some(&service.key))
    else {
        return;
    };
    let names: Vec<_> = chain.iter().chain([&service.key]).map(ToString::to_string).collect();
    let message =
        format!("services call each other in a circle, each waits for the next: {}", names.join(" → "));
    findings.push(Finding::new(&service.manifest, Severity::Warning, "spec.calls", message));
}
