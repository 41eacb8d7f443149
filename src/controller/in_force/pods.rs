//! A service's ready pods, reduced to what it takes to ask and to nudge them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use goodgo_fleet::ServiceKey;
use k8s_openapi::api::core::v1::Pod as ApiPod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::Request;
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

/// Annotation whose change makes the kubelet refresh the mounted configuration.
const NUDGE: &str = "goodgo.io/config";

/// Time for one request, repetitions by the client included: a server in trouble must not hold a round for minutes.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why pods could not be listed or nudged.
#[derive(Debug, thiserror::Error)]
pub(super) enum PodsError {
    /// The server refused or could not be reached.
    #[error("failed to ask the API server: {0}")]
    Request(#[from] kube::Error),
    /// It did not answer.
    #[error("failed to hear from the API server within {TIMEOUT:?}")]
    Timeout(#[from] tokio::time::error::Elapsed),
}

/// A ready pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) name: String,
    pub(super) ip: IpAddr,
    /// What it was nudged with last.
    pub(super) nudged: Option<String>,
}

#[derive(Deserialize)]
struct List {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    deletion_timestamp: Option<String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    #[serde(rename = "podIP")]
    pod_ip: Option<IpAddr>,
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
}

/// Lists the service's ready pods with one request; whole pods are dropped as they are decoded.
pub(super) async fn ready(client: &Client, service: &ServiceKey) -> Result<Vec<Pod>, PodsError> {
    let ServiceKey { namespace, name } = service;
    let selector = format!("goodgo.io/service={name},goodgo.io/track in (canary,stable)");
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let request = Request::new(path).list(&ListParams::default().labels(&selector));
    let request = request.map_err(kube::Error::BuildRequest)?;
    let list: List = timeout(TIMEOUT, client.request(request)).await??;
    Ok(list.items.into_iter().filter_map(Item::into_ready).collect())
}

impl Item {
    fn into_ready(self) -> Option<Pod> {
        let Self { metadata: Metadata { name, deletion_timestamp, mut annotations }, status } = self;
        let ready = status.conditions.iter().any(|found| found.type_ == "Ready" && found.status == "True");
        let nudged = annotations.remove(NUDGE);
        (ready && deletion_timestamp.is_none()).then_some(Pod { name, ip: status.pod_ip?, nudged })
    }
}

/// Changes the pod's annotation to `with`.
pub(super) async fn nudge(
    client: &Client,
    service: &ServiceKey,
    pod: &str,
    with: &str,
) -> Result<(), PodsError> {
    let api: Api<ApiPod> = Api::namespaced(client.clone(), &service.namespace);
    let change = json!({"metadata": {"annotations": {NUDGE: with}}});
    let (params, change) = (PatchParams::default(), Patch::Merge(change));
    timeout(TIMEOUT, api.patch_metadata(pod, &params, &change)).await??;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_ready_pod_with_an_address_is_asked() {
        let pod = |ready: &str, ip: serde_json::Value, deleted: serde_json::Value| {
            let item = json!({
                "metadata": {"name": "a-1", "deletionTimestamp": deleted, "annotations": {NUDGE: "r1"}},
                "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": ready}]},
            });
            serde_json::from_value::<Item>(item).unwrap().into_ready()
        };
        let (ip, not) = (json!("10.0.0.7"), serde_json::Value::Null);
        let expected =
            Pod { name: "a-1".to_owned(), ip: "10.0.0.7".parse().unwrap(), nudged: Some("r1".to_owned()) };
        assert_eq!(pod("True", ip.clone(), not.clone()), Some(expected));
        assert_eq!(pod("False", ip.clone(), not.clone()), None);
        assert_eq!(pod("True", not.clone(), not), None);
        assert_eq!(pod("True", ip, json!("2026-01-01T00:00:00Z")), None);
        let young: Item = serde_json::from_value(json!({"metadata": {"name": "a-2"}})).unwrap();
        assert_eq!(young.into_ready(), None);
    }
}
