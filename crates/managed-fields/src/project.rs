//! The part of a value that a set of fields names.

use serde_json::{Map, Value};

use crate::Fields;

/// Projects `live` through `fields`, or `None` when nothing of it is left.
///
/// Lists keep the live order: it decides the order of init containers and which environment variable may refer to
/// which, so a list that somebody reordered must not look unchanged.
#[must_use]
pub fn project(live: &Value, fields: &Fields) -> Option<Value> {
    if fields.is_leaf() {
        return Some(match live {
            // `.` alone: the container is owned and what others put into it is not.
            Value::Object(_) if fields.itself => Value::Object(Map::new()),
            Value::Array(_) if fields.itself => Value::Array(Vec::new()),
            whole => whole.clone(),
        });
    }
    match live {
        Value::Object(object) => project_object(object, fields),
        Value::Array(items) => project_list(items, fields),
        // Somebody replaced the container by a scalar: the fields that were ours are gone.
        _ => None,
    }
}

fn project_object(object: &Map<String, Value>, fields: &Fields) -> Option<Value> {
    let projected: Map<String, Value> = fields
        .fields
        .iter()
        .filter_map(|(name, below)| Some((name.clone(), project(object.get(name)?, below)?)))
        .collect();
    (fields.itself || !projected.is_empty()).then_some(Value::Object(projected))
}

fn project_list(items: &[Value], fields: &Fields) -> Option<Value> {
    let projected: Vec<Value> = items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| project(item, below_item(index, item, fields)?))
        .collect();
    (fields.itself || !projected.is_empty()).then_some(Value::Array(projected))
}

/// The set of fields below one item of a list, found by its keys, its value or its position.
fn below_item<'a>(index: usize, item: &Value, fields: &'a Fields) -> Option<&'a Fields> {
    let has = |keys: &Map<String, Value>| keys.iter().all(|(key, value)| item.get(key) == Some(value));
    let keyed = fields.keyed.iter().find(|(keys, _)| has(keys)).map(|(_, below)| below);
    let member = || fields.values.iter().find(|(value, _)| value == item).map(|(_, below)| below);
    let position = || fields.indexed.iter().find(|(position, _)| *position == index).map(|(_, below)| below);
    keyed.or_else(member).or_else(position)
}

#[cfg(test)]
mod tests {
    use std::borrow::Borrow;

    use serde_json::json;

    use super::*;

    fn projected(live: impl Borrow<Value>, fields: impl Borrow<Value>) -> Option<Value> {
        project(live.borrow(), &Fields::parse(fields.borrow()).unwrap())
    }

    #[test]
    fn items_are_found_by_key_and_keep_the_live_order() {
        let live = json!({"env": [
            {"name": "B", "value": "2"}, {"name": "INJECTED", "value": "x"}, {"name": "A", "value": "1"},
        ]});
        let fields = json!({"f:env": {
            r#"k:{"name":"A"}"#: {".": {}, "f:name": {}, "f:value": {}},
            r#"k:{"name":"B"}"#: {".": {}, "f:name": {}, "f:value": {}},
            r#"k:{"name":"GONE"}"#: {".": {}, "f:name": {}},
        }});
        assert_eq!(
            projected(live, fields),
            Some(json!({"env": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]})),
        );
    }

    #[test]
    fn a_key_may_have_several_parts_and_defaults_that_were_not_sent() {
        let live = json!([
            {"port": 53, "protocol": "UDP", "name": "dns"},
            {"port": 53, "protocol": "TCP", "name": "dns-tcp", "targetPort": 53},
        ]);
        let fields = json!({r#"k:{"port":53,"protocol":"TCP"}"#: {".": {}, "f:port": {}, "f:name": {}}});
        assert_eq!(projected(live, fields), Some(json!([{"port": 53, "name": "dns-tcp"}])));
    }

    #[test]
    fn atomic_values_come_whole_and_sets_by_member() {
        let live =
            json!({"selector": {"a": "1", "b": "2"}, "finalizers": ["ours", "theirs"], "args": [1, 2]});
        let fields =
            json!({"f:selector": {}, "f:finalizers": {".": {}, r#"v:"ours""#: {}}, "f:args": {"i:1": {}}});
        assert_eq!(
            projected(live, fields),
            Some(json!({"selector": {"a": "1", "b": "2"}, "finalizers": ["ours"], "args": [2]})),
        );
    }

    #[test]
    fn a_container_that_is_owned_itself_stays_without_what_others_put_into_it() {
        assert_eq!(projected(json!({"a": {"b": 1}}), json!({"f:a": {".": {}}})), Some(json!({"a": {}})));
        assert_eq!(
            projected(json!({"a": {"b": 1}}), json!({"f:a": {".": {}, "f:c": {}}})),
            Some(json!({"a": {}}))
        );
        assert_eq!(projected(json!({"a": {"b": 1}}), json!({"f:a": {"f:c": {}}})), None);
    }

    #[test]
    fn a_container_replaced_by_a_scalar_has_lost_its_fields() {
        assert_eq!(projected(json!({"a": 1}), json!({"f:a": {"f:b": {}}})), None);
        assert_eq!(
            projected(json!({"a": null, "c": 2}), json!({"f:a": {"f:b": {}}, "f:c": {}})),
            Some(json!({"c": 2}))
        );
    }
}
