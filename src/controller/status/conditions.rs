//! The conditions of a service: which part says what, and what of it holds Ready back.

use std::collections::{BTreeMap, BTreeSet};

use goodgo_api::conditions::{Condition, ConditionStatus, ConditionType, Polarity};
use goodgo_api::status::{CallStatus, PartState};
use goodgo_render::{ChildKind, NotActive, Part};

use super::super::cache::ChildKey;
use super::super::child::Rollout;
use super::super::children::{Applied, Migration};
use super::not_active::explained;
use super::routes::is_of_routes;
use super::{Facts, is_applied};

/// Names of one kind in one message; the rest are counted.
pub(super) const NAMED: usize = 8;

/// Conditions by type; those with negative polarity are there only while they are True.
#[derive(Default)]
pub(super) struct Conditions(BTreeMap<ConditionType, State>);

#[derive(Clone)]
pub(super) struct State {
    pub(super) status: ConditionStatus,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Conditions {
    pub(super) fn insert(&mut self, type_: ConditionType, state: State) {
        self.0.insert(type_, state);
    }

    pub(super) fn set(
        &mut self,
        type_: ConditionType,
        status: ConditionStatus,
        reason: &str,
        message: impl Into<String>,
    ) {
        self.0.insert(type_, State { status, reason: reason.to_owned(), message: message.into() });
    }

    pub(super) fn of_children(&mut self, applied: &Applied) {
        let Applied { migration, conflicts, leaving, contended, .. } = applied;
        match migration {
            Migration::Done => {}
            Migration::Waiting => self.progressing(
                "Migrating",
                "the migrate Job of an earlier template is being ended; the new one follows".to_owned(),
            ),
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

    /// Declared and not acted on yet: said plainly, and not held against the service. What has no condition of its own is
    /// said with InForce.
    pub(super) fn of_not_active(
        &mut self,
        not_active: &[NotActive],
        missing: &BTreeSet<ChildKind>,
        facts: &Facts<'_>,
    ) {
        let of = |parts: fn(&NotActive) -> bool| explained(not_active.iter().filter(|found| parts(found)));
        let events = of(|found| found.part == Part::Events);
        if !events.is_empty() {
            self.set(ConditionType::TopicsReady, ConditionStatus::Unknown, "NotActive", events);
        }
        self.of_routes(facts, missing, &of(is_of_routes));
        self.of_in_force(facts, &of(|found| found.part != Part::Events && !is_of_routes(found)));
    }

    pub(super) fn of_rollout(&mut self, rollout: Option<&Rollout>, service: &str) {
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
            (None, false) => {
                let message =
                    format!("{counted}: look at `kubectl describe pods -l goodgo.io/service={service}`");
                self.set(WorkloadAvailable, ConditionStatus::False, "Unavailable", message);
            }
        }
    }

    /// A canary that isn't ready holds nothing back: the service does without it.
    pub(super) fn of_canary(&mut self, facts: &Facts<'_>) {
        if facts.input.object.spec.canary.is_none() || !is_applied(facts.outcome) {
            return;
        }
        let (desired, available) =
            facts.canary.map_or((0, 0), |rollout| (rollout.desired, rollout.available));
        if available == 0 {
            let service = &facts.input.service.key.name;
            let message = format!(
                "0 of {desired} pods of the canary are available, so it gets no requests: look at \
                 `kubectl describe pods -l goodgo.io/service={service},goodgo.io/track=canary`"
            );
            self.progressing("CanaryNotReady", message);
        } else if let Some(rollout) = facts.canary.filter(|rollout| !rollout.is_complete()) {
            let Rollout { desired, available, updated, .. } = rollout;
            let message = format!(
                "of the canary {updated} of {desired} pods are of its current template, and {available} take requests"
            );
            self.progressing("CanaryRollingOut", message);
        }
    }

    pub(super) fn of_calls(&mut self, calls: &[CallStatus]) {
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

    /// Said beside what stands of the service's own calls, and never a reason against it.
    pub(super) fn add_to_calls(&mut self, message: &str) {
        let state = self.0.entry(ConditionType::CallsResolved).or_insert_with(|| State {
            status: ConditionStatus::True,
            reason: "Resolved".to_owned(),
            message: "no calls are declared".to_owned(),
        });
        state.message = format!("{}; {message}", state.message);
    }

    fn progressing(&mut self, reason: &str, message: String) {
        // The first reason is the one that the others wait for.
        let state = State { status: ConditionStatus::True, reason: reason.to_owned(), message };
        self.0.entry(ConditionType::Progressing).or_insert(state);
    }

    /// Ready, with the reason of the first condition that holds it back.
    pub(super) fn ready(&self, facts: &Facts<'_>) -> State {
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
    pub(super) fn list(self, facts: &Facts<'_>) -> Vec<Condition> {
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
pub(super) fn list(keys: &[ChildKey]) -> String {
    let names: Vec<String> = keys.iter().map(|key| format!("{} {}", key.kind.as_str(), key.name)).collect();
    names.join(", ")
}

/// How many of `all` are not named.
pub(super) fn more(all: usize) -> String {
    let rest = all.saturating_sub(NAMED);
    if rest == 0 { String::new() } else { format!(" and {rest} more") }
}
