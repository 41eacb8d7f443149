//! The access group: who may call this service.

use crate::types::{NamespaceName, NamespaceSelector, ObjectName, ServiceName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may call. Absent: every service of the own namespace that declares the call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// The only services that may call. Absent: all that their namespace permits; empty: nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub callers: Option<Vec<Caller>>,
    /// Other namespaces whose services may call; `*` for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub namespaces: Vec<NamespaceSelector>,
    /// Fixed keys for callers without a runtime, from a Secret that you own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<AccessKeys>,
}

/// One service that may call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Caller {
    /// Its name.
    pub service: ServiceName,
    /// Its namespace; the own one unless set. Another one must be in `access.namespaces` too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<NamespaceName>,
}

/// Fixed keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessKeys {
    /// Secret whose values are the keys; all are valid at once, so that they rotate without a restart.
    pub secret: ObjectName,
}
