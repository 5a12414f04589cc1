//! Rule files: found, read, checked.

use std::collections::BTreeSet;

use rules::{GroupSpec, ParseOptions};
use storage::PartialResponse;

use crate::metrics::RulerMetrics;

/// Reads all files that the patterns stand for.
///
/// # Errors
/// Everything that is wrong in any of them; nothing is put in force then.
pub fn load(patterns: &[String], options: &ParseOptions) -> Result<Vec<GroupSpec>, String> {
    let (mut groups, mut wrong, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for pattern in patterns {
        let paths = match config::glob(pattern) {
            Ok(paths) => paths,
            Err(e) => {
                wrong.push(format!("--rule-file={pattern}: {e}"));
                continue;
            }
        };
        for path in paths.into_iter().filter(|path| !path.is_dir() && seen.insert(path.clone())) {
            let name = path.display().to_string();
            match std::fs::read_to_string(&path) {
                Ok(text) => match rules::parse(&name, &text, options) {
                    Ok(found) => groups.extend(found),
                    Err(e) => wrong.push(format!("{name}: {e}")),
                },
                Err(e) => wrong.push(format!("{name}: {e}")),
            }
        }
    }
    if wrong.is_empty() { Ok(groups) } else { Err(wrong.join("; ")) }
}

/// Shows how many rules each group has.
pub fn show(groups: &[GroupSpec], default: PartialResponse, metrics: &RulerMetrics) {
    metrics.loaded_rules.clear();
    for group in groups {
        let strategy = match group.partial_response.unwrap_or(default) {
            PartialResponse::Warn => "WARN",
            PartialResponse::Abort => "ABORT",
        };
        metrics.loaded_rules.with(&[strategy, &group.file, &group.name]).set(group.rules.len() as f64);
    }
}
