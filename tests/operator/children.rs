//! What a service owns, and that it stays so.

use std::time::{Duration, Instant};

use goodgo_api::GoodGoService;
use goodgo_api::conditions::ConditionType;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::harness::World;

pub async fn all_are_created_with_their_owner(world: World) {
    let namespace = "created";
    world.namespace(namespace);
    world.service(namespace, "user-service", &json!({"scaling": {"min": 3, "max": 5, "cpuPercent": 70}}));
    let hpa = world.until::<HorizontalPodAutoscaler>(namespace, "user-service--hpa", "there", |_| true).await;
    world.until::<PodDisruptionBudget>(namespace, "user-service--pdb", "there", |_| true).await;
    world.until::<ServiceAccount>(namespace, "user-service--app", "there", |_| true).await;
    world.until::<NetworkPolicy>(namespace, "user-service--policy", "there", |_| true).await;
    world.until::<ConfigMap>(namespace, "user-service--runtime", "there", |_| true).await;
    world.until::<Service>(namespace, "user-service--headless", "there", |_| true).await;
    world.until::<Deployment>(namespace, "user-service", "there", |_| true).await;
    let service = world.until::<Service>(namespace, "user-service", "there", |_| true).await;

    let parent = world.get::<GoodGoService>(namespace, "user-service").await.unwrap();
    for metadata in [hpa.metadata, service.metadata] {
        let owner = &metadata.owner_references.unwrap()[0];
        assert_eq!(Some(&owner.uid), parent.metadata.uid.as_ref());
        assert_eq!((owner.controller, owner.block_owner_deletion), (Some(true), Some(true)));
        let labels = metadata.labels.unwrap();
        assert_eq!(labels["app.kubernetes.io/managed-by"], "goodgo-operator");
        assert_eq!(labels["goodgo.io/service"], "user-service");
    }
    let parent = world
        .until::<GoodGoService>(namespace, "user-service", "observed", |service| {
            let status = service.status.as_ref();
            status.is_some_and(|status| status.observed_generation == service.metadata.generation)
        })
        .await;
    let status = parent.status.unwrap();
    assert_eq!(status.endpoint.as_deref(), Some("user-service.created.svc.cluster.local:3000"));
    assert_eq!(status.replicas.unwrap().desired, 3);
}

pub async fn what_is_deleted_edited_or_stripped_comes_back(world: World) {
    let namespace = "drift";
    world.namespace(namespace);
    world.service(namespace, "a", &json!({"env": [{"name": "KEPT", "value": "1"}]}));
    world.until::<PodDisruptionBudget>(namespace, "a--pdb", "there", |_| true).await;

    let mut restored = Vec::new();
    let before = world.get::<Service>(namespace, "a").await.unwrap();
    let started = Instant::now();
    world.api::<Service>(namespace).delete("a", &DeleteParams::default()).await.unwrap();
    world.until::<Service>(namespace, "a", "recreated", |now| now.metadata.uid != before.metadata.uid).await;
    restored.push(("deleted", started.elapsed()));

    let image = |deployment: &Deployment| {
        deployment.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0].image.clone().unwrap()
    };
    let change =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "evil:1"}]}}}});
    let started = Instant::now();
    let params = PatchParams::default();
    world.api::<Deployment>(namespace).patch("a", &params, &Patch::Strategic(&change)).await.unwrap();
    world.until::<Deployment>(namespace, "a", "its image again", |now| image(now) == "demo:1.0.0").await;
    restored.push(("edited", started.elapsed()));

    let remove = json!([{"op": "remove", "path": "/data"}]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(remove).unwrap());
    let started = Instant::now();
    world.api::<ConfigMap>(namespace).patch("a--runtime", &params, &patch).await.unwrap();
    world.until::<ConfigMap>(namespace, "a--runtime", "its data again", |now| now.data.is_some()).await;
    restored.push(("emptied", started.elapsed()));

    let strip =
        json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null, "goodgo.io/service": null}}});
    let started = Instant::now();
    world.edit::<NetworkPolicy>(namespace, "a--policy", "vandal", &strip).await;
    world
        .until::<NetworkPolicy>(namespace, "a--policy", "its labels again", |now| {
            now.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key("goodgo.io/service"))
        })
        .await;
    restored.push(("stripped of its labels", started.elapsed()));

    let orphan = json!({"metadata": {"ownerReferences": null}});
    let started = Instant::now();
    world.edit::<ServiceAccount>(namespace, "a--app", "vandal", &orphan).await;
    world
        .until::<ServiceAccount>(namespace, "a--app", "its owner again", |now| {
            now.metadata.owner_references.is_some()
        })
        .await;
    restored.push(("stripped of its owner", started.elapsed()));

    println!("restored: {restored:?}");
    for (what, took) in restored {
        assert!(took < Duration::from_secs(10), "{what}: {took:?}");
    }
}

