//! What is rendered is canonical: a real API server answers every golden manifest with exactly what was sent, so that a
//! reconcile of an unchanged service finds nothing to do.
#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

use goodgo_api::FIELD_MANAGER;
use goodgo_e2e::ControlPlane;
use goodgo_e2e::control_plane::ControlPlaneOptions;
use goodgo_e2e::definitions;
use goodgo_managed_fields::{digest, owned};
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind, TypeMeta};
use serde_json::{Value, json};

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/render/tests/golden");
    let mut cases: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

fn api(client: &Client, manifest: &Value, namespace: &str) -> Api<DynamicObject> {
    let types: TypeMeta = serde_json::from_value(manifest.clone()).unwrap();
    let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(types).unwrap());
    Api::namespaced_with(client.clone(), namespace, &resource)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_golden_manifest_comes_back_as_it_was_sent() {
    let plane = ControlPlane::start(ControlPlaneOptions::default()).await.unwrap();
    let client = plane.client().await.unwrap();
    let params = PatchParams::apply(FIELD_MANAGER).force();
    for definitions in [definitions::TRAEFIK, definitions::CERTIFICATE] {
        plane.kubectl().apply_over("default", &definitions.yaml().unwrap()).unwrap();
    }
    plane.kubectl().run(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]).unwrap();
    let (mut objects, mut differing) = (0, Vec::new());
    for case in cases() {
        let namespace = format!("golden-{}", case.file_name().unwrap().to_string_lossy());
        let manifest = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        plane.kubectl().apply(&manifest.to_string()).unwrap();
        let text = fs::read_to_string(case.join("children.yaml")).unwrap();
        let children: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        for mut sent in children {
            sent["metadata"]["namespace"] = json!(namespace);
            let (name, api) = (sent["metadata"]["name"].as_str().unwrap(), api(&client, &sent, &namespace));
            let answer = api.patch(name, &params, &Patch::Apply(&sent)).await.unwrap();
            let answer = serde_json::to_value(answer).unwrap();
            let back = owned(&answer, FIELD_MANAGER).unwrap();
            if digest(&back) != digest(&sent) {
                differing.push(format!("{namespace}: sent {sent:#}\ncame back {back:#}"));
            }
            // As an item of a list it has no kind and no apiVersion, and counts as the same.
            let listed =
                api.list(&ListParams::default().fields(&format!("metadata.name={name}"))).await.unwrap();
            let listed = serde_json::to_value(&listed.items[0]).unwrap();
            assert_eq!(
                owned(&listed, FIELD_MANAGER).as_ref().map(digest),
                Some(digest(&back)),
                "{namespace}/{name}"
            );
            objects += 1;
        }
    }
    assert!(differing.is_empty(), "{} of {objects} differ:\n{}", differing.len(), differing.join("\n"));
    assert!(objects > 100, "only {objects} objects");
}
