//! Rules as YAML.

use std::sync::Arc;

use re2::Regex;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_saphyr::Spanned;

use crate::rule::{Action, Rule};

/// A list of rules that was refused.
#[derive(Debug, thiserror::Error)]
#[error("{}{text}", at(*.line))]
pub struct ConfigError {
    /// Line of the YAML, from 1; 0 where it is not known.
    pub line: u64,
    /// What is wrong in this line.
    pub text: String,
}

fn at(line: u64) -> String {
    if line == 0 { String::new() } else { format!("line {line}: ") }
}

const SEPARATOR: &str = ";";
const REGEX: &str = "(.*)";
const REPLACEMENT: &str = "$1";

#[derive(Deserialize, Serialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RuleYaml {
    /// Labels whose values are joined, in this order.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_labels: Option<Vec<String>>,
    /// Stands between the joined values. Default: `;`.
    #[serde(skip_serializing_if = "Option::is_none")]
    separator: Option<String>,
    /// RE2 expression that must match the whole joined value (for `labelmap`, `labeldrop`, `labelkeep`: a label's
    /// name). Default: `(.*)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    regex: Option<String>,
    /// Divisor for `hashmod`.
    #[serde(skip_serializing_if = "Option::is_none")]
    modulus: Option<u64>,
    /// Label that is written. Required for `replace`, `hashmod`, `lowercase`, `uppercase`, `keepequal` and `dropequal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    target_label: Option<String>,
    /// Value that is written; `$1` and `${name}` stand for groups of `regex`. Default: `$1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    replacement: Option<String>,
    /// `replace`, `keep`, `drop`, `keepequal`, `dropequal`, `hashmod`, `labelmap`, `labeldrop`, `labelkeep`,
    /// `lowercase` or `uppercase`, in any case. Default: `replace`.
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rule = Option::<RuleYaml>::deserialize(deserializer)?;
        rule.ok_or("empty or null relabeling rule".to_owned()).and_then(RuleYaml::check).map_err(de::Error::custom)
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let yaml = RuleYaml {
            source_labels: (!self.source_labels.is_empty()).then(|| self.source_labels.clone()),
            separator: Some(self.separator.clone()),
            regex: text(self.regex.as_str()),
            modulus: (self.modulus != 0).then_some(self.modulus),
            target_label: text(&self.target_label),
            replacement: Some(self.replacement.clone()),
            action: text(self.action.name()),
        };
        yaml.serialize(serializer)
    }
}

/// Reads a YAML list of rules; an empty string is an empty list.
///
/// # Errors
/// [`ConfigError`] with the line, for what Prometheus refuses too.
pub fn parse_rules(yaml: &str) -> Result<Vec<Rule>, ConfigError> {
    let options = serde_saphyr::options! { with_snippet: false };
    let rules: Option<Vec<Spanned<RuleYaml>>> =
        serde_saphyr::from_str_with_options(model::first_document(yaml), options)
            .map_err(|e| ConfigError { line: e.location().map_or(0, |at| at.line()), text: e.to_string() })?;
    let check = |rule: Spanned<RuleYaml>| {
        let line = rule.referenced.line();
        rule.value.check().map_err(|text| ConfigError { line, text })
    };
    rules.unwrap_or_default().into_iter().map(check).collect()
}

impl RuleYaml {
    fn check(self) -> Result<Rule, String> {
        let name = self.action.as_deref().unwrap_or("replace").to_lowercase();
        let action = match name.as_str() {
            "replace" => Action::Replace,
            "keep" => Action::Keep,
            "drop" => Action::Drop,
            "keepequal" => Action::KeepEqual,
            "dropequal" => Action::DropEqual,
            "hashmod" => Action::HashMod,
            "labelmap" => Action::LabelMap,
            "labeldrop" => Action::LabelDrop,
            "labelkeep" => Action::LabelKeep,
            "lowercase" => Action::Lowercase,
            "uppercase" => Action::Uppercase,
            other => return Err(format!("unknown relabel action {other:?}")),
        };
        let rule = Rule {
            action,
            source_labels: self.source_labels.clone().unwrap_or_default(),
            separator: self.separator.unwrap_or_else(|| SEPARATOR.to_owned()),
            regex: Arc::new(Regex::new_anchored(self.regex.as_deref().unwrap_or(REGEX)).map_err(|e| e.to_string())?),
            modulus: self.modulus.unwrap_or(0),
            target_label: self.target_label.unwrap_or_default(),
            replacement: self.replacement.unwrap_or_else(|| REPLACEMENT.to_owned()),
        };
        use Action as A;
        if action == A::HashMod && rule.modulus == 0 {
            return Err("relabel configuration for hashmod requires non-zero modulus".into());
        }
        let writes =
            matches!(action, A::Replace | A::HashMod | A::Lowercase | A::Uppercase | A::KeepEqual | A::DropEqual);
        if writes && rule.target_label.is_empty() {
            return Err(format!("relabel configuration for {name} action requires 'target_label' value"));
        }
        let replaces = rule.replacement != REPLACEMENT;
        if matches!(action, A::Lowercase | A::Uppercase | A::KeepEqual | A::DropEqual) && replaces {
            return Err(format!("'replacement' can not be set for {name} action"));
        }
        if action == A::LabelMap && rule.replacement.is_empty() {
            return Err(format!("{:?} is invalid 'replacement' for labelmap action", rule.replacement));
        }
        let others = rule.modulus != 0 || rule.separator != SEPARATOR || replaces;
        if matches!(action, A::KeepEqual | A::DropEqual) && (others || rule.regex.as_str() != REGEX) {
            let only = "requires only 'source_labels' and `target_label`, and no other fields";
            return Err(format!("{name} action {only}"));
        }
        let named = self.source_labels.is_some() || !rule.target_label.is_empty();
        if matches!(action, A::LabelDrop | A::LabelKeep) && (others || named) {
            return Err(format!("{name} action requires only 'regex', and no other fields"));
        }
        Ok(rule)
    }
}
