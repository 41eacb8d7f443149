//! Environments: the table of defaults that a service's silence means.

use serde::{Deserialize, Serialize};

/// A profile of defaults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// One machine.
    Local,
    /// As production, smaller.
    Staging,
    /// The default: who forgets to say gets the safe one.
    #[default]
    Production,
}

/// What an environment decides where a service is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Pods of a service, and fewest pods of a scaled one.
    pub replicas: i32,
    /// Copies of each topic partition.
    pub topic_replication: i32,
    /// Copies that must have a message before it counts.
    pub topic_min_in_sync: i32,
    /// TLS at the gateway.
    pub tls: GatewayTls,
}

/// Whether hosts of the gateway have certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayTls {
    /// Only where a service asks for it.
    Off,
    /// With the platform's default where a service names none.
    On,
    /// A service must name one unless the platform has a default issuer.
    Required,
}

impl Environment {
    /// The table of defaults.
    #[must_use]
    pub const fn profile(self) -> Profile {
        match self {
            Self::Local => {
                Profile { replicas: 1, topic_replication: 1, topic_min_in_sync: 1, tls: GatewayTls::Off }
            }
            Self::Staging => {
                Profile { replicas: 2, topic_replication: 3, topic_min_in_sync: 2, tls: GatewayTls::On }
            }
            Self::Production => {
                Profile { replicas: 3, topic_replication: 3, topic_min_in_sync: 2, tls: GatewayTls::Required }
            }
        }
    }

    /// The name in configuration and in `deployment.environment.name` of traces.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }
}
