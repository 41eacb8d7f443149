//! Random objects, owned by two managers at once: each gets back exactly what it applied.
#![cfg(test)]

use goodgo_managed_fields::{Fields, digest, owned, project};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Who applied a part; `Both` is a field on which two managers agree.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Owner {
    Us,
    Them,
    Both,
}

/// A value in the ways that server-side apply knows.
#[derive(Debug, Clone)]
enum Node {
    /// A scalar, or an atomic list or struct: owned as a whole.
    Whole(Value),
    /// A struct or a granular map.
    Object(Vec<(String, Owner, Node)>),
    /// A list of type `map` with the key `name`.
    Keyed(Vec<(String, Owner, Node)>),
    /// A list of type `set`.
    Set(Vec<(String, Owner)>),
}

impl Owner {
    fn covers(self, who: Owner) -> bool {
        self == who || self == Owner::Both
    }
}

impl Node {
    /// The live value: everybody's parts.
    fn live(&self) -> Value {
        self.value(&|_| true).unwrap_or_else(|| self.empty())
    }

    /// What `who` sent, or nothing.
    fn sent(&self, who: Owner) -> Option<Value> {
        self.value(&|owner| owner.covers(who))
    }

    fn empty(&self) -> Value {
        if matches!(self, Self::Keyed(_) | Self::Set(_)) { json!([]) } else { json!({}) }
    }

    fn value(&self, take: &dyn Fn(Owner) -> bool) -> Option<Value> {
        let taken = |parts: &[(String, Owner, Node)]| -> Vec<(String, Value)> {
            let parts = parts.iter().filter(|(_, owner, _)| take(*owner));
            parts.filter_map(|(name, _, node)| Some((name.clone(), node.value(take)?))).collect()
        };
        match self {
            Self::Whole(value) => Some(value.clone()),
            Self::Object(parts) => {
                let object: Map<String, Value> = taken(parts).into_iter().collect();
                (!object.is_empty()).then_some(Value::Object(object))
            }
            Self::Keyed(parts) => {
                let items: Vec<Value> = taken(parts)
                    .into_iter()
                    .map(|(name, value)| json!({"name": name, "value": value}))
                    .collect();
                (!items.is_empty()).then_some(Value::Array(items))
            }
            Self::Set(members) => {
                let members: Vec<Value> = members
                    .iter()
                    .filter(|(_, owner)| take(*owner))
                    .map(|(member, _)| json!(member))
                    .collect();
                (!members.is_empty()).then_some(Value::Array(members))
            }
        }
    }

    /// The FieldsV1 that the server would record for what `who` sent.
    fn fields(&self, who: Owner) -> Value {
        let covered = |parts: &[(String, Owner, Node)]| -> Vec<(String, Value)> {
            let parts = parts.iter().filter(|(_, owner, node)| owner.covers(who) && node.sent(who).is_some());
            parts.map(|(name, _, node)| (name.clone(), node.fields(who))).collect()
        };
        match self {
            Self::Whole(_) => json!({}),
            Self::Object(parts) => {
                covered(parts).into_iter().map(|(name, below)| (format!("f:{name}"), below)).collect()
            }
            Self::Keyed(parts) => covered(parts)
                .into_iter()
                .map(|(name, below)| {
                    (
                        format!("k:{}", json!({ "name": name })),
                        json!({".": {}, "f:name": {}, "f:value": below}),
                    )
                })
                .collect(),
            Self::Set(members) => members
                .iter()
                .filter(|(_, owner)| owner.covers(who))
                .map(|(member, _)| (format!("v:{}", json!(member)), json!({})))
                .collect(),
        }
    }
}

fn owner() -> impl Strategy<Value = Owner> {
    prop_oneof![Just(Owner::Us), Just(Owner::Them), Just(Owner::Both)]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..3).prop_map(|items| json!(items)),
        Just(json!({"atomic": {"deep": [1, {"x": null}]}})),
    ]
}

