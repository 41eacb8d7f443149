//! A cluster that does what a change says, or refuses it as Kafka would.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use goodgo_topics::{Actual, ActualTopic, Change, ConfigValue, Desired, Held, Plan, TopicId};

/// What a describe answers of a value: Kafka parses it by the type of its key, and writes that.
pub(crate) fn answered(key: &str, value: &str) -> String {
    let value = value.trim();
    match key {
        "cleanup.policy" => value.split(',').map(str::trim).collect::<Vec<_>>().join(","),
        "min.cleanable.dirty.ratio" => value.parse::<f64>().map_or(value.to_owned(), |it| format!("{it:?}")),
        "unclean.leader.election.enable" => {
            let lower = value.to_lowercase();
            if lower == "true" || lower == "false" { lower } else { value.to_owned() }
        }
        _ => value.parse::<i64>().map_or(value.to_owned(), |it| it.to_string()),
    }
}

/// No topic gets an id that another one had.
static MADE: AtomicU32 = AtomicU32::new(0);

/// Ids that the cluster answered with, by the topics that it made.
pub(crate) type Made = BTreeMap<String, TopicId>;

/// Carries one change out; answers with the id of a topic that was made.
pub(crate) fn apply(cluster: &mut Actual, change: &Change) -> Result<Option<TopicId>, String> {
    match change {
        Change::CreateTopic { topic, partitions, replication, config } => {
            let told = |name: &str| name.replace('.', "_");
            if let Some(other) = cluster.topics.keys().find(|other| told(other) == told(topic)) {
                return Err(format!("INVALID_TOPIC_EXCEPTION or TOPIC_ALREADY_EXISTS: {other}"));
            }
            if *replication > cluster.brokers || *replication == 0 || *partitions == 0 {
                return Err("INVALID_REPLICATION_FACTOR or INVALID_PARTITIONS".to_owned());
            }
            let config = config
                .iter()
                .map(|(key, value)| (key.clone(), ConfigValue::Set(answered(key, value))))
                .collect();
            let id = TopicId(format!("made-{}", MADE.fetch_add(1, Ordering::Relaxed)));
            let made =
                ActualTopic { id: id.clone(), partitions: *partitions, replication: *replication, config };
            cluster.topics.insert(topic.clone(), made);
            return Ok(Some(id));
        }
        Change::CreatePartitions { topic, to } => {
            let topic = cluster.topics.get_mut(topic).ok_or("UNKNOWN_TOPIC_OR_PARTITION")?;
            if *to <= topic.partitions {
                return Err("INVALID_PARTITIONS".to_owned());
            }
            topic.partitions = *to;
        }
        Change::AlterConfig { topic, set, unset } => {
            let topic = cluster.topics.get_mut(topic).ok_or("UNKNOWN_TOPIC_OR_PARTITION")?;
            for (key, value) in set {
                topic.config.insert(key.clone(), ConfigValue::Set(answered(key, value)));
            }
            for key in unset {
                topic.config.insert(key.clone(), ConfigValue::Default("1".to_owned()));
            }
        }
        Change::CreateAcl(acl) => {
            cluster.acls.as_mut().ok_or("SECURITY_DISABLED")?.insert(acl.clone());
        }
        Change::DeleteAcl(acl) => {
            let there = cluster.acls.as_mut().ok_or("SECURITY_DISABLED")?.remove(acl);
            there.then_some(()).ok_or("no rule matches")?;
        }
        Change::DeleteTopic { topic, id } => {
            let found = cluster.topics.get(topic).ok_or("UNKNOWN_TOPIC_OR_PARTITION")?;
            if found.id != *id {
                return Err("UNKNOWN_TOPIC_ID".to_owned());
            }
            cluster.topics.remove(topic);
        }
    }
    Ok(None)
}

/// Carries a plan out.
pub(crate) fn apply_all(cluster: &mut Actual, plan: &Plan) -> Made {
    let made = plan.changes.iter().filter_map(|change| {
        let id = apply(cluster, change).unwrap()?;
        Some((change.topic().unwrap().to_owned(), id))
    });
    made.collect()
}

/// What is recorded when `plan` was carried out: what was `made` by its answer, and what was found by its verdict.
pub(crate) fn hold(desired: &Desired, plan: &Plan, made: &Made) -> Desired {
    let mut desired = desired.clone();
    for (name, topic) in &mut desired.topics {
        let found = || plan.verdicts[name].id.clone().map(|id| (id, plan.verdicts[name].adopted));
        let held = made.get(name).map(|id| (id.clone(), false)).or_else(found);
        let config = topic.config.keys().cloned().collect();
        topic.held = held.map(|(id, adopted)| Held { id, adopted, config });
    }
    desired
}
