//! Answers in a form in which they can be compared, wherever they come from.

use std::collections::BTreeMap;
use std::fmt;

use histogram::{FloatHistogram, indexed};
use promql::{QueryError, QueryResult, Value};
use serde_json::Value as Json;
use tests::compare::close;

/// Labels as text, then points by time, ms.
type Rows = BTreeMap<String, BTreeMap<i64, Point>>;

/// One answer.
#[derive(Debug, Clone)]
pub enum Answer {
    /// `errorType` of the HTTP API, and the text.
    Failed(String, String),
    Rows(Rows),
    Text(String),
}

/// One sample of an answer.
#[derive(Debug, Clone)]
pub enum Point {
    Float(f64),
    /// Count, sum, and the counts of all buckets that are not empty, in order of their bounds.
    Histogram(f64, f64, Vec<f64>),
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float(v) => write!(f, "{v}"),
            Self::Histogram(count, sum, buckets) => write!(f, "{{count:{count} sum:{sum} buckets:{buckets:?}}}"),
        }
    }
}

impl Point {
    fn of(h: &FloatHistogram) -> Self {
        let mut buckets: Vec<f64> = indexed(&h.negative_spans, &h.negative_buckets).map(|b| b.1).collect();
        buckets.reverse();
        // The API shows no zero bucket below zero.
        buckets.push(h.zero_count.max(0.0));
        buckets.extend(indexed(&h.positive_spans, &h.positive_buckets).map(|b| b.1));
        buckets.retain(|b| *b != 0.0);
        Self::Histogram(h.count, h.sum, buckets)
    }

    fn is_close(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => close(*a, *b),
            (Self::Histogram(c, s, b), Self::Histogram(d, t, e)) => {
                let all = b.len() == e.len() && b.iter().zip(e).all(|(x, y)| close(*x, *y));
                close(*c, *d) && close(*s, *t) && all
            }
            _ => false,
        }
    }
}

impl From<Result<QueryResult, QueryError>> for Answer {
    fn from(outcome: Result<QueryResult, QueryError>) -> Self {
        let result = match outcome {
            Ok(result) => result,
            Err(e) => return Self::Failed(e.error_type().to_owned(), e.to_string()),
        };
        let one = |time, point| BTreeMap::from([(time, point)]);
        let mut rows = Rows::new();
        match &result.value {
            Value::String { value, .. } => return Self::Text(value.clone()),
            Value::Scalar { time_ms, value } => {
                rows.insert("{}".to_owned(), one(*time_ms, Point::Float(*value)));
            }
            Value::Vector { time_ms, samples } => {
                for s in samples {
                    let point = s.histogram.as_ref().map_or(Point::Float(s.value), |h| Point::of(h));
                    if rows.insert(s.labels.to_string(), one(*time_ms, point)).is_some() {
                        return Self::Failed("twice".to_owned(), s.labels.to_string());
                    }
                }
            }
            Value::Matrix(matrix) => {
                for s in &matrix.series {
                    let floats = s.floats(matrix.grid).map(|(t, v)| (t, Point::Float(v)));
                    let points = floats.chain(s.histograms(matrix.grid).map(|(t, h)| (t, Point::of(h)))).collect();
                    if rows.insert(s.labels.to_string(), points).is_some() {
                        return Self::Failed("twice".to_owned(), s.labels.to_string());
                    }
                }
            }
        }
        Self::Rows(rows)
    }
}

impl From<&Json> for Answer {
    /// The answer of an HTTP API.
    fn from(json: &Json) -> Self {
        if json["status"] != "success" {
            let text = |key: &str| json[key].as_str().unwrap_or("?").to_owned();
            return Self::Failed(text("errorType"), text("error"));
        }
        let result = &json["data"]["result"];
        let mut rows = Rows::new();
        match json["data"]["resultType"].as_str() {
            Some("string") => return Self::Text(result[1].as_str().unwrap_or("?").to_owned()),
            Some("scalar") => {
                rows.insert("{}".to_owned(), [float(result)].into());
            }
            _ => {
                for series in result.as_array().into_iter().flatten() {
                    let pairs = series["metric"].as_object().into_iter().flatten();
                    let labels = labels::Labels::from_pairs(pairs.map(|(n, v)| (n, v.as_str().unwrap_or("?"))));
                    let list = |key: &str| series[key].as_array().cloned().unwrap_or_default();
                    let one = |key: &str| series.get(key).cloned().into_iter();
                    let floats = list("values").into_iter().chain(one("value")).map(|p| float(&p));
                    let native = list("histograms").into_iter().chain(one("histogram")).map(|p| native(&p));
                    rows.insert(labels.to_string(), floats.chain(native).collect());
                }
            }
        }
        Self::Rows(rows)
    }
}

fn time(point: &Json) -> i64 {
    (point[0].as_f64().unwrap_or(f64::NAN) * 1000.0).round() as i64
}

fn number(json: &Json) -> f64 {
    json.as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

fn float(point: &Json) -> (i64, Point) {
    (time(point), Point::Float(number(&point[1])))
}

fn native(point: &Json) -> (i64, Point) {
    let h = &point[1];
    let buckets = h["buckets"].as_array().into_iter().flatten().map(|b| number(&b[3])).collect();
    (time(point), Point::Histogram(number(&h["count"]), number(&h["sum"]), buckets))
}

impl Answer {
    /// Puts answers for different times together; a failure of any is the failure of all.
    pub fn joined(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Rows::new();
        for part in parts {
            match part {
                Self::Rows(rows) => rows.into_iter().for_each(|(l, points)| all.entry(l).or_default().extend(points)),
                other => return other,
            }
        }
        Self::Rows(all)
    }

    /// Whether it has any sample.
    pub fn has_samples(&self) -> bool {
        matches!(self, Self::Rows(rows) if !rows.is_empty())
    }

    /// The first difference; `None` if both say the same.
    pub fn difference(&self, other: &Self) -> Option<String> {
        match (self, other) {
            (Self::Failed(a, x), Self::Failed(b, y)) => (a != b).then(|| format!("{a}: {x}\n  but {b}: {y}")),
            (Self::Text(a), Self::Text(b)) => (a != b).then(|| format!("{a:?} but {b:?}")),
            (Self::Rows(a), Self::Rows(b)) => rows(a, b),
            (a, b) => Some(format!("{}\n  but {}", a.short(), b.short())),
        }
    }

    fn short(&self) -> String {
        match self {
            Self::Failed(kind, text) => format!("{kind}: {text}"),
            Self::Text(text) => format!("{text:?}"),
            Self::Rows(rows) => format!("{} series", rows.len()),
        }
    }
}

fn rows(a: &Rows, b: &Rows) -> Option<String> {
    if let Some(missing) = a.keys().find(|k| !b.contains_key(*k)) {
        return Some(format!("{missing} is missing: {} series but {}", a.len(), b.len()));
    }
    if let Some(extra) = b.keys().find(|k| !a.contains_key(*k)) {
        return Some(format!("{extra} is too much: {} series but {}", a.len(), b.len()));
    }
    for (labels, points) in a {
        let others = &b[labels];
        for t in points.keys().chain(others.keys()) {
            let at = t - crate::world::START_MS;
            match (points.get(t), others.get(t)) {
                (Some(x), Some(y)) if x.is_close(y) => {}
                (Some(x), Some(y)) => return Some(format!("{labels} at {at}: {x} but {y}")),
                (x, _) => return Some(format!("{labels} at {at}: {}", x.map_or("too much", |_| "missing"))),
            }
        }
    }
    None
}
