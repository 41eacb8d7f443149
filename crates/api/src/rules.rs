//! How CEL rules and list shapes get into the schema: one helper for each thing the API server reads.

use serde_json::{Value, json};

/// `x-kubernetes-validations` for `schemars(extend(…))`: pairs of a CEL rule and the sentence a person
/// reads when it is false. The sentence says what to do, not what the rule is.
#[must_use]
pub fn cel(rules: &[(&str, &str)]) -> Value {
    rules.iter().map(|(rule, message)| json!({"rule": rule, "message": message})).collect()
}

/// A rule that holds when exactly one of the given fields is set; the shape of every union here.
///
/// Externally tagged enums would be refused without a sentence that a person can read.
#[must_use]
pub fn exactly_one_of(fields: &[&str]) -> Value {
    let count =
        fields.iter().map(|field| format!("(has(self.{field}) ? 1 : 0)")).collect::<Vec<_>>().join(" + ");
    json!([{"rule": format!("{count} == 1"), "message": format!("set exactly one of {}", fields.join(", "))}])
}

/// The same as [`exactly_one_of`], but nothing at all is fine as well.
#[must_use]
pub fn at_most_one_of(fields: &[&str]) -> Value {
    let count =
        fields.iter().map(|field| format!("(has(self.{field}) ? 1 : 0)")).collect::<Vec<_>>().join(" + ");
    json!([{"rule": format!("{count} <= 1"), "message": format!("set at most one of {}", fields.join(", "))}])
}
