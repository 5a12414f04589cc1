//! Range queries.

use std::collections::BTreeMap;
use std::fmt;

use histogram::FloatHistogram;
use labels::Labels;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use storage::{Answer, Error, Result};

use crate::client::{PromClient, seconds};
use crate::native::HistogramJson;

/// The steps of a range query, ms since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeSteps {
    /// The first step.
    pub start_ms: i64,
    /// The last step at the latest.
    pub end_ms: i64,
    /// From one step to the next.
    pub step_ms: i64,
}

/// A series of a range query's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeSeries {
    /// Its labels.
    pub labels: Labels,
    /// Time in ms and value of each step that has a float.
    pub points: Vec<(i64, f64)>,
    /// The same of steps that have a native histogram.
    pub histograms: Vec<(i64, FloatHistogram)>,
}

#[derive(Deserialize)]
struct Matrix {
    #[serde(rename = "resultType", default)]
    result_type: String,
    result: Vec<SeriesJson>,
}

#[derive(Deserialize)]
struct SeriesJson {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<Point>,
    #[serde(default)]
    histograms: Vec<HistogramPoint>,
}

/// `[1700000000.123, "1.5"]`.
struct Point(i64, f64);

/// `[1700000000.123, {…}]`.
struct HistogramPoint(i64, HistogramJson);

fn ms(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Pair;
        impl<'de> Visitor<'de> for Pair {
            type Value = Point;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time and a value")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Point, A::Error> {
                let short = || de::Error::custom("a time and a value are expected");
                let time: f64 = seq.next_element()?.ok_or_else(short)?;
                let Number(value) = seq.next_element()?.ok_or_else(short)?;
                Ok(Point(ms(time), value))
            }
        }
        deserializer.deserialize_seq(Pair)
    }
}

impl<'de> Deserialize<'de> for HistogramPoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let (time, histogram): (f64, HistogramJson) = Deserialize::deserialize(deserializer)?;
        Ok(Self(ms(time), histogram))
    }
}

/// A number in a string, read without a copy.
struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number in a string")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> std::result::Result<Number, E> {
                let value = match text {
                    "+Inf" => f64::INFINITY,
                    "-Inf" => f64::NEG_INFINITY,
                    text => text.parse().map_err(|_| E::custom(format!("{text:?} is no number")))?,
                };
                Ok(Number(value))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl PromClient {
    /// Evaluates an expression at each step.
    ///
    /// # Errors
    /// When it cannot be asked, refuses the expression, or answers with something else than a matrix.
    pub async fn query_range(&self, promql: &str, steps: RangeSteps) -> Result<Answer<Vec<RangeSeries>>> {
        let query = [
            ("query", promql.to_owned()),
            ("start", seconds(steps.start_ms)),
            ("end", seconds(steps.end_ms)),
            ("step", seconds(steps.step_ms)),
        ];
        let answer: Answer<Matrix> = self.long_data("/api/v1/query_range", &query).await?;
        if answer.value.result_type != "matrix" {
            let found = answer.value.result_type;
            return Err(Error::other(format!("{}: a {found:?} in place of a matrix", self.at("/api/v1/query_range"))));
        }
        let wrong = |why: String| Error::other(format!("{}: {why}", self.at("/api/v1/query_range")));
        let mut value = Vec::with_capacity(answer.value.result.len());
        for series in answer.value.result {
            let points = series.values.into_iter().map(|Point(time, v)| (time, v)).collect();
            let read = |HistogramPoint(time, json): HistogramPoint| Ok((time, json.histogram().map_err(wrong)?));
            let histograms = series.histograms.into_iter().map(read).collect::<Result<_>>()?;
            value.push(RangeSeries { labels: Labels::from_pairs(series.metric), points, histograms });
        }
        Ok(Answer { value, warnings: answer.warnings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_read() {
        let json = r#"{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[1.5,"2"],[2,"+Inf"]],
            "histograms":[[1.75,{"count":"3","sum":"1"}]]}]}"#;
        let matrix: Matrix = serde_json::from_str(json).unwrap();
        let series = &matrix.result[0];
        assert_eq!(series.values.iter().map(|p| (p.0, p.1)).collect::<Vec<_>>(), [(1500, 2.0), (2000, f64::INFINITY)]);
        assert_eq!(series.histograms[0].0, 1750);
        assert!(serde_json::from_str::<Point>("[1]").is_err());
        assert!(serde_json::from_str::<Point>(r#"[1,"x"]"#).is_err());
    }
}
