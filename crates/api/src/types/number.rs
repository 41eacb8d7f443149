//! Quantities and shares.

use super::text_type;
use crate::rules::cel;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

text_type!(
    /// A Kubernetes quantity, such as `250m`, `128Mi` or `2`.
    Quantity, min: 1, max: 24,
    rule: "isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))",
    says: "write a positive Kubernetes quantity, such as 250m, 128Mi or 2",
);
text_type!(
    /// A share written with its sign, `0%` to `100%`.
    PercentText, min: 2, max: 4,
    rule: "self.matches('^(100|[1-9]?[0-9])%$')",
    says: "write a whole percentage from 0% to 100%",
);

/// A share in percent, 0–100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Percent(pub u8);

impl JsonSchema for Percent {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "format": "int32", "minimum": 0, "maximum": 100})
    }
}

/// A number of pods, or a percentage of them (`25%`), as in Kubernetes' own API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrPercent {
    /// A number of pods, 0 or more.
    Int(i32),
    /// A percentage, such as `25%`.
    Percent(String),
}

impl IntOrPercent {
    /// Whether it is a plain zero or `0%`.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        match self {
            Self::Int(number) => *number == 0,
            Self::Percent(text) => text.trim_end_matches('%') == "0",
        }
    }
}

impl JsonSchema for IntOrPercent {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "IntOrPercent".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true, "maxLength": 4,
            "x-kubernetes-validations": cel(&[(
                "string(self).matches('^((100|[1-9]?[0-9])%|[0-9]+)$')",
                "write a number of pods, 0 or more, or a percentage such as '25%'",
            )]),
        })
    }
}
