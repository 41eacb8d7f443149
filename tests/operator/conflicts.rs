//! Objects of somebody else, and somebody else's will.

use std::time::Duration;

use goodgo_api::conditions::ConditionType;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;

use crate::harness::{World, eventually};

pub async fn a_foreign_object_is_reported_and_untouched(world: World) {
    let namespace = "foreign";
    world.namespace(namespace);
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap",
                        "metadata": {"name": "a--runtime", "namespace": namespace}, "data": {"theirs": "1"}});
    world.apply(&theirs);
    let before = world.get::<ConfigMap>(namespace, "a--runtime").await.unwrap();
    world.service(namespace, "a", &json!({}));
    let conflict =
        world.until_condition(namespace, "a", ConditionType::ChildConflict, "True", "ChildConflict").await;
    assert!(conflict.message.contains("ConfigMap a--runtime"), "{conflict:?}");
    world.until_condition(namespace, "a", ConditionType::Ready, "False", "ChildConflict").await;
    let events = world.api::<Event>(namespace);
    eventually("an Event names it", || async {
        let events = events.list(&ListParams::default()).await.unwrap().items;
        let found = events.iter().any(|event| {
            event.reason.as_deref() == Some("ChildConflict")
                && event.type_.as_deref() == Some("Warning")
                && event.note.as_ref().is_some_and(|note| note.contains("ConfigMap a--runtime"))
        });
        if found { Ok(()) } else { Err(format!("{events:?}")) }
    })
    .await;
    assert_eq!(world.get::<ConfigMap>(namespace, "a--runtime").await.unwrap(), before);
    assert!(world.get::<Deployment>(namespace, "a").await.is_none(), "no pods without what they need");

    world.api::<ConfigMap>(namespace).delete("a--runtime", &DeleteParams::default()).await.unwrap();
    world.until::<Deployment>(namespace, "a", "there, now that the way is free", |_| true).await;
}

pub async fn a_foreign_object_with_our_label_is_reported_and_untouched(world: World) {
    let namespace = "disguised";
    world.namespace(namespace);
    let labels = json!({"app.kubernetes.io/managed-by": "goodgo-operator", "goodgo.io/service": "a"});
    world.apply(&json!({"apiVersion": "v1", "kind": "Service",
                        "metadata": {"name": "a", "namespace": namespace, "labels": labels},
                        "spec": {"ports": [{"port": 1}]}}));
    let before = world.get::<Service>(namespace, "a").await.unwrap();
    world.service(namespace, "a", &json!({}));
    world.until_condition(namespace, "a", ConditionType::ChildConflict, "True", "ChildConflict").await;
    assert_eq!(world.get::<Service>(namespace, "a").await.unwrap(), before);
    // This one is watched, so that its removal is seen at once.
    world.api::<Service>(namespace).delete("a", &DeleteParams::default()).await.unwrap();
    world.until::<Deployment>(namespace, "a", "there, now that the way is free", |_| true).await;
}

pub async fn a_persistent_opponent_makes_it_slow_down(world: World) {
    let namespace = "contended";
    world.namespace(namespace);
    world.service(namespace, "a", &json!({}));
    world.until::<Service>(namespace, "a", "there", |_| true).await;
    let labelled = |service: &Service, value: &str| {
        service.metadata.labels.as_ref().is_some_and(|labels| labels["app.kubernetes.io/part-of"] == value)
    };
    let undo = json!({"metadata": {"labels": {"app.kubernetes.io/part-of": "theirs"}}});
    for _ in 0..6 {
        world.edit::<Service>(namespace, "a", "opponent", &undo).await;
        world.until::<Service>(namespace, "a", "repaired", |now| labelled(now, "goodgo")).await;
    }
    world.edit::<Service>(namespace, "a", "opponent", &undo).await;
    let contended =
        world.until_condition(namespace, "a", ConditionType::Contended, "True", "Contended").await;
    assert!(contended.message.contains("Service a"), "{contended:?}");
    // It never gives up, and says so no longer when the opponent does.
    world.until::<Service>(namespace, "a", "repaired in the end", |now| labelled(now, "goodgo")).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    world
        .until::<goodgo_api::GoodGoService>(namespace, "a", "in peace again", |service| {
            crate::harness::condition(service, ConditionType::Contended).is_none()
        })
        .await;
}
