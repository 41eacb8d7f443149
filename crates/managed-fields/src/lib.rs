//! What one field manager owns of a live object, and whether that is what it would send again.
//!
//! Server-side apply records in `metadata.managedFields` which fields a manager's last apply set. Projecting the live
//! object through that record ([`owned`]) gives back what the manager sent, as it stands now: an edited value differs, a
//! field taken over by somebody else is missing, and a field that is no longer rendered is still there. Comparing the
//! [`digest`] of the projection with the digest of the desired object therefore finds every need to apply again, without
//! an annotation, a dry run or a request. The operator keeps only the digests: 16 bytes for a whole Deployment.
//!
//! Sources: the format is `FieldsV1` of Kubernetes' meta/v1, written by structured-merge-diff `fieldpath/serialize-pe.go`.

mod digest;
mod fields;
mod project;

use serde_json::{Map, Value};

pub use digest::{Digest, digest};
pub use fields::{Error, Fields};
pub use project::project;

/// The fields of `live` that `manager` owns through server-side apply, or `None` when it has applied nothing.
///
/// `apiVersion` is the one that the manager applied with; `kind`, `metadata.name` and `metadata.namespace` belong to
/// nobody in `managedFields` and are copied over. A record that can't be read counts as none: applying again repairs it.
#[must_use]
pub fn owned(live: &Value, manager: &str) -> Option<Value> {
    let entry = entry(live, manager)?;
    let fields = Fields::parse(entry.get("fieldsV1")?).ok()?;
    let mut object = match project(live, &fields) {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    };
    if let Some(version) = entry.get("apiVersion") {
        object.insert("apiVersion".to_owned(), version.clone());
    }
    if let Some(kind) = live.get("kind") {
        object.insert("kind".to_owned(), kind.clone());
    }
    identify(&mut object, live);
    Some(Value::Object(object))
}

/// The manager's entry for the main resource: an apply, and not one of a subresource such as `status` or `scale`.
fn entry<'a>(live: &'a Value, manager: &str) -> Option<&'a Value> {
    let text = |entry: &'a Value, field: &str| entry.get(field).and_then(Value::as_str);
    live.get("metadata")?.get("managedFields")?.as_array()?.iter().find(|entry| {
        text(entry, "manager") == Some(manager)
            && text(entry, "operation") == Some("Apply")
            && text(entry, "subresource").unwrap_or_default().is_empty()
    })
}

fn identify(object: &mut Map<String, Value>, live: &Value) {
    let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(metadata) = metadata else { return };
    for field in ["name", "namespace"] {
        if let Some(value) = live.get("metadata").and_then(|live| live.get(field)) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn live() -> Value {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": "a", "namespace": "shop", "uid": "u", "resourceVersion": "7",
                "labels": {"ours": "1", "theirs": "2"},
                "managedFields": [
                    {"manager": "goodgo", "operation": "Update", "apiVersion": "v1",
                     "fieldsV1": {"f:metadata": {"f:labels": {"f:theirs": {}}}}},
                    {"manager": "goodgo", "operation": "Apply", "apiVersion": "v1", "subresource": "status",
                     "fieldsV1": {"f:data": {"f:status": {}}}},
                    {"manager": "goodgo", "operation": "Apply", "apiVersion": "v1",
                     "fieldsV1": {"f:data": {"f:k": {}}, "f:metadata": {"f:labels": {"f:ours": {}}}}},
                ],
            },
            "data": {"k": "v", "status": "s"},
        })
    }

    fn sent() -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "v"},
               "metadata": {"labels": {"ours": "1"}, "namespace": "shop", "name": "a"}})
    }

    #[test]
    fn what_was_sent_comes_back() {
        assert_eq!(owned(&live(), "goodgo"), Some(sent()));
        assert_eq!(owned(&live(), "somebody"), None);
    }

    #[test]
    fn items_of_a_list_answer_carry_no_kind_and_still_compare() {
        let mut live = live();
        live.as_object_mut().unwrap().retain(|field, _| field != "kind" && field != "apiVersion");
        assert_eq!(digest(&owned(&live, "goodgo").unwrap()), digest(&sent()));
    }

    #[test]
    fn an_edit_lost_ownership_and_a_field_no_longer_rendered_are_seen() {
        let unchanged = digest(&sent());
        let differs = |edit: fn(&mut Value), what: &str| {
            let mut live = live();
            edit(&mut live);
            assert_ne!(digest(&owned(&live, "goodgo").unwrap()), unchanged, "{what}");
        };
        differs(|live| live["data"]["k"] = json!("edited"), "edited value");
        differs(|live| live["data"] = json!({}), "removed value");
        differs(
            |live| live["metadata"]["managedFields"][2]["fieldsV1"]["f:data"] = json!({}),
            "lost ownership",
        );
        differs(
            |live| live["metadata"]["managedFields"][2]["fieldsV1"]["f:data"]["f:status"] = json!({}),
            "a field that is no longer rendered",
        );
        differs(|live| live["metadata"]["managedFields"][2]["apiVersion"] = json!("v0"), "older API version");
    }

    #[test]
    fn an_unreadable_record_counts_as_none() {
        let mut live = live();
        live["metadata"]["managedFields"][2]["fieldsV1"] = json!({"k:{": {}});
        assert_eq!(owned(&live, "goodgo"), None);
        live["metadata"]["managedFields"] = json!("nonsense");
        assert_eq!(owned(&live, "goodgo"), None);
    }
}
