//! Admission on a real API server: every faulty manifest of the table is refused with the path and the sentence that a
//! person needs, and the barely legal ones pass. `crates/api` runs the same tables offline.

#![cfg(test)]

use goodgo_e2e::ControlPlane;
use goodgo_e2e::control_plane::ControlPlaneOptions;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

#[derive(Deserialize)]
struct Refused {
    path: String,
    says: String,
    #[serde(default)]
    name: Option<String>,
    spec: Value,
}

#[derive(Deserialize)]
struct Accepted {
    name: String,
    spec: Value,
}

fn manifest(name: &str, spec: &Value) -> DynamicObject {
    let mut merged = json!({"image": "demo:1"});
    for (key, value) in spec.as_object().unwrap() {
        merged[key] = value.clone();
    }
    serde_json::from_value(json!({
        "apiVersion": "goodgo.io/v1alpha1", "kind": "GoodGoService",
        "metadata": {"name": name, "namespace": "default"}, "spec": merged,
    }))
    .unwrap()
}

/// Waits until the CRD is served; the API server publishes it some moments after it is created.
async fn served(services: &Api<DynamicObject>) {
    for _ in 0..200 {
        if services.list(&kube::api::ListParams::default().limit(1)).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the API server did not serve goodgoservices within 20 s of the CRD's creation");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn says_where_and_what_to_do() {
    let plane = ControlPlane::start(ControlPlaneOptions::default()).await.unwrap();
    plane.kubectl().apply(&goodgo_api::schema::crd_yaml().unwrap()).unwrap();
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("goodgo.io", "v1alpha1", "GoodGoService"),
        "goodgoservices",
    );
    let services: Api<DynamicObject> =
        Api::namespaced_with(plane.client().await.unwrap(), "default", &resource);
    served(&services).await;
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };

    let refused: Vec<Refused> =
        serde_saphyr::from_str(include_str!("../crates/api/tests/admission/refused.yaml")).unwrap();
    let mut wrong = Vec::new();
    for row in &refused {
        let manifest = manifest(row.name.as_deref().unwrap_or("svc"), &row.spec);
        let answer = match services.create(&dry_run, &manifest).await {
            Ok(_) => "accepted".to_owned(),
            Err(kube::Error::Api(status)) => status.message.clone(),
            Err(error) => panic!("{error}"),
        };
        if !answer.contains(&row.says) || !answer.contains(&format!("{}:", row.path)) && !row.path.is_empty()
        {
            wrong.push(format!("{}: wanted {:?}, the server said {answer}", row.path, row.says));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let accepted: Vec<Accepted> =
        serde_saphyr::from_str(include_str!("../crates/api/tests/admission/accepted.yaml")).unwrap();
    for row in &accepted {
        let answer = services.create(&dry_run, &manifest(&row.name, &row.spec)).await;
        assert!(answer.is_ok(), "{} {}: {answer:?}", row.name, row.spec);
    }
    println!("{} manifests refused with path and sentence, {} accepted", refused.len(), accepted.len());
}
