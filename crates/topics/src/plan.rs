//! The one function: desired and actual in, changes and verdicts out.

mod access;
mod declared;
mod retired;

use crate::TopicId;
use crate::actual::Actual;
use crate::change::Change;
use crate::desired::Desired;
use crate::finding::Finding;
use std::collections::BTreeMap;

/// What is to be done, and what is to be said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is to be done, in this order: topics appear, grow and are set, access is given and taken back, topics go.
    pub changes: Vec<Change>,
    /// What is to be said of each topic that is declared, external or retired.
    pub verdicts: BTreeMap<String, Verdict>,
}

/// What is to be said of one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The topic's id, when it is there.
    pub id: Option<TopicId>,
    /// Partitions that it has.
    pub partitions: Option<u32>,
    /// Whether it is in hand though others made it.
    pub adopted: bool,
    /// What a person should know, refusals or not.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// Why the topic cannot be as declared; `None` when it can.
    #[must_use]
    pub fn refusal(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.is_refusal())
    }
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

/// The changes that lead from `actual` to `desired`. Total: every pair has a plan. What would lose messages, move keys or
/// is beyond Kafka is a finding instead of a change; carrying the changes out and planning again gives no change.
#[must_use]
pub fn plan(desired: &Desired, actual: &Actual) -> Plan {
    let mut plan = Plan::default();
    let mut created = Vec::new();
    for (name, topic) in &desired.topics {
        let (verdict, changes) = match actual.topics.get(name) {
            Some(found) => declared::present(name, topic, found),
            None => declared::absent(name, topic, actual, &created),
        };
        if matches!(changes.first(), Some(Change::CreateTopic { .. })) {
            created.push(name.as_str());
        }
        plan.changes.extend(changes);
        plan.verdicts.insert(name.clone(), verdict);
    }
    for name in desired.external.iter().filter(|name| !desired.topics.contains_key(*name)) {
        plan.verdicts.insert(name.clone(), declared::external(actual.topics.get(name)));
    }
    plan.changes.sort_by_key(rank);
    plan.changes.extend(access::changes(desired, actual));
    for (name, topic) in &desired.retired {
        if desired.topics.contains_key(name) || desired.external.contains(name) {
            continue;
        }
        let (verdict, deletion) = retired::judge(name, topic, actual.topics.get(name));
        plan.changes.extend(deletion);
        plan.verdicts.insert(name.clone(), verdict);
    }
    plan
}

/// Batches are sent in this order.
const fn rank(change: &Change) -> u8 {
    match change {
        Change::CreateTopic { .. } => 0,
        Change::CreatePartitions { .. } => 1,
        Change::AlterConfig { .. } => 2,
        Change::CreateAcl(_) => 3,
        Change::DeleteAcl(_) => 4,
        Change::DeleteTopic { .. } => 5,
    }
}
