//! One declared topic beside what stands under its name.

use super::Verdict;
use crate::actual::{Actual, ActualTopic, ConfigValue};
use crate::change::Change;
use crate::config::{can_lose, is_same};
use crate::desired::DeclaredTopic;
use crate::finding::Finding;
use std::collections::{BTreeMap, BTreeSet};

/// Nothing has its name: it is made, unless Kafka would refuse it. `created` are the names that the plan makes already.
pub(super) fn absent(
    name: &str,
    topic: &DeclaredTopic,
    actual: &Actual,
    created: &[&str],
) -> (Verdict, Vec<Change>) {
    let DeclaredTopic { partitions, replication, new, config, may_rekey: _, held } = topic;
    let replication = replication.unwrap_or(new.replication);
    let mut findings = Vec::new();
    let taken = || actual.topics.keys().map(String::as_str).chain(created.iter().copied());
    if is_reserved(name) {
        findings.push(Finding::ReservedName);
    } else if let Some(with) = taken().find(|other| collides(name, other)) {
        findings.push(Finding::NameCollides { with: with.to_owned() });
    } else if actual.brokers < replication {
        findings.push(Finding::TooFewBrokers { needs: replication, has: actual.brokers });
    }
    let mut changes = Vec::new();
    if findings.is_empty() {
        findings.extend(held.as_ref().map(|held| Finding::DeletedBehindOurBack { id: held.id.clone() }));
        changes.push(Change::CreateTopic {
            topic: name.to_owned(),
            partitions: partitions.unwrap_or(new.partitions),
            replication,
            config: config.clone(),
        });
    }
    (Verdict { findings, ..Verdict::default() }, changes)
}

/// A topic has its name: it is the one that was held, or it is adopted.
pub(super) fn present(name: &str, topic: &DeclaredTopic, found: &ActualTopic) -> (Verdict, Vec<Change>) {
    let DeclaredTopic { partitions, replication, new: _, config, may_rekey, held } = topic;
    let ActualTopic { id, partitions: has, replication: copies, config: live } = found;
    let mut verdict = Verdict { id: Some(id.clone()), partitions: Some(*has), ..Verdict::default() };
    if is_reserved(name) {
        verdict.findings.push(Finding::ReservedName);
        return (verdict, Vec::new());
    }
    let ours = held.as_ref().filter(|held| held.id == *id);
    if let Some(held) = held.as_ref().filter(|held| held.id != *id) {
        verdict.findings.push(Finding::Replaced { id: held.id.clone(), by: id.clone() });
    }
    verdict.adopted = ours.is_none_or(|held| held.adopted);

    let mut changes = Vec::new();
    match partitions {
        Some(to) if to > has && *may_rekey => {
            changes.push(Change::CreatePartitions { topic: name.to_owned(), to: *to });
        }
        Some(to) if to > has => verdict.findings.push(Finding::RekeyNotAllowed { from: *has, to: *to }),
        Some(to) if to < has => {
            verdict.findings.push(Finding::PartitionsCannotShrink { from: *has, to: *to });
        }
        Some(_) | None => {}
    }
    if let Some(to) = replication.filter(|to| to != copies) {
        verdict.findings.push(Finding::ReplicationCannotChange { from: *copies, to });
    }

    let mut set = BTreeMap::new();
    for (key, value) in config {
        let now = live.get(key);
        if matches!(now, Some(ConfigValue::Set(now)) if is_same(now, value)) {
            continue;
        }
        match now {
            // Once in hand it is the owner's word that counts, also where it loses: that is what plans warn of.
            Some(now) if ours.is_none() && can_lose(key, now.value(), value) => {
                verdict.findings.push(Finding::AdoptionWouldLose {
                    key: key.clone(),
                    found: now.value().to_owned(),
                    declared: value.clone(),
                });
            }
            Some(_) | None => {
                set.insert(key.clone(), value.clone());
            }
        }
    }
    let unset: BTreeSet<String> = ours
        .into_iter()
        .flat_map(|held| &held.config)
        .filter(|key| !config.contains_key(*key) && matches!(live.get(*key), Some(ConfigValue::Set(_))))
        .cloned()
        .collect();
    if !set.is_empty() || !unset.is_empty() {
        changes.push(Change::AlterConfig { topic: name.to_owned(), set, unset });
    }
    (verdict, changes)
}

/// A topic that is made elsewhere: it is looked at and never touched.
pub(super) fn external(found: Option<&ActualTopic>) -> Verdict {
    match found {
        Some(ActualTopic { id, partitions, replication: _, config: _ }) => {
            Verdict { id: Some(id.clone()), partitions: Some(*partitions), ..Verdict::default() }
        }
        None => Verdict { findings: vec![Finding::ExternalTopicMissing], ..Verdict::default() },
    }
}

/// Kafka's own topics, such as `__consumer_offsets`: whoever may declare topics must not reach them.
fn is_reserved(name: &str) -> bool {
    name.starts_with("__")
}

/// Whether Kafka refuses to have both (`Topic.hasCollision` in Kafka's documentation of topic names).
fn collides(one: &str, other: &str) -> bool {
    let told = |name: &str| name.replace('.', "_");
    one != other && told(one) == told(other)
}
