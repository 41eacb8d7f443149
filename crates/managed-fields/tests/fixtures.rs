//! Answers of a real API server (Kubernetes 1.35): what was sent comes back out of them, whatever others wrote since.
//!
//! The Deployment was scaled, restarted and labelled by kubectl and given a status by its controller after our apply.
#![cfg(test)]

use goodgo_managed_fields::{digest, owned};
use serde_json::{Value, json};

const MANAGER: &str = "goodgo-operator";

/// What was sent, and the live object later.
fn fixture(text: &str) -> (Value, Value) {
    let mut fixture: Value = serde_json::from_str(text).unwrap();
    (fixture["sent"].take(), fixture["live"].take())
}

fn differs(live: &Value, sent: &Value) -> bool {
    owned(live, MANAGER).as_ref().map(digest) != Some(digest(sent))
}

#[test]
fn what_was_sent_comes_back_out_of_a_service() {
    let (sent, live) = fixture(include_str!("fixtures/service.json"));
    assert_eq!(owned(&live, MANAGER), Some(sent));
}

#[test]
fn a_deployment_that_kubectl_worked_on_lost_its_replicas_and_nothing_else() {
    let (mut sent, live) = fixture(include_str!("fixtures/deployment.json"));
    let managers = live["metadata"]["managedFields"].as_array().unwrap();
    assert!(managers.len() > 2, "others wrote to it, too");
    assert!(differs(&live, &sent), "kubectl scale took the replicas over");
    sent["spec"].as_object_mut().unwrap().remove("replicas");
    assert_eq!(owned(&live, MANAGER), Some(sent));
}

#[test]
fn every_edit_of_what_is_ours_is_seen() {
    let (mut sent, live) = fixture(include_str!("fixtures/deployment.json"));
    sent["spec"].as_object_mut().unwrap().remove("replicas");
    assert!(!differs(&live, &sent));
    let edits: [(&str, Value); 4] = [
        ("/spec/template/spec/containers/0/image", json!("evil:1")),
        ("/spec/template/spec/containers/0/env", json!([])),
        ("/spec/selector/matchLabels", json!({})),
        ("/metadata/ownerReferences", json!([])),
    ];
    for (path, value) in edits {
        let mut edited = live.clone();
        *edited.pointer_mut(path).unwrap() = value;
        assert!(differs(&edited, &sent), "{path}");
    }
}
