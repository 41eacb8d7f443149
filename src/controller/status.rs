//! The status of a service, computed from what was applied and seen. Pure: equal facts give equal statuses.

mod callers;
mod conditions;
mod in_force;
mod not_active;
mod routes;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use goodgo_api::conditions::{ConditionStatus, ConditionType, INVALID};
use goodgo_api::status::{CallStatus, CanaryStatus, PartState, ReplicaStatus, Summary, TopicStatus};
use goodgo_api::{GoodGoServiceStatus, Protocol};

pub use self::callers::REFUSED;
use self::conditions::{Conditions, State};
use super::child::Rollout;
use super::dereference::Input;
use super::in_force::Verdict;
use super::report::Outcome;

/// Everything that a status is computed from.
pub struct Facts<'a> {
    /// The service and what it sees.
    pub input: &'a Input,
    /// How far the reconcile came.
    pub outcome: &'a Outcome,
    /// The Deployment as it was seen last.
    pub rollout: Option<&'a Rollout>,
    /// The canary's Deployment as it was seen last.
    pub canary: Option<&'a Rollout>,
    /// What is known of the pods' configuration, and of which revision of it.
    pub in_force: Option<(Verdict, String)>,
    /// The status that stands.
    pub previous: &'a GoodGoServiceStatus,
    /// The time, RFC 3339 in seconds.
    pub now: String,
}

/// The status that should stand.
#[must_use]
pub fn status(facts: &Facts<'_>) -> GoodGoServiceStatus {
    let mut conditions = Conditions::default();
    let calls = calls(facts.input);
    match facts.outcome {
        Outcome::Suspended => return suspended(facts),
        Outcome::Invalid(violations) => {
            let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
            conditions.set(ConditionType::Stalled, ConditionStatus::True, INVALID, all.join("; "));
        }
        Outcome::Failed(error) => {
            conditions.set(
                ConditionType::Progressing,
                ConditionStatus::True,
                error.reason(),
                error.to_string(),
            );
        }
        Outcome::Applied { children, not_active } => {
            conditions.of_children(&children.state);
            conditions.of_not_active(not_active, &children.state.missing, facts);
        }
    }
    conditions.of_rollout(facts.rollout, &facts.input.service.key.name);
    conditions.of_canary(facts);
    conditions.of_calls(&calls);
    conditions.of_shared_identities(facts.input);
    conditions.of_refused_callers(facts.input);
    let ready = conditions.ready(facts);
    let summary = summary(facts, &ready, &calls);
    conditions.insert(ConditionType::Ready, ready);
    let applied = is_applied(facts.outcome);
    GoodGoServiceStatus {
        observed_generation: if applied {
            facts.input.service.generation
        } else {
            facts.previous.observed_generation
        },
        conditions: conditions.list(facts),
        replicas: facts.rollout.map(replicas),
        url: routes::url(facts),
        endpoint: Some(endpoint(facts.input)),
        calls,
        topics: topics(facts.input),
        routes: routes::routes(facts),
        canary: canary(facts),
        selector: Some(format!("goodgo.io/service={},goodgo.io/track=stable", facts.input.service.key.name)),
        config_revision: facts.in_force.as_ref().map(|(_, revision)| revision.clone()),
        summary: Some(summary),
    }
}

/// Nothing is looked at, so nothing is said but that.
fn suspended(facts: &Facts<'_>) -> GoodGoServiceStatus {
    let message = "set spec.suspend to false to have it reconciled again";
    let mut conditions = Conditions::default();
    conditions.set(ConditionType::Suspended, ConditionStatus::True, "Suspended", message);
    let mut status = facts.previous.clone();
    status.conditions.retain(|condition| condition.type_ != ConditionType::Suspended.as_str());
    status.conditions.extend(conditions.list(facts));
    let summary = status.summary.get_or_insert_default();
    summary.reason = "Suspended".to_owned();
    summary.message = message.to_owned();
    status
}

/// Whether the current generation is what stands.
fn is_applied(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Applied { children, .. } => children.state.is_clear() && !children.state.held_back,
        Outcome::Suspended | Outcome::Invalid(_) | Outcome::Failed(_) => false,
    }
}

fn runtime_is_on(input: &Input) -> bool {
    input.object.spec.runtime_enabled() && input.object.spec.protocol != Protocol::Tcp
}

fn endpoint(input: &Input) -> String {
    let (key, spec) = (&input.service.key, &input.object.spec);
    let port = spec.service_port.unwrap_or(spec.port).0;
    format!("{}.{}.svc.{}:{port}", key.name, key.namespace, input.platform.cluster_domain)
}

/// What the canary gets now, which is nothing before it has a pod that takes requests.
fn canary(facts: &Facts<'_>) -> Option<CanaryStatus> {
    let canary = facts.input.object.spec.canary.as_ref()?;
    let rollout = facts.canary.cloned().unwrap_or_default();
    let weight = canary.share(rollout.available_percent());
    Some(CanaryStatus { weight, desired: rollout.desired, ready: rollout.available })
}

fn replicas(rollout: &Rollout) -> ReplicaStatus {
    let Rollout { desired, current, ready, updated, .. } = *rollout;
    ReplicaStatus { desired, current, ready, updated }
}

/// Declared calls in the order of their names, then external ones, which nobody has to accept.
fn calls(input: &Input) -> Vec<CallStatus> {
    let key = &input.service.key;
    let internal = input.view.calls.values().map(|call| CallStatus {
        service: call.callee.seen_from(&key.namespace),
        state: if call.endpoint().is_some() { PartState::Ok } else { PartState::Failed },
        reason: call.reason().map(str::to_owned),
        message: call.message(key),
    });
    let external = input.object.spec.external_calls.iter().map(|call| CallStatus {
        service: call.name.0.clone(),
        state: PartState::Ok,
        reason: None,
        message: None,
    });
    internal.chain(external).collect()
}

fn topics(input: &Input) -> Vec<TopicStatus> {
    let mut topics = BTreeMap::new();
    if let Some(events) = &input.object.spec.events {
        topics.extend(events.subscribes.iter().map(|subscribe| (subscribe.topic.0.clone(), false)));
        topics.extend(events.publishes.iter().map(|publish| (publish.topic.0.clone(), publish.owner)));
    }
    let topic = |(name, owner)| TopicStatus {
        name,
        id: None,
        partitions: None,
        owner,
        state: PartState::Unknown,
        reason: Some("NotActive".to_owned()),
    };
    topics.into_iter().map(topic).collect()
}

fn summary(facts: &Facts<'_>, ready: &State, calls: &[CallStatus]) -> Summary {
    let share = |good: usize, all: usize| if all == 0 { "-".to_owned() } else { format!("{good}/{all}") };
    let good = calls.iter().filter(|call| call.state == PartState::Ok).count();
    Summary {
        ready: format!("{:?}", ready.status),
        reason: ready.reason.clone(),
        replicas: facts
            .rollout
            .map_or("-".to_owned(), |rollout| format!("{}/{}", rollout.ready, rollout.desired)),
        calls: share(good, calls.len()),
        topics: share(0, topics(facts.input).len()),
        runtime: if runtime_is_on(facts.input) { "on" } else { "off" }.to_owned(),
        message: ready.message.clone(),
    }
}
