//! The CEL rules run offline: every manifest that the API server refuses by a rule is refused here with the
//! same path and sentence, and what it accepts is accepted. `tests/admission.rs` of the operator runs the
//! same tables against a real API server.

#![cfg(test)]

use kube_core::cel::{CompiledSchema, Validator, compile_schema};
use serde::Deserialize;
use serde_json::{Value, json};

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

fn schema() -> (CompiledSchema, Value) {
    let crd = serde_json::to_value(goodgo_api::schema::crd().unwrap()).unwrap();
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap().clone();
    (compile_schema(&schema), schema)
}

fn manifest(name: &str, spec: &Value) -> Value {
    let mut merged = json!({"image": "demo:1"});
    for (key, value) in spec.as_object().unwrap() {
        merged[key] = value.clone();
    }
    json!({"apiVersion": "goodgo.io/v1alpha1", "kind": "GoodGoService", "metadata": {"name": name}, "spec": merged})
}

/// What the schema alone refuses (bounds, enums, required fields, list keys) never reaches CEL.
fn is_schema_fault(says: &str) -> bool {
    ["than or equal to", "Required value", "Duplicate value", "chars long", "Unsupported value"]
        .iter()
        .any(|fault| says.contains(fault))
}

fn violations(compiled: &CompiledSchema, schema: &Value, manifest: &Value) -> Vec<(String, String)> {
    let manifest = kube_core::cel::apply_defaults(schema, manifest);
    match Validator::new().validate_compiled(compiled, &manifest, None) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.into_vec().into_iter().map(|e| (e.field_path, e.message)).collect(),
    }
}

#[test]
fn every_rule_compiles_offline() {
    let (compiled, _) = schema();
    assert!(compiled.compilation_errors().is_empty(), "{:?}", compiled.compilation_errors());
}

#[test]
fn refused_offline_with_the_servers_sentence() {
    let (compiled, schema) = schema();
    let rows: Vec<Refused> = serde_saphyr::from_str(include_str!("admission/refused.yaml")).unwrap();
    assert!(rows.len() > 80);
    let mut wrong = Vec::new();
    for row in rows.iter().filter(|row| !is_schema_fault(&row.says)) {
        let found =
            violations(&compiled, &schema, &manifest(row.name.as_deref().unwrap_or("svc"), &row.spec));
        let plain =
            |path: &str| path.replace(['[', ']'], ".").replace("..", ".").trim_matches('.').to_owned();
        if !found.iter().any(|(path, message)| plain(path) == plain(&row.path) && message.contains(&row.says))
        {
            wrong.push(format!("{}: wanted {:?}, found {found:?}", row.path, row.says));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn accepted_offline() {
    let (compiled, schema) = schema();
    let rows: Vec<Accepted> = serde_saphyr::from_str(include_str!("admission/accepted.yaml")).unwrap();
    for row in rows {
        let manifest = manifest(&row.name, &row.spec);
        assert_eq!(violations(&compiled, &schema, &manifest), [], "{manifest}");
        let typed: goodgo_api::GoodGoService = serde_json::from_value(manifest.clone()).unwrap();
        assert!(typed.spec.image.as_str().len() > 1, "{manifest}");
    }
}
