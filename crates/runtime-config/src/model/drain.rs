//! How a pod is taken out of service.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a pod is taken out of service. The pod's grace period must be longer than both together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Drain {
    /// Seconds to keep accepting after going unready, until endpoints and proxies elsewhere have settled.
    #[serde(default = "Drain::default_settle_seconds")]
    #[schemars(range(max = 3600))]
    pub settle_seconds: u32,
    /// Seconds after that for requests in flight to finish.
    #[serde(default = "Drain::default_timeout_seconds")]
    #[schemars(range(max = 86400))]
    pub timeout_seconds: u32,
    /// The app is told at the end, when it has no request any more. It gets what is left of `timeoutSeconds`, and a second
    /// at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_stop: Option<PreStop>,
}

/// `GET path` of the app on 127.0.0.1; whatever it answers, the drain ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PreStop {
    /// Its port.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Path that is asked.
    #[schemars(length(min = 1, max = 512))]
    pub path: String,
}

impl Drain {
    const fn default_settle_seconds() -> u32 {
        5
    }

    const fn default_timeout_seconds() -> u32 {
        25
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            settle_seconds: Self::default_settle_seconds(),
            timeout_seconds: Self::default_timeout_seconds(),
            pre_stop: None,
        }
    }
}
