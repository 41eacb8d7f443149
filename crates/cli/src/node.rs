//! A YAML document whose every value knows its line.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::Spanned;

/// A value with its lines.
#[derive(Debug)]
pub(crate) struct Document {
    /// What it says.
    pub(crate) value: Value,
    /// Lines, counted from 1, by path, all steps joined by dots. The whole document has the empty path.
    lines: BTreeMap<String, u64>,
}

impl Document {
    /// The documents of a file.
    ///
    /// # Errors
    /// What is no YAML in it, with its line and column.
    pub(crate) fn all(text: &str) -> Result<Vec<Self>, serde_saphyr::Error> {
        let nodes: Vec<Spanned<Node>> = serde_saphyr::from_multiple(text)?;
        Ok(nodes.into_iter().map(Self::of).collect())
    }

    fn of(node: Spanned<Node>) -> Self {
        let mut lines = BTreeMap::new();
        let value = node.value.take(String::new(), node.referenced.line(), &mut lines);
        Self { value, lines }
    }

    /// The line of the value at `path`, such as `spec.env[1].name` or `spec.labels[team]`, or of the nearest one around it
    /// that is there.
    pub(crate) fn line(&self, path: &str) -> u64 {
        let path = plain(path);
        let mut path = path.as_str();
        loop {
            if let Some(line) = self.lines.get(path) {
                return *line;
            }
            match path.rfind('.').and_then(|end| path.get(..end)) {
                Some(around) => path = around,
                None => return self.lines.get("").copied().unwrap_or(1),
            }
        }
    }
}

/// A path without the brackets around its indices and keys.
fn plain(path: &str) -> String {
    path.replace('[', ".").replace(']', "").trim_matches('.').to_owned()
}

/// A value on its way.
#[derive(Debug)]
enum Node {
    Scalar(Value),
    Sequence(Vec<Spanned<Node>>),
    Mapping(Vec<(String, Spanned<Node>)>),
}

impl Node {
    fn take(self, path: String, line: u64, lines: &mut BTreeMap<String, u64>) -> Value {
        let value = match self {
            Self::Scalar(value) => value,
            Self::Sequence(items) => {
                let items = items.into_iter().enumerate().map(|(index, item)| {
                    item.value.take(below(&path, &index.to_string()), item.referenced.line(), lines)
                });
                Value::Array(items.collect())
            }
            Self::Mapping(entries) => {
                let entries = entries.into_iter().map(|(key, item)| {
                    let value = item.value.take(below(&path, &key), item.referenced.line(), lines);
                    (key, value)
                });
                Value::Object(entries.collect())
            }
        };
        lines.insert(path, line);
        value
    }
}

fn below(path: &str, step: &str) -> String {
    if path.is_empty() { step.to_owned() } else { format!("{path}.{step}") }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(Number::from_f64(value).map_or(Value::Null, Value::Number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Node::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Mapping(entries))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_value_knows_its_line_and_the_rest_its_surroundings() {
        let text = "a: 1\n---\nspec:\n  labels:\n    team: x\n  env:\n  - name: A\n  - {name: B, value: 2}\n";
        let documents = Document::all(text).unwrap();
        let [first, second] = documents.as_slice() else { panic!("{documents:?}") };
        assert_eq!((first.value.clone(), first.line("a")), (json!({"a": 1}), 1));
        let env = json!([{"name": "A"}, {"name": "B", "value": 2}]);
        assert_eq!(second.value, json!({"spec": {"labels": {"team": "x"}, "env": env}}));
        for (path, line) in [
            ("spec.labels[team]", 5),
            ("spec.env[0].name", 7),
            ("spec.env[1].value", 8),
            ("spec.env[1].valueFrom", 8),
            ("spec.env[7]", 7),
            ("spec.image", 4),
            ("status", 3),
        ] {
            assert_eq!(second.line(path), line, "{path}");
        }
    }

    #[test]
    fn what_is_no_yaml_is_told_with_its_line() {
        let error = Document::all("a: 1\nb: [\n").unwrap_err().to_string();
        assert!(error.contains("line"), "{error}");
    }
}
