//! Names: of services, namespaces, objects, variables and topics.

use super::text_type;

text_type!(
    /// Name of a GoodGoService: a DNS-1035 label of at most 40 characters without `--`.
    ServiceName, min: 1, max: 40,
    rule: "self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && !self.contains('--')",
    says: "a service's name has lower case letters, digits and single hyphens, starts with a letter and ends with a letter or digit",
);
text_type!(
    /// Name of a namespace: a DNS-1123 label.
    NamespaceName, min: 1, max: 63,
    rule: "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
    says: "a namespace's name has lower case letters, digits and hyphens, and starts and ends with a letter or digit",
);
text_type!(
    /// A namespace, or `*` for all of them.
    NamespaceSelector, min: 1, max: 63,
    rule: "self == '*' || self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
    says: "name a namespace, or write '*' for all of them",
);
text_type!(
    /// Name of a Secret, ConfigMap, claim or ServiceAccount of the service's own namespace: a DNS-1123 subdomain.
    ObjectName, min: 1, max: 253,
    rule: "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
    says: "an object's name has lower case letters, digits, hyphens and dots, and starts and ends with a letter or digit",
);
text_type!(
    /// Name of a cluster-wide object, such as a PriorityClass: a DNS-1123 subdomain.
    ClusterObjectName, min: 1, max: 253,
    rule: "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
    says: "an object's name has lower case letters, digits, hyphens and dots, and starts and ends with a letter or digit",
);
text_type!(
    /// A key of a ConfigMap or Secret.
    ConfigMapKey, min: 1, max: 253,
    rule: "self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && self != '..'",
    says: "a key has letters, digits, '-', '_' and '.'",
);
text_type!(
    /// Name of an environment variable.
    EnvName, min: 1, max: 128,
    rule: "self.matches('^[A-Za-z_][A-Za-z0-9_]*$')",
    says: "a variable's name has letters, digits and underscores, and does not start with a digit",
);
text_type!(
    /// What a call is named in the app's environment: `payments` gives `PAYMENTS_URL`.
    CallName, min: 1, max: 40,
    rule: "self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && !self.contains('--')",
    says: "a call's name has lower case letters, digits and single hyphens, starts with a letter and ends with a letter or digit",
);
text_type!(
    /// Name of a port: an IANA service name (RFC 6335).
    PortName, min: 1, max: 15,
    rule: "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && self.matches('[a-z]') && !self.contains('--')",
    says: "a port's name has at most 15 lower case letters, digits and single hyphens, with at least one letter",
    rule: "!(self in ['app', 'service', 'gateway', 'admin', 'drain'])",
    says: "app, service, gateway, admin and drain are the platform's own port names: choose another",
);
text_type!(
    /// Name of a Kafka topic, without the environment's prefix. Names of dead-letter topics are left to subscriptions: who
    /// declared one would own where another service's failed events go.
    TopicName, min: 1, max: 180,
    rule: "self.matches('^[a-zA-Z0-9._-]+$') && self != '.' && self != '..' && !self.contains('.dead-letter.') && !self.contains('.dead-letter-of.')",
    says: "a topic's name has letters, digits, '.', '_' and '-', and no '.dead-letter.' or '.dead-letter-of.', which dead-letter topics have",
);
text_type!(
    /// Value of a label.
    LabelValue, min: 0, max: 63,
    rule: "self == '' || self.matches('^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')",
    says: "a label's value has letters, digits, '-', '_' and '.', and starts and ends with a letter or digit",
);

impl TopicName {
    /// Whether it is the name of a dead-letter topic, which no service may declare; for objects that were stored before the
    /// API server refused it.
    #[must_use]
    pub fn is_of_dead_letters(&self) -> bool {
        [".dead-letter.", ".dead-letter-of."].iter().any(|marker| self.0.contains(marker))
    }
}

impl CallName {
    /// The upper snake case stem of the variables that a call gives to the app: `iam-service` → `IAM_SERVICE`.
    #[must_use]
    pub fn env_stem(&self) -> String {
        self.0.to_ascii_uppercase().replace('-', "_")
    }
}
