//! Alerting rules.

use std::collections::HashSet;

use gotemplate::Value;
use gotemplate::prometheus::{AlertData, AlertTemplate, Context};
use labels::{Builder, METRIC_NAME};
use promql::InstantSample;
use tracing::warn;

use super::{Evaluation, Rule, check_limit, note_warnings};
use crate::alerts::{AlertValue, Found, Holding};
use crate::expand::Expander;
use crate::file::AlertSpec;
use crate::query::{Asked, RuleError};
use crate::series::{RowValue, Rows};

/// Keeps the state of the rule's alerts, which are those of an answer, and hands on those that fire or have ended. Gives the
/// series of the alerts.
///
/// # Errors
/// Two alerts are the same, or there are too many.
pub(super) async fn rows(rule: &Rule, alert: &AlertSpec, asked: Asked, cx: &Evaluation<'_>) -> Result<Rows, RuleError> {
    let spec = &rule.spec;
    note_warnings(cx, &spec.name, &asked.warnings);
    // The limit of the group is on alerts, which there may be more or fewer of.
    check_limit(cx.options.series_max, asked.samples.len(), "alerts")?;
    let found = alerts_of(asked.samples, rule, alert, cx).await?;
    let holding = Holding { for_ms: alert.for_ms, keep_firing_for_ms: alert.keep_firing_for_ms, limit: cx.limit() };
    let (samples, due) = {
        let mut alerts = rule.alerts.lock();
        let samples = alerts.apply(found, cx.now_ms, holding)?;
        let link = format!("{}{}", cx.options.external_url, table_link(&spec.query));
        (samples, alerts.take_due(cx.now_ms, cx.options.resend_delay_ms, cx.interval_ms, &link))
    };
    if !due.is_empty() {
        cx.deps.notify.notify(due);
    }
    let mut rows = Rows::default();
    if rule.is_restored() {
        for (labels, value) in samples {
            rows.push(labels, RowValue::Float(value));
        }
    }
    Ok(rows)
}

/// The path that shows an expression as a table.
fn table_link(query: &str) -> String {
    format!("/graph?g0.expr={}&g0.tab=1", gotemplate::query_escape(query))
}

async fn alerts_of(
    samples: Vec<InstantSample>,
    rule: &Rule,
    alert: &AlertSpec,
    cx: &Evaluation<'_>,
) -> Result<Vec<Found>, RuleError> {
    let context = Context {
        now_ms: cx.now_ms,
        external_url: cx.options.external_url.clone(),
        path_prefix: cx.options.path_prefix.clone(),
    };
    let mut expander = Expander::new(cx.asker, context, cx.options.templates);
    let mut found = Vec::with_capacity(samples.len());
    let mut builder = Builder::new();
    for sample in samples {
        let value = match &sample.histogram {
            None => AlertValue::Float(sample.value),
            Some(h) => AlertValue::Histogram(
                format!("{{count:{}, sum:{}}}", gotemplate::format_g(h.count), gotemplate::format_g(h.sum)).into(),
            ),
        };
        let data = AlertData {
            labels: sample.labels,
            external_labels: cx.external_labels.clone(),
            external_url: cx.options.external_url.clone(),
            value: match &value {
                AlertValue::Float(value) => Value::Float(*value),
                AlertValue::Histogram(text) => Value::Opaque(text.clone()),
            },
        };
        builder.reset(&data.labels);
        builder.remove(METRIC_NAME);
        for (name, template) in &alert.label_templates {
            builder.set(name, &expand(&mut expander, template, &data, rule).await);
        }
        builder.set("alertname", &rule.spec.name);
        let labels = builder.build();
        let mut annotations = Vec::with_capacity(alert.annotation_templates.len());
        for (name, template) in &alert.annotation_templates {
            annotations.push((name, expand(&mut expander, template, &data, rule).await));
        }
        let annotations = labels::Labels::with_empty_values(annotations);
        found.push(Found { labels, annotations, value });
    }
    let mut seen = HashSet::with_capacity(found.len());
    if found.len() > 1 && !found.iter().all(|alert| seen.insert(&alert.labels)) {
        return Err(RuleError::Duplicate("alert"));
    }
    Ok(found)
}

/// The text of a template; where it fails, the text says why, as in Prometheus: the alert must not be lost.
async fn expand(expander: &mut Expander<'_>, template: &AlertTemplate, data: &AlertData, rule: &Rule) -> String {
    if let Some(text) = template.plain_text() {
        return text.to_owned();
    }
    match expander.expand(template, data).await {
        Ok(text) => text,
        Err(why) => {
            warn!(rule = rule.spec.name, why, labels = %data.labels, "expanding an alert template failed");
            format!("<error expanding template: {why}>")
        }
    }
}
