//! What a service's status says.

use std::time::Duration;

use goodgo_api::GoodGoService;
use goodgo_api::conditions::ConditionType;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::harness::{World, condition};

pub async fn ready_follows_the_workload(world: World) {
    let namespace = "ready";
    world.namespace(namespace);
    world.service(namespace, "a", &json!({"replicas": 2}));
    let unavailable =
        world.until_condition(namespace, "a", ConditionType::Ready, "False", "Unavailable").await;
    let message = "0 of 2 pods are available: look at `kubectl describe pods -l goodgo.io/service=a`";
    assert_eq!(unavailable.message, message);
    world.pods_are_ready(namespace, "a").await;
    let ready = world.until_condition(namespace, "a", ConditionType::Ready, "True", "Ready").await;
    let service = world.get::<GoodGoService>(namespace, "a").await.unwrap();
    assert!(condition(&service, ConditionType::Progressing).is_none());
    let summary = service.status.clone().unwrap().summary.unwrap();
    assert_eq!((&*summary.ready, &*summary.replicas, &*summary.runtime), ("True", "2/2", "on"));
    assert!(world.kubectl(&["get", "ggs", "-n", namespace]).contains("2/2"));
    world.kubectl(&["wait", "--for=condition=Ready", "goodgoservice/a", "-n", namespace, "--timeout=20s"]);

    // One pod less: said at once, and Ready keeps the time of its last transition.
    let status = json!({"status": {"readyReplicas": 1, "availableReplicas": 1, "unavailableReplicas": 1}});
    let deployments = world.api::<Deployment>(namespace);
    deployments.patch_status("a", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    let service = world
        .until::<GoodGoService>(namespace, "a", "one pod is ready", |service| {
            service.status.as_ref().unwrap().summary.as_ref().unwrap().replicas == "1/2"
        })
        .await;
    let still = condition(&service, ConditionType::Ready).unwrap();
    assert_eq!(still.last_transition_time, ready.last_transition_time);

    let status = json!({"status": {"conditions": [
        {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable"},
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
    ]}});
    deployments.patch_status("a", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    world.until_condition(namespace, "a", ConditionType::Ready, "False", "ProgressDeadlineExceeded").await;
}

pub async fn a_suspended_service_is_left_alone(world: World) {
    let namespace = "suspended";
    world.namespace(namespace);
    world.service(namespace, "a", &json!({}));
    world.until::<Deployment>(namespace, "a", "there", |_| true).await;
    world.service(namespace, "a", &json!({"suspend": true}));
    world.until_condition(namespace, "a", ConditionType::Suspended, "True", "Suspended").await;
    world.api::<Service>(namespace).delete("a", &DeleteParams::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(world.get::<Service>(namespace, "a").await.is_none());
    world.service(namespace, "a", &json!({"suspend": false}));
    world.until::<Service>(namespace, "a", "restored", |_| true).await;
    world
        .until::<GoodGoService>(namespace, "a", "no longer suspended", |service| {
            condition(service, ConditionType::Suspended).is_none()
        })
        .await;
}

pub async fn what_cannot_be_carried_out_is_said(world: World) {
    let namespace = "stalled";
    world.namespace(namespace);
    // A self-call: the schema can't see the namespace, so admission lets it pass.
    world.service(namespace, "a", &json!({"calls": [{"service": "a", "namespace": namespace}]}));
    let resolved = world
        .until::<GoodGoService>(namespace, "a", "the self-call is said", |service| {
            let said = [ConditionType::Stalled, ConditionType::CallsResolved].into_iter();
            let mut said = said.filter_map(|type_| condition(service, type_));
            said.any(|condition| condition.message.contains("itself"))
        })
        .await;
    let ready = condition(&resolved, ConditionType::Ready).unwrap();
    assert_eq!(format!("{:?}", ready.status), "False");
}

pub async fn deletion_makes_nothing_anew(world: World) {
    let namespace = "deleted";
    world.namespace(namespace);
    world.service(namespace, "a", &json!({}));
    world.until::<Deployment>(namespace, "a", "there", |_| true).await;
    // Foreground: the service stays until the garbage collector (which doesn't run here) is done.
    let parent = world.api::<GoodGoService>(namespace);
    parent.delete("a", &DeleteParams::foreground()).await.unwrap();
    world
        .until::<GoodGoService>(namespace, "a", "being deleted", |now| {
            now.metadata.deletion_timestamp.is_some()
        })
        .await;
    world.api::<Service>(namespace).delete("a", &DeleteParams::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(world.get::<Service>(namespace, "a").await.is_none());
}
