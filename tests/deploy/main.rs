//! What `deploy/` holds fits together, and starts: manifests, the compose file and units have their fields right, refer to
//! what exists, and each of their command lines runs; so do those of the README and the tutorial.

mod changelog;
mod documents;
mod manifests;
mod mixin;
mod pods;
mod reach;
mod references;
mod rendered;
mod starts;
mod texts;

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The folder `deploy`.
fn deploy() -> PathBuf {
    tests::root().join("deploy")
}

/// The documents of a YAML file.
fn yaml(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    yaml_documents(&text, &path.display().to_string())
}

/// The documents of a YAML text, those that are empty left out.
fn yaml_documents(text: &str, name: &str) -> Vec<Value> {
    let text = format!("\n{text}");
    let parts = text.split("\n---");
    let read = |part: &str| serde_saphyr::from_str::<Value>(part).unwrap_or_else(|e| panic!("{name}: {e}\n{part}"));
    parts.map(read).filter(|document| !document.is_null()).collect()
}

/// The text at `pointer`, nothing where there is none.
fn text_at<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The list at `pointer`, empty where there is none.
fn list_at<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Whether all of `wanted`, an object of texts, is in `labels`.
fn selects(wanted: &Value, labels: &Value) -> bool {
    let Some(wanted) = wanted.as_object().filter(|w| !w.is_empty()) else { return false };
    wanted.iter().all(|(name, value)| labels.get(name) == Some(value))
}
