//! What holds for every pair of desired and actual, shown against a model of a cluster that refuses what Kafka refuses.

#![cfg(test)]

mod cluster;

use cluster::{Made, answered, apply, apply_all, hold};
use goodgo_topics::{
    Acl, Actual, ActualTopic, Change, ConfigValue, DeclaredTopic, DeletionPolicy, Desired, Finding, Held,
    NewTopic, Operation, Resource, Retired, TopicId, plan,
};
use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Few names, so that everything meets everything: two that collide, one of Kafka's own.
fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["order.placed", "order_placed", "user.created", "__consumer_offsets"])
        .prop_map(str::to_owned)
}

fn id() -> impl Strategy<Value = TopicId> {
    (0..3_u8).prop_map(|number| TopicId(format!("id-{number}")))
}

fn key() -> impl Strategy<Value = String> {
    let keys = vec![
        "retention.ms",
        "cleanup.policy",
        "segment.ms",
        "min.insync.replicas",
        "min.cleanable.dirty.ratio",
        "unclean.leader.election.enable",
    ];
    prop::sample::select(keys).prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = String> {
    let values = vec!["-1", "1", " 02", "0.50", "delete", "compact", "compact, delete", "TRUE", "false"];
    prop::sample::select(values).prop_map(str::to_owned)
}

fn held() -> impl Strategy<Value = Held> {
    (id(), any::<bool>(), btree_set(key(), 0..3)).prop_map(|(id, adopted, config)| Held {
        id,
        adopted,
        config,
    })
}

fn declared() -> impl Strategy<Value = DeclaredTopic> {
    let numbers = (prop::option::of(1..4_u32), prop::option::of(1..4_u16), 1..4_u32, 1..3_u16);
    (numbers, btree_map(key(), value(), 0..3), any::<bool>(), prop::option::of(held())).prop_map(
        |((partitions, replication, new_partitions, new_replication), config, may_rekey, held)| {
            DeclaredTopic {
                partitions,
                replication,
                new: NewTopic { partitions: new_partitions, replication: new_replication },
                config,
                may_rekey,
                held,
            }
        },
    )
}

fn actual_topic() -> impl Strategy<Value = ActualTopic> {
    (id(), 1..4_u32, 1..4_u16, btree_map(key(), (any::<bool>(), value()), 0..4)).prop_map(
        |(id, partitions, replication, config)| {
            let config = config.into_iter().map(|(key, (set, value))| {
                let value = answered(&key, &value);
                (key, if set { ConfigValue::Set(value) } else { ConfigValue::Default(value) })
            });
            ActualTopic { id, partitions, replication, config: config.collect() }
        },
    )
}

fn acl() -> impl Strategy<Value = Acl> {
    let operation = prop::sample::select(vec![Operation::Read, Operation::Write]);
    ("[ab]", operation, name()).prop_map(|(principal, operation, topic)| Acl {
        principal,
        operation,
        resource: Resource::Topic(topic),
    })
}

fn desired() -> impl Strategy<Value = Desired> {
    let retired = (held(), any::<bool>()).prop_map(|(held, delete)| Retired {
        held,
        policy: if delete { DeletionPolicy::Delete } else { DeletionPolicy::Retain },
    });
    (
        btree_map(name(), declared(), 0..4),
        btree_set(name(), 0..2),
        btree_map(name(), retired, 0..3),
        btree_set(acl(), 0..5),
        btree_set(acl(), 0..5),
    )
        .prop_map(|(topics, external, retired, acls, granted)| Desired {
            topics,
            external,
            retired,
            acls,
            granted,
        })
}

fn actual() -> impl Strategy<Value = Actual> {
    (0..4_u16, btree_map(name(), actual_topic(), 0..4), prop::option::of(btree_set(acl(), 0..5)))
        .prop_map(|(brokers, topics, acls)| Actual { brokers, topics, acls })
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(4_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// The cluster takes every change, and afterwards each topic is as declared or says why not.
    #[test]
    fn a_plan_leads_to_what_is_declared_or_to_a_refusal(desired in desired(), actual in actual()) {
        let plan = plan(&desired, &actual);
        let mut cluster = actual.clone();
        for change in &plan.changes {
            apply(&mut cluster, change).map_err(|refused| TestCaseError::fail(format!("{change:?}: {refused}")))?;
        }
        for (name, topic) in &desired.topics {
            let refused: Vec<_> = plan.verdicts[name].findings.iter().filter(|it| it.is_refusal()).collect();
            let Some(found) = cluster.topics.get(name) else {
                prop_assert!(!refused.is_empty(), "{name} is not there and nobody says why");
                continue;
            };
            let says = |expected: fn(&&&Finding) -> bool| refused.iter().any(|finding| expected(&finding));
            if topic.partitions.is_some_and(|partitions| partitions != found.partitions) {
                prop_assert!(says(|it| matches!(it, Finding::PartitionsCannotShrink { .. } | Finding::RekeyNotAllowed { .. } | Finding::ReservedName)), "{refused:?}");
            }
            if topic.replication.is_some_and(|copies| copies != found.replication) {
                prop_assert!(says(|it| matches!(it, Finding::ReplicationCannotChange { .. } | Finding::ReservedName)), "{refused:?}");
            }
            for (key, value) in &topic.config {
                let told = refused.iter().any(|it| matches!(it, Finding::AdoptionWouldLose { key: told, .. } if told == key) || **it == Finding::ReservedName);
                prop_assert!(told || found.config.get(key) == Some(&ConfigValue::Set(answered(key, value))), "{key}: {refused:?}");
            }
        }
        for topic in &desired.external {
            let there = cluster.topics.contains_key(topic);
            prop_assert!(there || plan.verdicts[topic].refusal().is_some() || desired.topics.contains_key(topic));
        }
        if let (Some(before), Some(after)) = (&actual.acls, &cluster.acls) {
            prop_assert!(desired.acls.is_subset(after));
            let foreign: BTreeSet<_> = before.difference(&desired.granted).cloned().collect();
            prop_assert!(foreign.is_subset(after), "foreign rules are left alone");
            let allowed: BTreeSet<_> = foreign.union(&desired.acls).cloned().collect();
            prop_assert!(after.is_subset(&allowed), "what is not needed any more is taken back");
        }
    }

    /// Also when what was taken in hand meanwhile is recorded.
    #[test]
    fn a_second_plan_is_empty(desired in desired(), actual in actual()) {
        let first = plan(&desired, &actual);
        let mut cluster = actual;
        let mut made = apply_all(&mut cluster, &first);
        // Kafka takes a name only after the one that collides with it is gone: the next look makes that topic.
        let freed = first.changes.iter().any(|change| matches!(change, Change::DeleteTopic { .. }));
        let again = plan(&desired, &cluster);
        for change in &again.changes {
            prop_assert!(freed && matches!(change, Change::CreateTopic { .. }), "{change:?}");
        }
        made.extend(apply_all(&mut cluster, &again));
        prop_assert_eq!(plan(&desired, &cluster).changes, vec![], "with what was recorded before");
        let recorded = hold(&desired, &plan(&desired, &cluster), &made);
        let second = plan(&recorded, &cluster);
        prop_assert!(made.keys().all(|name| !second.verdicts[name].adopted), "what was made here is ours");
        let adopts = |name: &str| second.verdicts[name].adopted;
        // An adopted topic obeys its owner from then on: what would have lost is the owner's word now.
        let others: Vec<_> = second.changes.iter().filter(|change| !change.topic().is_some_and(&adopts)).collect();
        prop_assert!(others.is_empty(), "{others:?}");
    }

    /// Only a topic that was made here, is still that one, is declared by nobody and shall go, goes.
    #[test]
    fn nothing_is_destroyed_without_delete(desired in desired(), actual in actual()) {
        for change in plan(&desired, &actual).changes {
            match change {
                Change::DeleteTopic { topic, id } => {
                    let retired = &desired.retired[&topic];
                    prop_assert_eq!(retired.policy, DeletionPolicy::Delete);
                    prop_assert!(!retired.held.adopted && retired.held.id == id && actual.topics[&topic].id == id);
                    prop_assert!(!desired.topics.contains_key(&topic) && !desired.external.contains(&topic));
                }
                Change::CreatePartitions { topic, to } => {
                    prop_assert!(desired.topics[&topic].may_rekey && to > actual.topics[&topic].partitions);
                }
                Change::CreateTopic { topic, .. } | Change::AlterConfig { topic, .. } => {
                    prop_assert!(desired.topics.contains_key(&topic) && !topic.starts_with("__"));
                }
                Change::DeleteAcl(acl) => prop_assert!(desired.granted.contains(&acl)),
                Change::CreateAcl(_) => {}
            }
        }
    }

    /// Keys that nobody declared and nobody set for a declaration stay as they are.
    #[test]
    fn foreign_settings_are_left_alone(desired in desired(), actual in actual()) {
        for change in plan(&desired, &actual).changes {
            let Change::AlterConfig { topic, set, unset } = change else { continue };
            let declared = &desired.topics[&topic];
            let before = declared.held.iter().flat_map(|held| held.config.clone()).collect::<BTreeSet<_>>();
            prop_assert!(set.keys().all(|key| declared.config.contains_key(key)));
            prop_assert!(unset.iter().all(|key| before.contains(key) && !declared.config.contains_key(key)));
        }
    }

    /// Needed access is there at every moment: it is given before anything is taken back.
    #[test]
    fn additions_come_before_removals(desired in desired(), actual in actual()) {
        let changes = plan(&desired, &actual).changes;
        let last_given = changes.iter().rposition(|change| matches!(change, Change::CreateAcl(_) | Change::CreateTopic { .. }));
        let first_taken = changes.iter().position(|change| matches!(change, Change::DeleteAcl(_) | Change::DeleteTopic { .. }));
        if let (Some(given), Some(taken)) = (last_given, first_taken) {
            prop_assert!(given < taken, "{changes:?}");
        }
    }
}

const TOPIC: &str = "order.placed";

/// A cluster of three brokers, and one declared topic that nobody has made.
fn nothing_yet() -> (Desired, Actual) {
    let topics = BTreeMap::from([(TOPIC.to_owned(), DeclaredTopic::default())]);
    (Desired { topics, ..Desired::default() }, Actual { brokers: 3, ..Actual::default() })
}

#[test]
fn a_topic_that_was_made_here_is_not_adopted_and_goes_when_it_is_retired_with_delete() {
    let (desired, mut cluster) = nothing_yet();
    let first = plan(&desired, &cluster);
    let made = apply_all(&mut cluster, &first);
    let mut desired = hold(&desired, &first, &made);
    for _ in 0..2 {
        let next = plan(&desired, &cluster);
        assert!(next.is_empty() && !next.verdicts[TOPIC].adopted, "{next:?}");
        desired = hold(&desired, &next, &Made::new());
    }
    let held = desired.topics[TOPIC].held.clone().unwrap();
    let retired = BTreeMap::from([(TOPIC.to_owned(), Retired { held, policy: DeletionPolicy::Delete })]);
    let last = plan(&Desired { retired, ..Desired::default() }, &cluster);
    apply_all(&mut cluster, &last);
    assert!(cluster.topics.is_empty(), "{last:?}");
}

#[test]
fn a_topic_that_is_made_again_is_ours_again() {
    let (desired, mut cluster) = nothing_yet();
    let first = plan(&desired, &cluster);
    let made = apply_all(&mut cluster, &first);
    let desired = hold(&desired, &first, &made);
    cluster.topics.clear();
    let again = plan(&desired, &cluster);
    let lost = Finding::DeletedBehindOurBack { id: made[TOPIC].clone() };
    assert_eq!(again.verdicts[TOPIC].findings, [lost]);
    let made = apply_all(&mut cluster, &again);
    let desired = hold(&desired, &again, &made);
    let after = plan(&desired, &cluster);
    assert!(after.is_empty(), "{after:?}");
    assert!(!after.verdicts[TOPIC].adopted && after.verdicts[TOPIC].findings.is_empty(), "{after:?}");
}

#[test]
fn what_kafka_answers_in_its_own_form_is_set_once() {
    let (mut desired, mut cluster) = nothing_yet();
    let written = [
        ("min.cleanable.dirty.ratio", "0.50"),
        ("cleanup.policy", "compact, delete"),
        ("unclean.leader.election.enable", "TRUE"),
        ("retention.ms", " 007"),
    ];
    let config = &mut desired.topics.get_mut(TOPIC).unwrap().config;
    config.extend(written.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let first = plan(&desired, &cluster);
    let made = apply_all(&mut cluster, &first);
    let second = plan(&hold(&desired, &first, &made), &cluster);
    assert!(second.is_empty(), "{second:?}");
    // Found without a record, the same words lose nothing either.
    assert_eq!(plan(&desired, &cluster).verdicts[TOPIC].findings, []);
}

#[test]
fn a_declared_topic_in_a_cluster_that_is_down_waits_and_says_for_what() {
    let topic = DeclaredTopic { replication: Some(3), ..DeclaredTopic::default() };
    let desired =
        Desired { topics: BTreeMap::from([("order.placed".to_owned(), topic)]), ..Desired::default() };
    let plan = plan(&desired, &Actual { brokers: 1, ..Actual::default() });
    assert!(plan.is_empty());
    let refusal = plan.verdicts["order.placed"].refusal().unwrap();
    assert_eq!(refusal.reason(), "TooFewBrokers");
    assert_eq!(
        refusal.to_string(),
        "replication 3 needs as many brokers, and 1 are up: it is made as soon as they are"
    );
}
