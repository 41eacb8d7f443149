//! Pods follow a changed configuration. The test plays kubelet and runtime: a pod object whose address is one of loopback,
//! where a listener answers as a runtime's admin port does.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use axum::routing::get;
use axum::{Json, Router};
use goodgo_api::GoodGoService;
use goodgo_api::conditions::ConditionType;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::{World, eventually};

const NAMESPACE: &str = "in-force";
const ADMIN: u16 = 14010;

/// What the runtime says when it is asked.
#[derive(Clone)]
struct Runtime(Arc<Mutex<Value>>);

impl Runtime {
    /// Listens for as long as the test's process lives. At the IPv6 loopback, because a runtime that somebody tries on
    /// this machine has the port at every IPv4 address.
    async fn start() -> (Self, IpAddr) {
        let ip = IpAddr::V6(Ipv6Addr::LOCALHOST);
        let listener = eventually(&format!("port {ADMIN} of {ip} is free"), || async {
            TcpListener::bind((ip, ADMIN)).await.map_err(|error| error.to_string())
        })
        .await;
        let said = Self(Arc::default());
        let answer = said.clone();
        let router = Router::new().route(
            "/config",
            get(move || {
                let said = answer.0.lock().unwrap().clone();
                std::future::ready(Json(said))
            }),
        );
        tokio::spawn(async move { axum::serve(listener, router).await });
        (said, ip)
    }

    fn runs(&self, revision: &str) {
        self.says(json!({"revision": revision}));
    }

    fn says(&self, mut report: Value) {
        report["service"] = json!({"name": "a", "namespace": NAMESPACE});
        *self.0.lock().unwrap() = report;
    }
}

fn file(map: &ConfigMap) -> Value {
    serde_json::from_str(&map.data.as_ref().unwrap()["runtime.json"]).unwrap()
}

/// The applied configuration, once it is another than `before`.
async fn applied(world: &World, before: &str) -> Value {
    let map = world
        .until::<ConfigMap>(NAMESPACE, "a--runtime", "a new revision", |map| file(map)["revision"] != before)
        .await;
    file(&map)
}

fn revision(config: &Value) -> String {
    config["revision"].as_str().unwrap().to_owned()
}

/// A ready pod of the service at this address.
async fn pod(world: &World, ip: IpAddr) {
    world.until::<ServiceAccount>(NAMESPACE, "a--app", "there", |_| true).await;
    world.apply(&json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "a-1", "namespace": NAMESPACE,
            "labels": {"goodgo.io/service": "a", "goodgo.io/track": "stable"}},
        "spec": {"serviceAccountName": "a--app", "automountServiceAccountToken": false,
            "containers": [{"name": "app", "image": "demo:1"}]}}));
    let status = json!({"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
        "conditions": [{"type": "Ready", "status": "True"}]}});
    let api = world.api::<Pod>(NAMESPACE);
    api.patch_status("a-1", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
}

fn nudged(pod: &Pod) -> Option<&String> {
    pod.metadata.annotations.as_ref()?.get("goodgo.io/config")
}

pub async fn pods_are_nudged_asked_and_reported(world: World) {
    world.namespace(NAMESPACE);
    let (runtime, ip) = Runtime::start().await;
    let spec = |path: &str| json!({"replicas": 1, "observability": {"metrics": {"path": path}}});
    world.service(NAMESPACE, "a", &spec("/one"));
    let in_force = async |status: &str, reason: &str| {
        world.until_condition(NAMESPACE, "a", ConditionType::InForce, status, reason).await
    };
    in_force("Unknown", "NoReadyPods").await;

    // A pod that starts with it needs no nudge.
    let first = revision(&applied(&world, "").await);
    runtime.runs(&first);
    pod(&world, ip).await;
    world.pods_are_ready(NAMESPACE, "a").await;
    in_force("True", "InForce").await;
    let seen = world.get::<Pod>(NAMESPACE, "a-1").await.unwrap();
    assert_eq!(nudged(&seen), None);

    // A change is on its way until the kubelet, nudged, has brought it.
    world.service(NAMESPACE, "a", &spec("/two"));
    let second = revision(&applied(&world, &first).await);
    in_force("False", "Propagating").await;
    let is_nudged = |pod: &Pod| nudged(pod) == Some(&second);
    world.until::<Pod>(NAMESPACE, "a-1", "nudged", is_nudged).await;
    runtime.runs(&second);
    in_force("True", "InForce").await;
    let service = world.get::<GoodGoService>(NAMESPACE, "a").await.unwrap();
    assert_eq!(service.status.unwrap().config_revision, Some(second.clone()));

    // One that the runtime does not take is told in its words, and goes when it does.
    world.service(NAMESPACE, "a", &spec("/three"));
    let third = revision(&applied(&world, &second).await);
    let refused = "failed to decode the runtime configuration: unknown field";
    runtime.says(json!({"revision": second, "lastError": {"message": refused, "atUnixSeconds": 1}}));
    let said = in_force("False", "ConfigRefused").await;
    assert!(said.message.contains(refused) && said.message.contains("a-1"), "{}", said.message);
    runtime.runs(&third);
    in_force("True", "InForce").await;
}

pub async fn callers_are_known_by_tokens_of_the_clusters_issuer(world: World) {
    let namespace = "identity";
    world.namespace(namespace);
    world.service(namespace, "iam-service", &json!({}));
    world.service(namespace, "user-service", &json!({"calls": [{"service": "iam-service"}]}));
    let subject = "system:serviceaccount:identity:user-service--app";
    let map = world
        .until::<ConfigMap>(namespace, "iam-service--runtime", "its caller", |map| {
            file(map)["inbound"]["callers"][0]["subject"] == subject
        })
        .await;
    let authentication = file(&map)["inbound"]["authentication"].clone();
    assert_eq!(authentication["audience"], "goodgo.io/cluster/identity/iam-service");
    let issuer = &authentication["issuers"][0];
    assert!(issuer["issuer"].as_str().unwrap().starts_with("https://"), "{issuer}");
    assert!(issuer["keys"][0]["kid"].is_string(), "{issuer}");

    world.kubectl(&["delete", "goodgoservice", "user-service", "-n", namespace]);
    world
        .until::<ConfigMap>(namespace, "iam-service--runtime", "no caller", |map| {
            file(map)["inbound"].get("callers").is_none()
        })
        .await;
}
