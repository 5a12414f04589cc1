//! Series, labels, rules, targets, metadata and exemplars by the HTTP API.

use std::collections::BTreeMap;

use labels::{Labels, Matcher, is_legacy_label_name};
use model::{Exemplar, ExemplarSeries, MetricMetadata, TimeRange};
use serde::Deserialize;
use storage::{
    ActiveTarget, AlertInstance, AlertRule, AlertState, Answer, PartialResponse, Result, Rule, RuleGroup, RuleKind,
    TargetHealth, TargetState, Targets,
};

use crate::client::{PromClient, seconds, selection};

type LabelMap = BTreeMap<String, String>;

#[derive(Deserialize)]
struct Groups {
    groups: Option<Vec<Group>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Group {
    name: String,
    file: String,
    rules: Option<Vec<RuleJson>>,
    interval: f64,
    limit: i64,
    evaluation_time: f64,
    last_evaluation: String,
    partial_response_strategy: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct RuleJson {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    query: String,
    labels: Option<LabelMap>,
    health: String,
    last_error: String,
    evaluation_time: f64,
    last_evaluation: String,
    state: String,
    duration: f64,
    keep_firing_for: f64,
    annotations: Option<LabelMap>,
    alerts: Option<Vec<AlertJson>>,
}

#[derive(Deserialize)]
struct Alerts {
    alerts: Option<Vec<AlertJson>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct AlertJson {
    labels: Option<LabelMap>,
    annotations: Option<LabelMap>,
    state: String,
    active_at: Option<String>,
    keep_firing_since: Option<String>,
    value: String,
    partial_response_strategy: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct TargetsJson {
    active_targets: Option<Vec<TargetJson>>,
    dropped_targets: Option<Vec<TargetJson>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct TargetJson {
    discovered_labels: Option<LabelMap>,
    labels: Option<LabelMap>,
    scrape_pool: String,
    scrape_url: String,
    global_url: String,
    last_error: String,
    last_scrape: String,
    last_scrape_duration: f64,
    health: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct MetadataJson {
    #[serde(rename = "type")]
    metric_type: String,
    help: String,
    unit: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExemplarsJson {
    series_labels: LabelMap,
    exemplars: Option<Vec<ExemplarJson>>,
}

#[derive(Deserialize)]
struct ExemplarJson {
    labels: Option<LabelMap>,
    value: Value,
    timestamp: f64,
}

/// A sample's value: a text by the documentation, a number from some servers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Number(f64),
}

impl Value {
    fn number(self) -> f64 {
        match self {
            Self::Number(v) => v,
            Self::Text(t) => t.parse().unwrap_or(f64::NAN),
        }
    }
}

fn labels_of(map: Option<LabelMap>) -> Labels {
    Labels::from_pairs(map.unwrap_or_default())
}

/// Of a rule, which may have empty ones.
fn texts_of(map: Option<LabelMap>) -> Labels {
    Labels::with_empty_values(map.unwrap_or_default())
}

/// Go's zero time and what is no time are "never".
fn time_ns(text: &str) -> Option<i64> {
    let t: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(t.as_nanosecond()).ok()
}

fn partial(text: &str) -> PartialResponse {
    if text.eq_ignore_ascii_case("abort") { PartialResponse::Abort } else { PartialResponse::Warn }
}

fn alert_state(text: &str) -> AlertState {
    match text {
        "inactive" => AlertState::Inactive,
        "pending" => AlertState::Pending,
        "firing" => AlertState::Firing,
        _ => AlertState::Unknown,
    }
}

fn alert(a: AlertJson) -> AlertInstance {
    AlertInstance {
        labels: labels_of(a.labels),
        annotations: texts_of(a.annotations),
        state: alert_state(&a.state),
        active_at_ns: a.active_at.as_deref().and_then(time_ns),
        keep_firing_since_ns: a.keep_firing_since.as_deref().and_then(time_ns),
        value: a.value,
        partial_response: partial(&a.partial_response_strategy),
    }
}

fn rule(r: RuleJson) -> Rule {
    let alerting = r.kind == "alerting";
    Rule {
        name: r.name,
        query: r.query,
        labels: texts_of(r.labels),
        health: r.health,
        last_error: r.last_error,
        evaluation_s: r.evaluation_time,
        last_evaluation_ns: time_ns(&r.last_evaluation),
        alert: alerting.then(|| AlertRule {
            state: alert_state(&r.state),
            for_s: r.duration,
            keep_firing_for_s: r.keep_firing_for,
            annotations: texts_of(r.annotations),
            alerts: r.alerts.unwrap_or_default().into_iter().map(alert).collect(),
        }),
    }
}

fn group(g: Group) -> RuleGroup {
    RuleGroup {
        name: g.name,
        file: g.file,
        rules: g.rules.unwrap_or_default().into_iter().map(rule).collect(),
        interval_s: g.interval,
        limit: g.limit,
        evaluation_s: g.evaluation_time,
        last_evaluation_ns: time_ns(&g.last_evaluation),
        partial_response: partial(&g.partial_response_strategy),
    }
}

/// Where the values of a label are asked for.
pub fn label_values_path(name: &str) -> String {
    format!("/api/v1/label/{}/values", path_name(name))
}

impl PromClient {
    /// Label sets of the series that match, without external labels.
    ///
    /// # Errors
    /// When it cannot be asked or refuses the matchers.
    pub async fn series(&self, range: TimeRange, matchers: &[Matcher], limit: usize) -> Result<Answer<Vec<Labels>>> {
        let answer: Answer<Vec<LabelMap>> =
            self.long_data("/api/v1/series", &selection(range, matchers, limit)).await?;
        let value = answer.value.into_iter().map(Labels::from_pairs).collect();
        Ok(Answer { value, warnings: answer.warnings })
    }

    /// Label names of the series that match; of all without matchers.
    ///
    /// # Errors
    /// As [`Self::series`].
    pub async fn label_names(
        &self,
        range: TimeRange,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Answer<Vec<String>>> {
        self.long_data("/api/v1/labels", &selection(range, matchers, limit)).await
    }

    /// Values of one label among the series that match.
    ///
    /// # Errors
    /// As [`Self::series`].
    pub async fn label_values(
        &self,
        name: &str,
        range: TimeRange,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Answer<Vec<String>>> {
        let path = label_values_path(name);
        self.data(&path, &selection(range, matchers, limit)).await
    }

    /// Rules of a kind, by group, without external labels.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn rules(&self, kind: RuleKind) -> Result<Answer<Vec<RuleGroup>>> {
        let query: &[(&str, String)] = match kind {
            RuleKind::All => &[],
            RuleKind::Alert => &[("type", "alert".to_owned())],
            RuleKind::Record => &[("type", "record".to_owned())],
        };
        let answer: Answer<Groups> = self.data("/api/v1/rules", query).await?;
        let value = answer.value.groups.unwrap_or_default().into_iter().map(group).collect();
        Ok(Answer { value, warnings: answer.warnings })
    }

    /// Alerts pending or firing.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn alerts(&self) -> Result<Answer<Vec<AlertInstance>>> {
        let answer: Answer<Alerts> = self.data("/api/v1/alerts", &[]).await?;
        let value = answer.value.alerts.unwrap_or_default().into_iter().map(alert).collect();
        Ok(Answer { value, warnings: answer.warnings })
    }

    /// Scrape targets.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn targets(&self, state: TargetState) -> Result<Answer<Targets>> {
        let query: &[(&str, String)] = match state {
            TargetState::Any => &[],
            TargetState::Active => &[("state", "active".to_owned())],
            TargetState::Dropped => &[("state", "dropped".to_owned())],
        };
        let answer: Answer<TargetsJson> = self.data("/api/v1/targets", query).await?;
        let active = answer.value.active_targets.unwrap_or_default().into_iter().map(|t| ActiveTarget {
            discovered_labels: labels_of(t.discovered_labels),
            labels: labels_of(t.labels),
            scrape_pool: t.scrape_pool,
            scrape_url: t.scrape_url,
            global_url: t.global_url,
            last_error: t.last_error,
            last_scrape_ns: time_ns(&t.last_scrape),
            last_scrape_duration_s: t.last_scrape_duration,
            health: match t.health.as_str() {
                "up" => TargetHealth::Up,
                "down" => TargetHealth::Down,
                _ => TargetHealth::Unknown,
            },
        });
        let dropped = answer.value.dropped_targets.unwrap_or_default().into_iter();
        let value =
            Targets { active: active.collect(), dropped: dropped.map(|t| labels_of(t.discovered_labels)).collect() };
        Ok(Answer { value, warnings: answer.warnings })
    }

    /// Type, help and unit by metric; of one metric, or of all when `metric` is empty.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn metadata(&self, metric: &str, limit: usize) -> Result<Answer<BTreeMap<String, Vec<MetricMetadata>>>> {
        let mut query = Vec::new();
        if !metric.is_empty() {
            query.push(("metric", metric.to_owned()));
        }
        if limit > 0 {
            query.push(("limit", limit.to_string()));
        }
        let answer: Answer<BTreeMap<String, Vec<MetadataJson>>> = self.data("/api/v1/metadata", &query).await?;
        let one = |m: MetadataJson| MetricMetadata { metric_type: m.metric_type, help: m.help, unit: m.unit };
        let value = answer.value.into_iter().map(|(name, list)| (name, list.into_iter().map(one).collect()));
        Ok(Answer { value: value.collect(), warnings: answer.warnings })
    }

    /// Exemplars of the series that a PromQL expression selects.
    ///
    /// # Errors
    /// When it cannot be asked or refuses the expression.
    pub async fn exemplars(&self, promql: &str, range: TimeRange) -> Result<Answer<Vec<ExemplarSeries>>> {
        let query = [("query", promql.to_owned()), ("start", seconds(range.min)), ("end", seconds(range.max))];
        let answer: Answer<Option<Vec<ExemplarsJson>>> = self.long_data("/api/v1/query_exemplars", &query).await?;
        let one = |e: ExemplarJson| Exemplar {
            labels: labels_of(e.labels),
            value: e.value.number(),
            timestamp_ms: (e.timestamp * 1000.0).round() as i64,
        };
        let series = answer.value.unwrap_or_default().into_iter().map(|s| ExemplarSeries {
            labels: Labels::from_pairs(s.series_labels),
            exemplars: s.exemplars.unwrap_or_default().into_iter().map(one).collect(),
        });
        Ok(Answer { value: series.collect(), warnings: answer.warnings })
    }
}

/// A label name as a part of the path: names beyond the classic rules are spelt as Prometheus 3 reads them back.
fn path_name(name: &str) -> String {
    if is_legacy_label_name(name) && !name.starts_with("U__") {
        return name.to_owned();
    }
    let mut out = "U__".to_owned();
    for (at, c) in name.chars().enumerate() {
        match c {
            '_' => out.push_str("__"),
            'a'..='z' | 'A'..='Z' | ':' => out.push(c),
            '0'..='9' if at > 0 => out.push(c),
            _ => out.push_str(&format!("_{:x}_", u32::from(c))),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_paths() {
        for (name, want) in
            [("job", "job"), ("my.label", "U__my_2e_label"), ("a_é/", "U__a___e9__2f_"), ("1a", "U___31_a")]
        {
            assert_eq!(path_name(name), want);
        }
    }

    #[test]
    fn times() {
        assert_eq!(time_ns("1970-01-01T00:00:01.5Z"), Some(1_500_000_000));
        assert_eq!(time_ns("0001-01-01T00:00:00Z"), None);
        assert_eq!(time_ns(""), None);
    }

    #[test]
    fn rules_of_both_kinds() {
        let json = r#"{"groups":[{"name":"g","file":"/f","interval":60,"limit":0,"evaluationTime":0.1,
            "lastEvaluation":"1970-01-01T00:00:01Z","rules":[
            {"type":"recording","name":"r","query":"1","health":"ok","evaluationTime":1,"lastEvaluation":"0001-01-01T00:00:00Z"},
            {"type":"alerting","name":"a","query":"up == 0","duration":30,"keepFiringFor":5,"labels":{"s":""},
             "annotations":{"x":"y","w":""},"state":"firing","alerts":[{"labels":{"alertname":"a"},"annotations":{},
             "state":"firing","activeAt":"1970-01-01T00:00:02Z","keepFiringSince":"1970-01-01T00:00:03Z","value":"1e+00"}],"unknown":1}]},{"name":"e","rules":null}]}"#;
        let groups: Vec<_> =
            serde_json::from_str::<Groups>(json).unwrap().groups.unwrap().into_iter().map(group).collect();
        assert_eq!((groups.len(), groups[0].rules.len(), groups[0].last_evaluation_ns), (2, 2, Some(1_000_000_000)));
        assert!(groups[0].rules[0].alert.is_none() && groups[0].rules[0].last_evaluation_ns.is_none());
        let alert = groups[0].rules[1].alert.as_ref().unwrap();
        assert_eq!((alert.state, alert.for_s, alert.keep_firing_for_s), (AlertState::Firing, 30.0, 5.0));
        assert_eq!(groups[0].rules[1].labels.to_string(), "{s=\"\"}");
        assert_eq!(alert.annotations.to_string(), "{w=\"\", x=\"y\"}");
        assert_eq!(alert.alerts[0].keep_firing_since_ns, Some(3_000_000_000));
        assert_eq!((alert.alerts[0].value.as_str(), alert.alerts[0].active_at_ns), ("1e+00", Some(2_000_000_000)));
    }
}
