//! The process as a whole: idle, restarted, reconfigured, succeeded by a standby, and shown what it can't read.

use std::time::{Duration, Instant};

use goodgo_api::conditions::ConditionType;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use kube::api::DeleteParams;
use serde_json::json;

use crate::harness::{Operator, World, eventually};

pub async fn nothing_is_requested_while_nothing_changes(world: &World) {
    // What would go on requesting is a finished scenario's deliberate fault.
    world.until_quiet().await;
    let before = world.requests().len();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let requests = world.requests();
    assert!(requests.len() == before, "requests of an idle operator: {:?}", &requests[before..]);
}

pub async fn one_undecodable_service_does_not_stop_the_others(world: &World, operator: &Operator) {
    let namespace = "undecodable";
    world.namespace(namespace);
    let crd = goodgo_api::schema::crd_yaml().unwrap();
    let mut loose: serde_json::Value = serde_saphyr::from_str(&crd).unwrap();
    loose["spec"]["versions"][0]["schema"]["openAPIV3Schema"] =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    world.apply(&loose);
    let broken = json!({"apiVersion": "goodgo.io/v1alpha1", "kind": "GoodGoService",
                        "metadata": {"name": "broken", "namespace": namespace}, "spec": {"image": {"not": "a text"}}});
    let path = format!("/apis/goodgo.io/v1alpha1/namespaces/{namespace}/goodgoservices");
    eventually("the API server takes what can't be decoded", || async {
        let request = http::Request::post(&path).body(serde_json::to_vec(&broken).unwrap()).unwrap();
        world.client.request::<serde_json::Value>(request).await.map_err(|error| error.to_string())
    })
    .await;
    eventually("it is skipped and counted", || async {
        let metrics = operator.metrics().await;
        let counted = metrics.get("goodgo_operator_undecodable_services_total").copied();
        if counted >= Some(1.0) { Ok(()) } else { Err(format!("{counted:?}")) }
    })
    .await;
    assert!(operator.log().contains("can't be decoded"));
    world.service(namespace, "sound", &json!({"port": 3000, "protocol": "HTTP"}));
    world.until::<Deployment>(namespace, "sound", "there", |_| true).await;

    let request = http::Request::delete(format!("{path}/broken")).body(Vec::new()).unwrap();
    world.client.request::<serde_json::Value>(request).await.unwrap();
    world.kubectl(&["delete", "goodgoservice", "sound", "-n", namespace]);
    world.apply(&serde_saphyr::from_str(&crd).unwrap());
}

pub async fn a_changed_configuration_is_picked_up_and_a_bad_one_refused(world: &World, operator: &Operator) {
    let namespace = "configured";
    world.namespace(namespace);
    world.service(namespace, "a", &json!({}));
    let pods = |count: i32| move |now: &Deployment| now.spec.as_ref().unwrap().replicas == Some(count);
    world.until::<Deployment>(namespace, "a", "three pods", pods(3)).await;
    std::fs::write(world.config(), "environment: staging\n").unwrap();
    world.until::<Deployment>(namespace, "a", "two pods", pods(2)).await;

    std::fs::write(world.config(), "environment: local\nunknownField: 1\n").unwrap();
    eventually("the fault is logged with its line", || async {
        let log = operator.log();
        if log.contains("unknownField") && log.contains("line 2") { Ok(()) } else { Err(operator.last_log()) }
    })
    .await;
    assert_eq!(operator.metrics().await["goodgo_operator_config_reloads_total{result=\"refused\"}"], 1.0);
    let deployment = world.get::<Deployment>(namespace, "a").await.unwrap();
    assert!(pods(2)(&deployment), "the configuration before it stays in force");
    std::fs::write(world.config(), "environment: production\n").unwrap();
    world.until::<Deployment>(namespace, "a", "three pods again", pods(3)).await;
}

pub async fn a_restart_writes_nothing(world: &World, operator: Operator) -> Operator {
    world.until_quiet().await;
    let before = world.writes().len();
    operator.stop();
    let operator = Operator::start(world, "second").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let writes = world.writes();
    assert!(writes.len() == before, "writes of a restarted operator: {:?}", &writes[before..]);
    operator
}

pub async fn a_standby_takes_over_at_once(world: &World, operator: Operator) {
    let standby = Operator::standby(world, "third");
    eventually("a standby is ready and does not lead", || async {
        let ready = standby.get("/readyz").await.0 == 200;
        let leads = standby.metrics().await.get("goodgo_operator_leader") != Some(&0.0);
        if ready && !leads { Ok(()) } else { Err(standby.last_log()) }
    })
    .await;
    let started = Instant::now();
    operator.stop();
    standby.until_leading().await;
    println!("a standby took over after {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(12), "released, not expired: {:?}", started.elapsed());
    world.api::<Service>("configured").delete("a", &DeleteParams::default()).await.unwrap();
    world.until::<Service>("configured", "a", "restored by the new leader", |_| true).await;
    world.until_condition("configured", "a", ConditionType::Ready, "False", "Unavailable").await;
}
