//! Files and folders in the app's container.

use crate::rules::{cel, exactly_one_of};
use crate::types::{ConfigMapKey, MountPath, ObjectName, Quantity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A file or folder in the app's container. One source mounted twice is one volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = exactly_one_of(&["configMap", "secret", "persistentVolumeClaim", "emptyDir"])))]
pub struct File {
    /// Where it appears, such as `/etc/user-service` or `/tmp`.
    pub path: MountPath,
    /// A ConfigMap of the service's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map: Option<FileSource>,
    /// A Secret of the service's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<FileSource>,
    /// An existing claim of the service's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<ClaimFiles>,
    /// An empty folder that lives as long as the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<EmptyDir>,
    /// One file or folder of the source instead of all of it. Such a mount is not updated while the pod runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), extend("x-kubernetes-validations" = cel(&[(
        "!self.startsWith('/') && !self.matches('(^|/)[.][.](/|$)')", "write a relative path without '..'",
    )])))]
    pub sub_path: Option<String>,
    /// Whether the app may only read it; ConfigMaps and Secrets always are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
}

/// A ConfigMap or Secret as files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileSource {
    /// Its name.
    pub name: ObjectName,
    /// The keys to show; all of them unless set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub items: Vec<FileItem>,
    /// Permission bits of the files, as a decimal number 0–511 (`0440` in YAML is 288); 0644 unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 511))]
    pub mode: Option<i32>,
    /// Whether the pod may start without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// One key shown as one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileItem {
    /// The key.
    pub key: ConfigMapKey,
    /// The file's path below the mount.
    #[schemars(length(min = 1, max = 256), extend("x-kubernetes-validations" = cel(&[(
        "!self.startsWith('/') && !self.matches('(^|/)[.][.](/|$)')", "write a relative path without '..'",
    )])))]
    pub path: String,
    /// Permission bits of this file, 0–511.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 511))]
    pub mode: Option<i32>,
}

/// An existing claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimFiles {
    /// Name of the PersistentVolumeClaim.
    pub claim_name: ObjectName,
}

/// An empty folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmptyDir {
    /// `Memory` keeps it in memory, counted against the container's limit; on the node's disk unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Memory"]))]
    pub medium: Option<String>,
    /// Most that it may hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_limit: Option<Quantity>,
}
