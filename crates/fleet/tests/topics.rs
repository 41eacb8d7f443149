//! Ownership of topics as the product describes it, and as somebody of another namespace would attack it.

#![cfg(test)]

use goodgo_api::{GoodGoService, GoodGoServiceSpec};
use goodgo_fleet::{Declaration, Fleet, ServiceKey, TopicState};
use serde_json::{Value, json};

const TOPIC: &str = "user.created";

/// A fleet of services named `namespace/name`, each with its events and, if it holds the topic, since when.
fn fleet(services: &[(&str, Value, Option<&str>)]) -> Fleet {
    let mut fleet = Fleet::default();
    for (key, events, held) in services {
        let spec: GoodGoServiceSpec =
            serde_json::from_value(json!({"image": "registry.example/app:1", "events": events})).unwrap();
        let (key, mut service) = (self::key(key), GoodGoService::new("any", spec));
        service.metadata.namespace = Some(key.namespace.clone());
        if let Some(created) = held {
            let time = json!({"creationTimestamp": created});
            service.metadata.creation_timestamp =
                serde_json::from_value(time["creationTimestamp"].clone()).unwrap();
            let status = json!({"topics": [{"name": TOPIC, "id": "an id", "owner": true, "state": "Ok"}]});
            service.status = Some(serde_json::from_value(status).unwrap());
        }
        fleet.upsert(key, Declaration::from_service(&service));
    }
    fleet
}

fn key(text: &str) -> ServiceKey {
    let (namespace, name) = text.split_once('/').unwrap();
    ServiceKey::new(namespace, name)
}

fn publishes(settings: &Value) -> Value {
    let mut publish = json!({"topic": TOPIC});
    publish.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    json!({"publishes": [publish]})
}

fn subscribes() -> Value {
    json!({"subscribes": [{"topic": TOPIC}]})
}

fn published(fleet: &Fleet, service: &str) -> TopicState {
    fleet.view(&key(service)).topics.publishes[TOPIC].state.clone()
}

fn subscribed(fleet: &Fleet, service: &str) -> TopicState {
    fleet.view(&key(service)).topics.subscribes[TOPIC].state.clone()
}

#[test]
fn a_dead_letter_topic_cannot_be_taken() {
    for topic in ["user.created.dead-letter.shop.mail", "user-0a1b2c3d4e5f6a7b.dead-letter-of.shop.mail"] {
        let events =
            json!({"publishes": [{"topic": topic, "owner": true}], "subscribes": [{"topic": topic}]});
        let fleet = fleet(&[("other/thief", events, None)]);
        let seen = fleet.view(&key("other/thief")).topics;
        assert!(seen.publishes.is_empty() && seen.subscribes.is_empty(), "{topic}: {seen:?}");
    }
}

#[test]
fn a_sole_publisher_owns_without_saying_so() {
    let fleet = fleet(&[("shop/users", publishes(&json!({})), None), ("shop/mail", subscribes(), None)]);
    assert_eq!(published(&fleet, "shop/users"), TopicState::Owned);
    assert_eq!(subscribed(&fleet, "shop/mail"), TopicState::Used(key("shop/users")));
    let view = fleet.view(&key("shop/users")).topics.publishes[TOPIC].clone();
    assert!(view.consumed && view.ordered);
}

#[test]
fn several_need_one_that_says_so() {
    let nobody = fleet(&[
        ("shop/users", publishes(&json!({})), None),
        ("shop/imports", publishes(&json!({})), None),
        ("shop/mail", subscribes(), None),
    ]);
    for state in [published(&nobody, "shop/users"), subscribed(&nobody, "shop/mail")] {
        assert_eq!(state.reason(), Some("TopicHasNoOwner"));
    }
    let one = fleet(&[
        ("shop/users", publishes(&json!({"owner": true})), None),
        ("shop/imports", publishes(&json!({})), None),
    ]);
    assert_eq!(published(&one, "shop/users"), TopicState::Owned);
    assert_eq!(published(&one, "shop/imports"), TopicState::Used(key("shop/users")));
}

#[test]
fn a_first_claim_by_two_at_once_blocks_both_and_names_the_other() {
    let claim = || publishes(&json!({"owner": true}));
    let fleet = fleet(&[("shop/users", claim(), None), ("crm/users", claim(), None)]);
    assert_eq!(published(&fleet, "shop/users"), TopicState::Conflict(key("crm/users")));
    assert_eq!(published(&fleet, "crm/users"), TopicState::Conflict(key("shop/users")));
}

