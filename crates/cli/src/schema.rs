//! What the API server checks before any rule: the structure of the CRD's schema, in its own sentences.
//!
//! Only the keywords that the CRD has (`crates/cli/tests` compares with what the real server says of each bad manifest).
//! Source: Kubernetes documentation, "Extend the Kubernetes API with CustomResourceDefinitions", structural schemas.

use serde_json::{Map, Value};

/// One thing that the API server refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Such as `spec.env[1].name`.
    pub(crate) path: String,
    pub(crate) message: String,
}

/// Everything that `value` has against `schema`.
pub(crate) fn check(value: &Value, schema: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    walk(value, schema, "", &mut faults);
    faults
}

fn walk(value: &Value, schema: &Value, path: &str, faults: &mut Vec<Fault>) {
    let mut add = |message: String| faults.push(Fault { path: path.to_owned(), message });
    if value.is_null() {
        return; // as the server does, which drops it
    }
    if let Some(message) = wrong_type(value, schema) {
        return add(message);
    }
    if let Some(Value::Array(permitted)) = schema.get("enum")
        && !permitted.contains(value)
    {
        let listed: Vec<_> = permitted.iter().map(ToString::to_string).collect();
        add(format!("Unsupported value: {value}: supported values: {}", listed.join(", ")));
    }
    if let Some(message) = out_of_bounds(value, schema) {
        add(message);
    }
    match value {
        Value::Object(map) => object(map, schema, path, faults),
        Value::Array(items) => array(items, schema, path, faults),
        _ => {}
    }
}

fn wrong_type(value: &Value, schema: &Value) -> Option<String> {
    let is = match value {
        Value::Null => return None,
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if schema.get("x-kubernetes-int-or-string").is_some() {
        let fits = matches!(is, "integer" | "string");
        return (!fits).then(|| format!("Invalid value: \"{is}\": must be of type integer or string"));
    }
    let wanted = schema.get("type")?.as_str()?;
    let fits = is == wanted || (wanted == "number" && is == "integer");
    (!fits).then(|| format!("Invalid value: \"{is}\": must be of type {wanted}: \"{is}\""))
}

fn out_of_bounds(value: &Value, schema: &Value) -> Option<String> {
    let limit = |keyword: &str| schema.get(keyword);
    let count = |keyword: &str| limit(keyword).and_then(Value::as_u64);
    match value {
        Value::Number(number) => {
            let number = number.as_f64()?;
            let bound = |keyword: &str| limit(keyword).and_then(Value::as_f64);
            match (bound("minimum"), bound("maximum")) {
                (Some(least), _) if number < least => {
                    Some(format!("Invalid value: {value}: should be greater than or equal to {least}"))
                }
                (_, Some(most)) if number > most => {
                    Some(format!("Invalid value: {value}: should be less than or equal to {most}"))
                }
                _ => None,
            }
        }
        Value::String(text) => {
            let length = text.chars().count() as u64;
            if count("minLength").is_some_and(|least| length < least) {
                let least = count("minLength")?;
                return Some(format!("Invalid value: {value}: should be at least {least} chars long"));
            }
            let most = count("maxLength").filter(|most| length > *most)?;
            Some(format!("Too long: may not be more than {most} bytes"))
        }
        Value::Array(items) => sized(items.len() as u64, count("minItems"), count("maxItems"), "items"),
        Value::Object(map) => {
            sized(map.len() as u64, count("minProperties"), count("maxProperties"), "properties")
        }
        Value::Null | Value::Bool(_) => None,
    }
}

fn sized(size: u64, least: Option<u64>, most: Option<u64>, what: &str) -> Option<String> {
    match (least, most) {
        (Some(least), _) if size < least => {
            Some(format!("Invalid value: {size}: should have at least {least} {what}"))
        }
        (_, Some(most)) if size > most => Some(format!("Too many: {size}: must have at most {most} {what}")),
        _ => None,
    }
}

fn object(map: &Map<String, Value>, schema: &Value, path: &str, faults: &mut Vec<Fault>) {
    let properties = schema.get("properties").and_then(Value::as_object);
    for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        let Some(name) = required.as_str() else { continue };
        if map.get(name).is_none_or(Value::is_null) {
            faults.push(Fault { path: step(path, name), message: "Required value".to_owned() });
        }
    }
    for (name, value) in map {
        match (properties.and_then(|properties| properties.get(name)), schema.get("additionalProperties")) {
            (Some(schema), _) => walk(value, schema, &step(path, name), faults),
            (None, Some(schema)) => walk(value, schema, &format!("{path}[{name}]"), faults),
            // What has no schema of its own, such as `metadata`, is checked elsewhere.
            (None, None) if properties.is_none() || path.is_empty() => {}
            (None, None) => faults.push(unknown(path, name, properties)),
        }
    }
}