pub async fn a_removed_section_removes_its_child(world: World) {
    let namespace = "sections";
    world.namespace(namespace);
    world.service(namespace, "a", &json!({"scaling": {"min": 2, "max": 4, "cpuPercent": 70}}));
    world.until::<HorizontalPodAutoscaler>(namespace, "a--hpa", "there", |_| true).await;
    world.until::<PodDisruptionBudget>(namespace, "a--pdb", "there", |_| true).await;
    world.until::<ServiceAccount>(namespace, "a--app", "there", |_| true).await;
    world.until::<ConfigMap>(namespace, "a--runtime", "there", |_| true).await;

    let account = "existing";
    world.service(
        namespace,
        "a",
        &json!({"replicas": 1, "runtime": {"enabled": false}, "serviceAccountName": account}),
    );
    world.edit::<GoodGoService>(namespace, "a", "kubectl", &json!({"spec": {"scaling": null}})).await;
    world.until_gone::<HorizontalPodAutoscaler>(namespace, "a--hpa").await;
    world.until_gone::<PodDisruptionBudget>(namespace, "a--pdb").await;
    assert!(world.get::<ServiceAccount>(namespace, "a--app").await.is_some(), "old pods may still need it");
    assert!(world.get::<ConfigMap>(namespace, "a--runtime").await.is_some(), "old pods may still need it");
    world.pods_are_ready(namespace, "a").await;
    world.until_gone::<ServiceAccount>(namespace, "a--app").await;
    world.until_gone::<ConfigMap>(namespace, "a--runtime").await;
    world
        .until::<Deployment>(namespace, "a", "one pod again", |now| {
            now.spec.as_ref().unwrap().replicas == Some(1)
        })
        .await;
}

pub async fn replicas_belong_to_the_autoscaler(world: World) {
    let namespace = "scaling";
    world.namespace(namespace);
    let replicas = |deployment: &Deployment| deployment.spec.as_ref().unwrap().replicas;
    let scaled = |min: i32| json!({"scaling": {"min": min, "max": 9, "cpuPercent": 70}});

    // Switched on while 4 pods run: they stay.
    world.service(namespace, "switched", &json!({"replicas": 4}));
    world.until::<Deployment>(namespace, "switched", "four pods", |now| replicas(now) == Some(4)).await;
    world.kubectl(&[
        "patch",
        "goodgoservice",
        "switched",
        "-n",
        namespace,
        "--type=merge",
        "--field-manager=goodgo-dev",
        "-p",
        &json!({"spec": {"replicas": null, "scaling": scaled(2)["scaling"]}}).to_string(),
    ]);
    world.until::<HorizontalPodAutoscaler>(namespace, "switched--hpa", "there", |_| true).await;
    let deployment = world
        .until::<Deployment>(namespace, "switched", "its replicas handed over", |now| {
            let managers = now.metadata.managed_fields.as_ref().unwrap();
            managers.iter().any(|entry| entry.manager.as_deref() == Some("goodgo-initial-replicas"))
        })
        .await;
    assert_eq!(replicas(&deployment), Some(4));

    // From the start: the minimum, and whatever the autoscaler or a person makes of it.
    world.service(namespace, "scaled", &scaled(3));
    world.until::<Deployment>(namespace, "scaled", "three pods", |now| replicas(now) == Some(3)).await;
    world.kubectl(&["scale", "deployment/scaled", "-n", namespace, "--replicas=7"]);
    world.service(namespace, "scaled", &json!({"scaling": scaled(3)["scaling"], "restartToken": "again"}));
    world
        .until::<GoodGoService>(namespace, "scaled", "the new generation applied", |service| {
            service.status.as_ref().is_some_and(|status| status.observed_generation == Some(2))
        })
        .await;
    let deployment = world.get::<Deployment>(namespace, "scaled").await.unwrap();
    assert_eq!(replicas(&deployment), Some(7));
}

