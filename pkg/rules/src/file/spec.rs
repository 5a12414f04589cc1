//! What a rule file says.

use std::sync::Arc;

use gotemplate::prometheus::{AlertData, AlertTemplate, Answers, Context, Expansion};
use gotemplate::{Limits, Value};
use labels::{Builder, Labels, METRIC_NAME};
use promql_syntax::Expr;
use storage::PartialResponse;

use crate::schedule::Slots;

/// A group of rules.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupSpec {
    /// Unique within its file.
    pub name: String,
    /// Path of the file, as it shows in the API.
    pub file: String,
    /// Time from one evaluation to the next, ms; `None` = the default.
    pub interval_ms: Option<i64>,
    /// How far before the time of the evaluation queries are asked, ms; `None` = the default.
    pub query_offset_ms: Option<i64>,
    /// Most series or alerts that a rule may give; 0 = no limit.
    pub limit: usize,
    /// What an evaluation does when data is missing; Thanos' extension. `None` = the default.
    pub partial_response: Option<PartialResponse>,
    pub rules: Vec<RuleSpec>,
    /// Line of the file, from 1.
    pub line: u32,
}

/// A recording or alerting rule.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleSpec {
    /// The metric that is recorded, or the name of the alert.
    pub name: String,
    /// The expression as it is shown and asked: in the form that its printer gives.
    pub query: String,
    pub expr: Arc<Expr>,
    /// Labels of the rule over those of its group; of alerts these are templates.
    pub labels: Labels,
    /// The same with those that are empty: they take a label away.
    pub(crate) sets: Vec<(String, String)>,
    /// Line of the file, from 1.
    pub line: u32,
    /// What only alerting rules have; `None` for recording rules.
    pub alert: Option<AlertSpec>,
}

/// What an alerting rule has beyond a recording one.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertSpec {
    pub for_ms: i64,
    pub keep_firing_for_ms: i64,
    /// Annotations as templates.
    pub annotations: Labels,
    pub(crate) label_templates: Vec<(String, AlertTemplate)>,
    pub(crate) annotation_templates: Vec<(String, AlertTemplate)>,
}

impl GroupSpec {
    /// What tells groups apart: `file;name`.
    pub fn key(&self) -> String {
        format!("{};{}", self.file, self.name)
    }

    /// The first time at or after `from_ms` at which the group is evaluated, if it is every `interval_ms`.
    pub fn first_evaluation_ms(&self, interval_ms: i64, from_ms: i64) -> i64 {
        let slots = Slots::of(&self.file, &self.name, interval_ms);
        let before = slots.before(from_ms);
        if before >= from_ms { before } else { slots.after(from_ms) }
    }

    /// Whether another version of the group means the same. Where it stands in the file does not count.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let head = |group: &Self| {
            (
                group.key(),
                group.interval_ms,
                group.query_offset_ms,
                group.limit,
                group.partial_response,
                group.rules.len(),
            )
        };
        head(self) == head(other) && self.rules.iter().zip(&other.rules).all(|(a, b)| a.is_same(b))
    }
}

impl RuleSpec {
    /// The labels under which a recording rule writes a series that its expression gives.
    pub fn recorded_labels(&self, series: &Labels) -> Labels {
        let mut builder = Builder::from_labels(series);
        self.set_recorded(&mut builder);
        builder.build()
    }

    /// Makes the labels of a series those under which the rule writes it.
    pub(crate) fn set_recorded(&self, builder: &mut Builder) {
        builder.set(METRIC_NAME, &self.name);
        for (name, value) in &self.sets {
            builder.set(name, value);
        }
    }

    /// The labels of the alert about a series, as far as they can be told without queries: a template that makes one stays
    /// as it is written.
    pub fn alert_labels(&self, series: &Labels, value: f64) -> Labels {
        let data = AlertData {
            labels: series.clone(),
            external_labels: Labels::empty(),
            external_url: String::new(),
            value: Value::Float(value),
        };
        let (context, answers) = (Context::default(), Answers::default());
        let mut builder = Builder::from_labels(series);
        builder.remove(METRIC_NAME);
        for (name, template) in self.alert.iter().flat_map(|alert| &alert.label_templates) {
            match template.expand(&data, &context, &answers, Limits::default()) {
                Ok(Expansion::Done(text)) => builder.set(name, &text),
                _ => builder.set(name, self.labels.value(name)),
            };
        }
        builder.set("alertname", &self.name).build()
    }

    fn is_same(&self, other: &Self) -> bool {
        // The same text is the same expression, and texts of templates are the same templates.
        let alert = |rule: &Self| rule.alert.as_ref().map(|a| (a.for_ms, a.keep_firing_for_ms, a.annotations.clone()));
        self.has_same_outcome(other) && self.query == other.query && alert(self) == alert(other)
    }

    /// Whether both rules make the same series: state is carried over between such.
    pub(crate) fn has_same_outcome(&self, other: &Self) -> bool {
        self.name == other.name && self.sets == other.sets && self.alert.is_some() == other.alert.is_some()
    }
}