fn unknown(path: &str, name: &str, properties: Option<&Map<String, Value>>) -> Fault {
    let path = step(path, name);
    let known = properties.into_iter().flat_map(Map::keys);
    let near = known.min_by_key(|known| distance(known, name)).filter(|known| distance(known, name) <= 2);
    let meant = near.map(|near| format!(": did you mean {near:?}?")).unwrap_or_default();
    Fault { message: format!("unknown field {path:?}{meant}"), path }
}

/// Letters to add, to drop or to change until one is the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (above, letter) in a.chars().enumerate() {
        let mut last = above + 1;
        let mut next = vec![last];
        for ((other, diagonal), up) in b.iter().zip(&row).zip(row.iter().skip(1)) {
            last = (diagonal + usize::from(letter != *other)).min(up + 1).min(last + 1);
            next.push(last);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

fn array(items: &[Value], schema: &Value, path: &str, faults: &mut Vec<Fault>) {
    let keys: Vec<&str> = schema
        .get("x-kubernetes-list-map-keys")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let is_set = schema.get("x-kubernetes-list-type").and_then(Value::as_str) == Some("set");
    let mut seen = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let here = format!("{path}[{index}]");
        let key = if is_set { Some(item.clone()) } else { key(item, &keys) };
        if let Some(key) = key {
            if seen.contains(&key) {
                faults.push(Fault { path: here.clone(), message: format!("Duplicate value: {key}") });
            }
            seen.push(key);
        }
        if let Some(schema) = schema.get("items") {
            walk(item, schema, &here, faults);
        }
    }
}

/// What of `item` no other item of the list may have.
fn key(item: &Value, keys: &[&str]) -> Option<Value> {
    let item = item.as_object().filter(|_| !keys.is_empty())?;
    let fields = keys.iter().filter_map(|key| Some(((*key).to_owned(), item.get(*key)?.clone())));
    Some(Value::Object(fields.collect()))
}

fn step(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(value: &Value) -> Vec<String> {
        let schema = json!({"type": "object", "properties": {"spec": {
            "type": "object",
            "required": ["image"],
            "properties": {
                "image": {"type": "string", "minLength": 1, "maxLength": 5},
                "calls": {"type": "array", "maxItems": 2, "x-kubernetes-list-map-keys": ["name"],
                    "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "port": {"type": "integer", "minimum": 1, "maximum": 65535},
                "share": {"x-kubernetes-int-or-string": true},
            },
        }}});
        let faults = check(&json!({"metadata": {"x": 1}, "spec": value}), &schema);
        faults.into_iter().map(|Fault { path, message }| format!("{path}: {message}")).collect()
    }

    #[test]
    fn faults_have_the_servers_paths_and_sentences() {
        assert_eq!(said(&json!({"image": "a", "share": "25%", "labels": {"a": "b"}})), [""; 0]);
        for (spec, sentence) in [
            (json!({}), "spec.image: Required value"),
            (json!({"image": ""}), "spec.image: Invalid value: \"\": should be at least 1 chars long"),
            (json!({"image": "abcdef"}), "spec.image: Too long: may not be more than 5 bytes"),
            (
                json!({"image": 1}),
                "spec.image: Invalid value: \"integer\": must be of type string: \"integer\"",
            ),
            (
                json!({"image": "a", "port": 0}),
                "spec.port: Invalid value: 0: should be greater than or equal to 1",
            ),
            (
                json!({"image": "a", "share": 0.5}),
                "spec.share: Invalid value: \"number\": must be of type integer or string",
            ),
            (
                json!({"image": "a", "call": []}),
                "spec.call: unknown field \"spec.call\": did you mean \"calls\"?",
            ),
            (
                json!({"image": "a", "labels": {"a": 1}}),
                "spec.labels[a]: Invalid value: \"integer\": must be of type string: \"integer\"",
            ),
            (
                json!({"image": "a", "calls": [{"name": "b"}, {"name": "b"}]}),
                "spec.calls[1]: Duplicate value: {\"name\":\"b\"}",
            ),
            (
                json!({"image": "a", "calls": [{}, {"name": "b"}, {"name": "c"}]}),
                "spec.calls: Too many: 3: must have at most 2 items",
            ),
        ] {
            assert_eq!(said(&spec), [sentence]);
        }
    }

    #[test]
    fn distances_count_letters() {
        for (a, b, letters) in
            [("calls", "call", 1), ("calls", "calls", 0), ("", "abc", 3), ("port", "sort", 1)]
        {
            assert_eq!(distance(a, b), letters, "{a} {b}");
        }
    }
}
