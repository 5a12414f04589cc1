//! One rule, checked, and what it does.

use std::sync::Arc;

use labels::{Builder, Labels};
use md5::{Digest, Md5};
use re2::Regex;

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are Prometheus' own")]
pub enum Action {
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

impl Action {
    /// The action's name in YAML.
    pub fn name(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::KeepEqual => "keepequal",
            Self::DropEqual => "dropequal",
            Self::HashMod => "hashmod",
            Self::LabelMap => "labelmap",
            Self::LabelDrop => "labeldrop",
            Self::LabelKeep => "labelkeep",
            Self::Lowercase => "lowercase",
            Self::Uppercase => "uppercase",
        }
    }
}

/// A checked rule; made by [`parse_rules`](crate::parse_rules) or as a part of a configuration. Written as YAML it has its
/// defaults filled in, as Prometheus shows rules.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(crate) action: Action,
    pub(crate) source_labels: Vec<String>,
    pub(crate) separator: String,
    pub(crate) regex: Arc<Regex>,
    pub(crate) modulus: u64,
    pub(crate) target_label: String,
    pub(crate) replacement: String,
}

/// Rules of the same text are equal.
impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        let parts = |rule: &Self| (rule.action, rule.modulus);
        parts(self) == parts(other)
            && self.regex.as_str() == other.regex.as_str()
            && self.source_labels == other.source_labels
            && self.separator == other.separator
            && self.target_label == other.target_label
            && self.replacement == other.replacement
    }
}

impl Eq for Rule {}

impl Rule {
    /// Checks the rule as Prometheus does under `metric_name_validation_scheme: legacy`: labels that it writes have names of
    /// letters, digits and `_`.
    ///
    /// # Errors
    /// The name that is none.
    pub fn check_legacy_names(&self) -> Result<(), String> {
        use Action as A;
        let action = self.action.name();
        let refused = |key: &str, name: &str| Err(format!("{name:?} is invalid '{key}' for {action} action"));
        match self.action {
            A::Replace if !is_legacy_template(&self.target_label) => refused("target_label", &self.target_label),
            A::HashMod | A::Lowercase | A::Uppercase | A::KeepEqual | A::DropEqual
                if self.target_label.contains('$') || !is_legacy_template(&self.target_label) =>
            {
                refused("target_label", &self.target_label)
            }
            A::LabelMap if !is_legacy_template(&self.replacement) => refused("replacement", &self.replacement),
            _ => Ok(()),
        }
    }

    /// The action of the rule.
    pub fn action(&self) -> Action {
        self.action
    }

    /// Applies this rule; false = the label set is dropped.
    fn run(&self, labels: &mut Builder) -> bool {
        let values: Vec<&str> = self.source_labels.iter().map(|name| labels.value(name)).collect();
        let value = values.join(&self.separator);
        match self.action {
            Action::Keep => return self.regex.is_match(&value),
            Action::Drop => return !self.regex.is_match(&value),
            Action::KeepEqual => return labels.value(&self.target_label) == value,
            Action::DropEqual => return labels.value(&self.target_label) != value,
            Action::Replace => {
                let Some(captures) = self.regex.captures(&value) else { return true };
                let target = self.regex.expand(&self.target_label, &captures);
                if target.is_empty() {
                    return true;
                }
                // An empty value takes the label away.
                labels.set(&target, &self.regex.expand(&self.replacement, &captures));
            }
            Action::Lowercase => {
                labels.set(&self.target_label, &model::to_lower(&value));
            }
            Action::Uppercase => {
                labels.set(&self.target_label, &model::to_upper(&value));
            }
            Action::HashMod => {
                // The last 8 of MD5's 16 bytes, as Prometheus has always done it.
                let hash: [u8; 16] = Md5::digest(value.as_bytes()).into();
                let low = hash[8..].iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
                labels.set(&self.target_label, &(low % self.modulus.max(1)).to_string());
            }
            Action::LabelMap => {
                let renamed: Vec<(String, String)> = labels
                    .iter()
                    .filter_map(|(name, value)| {
                        let captures = self.regex.captures(name)?;
                        Some((self.regex.expand(&self.replacement, &captures), value.to_owned()))
                    })
                    .filter(|(name, _)| !name.is_empty())
                    .collect();
                for (name, value) in renamed {
                    labels.set(&name, &value);
                }
            }
            Action::LabelDrop | Action::LabelKeep => {
                let drop_matching = self.action == Action::LabelDrop;
                let dropped: Vec<String> = labels
                    .iter()
                    .filter(|(name, _)| self.regex.is_match(name) == drop_matching)
                    .map(|(name, _)| name.to_owned())
                    .collect();
                for name in dropped {
                    labels.remove(&name);
                }
            }
        }
        true
    }
}

/// Whether a text is a legacy label name, in which `$1` and `${name}` stand for any.
fn is_legacy_template(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = text;
    let mut first = true;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix('$') {
            let (name, left) = match after.strip_prefix('{') {
                Some(inside) => match inside.split_once('}') {
                    Some(parts) => parts,
                    None => return false,
                },
                None => after.split_at(after.find(|c: char| !word(c)).unwrap_or(after.len())),
            };
            if name.is_empty() || !name.chars().all(word) {
                return false;
            }
            rest = left;
        } else if word(c) && !(first && c.is_ascii_digit()) {
            rest = &rest[1..];
        } else {
            return false;
        }
        first = false;
    }
    !text.is_empty()
}

/// Applies `rules` in their order; false = dropped, `labels` is then of no use.
pub fn apply_to(rules: &[Rule], labels: &mut Builder) -> bool {
    rules.iter().all(|rule| rule.run(labels))
}

/// `labels` after `rules`, or `None` if they drop it. May come out empty.
pub fn apply(rules: &[Rule], labels: &Labels) -> Option<Labels> {
    let mut builder = Builder::from_labels(labels);
    apply_to(rules, &mut builder).then(|| builder.build())
}
