//! The name under which a service stands in the graph.

use std::fmt;

/// A service, known or only named by a caller: its namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// Namespace of the GoodGoService.
    pub namespace: String,
    /// Name of the GoodGoService.
    pub name: String,
}

impl ServiceKey {
    /// The service `name` of `namespace`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// How a reader in `namespace` calls it: `iam-service` in the same namespace, `auth/iam-service` in another.
    #[must_use]
    pub fn seen_from(&self, namespace: &str) -> String {
        if self.namespace == namespace { self.name.clone() } else { self.to_string() }
    }
}

/// `namespace/name`, as `kubectl` and log lines write it.
impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
