//! Whether any of the files that make the configuration has changed.

use std::io;
use std::path::{Path, PathBuf};

use discovery::glob;
use sha2::{Digest, Sha256};
use yaml::Node;

/// A checksum over the main file, the files with more `scrape_configs` and the rule files. It differs whenever one of them
/// differs, comes or goes, even where the main file is no correct YAML, so that a reload is tried and its failure shown.
///
/// # Errors
/// When the main file cannot be read.
pub fn checksum(path: &Path) -> io::Result<String> {
    let main = std::fs::read(path)?;
    let mut sum = Sha256::new();
    add(&mut sum, path, Some(&main));
    let folder = path.parent().unwrap_or(Path::new(""));
    let node = std::str::from_utf8(&main).ok().and_then(|text| yaml::parse(text).ok());
    for file in node.iter().flat_map(|node| named(node, folder)) {
        add(&mut sum, &file, std::fs::read(&file).ok().as_deref());
    }
    Ok(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The files that the lists of a main file stand for, in an order that is always the same.
fn named(node: &Node, folder: &Path) -> Vec<PathBuf> {
    let lists = ["scrape_config_files", "rule_files"].into_iter().filter_map(|key| node.get(key)?.list().ok());
    let patterns = lists.flatten().filter_map(Node::text).map(|text| folder.join(text));
    patterns.flat_map(|pattern| glob(&pattern.to_string_lossy()).unwrap_or_default()).collect()
}

/// Lengths keep parts apart. A file that cannot be read is not the same as an empty one.
fn add(sum: &mut Sha256, path: &Path, content: Option<&[u8]>) {
    let name = path.as_os_str().as_encoded_bytes();
    sum.update((name.len() as u64).to_le_bytes());
    sum.update(name);
    sum.update([u8::from(content.is_some())]);
    let content = content.unwrap_or_default();
    sum.update((content.len() as u64).to_le_bytes());
    sum.update(content);
}
