//! `--lint`: what is correct and most likely not meant.

use std::collections::BTreeMap;

use flags::{Flag, Kind, Parsed};
use labels::Labels;
use rules::GroupSpec;
use service::tool::Deps;

use crate::Error;

pub(super) const FATAL: Flag = Flag::switch("lint-fatal", "Make lint errors exit with exit code 3.");
pub(super) const IGNORE_UNKNOWN: Flag = Flag::switch(
    "ignore-unknown-fields",
    "Ignore unknown fields in the rule groups read by the config files. This is useful when you want to extend rule files with custom metadata. Ensure that those fields are removed before loading them into the Prometheus server as it performs strict checks by default.",
);

/// Which lints are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lint {
    pub duplicate_rules: bool,
    pub long_interval: bool,
    pub fatal: bool,
}

impl Lint {
    /// Out of `--lint`, of whose words `allowed` are known.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn of(parsed: &Parsed, deps: &mut Deps<'_>, allowed: &[&str]) -> Result<Self, Error> {
        let fatal = parsed.switch("lint-fatal");
        let mut lint = Self { duplicate_rules: false, long_interval: false, fatal };
        for word in parsed.text("lint").split(',') {
            match word {
                "" => {}
                word if !allowed.contains(&word) => deps.print(&format!("WARNING: unknown lint option: {word:?}\n"))?,
                "none" => return Ok(Self { duplicate_rules: false, long_interval: false, fatal }),
                "all" => (lint.duplicate_rules, lint.long_interval) = (true, true),
                "duplicate-rules" => lint.duplicate_rules = true,
                "too-long-scrape-interval" => lint.long_interval = true,
                _ => {}
            }
        }
        Ok(lint)
    }
}

pub(super) const fn flag(help: &'static str) -> Flag {
    Flag::new("lint", Kind::Text, "duplicate-rules", help)
}

/// Rules that record or alert under the same name and labels as one before: their name and labels.
pub(super) fn duplicates(groups: &[GroupSpec]) -> Vec<(String, Labels)> {
    let mut seen: BTreeMap<(String, Labels), usize> = BTreeMap::new();
    for rule in groups.iter().flat_map(|group| &group.rules) {
        *seen.entry((rule.name.clone(), rule.labels.clone())).or_default() += 1;
    }
    seen.into_iter().filter(|(_, count)| *count > 1).map(|(rule, _)| rule).collect()
}

/// The lint's message.
pub(super) fn duplicates_text(found: &[(String, Labels)]) -> String {
    let mut text = format!("lint error {} duplicate rule(s) found.\n", found.len());
    for (name, labels) in found {
        text.push_str(&format!("Metric: {name}\nLabel(s):\n"));
        for (name, value) in labels {
            text.push_str(&format!("\t{name}: {value}\n"));
        }
    }
    text + "Might cause inconsistency while recording expressions"
}
