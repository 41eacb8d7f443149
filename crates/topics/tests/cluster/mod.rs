//! A cluster that does what a change says, or refuses it as Kafka would.

use goodgo_topics::{Actual, ActualTopic, Change, ConfigValue, Desired, Held, Plan, TopicId};

/// Carries one change out.
pub(crate) fn apply(cluster: &mut Actual, change: &Change) -> Result<(), String> {
    match change {
        Change::CreateTopic { topic, partitions, replication, config } => {
            let told = |name: &str| name.replace('.', "_");
            if let Some(other) = cluster.topics.keys().find(|other| told(other) == told(topic)) {
                return Err(format!("INVALID_TOPIC_EXCEPTION or TOPIC_ALREADY_EXISTS: {other}"));
            }
            if *replication > cluster.brokers || *replication == 0 || *partitions == 0 {
                return Err("INVALID_REPLICATION_FACTOR or INVALID_PARTITIONS".to_owned());
            }
            let config =
                config.iter().map(|(key, value)| (key.clone(), ConfigValue::Set(value.clone()))).collect();
            let id = TopicId(format!("made-{topic}"));
            let made = ActualTopic { id, partitions: *partitions, replication: *replication, config };
            cluster.topics.insert(topic.clone(), made);
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
                topic.config.insert(key.clone(), ConfigValue::Set(value.clone()));
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
    Ok(())
}

/// What is recorded after `plan` was carried out and looked at again.
pub(crate) fn hold(desired: &Desired, plan: &Plan) -> Desired {
    let mut desired = desired.clone();
    for (name, topic) in &mut desired.topics {
        let verdict = &plan.verdicts[name];
        topic.held = verdict.id.clone().map(|id| Held {
            id,
            adopted: verdict.adopted,
            config: topic.config.keys().cloned().collect(),
        });
    }
    desired
}
