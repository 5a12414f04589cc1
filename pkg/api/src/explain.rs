//! What a query is planned into and what its operators took, in the shape Thanos' UI reads:
//! `{"name":…,"children":[…]}`, with fields of ours that others skip.

use promql::{Explained, OperatorStats, PassReport, PlanNode, QueryStats};
use serde::Serialize;

/// A node of a plan.
#[derive(Debug, Serialize)]
pub(crate) struct Operator {
    name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    children: Vec<Operator>,
}

/// The highest node of a plan.
#[derive(Debug, Serialize)]
pub(crate) struct Plan {
    #[serde(flatten)]
    root: Operator,
    passes: Vec<Pass>,
    /// Where the query would be evaluated, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    evaluated: Option<String>,
}

/// What a pass of the planner did.
#[derive(Debug, Serialize)]
struct Pass {
    name: &'static str,
    about: &'static str,
    enabled: bool,
    changes: Vec<String>,
}

impl From<PlanNode> for Operator {
    fn from(node: PlanNode) -> Self {
        Self { name: node.name, children: node.children.into_iter().map(Self::from).collect() }
    }
}

impl Plan {
    pub(crate) fn new(explained: Explained, evaluated: Option<String>) -> Self {
        let pass = |pass: PassReport| Pass {
            name: pass.name,
            about: pass.about,
            enabled: pass.enabled,
            changes: pass.changes,
        };
        let passes = explained.passes.into_iter().map(pass).collect();
        Self { root: explained.root.into(), passes, evaluated }
    }
}

/// What a query or one of its operators took (`analyze`). All but `series` and `samples` include what lies below.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Analysis<'a> {
    name: &'a str,
    execution_time: String,
    peak_samples: u64,
    total_samples: u64,
    #[serde(flatten)]
    own: Option<Own>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    children: Vec<Analysis<'a>>,
}

/// What Thanos does not tell of an operator.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Own {
    series: u64,
    samples: u64,
    series_read: u64,
    samples_decoded: u64,
    chunk_bytes: u64,
}

impl<'a> From<&'a OperatorStats> for Analysis<'a> {
    fn from(stats: &'a OperatorStats) -> Self {
        Self {
            name: &stats.name,
            execution_time: go_duration(stats.seconds),
            peak_samples: stats.peak_samples,
            total_samples: stats.total_samples,
            own: Some(Own {
                series: stats.series,
                samples: stats.samples,
                series_read: stats.series_read,
                samples_decoded: stats.decoded_samples,
                chunk_bytes: stats.chunk_bytes,
            }),
            children: stats.children.iter().map(Self::from).collect(),
        }
    }
}

pub(crate) fn write_analysis(out: &mut Vec<u8>, stats: &QueryStats) {
    let analysis = Analysis {
        name: "[query]",
        execution_time: go_duration(stats.eval_seconds),
        peak_samples: stats.peak_samples,
        total_samples: stats.total_samples,
        own: None,
        children: stats.operators.iter().map(Analysis::from).collect(),
    };
    // No map in there and no number that JSON lacks: this does not fail.
    let _ = serde_json::to_writer(out, &analysis);
}

/// `1.5s`, `12.3ms`, `40µs`: as Go prints durations below a minute, which UIs parse.
fn go_duration(seconds: f64) -> String {
    let ns = (seconds * 1e9).round();
    match ns {
        _ if ns < 1e3 => format!("{ns}ns"),
        _ if ns < 1e6 => format!("{}µs", ns / 1e3),
        _ if ns < 1e9 => format!("{}ms", ns / 1e6),
        _ if ns < 60e9 => format!("{}s", ns / 1e9),
        _ => {
            let (minutes, rest) = ((ns / 60e9).floor(), ns % 60e9 / 1e9);
            if minutes < 60.0 {
                format!("{minutes}m{rest}s")
            } else {
                format!("{}h{}m{rest}s", (minutes / 60.0).floor(), minutes % 60.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_and_figures() {
        let leaf = PlanNode { name: "[vectorSelector] a".to_owned(), children: Vec::new() };
        let root = PlanNode { name: "[aggregate] sum".to_owned(), children: vec![leaf] };
        let pass = PassReport { name: "p", about: "Does.", enabled: true, changes: vec!["done".to_owned()] };
        assert_eq!(
            serde_json::to_string(&Plan::new(Explained { root, passes: vec![pass] }, None)).unwrap(),
            concat!(
                r#"{"name":"[aggregate] sum","children":[{"name":"[vectorSelector] a"}],"#,
                r#""passes":[{"name":"p","about":"Does.","enabled":true,"changes":["done"]}]}"#
            )
        );
        let operator = OperatorStats {
            name: "[vectorSelector] a".to_owned(),
            seconds: 0.5,
            series: 1,
            samples: 2,
            total_samples: 3,
            decoded_samples: 4,
            series_read: 5,
            chunk_bytes: 6,
            peak_samples: 7,
            children: Vec::new(),
        };
        let mut out = Vec::new();
        write_analysis(&mut out, &QueryStats { eval_seconds: 1.5, operators: vec![operator], ..QueryStats::default() });
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"name":"[query]","executionTime":"1.5s","peakSamples":0,"totalSamples":0,"children":["#,
                r#"{"name":"[vectorSelector] a","executionTime":"500ms","peakSamples":7,"totalSamples":3,"#,
                r#""series":1,"samples":2,"seriesRead":5,"samplesDecoded":4,"chunkBytes":6}]}"#
            )
        );
    }

    #[test]
    fn durations() {
        for (seconds, text) in
            [(0.0, "0ns"), (0.000_04, "40µs"), (0.0123, "12.3ms"), (1.5, "1.5s"), (90.5, "1m30.5s"), (3661.0, "1h1m1s")]
        {
            assert_eq!(go_duration(seconds), text);
        }
    }
}
