//! What services see of each other.

use goodgo_api::GoodGoService;
use goodgo_api::conditions::ConditionType;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use crate::harness::World;

pub async fn a_missing_callee_that_appears_turns_its_caller_good(world: World) {
    let namespace = "fleet";
    world.namespace(namespace);
    world.service(namespace, "user-service", &json!({"calls": [{"service": "iam-service"}]}));
    let unresolved = world
        .until_condition(namespace, "user-service", ConditionType::CallsResolved, "False", "CalleeMissing")
        .await;
    assert!(unresolved.message.contains("iam-service"), "{unresolved:?}");
    world.pods_are_ready(namespace, "user-service").await;
    world.until_condition(namespace, "user-service", ConditionType::Ready, "False", "CalleeMissing").await;
    let config = |map: &ConfigMap| map.data.as_ref().unwrap()["runtime.json"].clone();
    let before = config(&world.get::<ConfigMap>(namespace, "user-service--runtime").await.unwrap());
    assert!(before.contains("CalleeMissing"), "{before}");

    world.service(namespace, "iam-service", &json!({"port": 3001}));
    world.until_condition(namespace, "user-service", ConditionType::Ready, "True", "Ready").await;
    world
        .until::<ConfigMap>(namespace, "user-service--runtime", "the way to iam-service", |map| {
            config(map).contains("iam-service.fleet.svc.cluster.local.")
        })
        .await;
    let service = world.get::<GoodGoService>(namespace, "user-service").await.unwrap();
    assert_eq!(service.status.unwrap().summary.unwrap().calls, "1/1");

    world.kubectl(&["delete", "goodgoservice", "iam-service", "-n", namespace]);
    world
        .until_condition(namespace, "user-service", ConditionType::CallsResolved, "False", "CalleeMissing")
        .await;
}
