//! Test files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use labels::Labels;
use serde::Deserialize;
use serde::de::Error as _;
use yaml::{DurationMs, Node};

/// A file of unit tests.
#[derive(Debug, Clone)]
pub(super) struct TestFile {
    pub rule_files: Vec<PathBuf>,
    /// Entries of `rule_files` that no file matches.
    pub patterns_without_files: Vec<String>,
    pub evaluation_interval_ms: i64,
    pub group_eval_order: Vec<String>,
    /// Floats that differ in the last bit count as equal.
    pub fuzzy_compare: bool,
    pub tests: Vec<TestGroup>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileYaml {
    rule_files: Vec<String>,
    evaluation_interval: DurationMs,
    group_eval_order: Vec<String>,
    fuzzy_compare: bool,
}

/// Series, and what rules and expressions are to give over them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TestGroup {
    pub name: String,
    pub interval: DurationMs,
    pub input_series: Vec<InputSeries>,
    pub alert_rule_test: Vec<AlertCase>,
    pub promql_expr_test: Vec<ExprCase>,
    pub external_labels: BTreeMap<String, String>,
    pub external_url: String,
    pub start_timestamp: StartTime,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct InputSeries {
    pub series: String,
    pub values: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AlertCase {
    pub eval_time: DurationMs,
    pub alertname: String,
    pub exp_alerts: Vec<ExpectedAlert>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExpectedAlert {
    pub exp_labels: BTreeMap<String, String>,
    pub exp_annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExprCase {
    pub expr: String,
    pub eval_time: DurationMs,
    pub exp_samples: Vec<ExpectedSample>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExpectedSample {
    pub labels: String,
    pub value: f64,
    pub histogram: String,
}

/// The time of the first samples, ms: RFC 3339 or seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StartTime(pub i64);

impl<'de> Deserialize<'de> for StartTime {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if let Ok(seconds) = text.parse::<f64>()
            && seconds.is_finite()
            && seconds.abs() < 1e15
        {
            return Ok(Self((seconds * 1000.0).round() as i64));
        }
        let wrong = || D::Error::custom(format!("start_timestamp {text:?} is neither RFC 3339 nor a Unix timestamp"));
        model::parse_rfc3339_ms(&text).map(Self).ok_or_else(wrong)
    }
}

impl TestFile {
    /// Reads a file of tests.
    ///
    /// # Errors
    /// It cannot be read, or is wrong: where and how.
    pub fn read(path: &Path, ignore_unknown_fields: bool) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("")), ignore_unknown_fields)
    }

    fn parse(text: &str, folder: &Path, ignore_unknown_fields: bool) -> Result<Self, String> {
        let node = yaml::parse(text).map_err(|e| e.to_string())?;
        let (tests, rest) = node.split(|key| key == "tests").map_err(|e| e.to_string())?;
        let rest = match ignore_unknown_fields {
            true => {
                let known = ["rule_files", "evaluation_interval", "group_eval_order", "fuzzy_compare"];
                rest.split(|key| known.contains(&key)).map_err(|e| e.to_string())?.0
            }
            false => rest,
        };
        let yaml: FileYaml = rest.decode().map_err(|e| e.to_string())?;
        let nodes = tests.get("tests").map(Node::list).transpose().map_err(|e| e.to_string())?.unwrap_or_default();
        let interval = if yaml.evaluation_interval.0 > 0 { yaml.evaluation_interval.0 } else { 60_000 };
        let mut groups = Vec::new();
        for node in nodes {
            let mut group: TestGroup = node.decode().map_err(|e| e.to_string())?;
            if group.interval.0 <= 0 {
                group.interval.0 = interval;
            }
            groups.push(group);
        }
        for (at, name) in yaml.group_eval_order.iter().enumerate() {
            if yaml.group_eval_order[..at].contains(name) {
                return Err(format!("group name repeated in evaluation order: {name}"));
            }
        }
        let (rule_files, patterns_without_files) = rule_files(&yaml.rule_files, folder)?;
        Ok(Self {
            rule_files,
            patterns_without_files,
            evaluation_interval_ms: interval,
            group_eval_order: yaml.group_eval_order,
            fuzzy_compare: yaml.fuzzy_compare,
            tests: groups,
        })
    }
}

/// The files of patterns, and the patterns without any.
fn rule_files(patterns: &[String], folder: &Path) -> Result<(Vec<PathBuf>, Vec<String>), String> {
    let (mut all, mut without) = (Vec::new(), Vec::new());
    for pattern in patterns {
        let path = folder.join(pattern);
        let found = config::glob(&path.to_string_lossy()).map_err(|e| format!("rule_files: {pattern}: {e}"))?;
        if found.is_empty() {
            without.push(path.display().to_string());
        }
        all.extend(found);
    }
    Ok((all, without))
}

impl TestGroup {
    /// The last time that the tests ask for, ms from the start.
    pub fn last_ms(&self) -> i64 {
        let alerts = self.alert_rule_test.iter().map(|case| case.eval_time.0);
        let exprs = self.promql_expr_test.iter().map(|case| case.eval_time.0);
        alerts.chain(exprs).max().unwrap_or(0)
    }

    pub fn external_labels(&self) -> Labels {
        Labels::from_pairs(&self.external_labels)
    }
}