fn node() -> impl Strategy<Value = Node> {
    let name = || prop_oneof!["[a-z]{1,3}", "[a-z:./{}\" é]{1,6}"];
    scalar().prop_map(Node::Whole).prop_recursive(5, 64, 6, move |below| {
        let parts = || {
            prop::collection::btree_map(name(), (owner(), below.clone()), 1..6).prop_map(|parts| {
                parts.into_iter().map(|(name, (owner, node))| (name, owner, node)).collect::<Vec<_>>()
            })
        };
        let members = prop::collection::btree_map(name(), owner(), 1..5);
        prop_oneof![
            parts().prop_map(Node::Object),
            parts().prop_shuffle().prop_map(Node::Keyed),
            members.prop_map(|members| Node::Set(members.into_iter().collect())),
        ]
    })
}

/// An object as the API server returns it, with an entry for each manager that applied anything.
fn object(spec: &Node) -> Value {
    let entry = |manager: &str, who| {
        spec.sent(who).map(|_| {
            json!({"manager": manager, "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
                   "fieldsV1": {"f:spec": spec.fields(who)}})
        })
    };
    let entries: Vec<Value> =
        [entry("us", Owner::Us), entry("them", Owner::Them)].into_iter().flatten().collect();
    json!({"apiVersion": "v1", "kind": "Thing", "spec": spec.live(),
           "metadata": {"name": "n", "namespace": "ns", "uid": "u", "managedFields": entries}})
}

fn sent(spec: &Node, who: Owner) -> Option<Value> {
    let spec = spec.sent(who)?;
    Some(
        json!({"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "n", "namespace": "ns"}, "spec": spec}),
    )
}

/// Path elements that a hostile or broken writer might record.
fn hostile_fields() -> impl Strategy<Value = Value> {
    let element = prop_oneof![
        Just(".".to_owned()),
        "f:[ab]",
        "k:[{}\":a1,]{0,6}",
        "v:[\"a1\\[\\]]{0,3}",
        "i:[0-9-]{0,22}",
        Just(r#"k:{"a":1}"#.to_owned()),
        Just("k:{}".to_owned()),
        Just("v:1".to_owned()),
        Just("i:0".to_owned()),
        ".{0,4}",
    ];
    let leaf = prop_oneof![9 => Just(json!({})), 1 => scalar(), 1 => Just(Value::Null)];
    leaf.prop_recursive(6, 48, 5, move |below| {
        prop::collection::btree_map(element.clone(), below, 0..5)
            .prop_map(|fields| Value::Object(fields.into_iter().collect()))
    })
}

fn any_json() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(5, 48, 5, |below| {
        prop_oneof![
            prop::collection::vec(below.clone(), 0..5).prop_map(Value::Array),
            prop::collection::btree_map("[ab]|kind|metadata|name", below, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn each_manager_gets_back_exactly_what_it_sent(spec in node()) {
        let live = object(&spec);
        for (manager, who) in [("us", Owner::Us), ("them", Owner::Them)] {
            let (owned, sent) = (owned(&live, manager), sent(&spec, who));
            prop_assert_eq!(&owned, &sent);
            prop_assert_eq!(owned.as_ref().map(digest), sent.as_ref().map(digest));
        }
    }

    #[test]
    fn different_things_have_different_digests(one in node(), other in node()) {
        let (one, other) = (one.live(), other.live());
        prop_assert_eq!(digest(&json!({"s": one})) == digest(&json!({"s": other})), without_null(&one) == without_null(&other));
    }

    #[test]
    fn hostile_records_never_panic(fields in hostile_fields(), live in any_json()) {
        if let Ok(parsed) = Fields::parse(&fields) {
            let _ = project(&live, &parsed);
        }
        let mut object = json!({"metadata": {"managedFields": [
            {"manager": "us", "operation": "Apply", "apiVersion": live, "fieldsV1": fields},
        ]}, "spec": live, "kind": live});
        let _ = owned(&object, "us").as_ref().map(digest);
        object["metadata"]["name"] = live.clone();
        let _ = owned(&object, "us").as_ref().map(digest);
        let _ = owned(&live, "us");
    }
}

/// `null` counts as absent in a digest.
fn without_null(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), without_null(value)))
            .collect(),
        Value::Array(items) => items.iter().map(without_null).collect(),
        other => other.clone(),
    }
}
