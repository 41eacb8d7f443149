//! `FieldsV1` as a tree: which parts of an object a manager owns.

use serde_json::{Map, Value};

/// Deeper than any Kubernetes type; a record beyond it is hostile and would exhaust the stack.
const MAX_DEPTH: usize = 128;

/// Why a `FieldsV1` can't be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The set of fields is not a JSON object.
    #[error("failed to read managed fields: a set of fields must be an object")]
    NotAnObject,
    /// A key has none of the known prefixes, or what follows it can't be read.
    #[error("failed to read managed fields: the path element {0:?} is unknown")]
    PathElement(String),
    /// More levels than any Kubernetes type has.
    #[error("failed to read managed fields: nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// A set of owned fields below one place of an object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fields {
    /// `.`: the place itself is owned as well, so that it exists even when nothing below it does.
    pub(crate) itself: bool,
    /// `f:`: fields of an object.
    pub(crate) fields: Vec<(String, Fields)>,
    /// `k:`: items of an associative list, by the values of its keys.
    pub(crate) keyed: Vec<(Map<String, Value>, Fields)>,
    /// `v:`: members of a set.
    pub(crate) values: Vec<(Value, Fields)>,
    /// `i:`: items by their position.
    pub(crate) indexed: Vec<(usize, Fields)>,
}

impl Fields {
    /// Reads the `fieldsV1` of one `managedFields` entry.
    ///
    /// # Errors
    /// When it isn't an object, names a path element of an unknown form, or is nested beyond any Kubernetes type.
    pub fn parse(fields: &Value) -> Result<Self, Error> {
        Self::parse_at(fields, 0)
    }

    /// Nothing below: the value as a whole is owned (a scalar, an atomic list or struct, or an empty one).
    pub(crate) fn is_leaf(&self) -> bool {
        let Self { itself: _, fields, keyed, values, indexed } = self;
        fields.is_empty() && keyed.is_empty() && values.is_empty() && indexed.is_empty()
    }

    fn parse_at(fields: &Value, depth: usize) -> Result<Self, Error> {
        if depth > MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        let mut parsed = Self::default();
        for (element, below) in fields.as_object().ok_or(Error::NotAnObject)? {
            parsed.add(element, Self::parse_at(below, depth + 1)?)?;
        }
        Ok(parsed)
    }

    fn add(&mut self, element: &str, below: Self) -> Result<(), Error> {
        let unknown = || Error::PathElement(element.to_owned());
        match element.split_once(':') {
            None if element == "." => self.itself = true,
            Some(("f", name)) => self.fields.push((name.to_owned(), below)),
            Some(("k", keys)) => self.keyed.push((serde_json::from_str(keys).map_err(|_| unknown())?, below)),
            Some(("v", value)) => {
                self.values.push((serde_json::from_str(value).map_err(|_| unknown())?, below))
            }
            Some(("i", index)) => self.indexed.push((index.parse().map_err(|_| unknown())?, below)),
            _ => return Err(unknown()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_form_of_path_element_is_read() {
        let fields = Fields::parse(&json!({
            ".": {}, "f:a:b": {}, r#"k:{"port":80,"protocol":"TCP"}"#: {}, r#"v:"x:y""#: {}, "i:3": {},
        }))
        .unwrap();
        assert!(fields.itself && !fields.is_leaf());
        assert_eq!(fields.fields[0].0, "a:b");
        assert_eq!(Value::Object(fields.keyed[0].0.clone()), json!({"port": 80, "protocol": "TCP"}));
        assert_eq!(fields.values[0].0, json!("x:y"));
        assert_eq!(fields.indexed[0].0, 3);
    }

    #[test]
    fn what_is_unknown_is_refused() {
        let refused = |element: &str| Err(Error::PathElement(element.to_owned()));
        for element in
            ["", "..", "f", "x:a", "k:", "k:[]", "k:{", "v:", "i:", "i:-1", "i:99999999999999999999999"]
        {
            assert_eq!(Fields::parse(&json!({ element: {} })), refused(element), "{element}");
        }
        assert_eq!(Fields::parse(&json!([])), Err(Error::NotAnObject));
        assert_eq!(Fields::parse(&json!({"f:a": null})), Err(Error::NotAnObject));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |levels: usize| (0..levels).fold(json!({}), |below, _| json!({ "f:a": below }));
        assert!(Fields::parse(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(Fields::parse(&nested(MAX_DEPTH + 1)), Err(Error::TooDeep));
    }
}
