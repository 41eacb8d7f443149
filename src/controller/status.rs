//! The status of a service, computed from what was applied and seen. Pure: equal facts give equal statuses.

use std::collections::BTreeMap;

use goodgo_api::conditions::{Condition, ConditionStatus, ConditionType, Polarity};
use goodgo_api::status::{CallStatus, PartState, ReplicaStatus, RouteStatus, Summary, TopicStatus};
use goodgo_api::{GoodGoServiceStatus, Protocol};
use goodgo_render::{NotActive, Part};

use super::cache::ChildKey;
use super::child::Rollout;
use super::children::{Applied, Migration};
use super::dereference::Input;
use super::report::Outcome;

/// Everything that a status is computed from.
pub struct Facts<'a> {
    /// The service and what it sees.
    pub input: &'a Input,
    /// How far the reconcile came.
    pub outcome: &'a Outcome,
    /// The Deployment as it was seen last.
    pub rollout: Option<&'a Rollout>,
    /// The status that stands.
    pub previous: &'a GoodGoServiceStatus,
    /// The time, RFC 3339 in seconds.
    pub now: String,
}

/// Fields named in one message; the rest are counted.
const NAMED: usize = 8;

/// The status that should stand.
#[must_use]
pub fn status(facts: &Facts<'_>) -> GoodGoServiceStatus {
    let mut conditions = Conditions::default();
    let calls = calls(facts.input);
    match facts.outcome {
        Outcome::Suspended => return suspended(facts),
        Outcome::Invalid(violations) => {
            let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
            conditions.set(ConditionType::Stalled, ConditionStatus::True, "Invalid", all.join("; "));
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
            conditions.of_not_active(not_active, runtime_is_on(facts.input));
        }
    }
    conditions.of_rollout(facts.rollout);
    conditions.of_calls(&calls);
    let ready = conditions.ready(facts);
    let summary = summary(facts, &ready, &calls);
    conditions.0.insert(ConditionType::Ready, ready);
    let applied = is_applied(facts.outcome);
    GoodGoServiceStatus {
        observed_generation: if applied {
            facts.input.service.generation
        } else {
            facts.previous.observed_generation
        },
        conditions: conditions.list(facts),
        replicas: facts.rollout.map(replicas),
        url: None, // until routes are served
        endpoint: Some(endpoint(facts.input)),
        calls,
        topics: topics(facts.input),
        routes: routes(facts.input),
        canary: None, // until there is one
        selector: Some(format!("goodgo.io/service={},goodgo.io/track=stable", facts.input.service.key.name)),
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

fn routes(input: &Input) -> Vec<RouteStatus> {
    let routes = input.object.spec.gateway.iter().flat_map(|gateway| {
        gateway.routes.iter().map(|route| RouteStatus {
            name: route.name.clone(),
            claims: gateway.hosts.iter().map(|host| format!("{}{}", host.0, route.path.0)).collect(),
            state: PartState::Unknown,
            reason: Some("NotActive".to_owned()),
        })
    });
    routes.collect()
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

/// Conditions by type; those with negative polarity are there only while they are True.
#[derive(Default)]
struct Conditions(BTreeMap<ConditionType, State>);

#[derive(Clone)]
struct State {
    status: ConditionStatus,
    reason: String,
    message: String,
}

impl Conditions {
    fn set(
        &mut self,
        type_: ConditionType,
        status: ConditionStatus,
        reason: &str,
        message: impl Into<String>,
    ) {
        self.0.insert(type_, State { status, reason: reason.to_owned(), message: message.into() });
    }

    fn of_children(&mut self, applied: &Applied) {
        let Applied { migration, conflicts, leaving, contended, held_back: _ } = applied;
        match migration {
            Migration::Done => {}
            Migration::Running => self.progressing("Migrating", "the migrate Job runs; pods follow when it succeeded".to_owned()),
            Migration::Failed => self.set(
                ConditionType::Stalled,
                ConditionStatus::True,
                "MigrationFailed",
                "the migrate Job failed, the pods stay as they are: read its logs, correct spec.migrate or the image",
            ),
        }
        if !leaving.is_empty() {
            self.progressing(
                "Recreating",
                format!("{} are on their way out and are made anew", list(leaving)),
            );
        }
        if !conflicts.is_empty() {
            let message = format!(
                "{} exist already and were not made for this service: rename or delete them, or rename the service",
                list(conflicts)
            );
            self.set(ConditionType::ChildConflict, ConditionStatus::True, "ChildConflict", message);
        }
        if !contended.is_empty() {
            let keys: Vec<ChildKey> = contended.iter().map(|(key, _)| key.clone()).collect();
            let message = format!(
                "somebody keeps undoing what is applied to {}: find the other writer in metadata.managedFields",
                list(&keys)
            );
            self.set(ConditionType::Contended, ConditionStatus::True, "Contended", message);
        }
    }

    /// Declared and not acted on yet: said plainly, and not held against the service.
    fn of_not_active(&mut self, not_active: &[NotActive], runtime: bool) {
        let fields = |parts: fn(Part) -> bool| -> Vec<&str> {
            not_active.iter().filter(|found| parts(found.part)).map(|found| found.field.as_str()).collect()
        };
        let events = fields(|part| part == Part::Events);
        let routes = fields(|part| matches!(part, Part::Gateway | Part::Canary));
        let others = fields(|part| !matches!(part, Part::Events | Part::Gateway | Part::Canary));
        for (type_, fields) in [(ConditionType::TopicsReady, events), (ConditionType::RoutesReady, routes)] {
            if !fields.is_empty() {
                self.set(type_, ConditionStatus::Unknown, "NotActive", not_acted_on(&fields));
            }
        }
        if runtime || !others.is_empty() {
            let message = if others.is_empty() {
                "whether every pod runs the current settings is not asked yet".to_owned()
            } else {
                not_acted_on(&others)
            };
            self.set(ConditionType::InForce, ConditionStatus::Unknown, "NotActive", message);
        }
    }

    fn of_rollout(&mut self, rollout: Option<&Rollout>) {
        use ConditionType::{Stalled, WorkloadAvailable};
        let Some(rollout) = rollout else {
            let message = "the Deployment is not there yet";
            return self.set(WorkloadAvailable, ConditionStatus::False, "NoDeployment", message);
        };
        let Rollout { desired, available, updated, .. } = *rollout;
        let exceeded = rollout.progressing_reason.as_deref() == Some("ProgressDeadlineExceeded");
        let counted = format!("{available} of {desired} pods are available");
        if exceeded {
            let message = format!(
                "{counted}, and the rollout made no progress in time: look at the pods' events and logs"
            );
            self.set(Stalled, ConditionStatus::True, "ProgressDeadlineExceeded", message);
        } else if !rollout.is_complete() {
            self.progressing(
                "RollingOut",
                format!("{updated} of {desired} pods are of the current template"),
            );
        }
        match (&rollout.replica_failure, rollout.is_available) {
            (_, true) if desired == 0 => {
                self.set(WorkloadAvailable, ConditionStatus::True, "ScaledToZero", "no pods are asked for");
            }
            (_, true) => self.set(WorkloadAvailable, ConditionStatus::True, "Available", counted),
            (Some(failure), false) => {
                self.set(WorkloadAvailable, ConditionStatus::False, "ReplicaFailure", &**failure);
            }
            (None, false) => self.set(WorkloadAvailable, ConditionStatus::False, "Unavailable", counted),
        }
    }

    fn of_calls(&mut self, calls: &[CallStatus]) {
        let failed: Vec<&CallStatus> = calls.iter().filter(|call| call.state == PartState::Failed).collect();
        match failed.first() {
            None if calls.is_empty() => {}
            None => self.set(
                ConditionType::CallsResolved,
                ConditionStatus::True,
                "Resolved",
                "every callee accepts",
            ),
            Some(first) => {
                let messages: Vec<&str> = failed.iter().filter_map(|call| call.message.as_deref()).collect();
                let reason = first.reason.as_deref().unwrap_or("Unresolved");
                self.set(ConditionType::CallsResolved, ConditionStatus::False, reason, messages.join("; "));
            }
        }
    }

    fn progressing(&mut self, reason: &str, message: String) {
        // The first reason is the one that the others wait for.
        let state = State { status: ConditionStatus::True, reason: reason.to_owned(), message };
        self.0.entry(ConditionType::Progressing).or_insert(state);
    }

    /// Ready, with the reason of the first condition that holds it back.
    fn ready(&self, facts: &Facts<'_>) -> State {
        const FIRST: [ConditionType; 2] = [ConditionType::Stalled, ConditionType::ChildConflict];
        let gates =
            ConditionType::ALL.into_iter().filter(|type_| type_.gates_ready() && !FIRST.contains(type_));
        let bad = |type_: ConditionType| self.0.get(&type_).filter(|state| is_bad(type_, state.status));
        let not_applied = || {
            let waiting = [ConditionType::Progressing, ConditionType::Contended];
            (!is_applied(facts.outcome)).then(|| waiting.into_iter().find_map(bad)).flatten()
        };
        let held_back =
            FIRST.into_iter().find_map(bad).or_else(not_applied).or_else(|| gates.into_iter().find_map(bad));
        match (held_back, self.0.get(&ConditionType::WorkloadAvailable)) {
            (Some(state), _) => State { status: ConditionStatus::False, ..state.clone() },
            (None, Some(workload)) => State { reason: "Ready".to_owned(), ..workload.clone() },
            (None, None) => State {
                status: ConditionStatus::Unknown,
                reason: "Unknown".to_owned(),
                message: String::new(),
            },
        }
    }

    /// As the status lists them; a transition time changes only with its status.
    fn list(self, facts: &Facts<'_>) -> Vec<Condition> {
        let since = |type_: ConditionType, status: ConditionStatus| {
            let before = facts.previous.conditions.iter().find(|before| before.type_ == type_.as_str());
            before.filter(|before| before.status == status).map(|before| before.last_transition_time.clone())
        };
        self.0
            .into_iter()
            .map(|(type_, State { status, reason, message })| Condition {
                type_: type_.as_str().to_owned(),
                status,
                reason,
                message,
                observed_generation: facts.input.service.generation,
                last_transition_time: since(type_, status).unwrap_or_else(|| facts.now.clone()),
            })
            .collect()
    }
}

fn is_bad(type_: ConditionType, status: ConditionStatus) -> bool {
    match type_.polarity() {
        Polarity::Positive => status == ConditionStatus::False,
        Polarity::Negative => status == ConditionStatus::True,
    }
}

/// `Service shop/a, ConfigMap shop/b`, for people.
fn list(keys: &[ChildKey]) -> String {
    let names: Vec<String> = keys.iter().map(|key| format!("{} {}", key.kind.as_str(), key.name)).collect();
    names.join(", ")
}

fn not_acted_on(fields: &[&str]) -> String {
    let named: Vec<&str> = fields.iter().take(NAMED).copied().collect();
    let rest = fields.len().saturating_sub(NAMED);
    let more = if rest == 0 { String::new() } else { format!(" and {rest} more") };
    format!("accepted and not acted on by this version: {}{more}", named.join(", "))
}
