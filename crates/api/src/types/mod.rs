//! Newtypes that the whole spec is made of: each brings its grammar as a CEL rule with a sentence.

mod duration;
mod names;
mod net;
mod number;
mod text;

pub use duration::{Duration, DurationError};
pub use names::{
    CallName, ClusterObjectName, ConfigMapKey, EnvName, LabelValue, NamespaceName, NamespaceSelector,
    ObjectName, PortName, ServiceName, TopicName,
};
pub use net::{Cidr, Host, HttpMethod, HttpPath, Port};
pub use number::{IntOrPercent, Percent, PercentText, Quantity};
pub use text::{HeaderName, ImageRef, MountPath, Text};

/// Declares a string newtype whose grammar is a CEL rule: length-bounded (CEL's cost budget needs it),
/// transparent in JSON, and refused with a sentence rather than with a regular expression.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, min: $min:literal, max: $max:literal $(, rule: $rule:expr, says: $says:expr)* $(,)?) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The text as written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                #[allow(unused_mut, reason = "types without a rule")]
                let mut schema = schemars::json_schema!({"type": "string", "minLength": $min, "maxLength": $max});
                let rules: &[(&str, &str)] = &[$(($rule, $says)),*];
                if !rules.is_empty() {
                    schema.insert("x-kubernetes-validations".to_owned(), crate::rules::cel(rules));
                }
                schema
            }
        }
    };
}
pub(crate) use text_type;
