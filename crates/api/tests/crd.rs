//! The CRD as a whole: its size, its committed copy, and what the schema must never contain.

#![cfg(test)]

use serde_json::Value;
use std::path::Path;

fn crd() -> Value {
    serde_json::to_value(goodgo_api::schema::crd().unwrap()).unwrap()
}

#[test]
fn stays_small_enough_for_every_client() {
    let size = serde_json::to_string(&crd()).unwrap().len();
    assert!(
        size <= 150 * 1024,
        "the CRD has {size} bytes; client-side apply and etcd want it at 150 KiB at most"
    );
}

#[test]
fn committed_copy_has_no_drift() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds/goodgo.io_goodgoservices.yaml");
    let generated = goodgo_api::schema::crd_yaml().unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "crds/ differs from the types: run `make generate` and look at the difference"
    );
}

#[test]
fn every_field_says_what_it_is() {
    fn visit(path: &str, schema: &Value, missing: &mut Vec<String>) {
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let path = format!("{path}.{name}");
            if property.get("description").is_none() {
                missing.push(path.clone());
            }
            visit(&path, property, missing);
        }
        if let Some(items) = schema.get("items") {
            visit(&format!("{path}[]"), items, missing);
        }
    }
    let crd = crd();
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap();
    let mut missing = Vec::new();
    visit("spec", schema, &mut missing);
    assert!(missing.is_empty(), "`kubectl explain` would be silent about {missing:?}");
}

#[test]
fn everything_is_bounded() {
    fn visit(path: &str, schema: &Value, unbounded: &mut Vec<String>) {
        let type_ = schema.get("type").and_then(Value::as_str).unwrap_or_default();
        let bounded = match type_ {
            "string" => {
                schema.get("maxLength").is_some()
                    || schema.get("enum").is_some()
                    || schema.get("format").is_some()
            }
            "array" => schema.get("maxItems").is_some(),
            "object" => schema.get("additionalProperties").is_none() || schema.get("maxProperties").is_some(),
            "integer" => schema.get("minimum").is_some(),
            _ => true,
        };
        if !bounded {
            unbounded.push(path.to_owned());
        }
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            visit(&format!("{path}.{name}"), property, unbounded);
        }
        for (child, name) in [("items", "[]"), ("additionalProperties", "{}")] {
            if let Some(inner) = schema.get(child) {
                visit(&format!("{path}{name}"), inner, unbounded);
            }
        }
    }
    let crd = crd();
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap();
    let mut unbounded = Vec::new();
    visit("spec", schema, &mut unbounded);
    assert!(unbounded.is_empty(), "CEL's cost budget and etcd need a bound on {unbounded:?}");
}

#[test]
fn nothing_is_nullable() {
    let text = serde_json::to_string(&crd()).unwrap();
    assert!(!text.contains("\"nullable\":true"));
    assert!(!text.contains("\"uint"), "Kubernetes warns of formats that it does not know");
}

/// kubectl reads YAML 1.1, where a key written `on` or `off` is a boolean and the field is never seen.
#[test]
fn no_field_has_a_name_that_yaml_reads_as_a_boolean() {
    fn visit(schema: &Value) {
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let word = name.to_ascii_lowercase();
            assert!(
                !["y", "n", "yes", "no", "on", "off", "true", "false"].contains(&word.as_str()),
                "{name}"
            );
            visit(property);
        }
        schema.get("items").into_iter().for_each(visit);
    }
    visit(crd().pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap());
}