#[test]
fn nobody_takes_or_freezes_the_topic_of_another_namespace() {
    for attack in [json!({"owner": true}), json!({}), json!({"external": true})] {
        let fleet = fleet(&[
            ("shop/users", publishes(&json!({})), Some("2026-01-01T00:00:00Z")),
            ("shop/mail", subscribes(), None),
            ("evil/thief", publishes(&attack), None),
            ("evil/spy", subscribes(), None),
        ]);
        assert_eq!(published(&fleet, "shop/users"), TopicState::Owned, "{attack}");
        assert_eq!(subscribed(&fleet, "shop/mail"), TopicState::Used(key("shop/users")), "{attack}");
        assert_ne!(published(&fleet, "evil/thief"), TopicState::Owned, "{attack}");
        assert_eq!(subscribed(&fleet, "evil/spy"), TopicState::NotShared(key("shop/users")), "{attack}");
    }
}

#[test]
fn who_writes_into_a_status_that_it_holds_a_topic_is_too_late() {
    let fleet = fleet(&[
        ("shop/users", publishes(&json!({})), Some("2026-01-01T00:00:00Z")),
        ("evil/thief", publishes(&json!({"owner": true})), Some("2026-02-01T00:00:00Z")),
    ]);
    assert_eq!(published(&fleet, "shop/users"), TopicState::Owned);
    assert_eq!(published(&fleet, "evil/thief"), TopicState::Conflict(key("shop/users")));
}

#[test]
fn what_the_owner_lists_counts() {
    let shared = publishes(
        &json!({"sharedWith": [{"namespace": "billing"}, {"namespace": "crm", "allow": ["Publish"]}]}),
    );
    let fleet = fleet(&[
        ("shop/users", shared, Some("2026-01-01T00:00:00Z")),
        ("billing/invoices", subscribes(), None),
        ("billing/imports", publishes(&json!({})), None),
        ("crm/imports", publishes(&json!({})), None),
        ("crm/mail", subscribes(), None),
    ]);
    let owner = || key("shop/users");
    assert_eq!(subscribed(&fleet, "billing/invoices"), TopicState::Used(owner()));
    assert_eq!(published(&fleet, "billing/imports"), TopicState::NotShared(owner()));
    assert_eq!(published(&fleet, "crm/imports"), TopicState::Used(owner()));
    assert_eq!(
        subscribed(&fleet, "crm/mail").message(TOPIC, &key("crm/mail")).unwrap(),
        "user.created belongs to shop/users: list the namespace crm under sharedWith of its publication there"
    );
}

#[test]
fn settings_are_handed_over_within_a_namespace() {
    let hand_over = |old: Value, heir: &str| {
        fleet(&[
            ("shop/users", publishes(&old), Some("2026-01-01T00:00:00Z")),
            (heir, publishes(&json!({"owner": true})), None),
        ])
    };
    let handed = hand_over(json!({"owner": false}), "shop/accounts");
    assert_eq!(published(&handed, "shop/accounts"), TopicState::Owned);
    assert_eq!(published(&handed, "shop/users"), TopicState::Used(key("shop/accounts")));
    let kept = hand_over(json!({"owner": true}), "shop/accounts");
    assert_eq!(published(&kept, "shop/accounts"), TopicState::Conflict(key("shop/users")));
    let foreign = hand_over(json!({"owner": false}), "crm/accounts");
    assert_eq!(published(&foreign, "crm/accounts"), TopicState::Conflict(key("shop/users")));
}

#[test]
fn external_topics_have_no_owner_here() {
    let external = publishes(&json!({"external": true}));
    let fleet = fleet(&[
        ("shop/users", external, None),
        ("shop/mail", subscribes(), None),
        ("crm/mail", subscribes(), None),
    ]);
    assert_eq!(published(&fleet, "shop/users"), TopicState::External);
    assert_eq!(subscribed(&fleet, "shop/mail"), TopicState::External);
    assert_eq!(subscribed(&fleet, "crm/mail").reason(), Some("TopicHasNoPublisher"));
}

#[test]
fn a_subscriber_of_nothing_is_told() {
    let fleet = fleet(&[("shop/mail", subscribes(), None)]);
    assert_eq!(
        subscribed(&fleet, "shop/mail").message(TOPIC, &key("shop/mail")).unwrap(),
        "nobody publishes to user.created: declare it under events.publishes of a service, or correct its name"
    );
}
