//! Manifests from files.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use goodgo_fleet::ServiceKey;
use serde_json::Value;

use crate::args::Source;
use crate::node::Document;

/// One GoodGoService as it stands in a file.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// Where it comes from.
    pub(crate) file: PathBuf,
    /// What it says, in the namespace in which it would be applied, and on which lines.
    pub(crate) document: Document,
}

impl Manifest {
    /// Who it would be, as far as it says so.
    pub(crate) fn key(&self) -> ServiceKey {
        let text = |pointer: &str| self.document.value.pointer(pointer).and_then(Value::as_str);
        let of = |pointer| text(pointer).unwrap_or_default();
        ServiceKey::new(of("/metadata/namespace"), of("/metadata/name"))
    }
}

/// Every GoodGoService of `source`, file by file.
///
/// # Errors
/// A file that can't be read, is no YAML, or nothing of the kind in all of them.
pub(crate) fn read(source: &Source) -> Result<Vec<Manifest>> {
    let mut manifests = Vec::new();
    for path in &source.filename {
        for file in files(path)? {
            for mut document in documents(&file)? {
                if is_of_kind(&document.value) {
                    place(&mut document.value, &source.namespace);
                    manifests.push(Manifest { file: file.clone(), document });
                }
            }
        }
    }
    if manifests.is_empty() {
        let names: Vec<_> = source.filename.iter().map(|path| path.display().to_string()).collect();
        bail!("there is no GoodGoService in {}: -f takes files or folders of manifests", names.join(", "));
    }
    Ok(manifests)
}

/// `path`, or the files of manifests in it.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let context = || format!("failed to read the folder {}", path.display());
    let mut files = Vec::new();
    for entry in path.read_dir().with_context(context)? {
        let file = entry.with_context(context)?.path();
        let extension = file.extension().and_then(|extension| extension.to_str());
        if file.is_file() && matches!(extension, Some("yaml" | "yml" | "json")) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn documents(file: &Path) -> Result<Vec<Document>> {
    let name = file.display();
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.with_context(|| format!("failed to read {name}"))?;
    Document::all(&text).map_err(|error| anyhow::anyhow!("{name} is no YAML: {error}"))
}

/// Other kinds may stand in the same files.
fn is_of_kind(value: &Value) -> bool {
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
    text("kind") == "GoodGoService" && text("apiVersion").starts_with("goodgo.io/")
}

fn place(value: &mut Value, namespace: &str) {
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.entry("namespace").or_insert_with(|| namespace.into());
    }
}
