//! What runs in a container: variables, resources, and the containers that run before the app.

use crate::rules::{at_most_one_of, exactly_one_of};
use crate::types::{ConfigMapKey, EnvName, ImageRef, ObjectName, PortName, Quantity, Text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A variable of the app's environment, with a value or a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = at_most_one_of(&["value", "valueFrom"])))]
pub struct EnvVar {
    /// Name of the variable.
    pub name: EnvName,
    /// Its value, taken literally.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Text>,
    /// Where its value comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvSource>,
}

/// Source of one variable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = exactly_one_of(&["secretKeyRef", "configMapKeyRef", "fieldRef", "resourceFieldRef"])))]
pub struct EnvSource {
    /// A key of a Secret in the service's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeySelector>,
    /// A key of a ConfigMap in the service's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeySelector>,
    /// A field of the pod, such as `status.podIP`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field_ref: Option<FieldSelector>,
    /// A resource of the app's container, such as `limits.memory`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_field_ref: Option<ResourceFieldSelector>,
}

/// One key of a Secret or ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeySelector {
    /// Name of the Secret or ConfigMap.
    pub name: ObjectName,
    /// Key in it.
    pub key: ConfigMapKey,
    /// Whether the pod may start without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// A field of the pod (downward API).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldSelector {
    /// Path of the field, such as `metadata.name` or `status.podIP`.
    #[schemars(length(min = 1, max = 128))]
    pub field_path: String,
}

/// A resource of the app's container (downward API).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceFieldSelector {
    /// The resource, such as `limits.memory`.
    #[schemars(length(min = 1, max = 64))]
    pub resource: String,
    /// Unit of the value, such as `1Mi`; `1` unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub divisor: Option<Quantity>,
}

/// All keys of a ConfigMap or Secret as variables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = exactly_one_of(&["configMapRef", "secretRef"])))]
pub struct EnvFrom {
    /// Put before every variable's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<EnvName>,
    /// The ConfigMap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapEnvSource>,
    /// The Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<ConfigMapEnvSource>,
}

/// A ConfigMap or Secret taken whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapEnvSource {
    /// Its name.
    pub name: ObjectName,
    /// Whether the pod may start without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// Compute resources of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What the scheduler reserves: `cpu`, `memory`, `ephemeral-storage` or an extended resource.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub requests: BTreeMap<String, Quantity>,
    /// What the kubelet enforces.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub limits: BTreeMap<String, Quantity>,
}

/// A container that runs to its end before the app starts, after the runtime is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = crate::rules::cel(&[(
    "self.name != 'app' && self.name != 'goodgo-runtime'",
    "app and goodgo-runtime are the platform's own containers: choose another name",
)])))]
pub struct InitContainer {
    /// Name of the container.
    pub name: PortName,
    /// Its image; the service's own unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageRef>,
    /// Its entry point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub command: Vec<Text>,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub args: Vec<Text>,
    /// Its variables, besides the service's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub env: Vec<EnvVar>,
    /// Its resources; the service's own unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
}

/// A Job that must succeed before pods of a new template start, such as a schema migration. It has no runtime and thus
/// no identity: callees let it in by a fixed key (`access.keys`) alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Migrate {
    /// Command of the Job; it runs with the service's image, variables and files.
    #[schemars(length(min = 1, max = 64))]
    pub command: Vec<Text>,
    /// Image of the Job; the service's own unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageRef>,
}
