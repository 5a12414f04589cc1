//! `status/self_metrics`: the server's own metrics as JSON, in the form that protobuf gives its messages.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use model::{Annotations, parse_go_float};
use serde_json::{Map, Value, json};

use crate::envelope::{Answered, success};
use crate::error::ApiError;
use crate::params::Params;
use crate::shared::Shared;

pub(crate) fn routes() -> Router<Shared> {
    Router::new().route("/status/self_metrics", get(self_metrics))
}

async fn self_metrics(State(shared): State<Shared>, params: Params) -> Answered {
    shared.server()?;
    let pattern = params.get("metric_name_pattern");
    let wanted = match pattern {
        "" => None,
        pattern => {
            let bad = |why| ApiError::bad(format!("invalid metric_name_pattern: {why}"));
            let matcher = labels::Matcher::new(labels::MatchType::Regex, labels::METRIC_NAME, pattern);
            Some(matcher.map_err(bad)?)
        }
    };
    let text = shared.state.metrics.encode();
    let families = families(&text, |name| wanted.as_ref().is_none_or(|m| m.matches(name)));
    success(&families, &Annotations::new(), 0)
}

/// A family while its lines are read.
struct Family<'a> {
    name: &'a str,
    kind: &'a str,
    help: &'a str,
    metrics: Vec<Value>,
    /// Labels of the histogram or summary that `metrics` ends with.
    open: Option<Vec<(&'a str, String)>>,
}

/// The families of a page in Prometheus' text format whose name is wanted.
fn families(text: &str, wanted: impl Fn(&str) -> bool) -> Vec<Value> {
    let mut found = Vec::new();
    let mut help = "";
    let mut open: Option<Family<'_>> = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            found.extend(open.take().and_then(|family| family.json(&wanted)));
            open = Some(Family { name, kind, help, metrics: Vec::new(), open: None });
            help = "";
        } else if let (Some(family), Some(sample)) = (&mut open, sample(line)) {
            family.add(sample);
        }
    }
    found.extend(open.and_then(|family| family.json(&wanted)));
    found
}

struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: f64,
}

/// Name, labels and value of a line.
fn sample(line: &str) -> Option<Sample<'_>> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at_checked(end)?;
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.trim_start_matches(',').split_once("=\"")?;
            let (value, after) = unquoted(after)?;
            labels.push((label, value));
            rest = after;
        }
        rest = rest.get(1..)?;
    }
    let value = parse_go_float(rest.split_whitespace().next()?).ok()?;
    Some(Sample { name, labels, value })
}

/// A quoted value, up to the quote that ends it, and what follows.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, text.get(at + 1..)?)),
            '\\' => match chars.next()?.1 {
                'n' => out.push('\n'),
                other => out.push(other),
            },
            c => out.push(c),
        }
    }
    None
}

impl<'a> Family<'a> {
    fn add(&mut self, mut sample: Sample<'a>) {
        let kind = match self.kind {
            "counter" => "counter",
            "gauge" => "gauge",
            "histogram" | "summary" => {
                let bound = if self.kind == "histogram" { "le" } else { "quantile" };
                let at = sample.labels.iter().position(|(name, _)| *name == bound);
                let bound = at.map(|at| sample.labels.remove(at).1);
                return self.add_part(sample, bound);
            }
            _ => "untyped",
        };
        let mut metric = Map::new();
        metric.insert("label".to_owned(), labels_json(&sample.labels));
        metric.insert(kind.to_owned(), json!({ "value": number(sample.value) }));
        self.metrics.push(Value::Object(metric));
    }

    /// A line of a histogram or summary goes into the object of its labels, which the lines before began.
    fn add_part(&mut self, sample: Sample<'a>, bound: Option<String>) {
        let kind = if self.kind == "histogram" { "histogram" } else { "summary" };
        if self.open.as_ref() != Some(&sample.labels) {
            let mut metric = Map::new();
            metric.insert("label".to_owned(), labels_json(&sample.labels));
            metric.insert(kind.to_owned(), json!({}));
            self.metrics.push(Value::Object(metric));
            self.open = Some(sample.labels);
        }
        let Some(object) = self.metrics.last_mut().and_then(|m| m.get_mut(kind)).and_then(Value::as_object_mut) else {
            return;
        };
        match sample.name.strip_prefix(self.name).unwrap_or_default() {
            "_sum" => drop(object.insert("sampleSum".to_owned(), number(sample.value))),
            // Numbers of 64 bits are texts there.
            "_count" => drop(object.insert("sampleCount".to_owned(), json!((sample.value as u64).to_string()))),
            _ => {
                let Some(bound) = bound.and_then(|bound| parse_go_float(&bound).ok()) else { return };
                let (list, part) = match kind {
                    "histogram" => (
                        "bucket",
                        json!({ "cumulativeCount": (sample.value as u64).to_string(), "upperBound": number(bound) }),
                    ),
                    _ => ("quantile", json!({ "quantile": number(bound), "value": number(sample.value) })),
                };
                let list = object.entry(list).or_insert_with(|| json!([]));
                if let Some(list) = list.as_array_mut() {
                    list.push(part);
                }
            }
        }
    }

    fn json(self, wanted: &impl Fn(&str) -> bool) -> Option<Value> {
        let kind = self.kind.to_ascii_uppercase();
        wanted(self.name).then(|| json!({ "name": self.name, "help": self.help, "type": kind, "metric": self.metrics }))
    }
}

fn labels_json(labels: &[(&str, String)]) -> Value {
    labels.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

/// Floats that JSON does not have are texts.
fn number(value: f64) -> Value {
    match value {
        v if v.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        v => json!(v),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind() {
        let metrics = telemetry::Metrics::new();
        metrics.counters("a_total", "Counts a.", &["x"]).with(&["q\"\\\n1"]).inc_by(3);
        metrics.gauge("b", "B.").set(0.5);
        let h = metrics.histograms("h_seconds", "H.", &["k"], &[1.0, 2.0]);
        h.with(&["u"]).observe(1.5);
        h.with(&["v"]).observe(5.0);
        let text = format!("{}# TYPE s summary\ns{{quantile=\"0.5\"}} NaN\ns_sum 1\ns_count 2\n", metrics.encode());
        let found = families(&text, |_| true);
        let named = |name: &str| found.iter().find(|f| f["name"] == name).unwrap_or_else(|| panic!("{name}: {text}"));
        assert_eq!(
            named("a_total")["metric"],
            json!([{ "label": [{ "name": "x", "value": "q\"\\\n1" }], "counter": { "value": 3.0 } }])
        );
        assert_eq!((&named("a_total")["type"], &named("a_total")["help"]), (&json!("COUNTER"), &json!("Counts a.")));
        assert_eq!(named("b")["metric"], json!([{ "label": [], "gauge": { "value": 0.5 } }]));
        let histograms = named("h_seconds")["metric"].as_array().unwrap();
        assert_eq!(histograms.len(), 2);
        let u = histograms.iter().find(|m| m["label"][0]["value"] == "u").unwrap();
        assert_eq!(u["histogram"]["sampleCount"], "1");
        assert_eq!(u["histogram"]["sampleSum"], 1.5);
        assert_eq!(u["histogram"]["bucket"][1], json!({ "cumulativeCount": "1", "upperBound": 2.0 }));
        assert_eq!(u["histogram"]["bucket"][2]["upperBound"], "Infinity");
        assert_eq!(named("s")["metric"][0]["summary"]["quantile"], json!([{ "quantile": 0.5, "value": "NaN" }]));
        assert_eq!(families(&text, |name| name == "b").len(), 1);
    }
}
