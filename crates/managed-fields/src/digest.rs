//! A canonical hash of a JSON value: independent of the order of keys, dependent on everything else.

use std::fmt;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The first 128 bits of a SHA-256: accidental equality is out of the question, and a cache of them is small.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 16]);

impl Digest {
    /// The raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Hashes an object so that what was sent and what [`crate::owned`] gives back agree.
///
/// The top-level `kind` is left out, because items of a list answer come without it; a `null` field counts as absent.
#[must_use]
pub fn digest(object: &Value) -> Digest {
    let mut hasher = Sha256::new();
    match object {
        Value::Object(fields) => {
            hash_fields(&mut hasher, fields.iter().filter(|(name, _)| *name != "kind"));
        }
        other => hash(&mut hasher, other),
    }
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(hasher.finalize()) {
        *to = from;
    }
    Digest(bytes)
}

/// Writes each value as tag, length and content, so that no two different values give the same bytes.
fn hash(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Null => hasher.update(b"n"),
        Value::Bool(false) => hasher.update(b"f"),
        Value::Bool(true) => hasher.update(b"t"),
        Value::Number(number) => hash_text(hasher, b"#", &number.to_string()),
        Value::String(text) => hash_text(hasher, b"s", text),
        Value::Array(items) => {
            hash_length(hasher, b"[", items.len());
            items.iter().for_each(|item| hash(hasher, item));
        }
        Value::Object(fields) => hash_fields(hasher, fields.iter()),
    }
}

fn hash_fields<'a>(hasher: &mut Sha256, fields: impl Iterator<Item = (&'a String, &'a Value)>) {
    let mut fields: Vec<_> = fields.filter(|(_, value)| !value.is_null()).collect();
    // Another crate may switch on serde_json's preserve_order, so that the map's own order can't be relied on.
    fields.sort_unstable_by_key(|(name, _)| *name);
    hash_length(hasher, b"{", fields.len());
    for (name, value) in fields {
        hash_text(hasher, b"s", name);
        hash(hasher, value);
    }
}

fn hash_text(hasher: &mut Sha256, tag: &[u8], text: &str) {
    hash_length(hasher, tag, text.len());
    hasher.update(text.as_bytes());
}

fn hash_length(hasher: &mut Sha256, tag: &[u8], length: usize) {
    hasher.update(tag);
    hasher.update((length as u64).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_keys_does_not_matter_and_that_of_items_does() {
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let one = digest(&parse(r#"{"a":{"x":1,"y":2},"b":[1,2]}"#));
        assert_eq!(one, digest(&parse(r#"{"b":[1,2],"a":{"y":2,"x":1}}"#)));
        assert_ne!(one, digest(&parse(r#"{"b":[2,1],"a":{"y":2,"x":1}}"#)));
    }

    #[test]
    fn neighbouring_values_do_not_run_into_each_other() {
        let all = [
            json!(["ab", "c"]),
            json!(["a", "bc"]),
            json!([["ab"], "c"]),
            json!({"a": {}}),
            json!({"a": []}),
            json!({"a": ""}),
            json!({"a": 0}),
            json!({"a": "0"}),
            json!({"a": false}),
            json!({}),
            json!([]),
        ];
        for (i, one) in all.iter().enumerate() {
            for (j, other) in all.iter().enumerate() {
                assert_eq!(digest(one) == digest(other), i == j, "{one} {other}");
            }
        }
    }

    #[test]
    fn null_is_absence_and_only_the_outermost_kind_is_left_out() {
        assert_eq!(digest(&json!({"a": null, "kind": "X"})), digest(&json!({})));
        assert_ne!(digest(&json!({"ref": {"kind": "X"}})), digest(&json!({"ref": {"kind": "Y"}})));
    }

    #[test]
    fn it_prints_as_hex() {
        assert_eq!(digest(&json!({})).to_string().len(), 32);
    }
}
