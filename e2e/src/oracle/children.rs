//! What was derived from a service, and whether anybody wrote to it since.
#![allow(clippy::indexing_slicing, reason = "JSON answers null where nothing is; no slice is indexed")]

use super::CHILD_KINDS;
use crate::scenario::Namespace;
use anyhow::Result;
use serde_json::Value;
use std::collections::BTreeMap;

/// Children by `Kind/name`.
pub type Children = BTreeMap<String, Child>;

/// One child, without what controllers report into it.
#[derive(Debug, Clone, PartialEq)]
pub struct Child {
    /// Identity: another one means that it was deleted and made again.
    pub uid: String,
    /// The object without status, version and the records of status writers. Two of these are
    /// equal if nobody wrote to the object itself between them.
    pub object: Value,
}

impl Child {
    /// Reads an object as the server returns it.
    pub fn of(object: &Value) -> Self {
        let mut object = object.clone();
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        if let Some(object) = object.as_object_mut() {
            object.remove("status");
        }
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("resourceVersion");
            if let Some(Value::Array(managers)) = metadata.get_mut("managedFields") {
                managers.retain(|manager| manager.get("subresource").is_none_or(|of| of != "status"));
            }
        }
        Self { uid, object }
    }
}

/// What was derived from a service, by the labels that the product promises.
///
/// # Errors
/// When the server can't say.
pub async fn children(namespace: &Namespace, service: &str) -> Result<Children> {
    let labels = format!("goodgo.io/service={service},app.kubernetes.io/managed-by=goodgo-operator");
    let mut found = Children::new();
    for kind in CHILD_KINDS {
        for object in namespace.list(kind, &labels).await? {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            found.insert(format!("{kind}/{name}"), Child::of(&object));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reports_of_controllers_do_not_count_and_writes_do() {
        let object = json!({"metadata": {"uid": "1", "resourceVersion": "5", "managedFields": [
            {"manager": "goodgo-operator"}, {"manager": "controller", "subresource": "status"}]},
            "spec": {"replicas": 1}, "status": {"ready": 1}});
        let mut reported = object.clone();
        reported["metadata"]["resourceVersion"] = json!("6");
        reported["metadata"]["managedFields"][1]["time"] = json!("later");
        reported["status"]["ready"] = json!(2);
        assert_eq!(Child::of(&object), Child::of(&reported));
        let mut written = object.clone();
        written["metadata"]["managedFields"][0]["time"] = json!("later");
        assert_ne!(Child::of(&object), Child::of(&written));
    }
}
