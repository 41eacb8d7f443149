//! The CRD: the types' schema made into what the API server takes, and the same rules run offline.

use crate::rules::cel;
use crate::spec::GoodGoService;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_core::CustomResourceExt;
use serde_json::{Map, Value, json};

/// The CRD could not be made from the types; a defect of this crate that its tests would show.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The generated schema is not a legal CRD.
    #[error("failed to make the CRD from its types: {0}")]
    Json(#[from] serde_json::Error),
    /// The CRD can't be written as YAML.
    #[error("failed to write the CRD as YAML: {0}")]
    Yaml(#[from] serde_saphyr::ser::Error),
}

/// The CustomResourceDefinition of GoodGoService.
///
/// # Errors
/// [`SchemaError`] when the generated schema is not a legal CRD any more.
pub fn crd() -> Result<CustomResourceDefinition, SchemaError> {
    let mut crd = serde_json::to_value(GoodGoService::crd())?;
    if let Some(schema) = crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema") {
        tidy(schema);
        if let Some(root) = schema.as_object_mut() {
            root.insert("x-kubernetes-validations".to_owned(), name_rules());
        }
    }
    Ok(serde_json::from_value(crd)?)
}

/// The CRD as the YAML file that is committed and installed.
///
/// # Errors
/// As [`crd`].
pub fn crd_yaml() -> Result<String, SchemaError> {
    Ok(serde_saphyr::to_string(&crd()?)?)
}

/// A service's name names its Service and starts every other child's name.
fn name_rules() -> Value {
    cel(&[(
        "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && !self.metadata.name.contains('--')",
        "metadata.name: a service's name has at most 40 lower case letters, digits and single hyphens, starts with a letter and ends with a letter or digit",
    )])
}

/// Takes out what schemars writes and the API server does not want.
///
/// `nullable`: an explicit null would pass the schema and fail obscurely later. Integer formats that
/// Kubernetes does not know bring a warning at every install.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            tidy_node(map);
            map.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

fn tidy_node(map: &mut Map<String, Value>) {
    if map.get("nullable") == Some(&json!(true)) {
        map.remove("nullable");
    }
    if let Some(Value::Array(values)) = map.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let format = map.get("format").and_then(Value::as_str).unwrap_or_default();
    if format.starts_with("uint") || format == "int8" || format == "int16" {
        map.remove("format");
        map.entry("minimum").or_insert(json!(0));
    }
}