pub async fn the_fields_of_others_are_left_alone(world: World) {
    let namespace = "others";
    world.namespace(namespace);
    world.service(namespace, "a", &json!({}));
    world.until::<Deployment>(namespace, "a", "there", |_| true).await;
    world.kubectl(&["rollout", "restart", "deployment/a", "-n", namespace]);
    world
        .edit::<Service>(namespace, "a", "somebody", &json!({"metadata": {"annotations": {"theirs": "1"}}}))
        .await;
    world.service(namespace, "a", &json!({"image": "demo:2.0.0"}));
    let deployment = world
        .until::<Deployment>(namespace, "a", "the new image", |now| {
            let pod = now.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
            pod.containers[0].image.as_deref() == Some("demo:2.0.0")
        })
        .await;
    let annotations = deployment.spec.unwrap().template.metadata.unwrap().annotations.unwrap();
    assert!(annotations.contains_key("kubectl.kubernetes.io/restartedAt"), "{annotations:?}");
    let service = world.get::<Service>(namespace, "a").await.unwrap();
    assert_eq!(service.metadata.annotations.unwrap()["theirs"], "1");
}

pub async fn the_migrate_step_gates_the_workload(world: World) {
    let namespace = "migrate";
    world.namespace(namespace);
    world.service(namespace, "a", &json!({"migrate": {"command": ["migrate"]}}));
    world.until_condition(namespace, "a", ConditionType::Progressing, "True", "Migrating").await;
    assert!(world.get::<Deployment>(namespace, "a").await.is_none());
    let job = finish_migration(&world, namespace, &[], "Complete").await;
    world.until::<Deployment>(namespace, "a", "there", |_| true).await;

    world.service(namespace, "a", &json!({"image": "demo:2.0.0", "migrate": {"command": ["migrate"]}}));
    let second = finish_migration(&world, namespace, &[&job], "Failed").await;
    let stalled =
        world.until_condition(namespace, "a", ConditionType::Stalled, "True", "MigrationFailed").await;
    assert!(stalled.message.contains("logs"), "{stalled:?}");
    let deployment = world.get::<Deployment>(namespace, "a").await.unwrap();
    let pod = deployment.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.containers[0].image.as_deref(), Some("demo:1.0.0"), "the old pods stay");
    let service = world.get::<GoodGoService>(namespace, "a").await.unwrap();
    assert_eq!(service.status.unwrap().observed_generation, Some(1), "never ahead of what is applied");
    world.until_gone::<Job>(namespace, &job).await;
    assert!(world.get::<Job>(namespace, &second).await.is_some());

    // One that runs is ended before the next begins. The test plays the garbage collector.
    let migrates = |image: &str| json!({"image": image, "migrate": {"command": ["migrate"]}});
    world.service(namespace, "a", &migrates("demo:3.0.0"));
    let (third, _) = job_but(&world, namespace, &[&job, &second]).await;
    world.service(namespace, "a", &migrates("demo:4.0.0"));
    world.until::<Job>(namespace, &third, "ending", |job| job.metadata.deletion_timestamp.is_some()).await;
    world.until_condition(namespace, "a", ConditionType::Progressing, "True", "Migrating").await;
    let jobs = world.api::<Job>(namespace);
    let listed = jobs.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(listed.len(), 1, "{listed:?}");
    let done = json!({"metadata": {"finalizers": null}});
    jobs.patch(&third, &PatchParams::default(), &Patch::Merge(&done)).await.unwrap();
    let known = [&*job, &*second, &*third];
    let (_, fourth) = job_but(&world, namespace, &known).await;
    assert!(fourth.metadata.deletion_timestamp.is_none());
}

/// The one Job that is not known yet, with its name.
async fn job_but(world: &World, namespace: &str, known: &[&str]) -> (String, Job) {
    let jobs = world.api::<Job>(namespace);
    crate::harness::eventually("a new migrate Job", || async {
        let jobs = jobs.list(&ListParams::default()).await.unwrap();
        let mut named = jobs.items.into_iter().filter_map(|job| Some((job.metadata.name.clone()?, job)));
        named.find(|(name, _)| !known.contains(&name.as_str())).ok_or_else(String::new)
    })
    .await
}

/// Plays the Job controller for the one Job that is not known yet; gives its name.
async fn finish_migration(world: &World, namespace: &str, known: &[&str], condition: &str) -> String {
    let jobs = world.api::<Job>(namespace);
    let (name, _) = job_but(world, namespace, known).await;
    let now = "2026-01-01T00:00:00Z";
    let (targeted, terminal) = match condition {
        "Complete" => ("SuccessCriteriaMet", json!({"succeeded": 1, "completionTime": now})),
        _ => ("FailureTarget", json!({"failed": 1})),
    };
    let mut status = terminal;
    status["startTime"] = json!(now);
    status["conditions"] = json!([
        {"type": targeted, "status": "True", "lastTransitionTime": now},
        {"type": condition, "status": "True", "lastTransitionTime": now},
    ]);
    let patch = json!({ "status": status });
    jobs.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    name
}
