//! A rule file: its groups.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use labels::{METRIC_NAME, is_legacy_label_name};
use serde::Deserialize;
use storage::PartialResponse;
use yaml::{DurationMs, Error, Node};

use super::rule::read_rule;
use super::spec::GroupSpec;

/// Which names of metrics and labels are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameScheme {
    #[default]
    Utf8,
    /// Those of Prometheus 2.
    Legacy,
}

/// How a rule file is read.
#[derive(Debug, Clone, Default)]
pub struct ParseOptions {
    /// What expressions may use.
    pub promql: promql_syntax::ParseOptions,
    /// Keys that are not known are passed over.
    pub ignore_unknown_fields: bool,
    pub names: NameScheme,
    /// Thanos' key `partial_response_strategy` is known.
    pub thanos: bool,
}

/// What is wrong with a rule file: all of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Wrong(pub Vec<Error>);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl NameScheme {
    pub(super) fn is_label_name(self, name: &str) -> bool {
        match self {
            Self::Utf8 => !name.is_empty(),
            Self::Legacy => is_legacy_label_name(name),
        }
    }

    pub(super) fn is_metric_name(self, name: &str) -> bool {
        match self {
            Self::Utf8 => !name.is_empty(),
            Self::Legacy => labels::is_legacy_metric_name(name),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileYaml {}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GroupYaml {
    name: String,
    interval: DurationMs,
    query_offset: Option<DurationMs>,
    limit: i64,
    labels: BTreeMap<String, String>,
}

const GROUP_KEYS: [&str; 5] = ["name", "interval", "query_offset", "limit", "labels"];
const STRATEGY: &str = "partial_response_strategy";

/// Reads the rule file `text`. `file` is the path that the groups are shown with.
///
/// # Errors
/// All that is wrong with it: what is no YAML, unknown keys, and what Prometheus refuses.
pub fn parse(file: &str, text: &str, options: &ParseOptions) -> Result<Vec<GroupSpec>, Wrong> {
    let one = |error: Error| Wrong(vec![error]);
    let (groups, rest) = yaml::parse(text).map_err(one)?.split(|key| key == "groups").map_err(one)?;
    if !options.ignore_unknown_fields {
        let FileYaml {} = rest.decode().map_err(one)?;
    }
    let nodes = groups.get("groups").map(Node::list).transpose().map_err(one)?.unwrap_or_default();
    let (mut specs, mut errors, mut names) = (Vec::new(), Vec::new(), HashSet::new());
    for node in nodes {
        match read_group(file, node, options, &mut errors) {
            Ok(spec) => {
                if !spec.name.is_empty() && !names.insert(spec.name.clone()) {
                    errors.push(
                        node.error_at("name", format!("groupname: {:?} is repeated in the same file", spec.name)),
                    );
                }
                specs.push(spec);
            }
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(specs) } else { Err(Wrong(errors)) }
}

fn read_group(file: &str, node: &Node, options: &ParseOptions, errors: &mut Vec<Error>) -> Result<GroupSpec, Error> {
    let (rules, rest) = node.clone().split(|key| key == "rules")?;
    let (strategy, rest) = rest.split(|key| options.thanos && key == STRATEGY)?;
    let rest = if options.ignore_unknown_fields { rest.split(|key| GROUP_KEYS.contains(&key))?.0 } else { rest };
    let yaml: GroupYaml = rest.decode()?;
    if yaml.name.is_empty() {
        errors.push(node.error("Groupname must not be empty"));
    }
    let limit = usize::try_from(yaml.limit).unwrap_or(0);
    for name in yaml.labels.keys() {
        if !options.names.is_label_name(name) || name == METRIC_NAME {
            let text = format!("group {:?}: invalid label name: {name}", yaml.name);
            errors.push(rest.get("labels").unwrap_or(node).error_at(name, text));
        }
    }
    let mut specs = Vec::new();
    for (at, rule) in rules.get("rules").map(Node::list).transpose()?.unwrap_or_default().iter().enumerate() {
        match read_rule(rule, &yaml.labels, options) {
            Ok(spec) => specs.push(spec),
            Err(wrong) => errors.extend(wrong.errors.into_iter().map(|mut error| {
                error.text = format!("group {:?}, rule {}, {:?}: {}", yaml.name, at + 1, wrong.name, error.text);
                error.or_at(rule.line, rule.column)
            })),
        }
    }
    Ok(GroupSpec {
        name: yaml.name,
        file: file.to_owned(),
        interval_ms: (yaml.interval.0 > 0).then_some(yaml.interval.0),
        query_offset_ms: yaml.query_offset.map(|offset| offset.0),
        limit,
        partial_response: strategy.get(STRATEGY).map(read_strategy).transpose()?,
        rules: specs,
        line: node.line,
    })
}

fn read_strategy(node: &Node) -> Result<PartialResponse, Error> {
    match node.text().map(str::to_ascii_lowercase).as_deref() {
        Some("warn") => Ok(PartialResponse::Warn),
        Some("abort") => Ok(PartialResponse::Abort),
        _ => Err(node.error(format!("{STRATEGY} must be warn or abort"))),
    }
}
