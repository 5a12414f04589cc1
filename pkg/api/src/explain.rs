//! What a query is made of, in the shape Thanos' UI reads: `{"name":…,"children":[…]}`.

use promql::QueryStats;
use promql_syntax::Expr;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct Operator {
    name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    children: Vec<Operator>,
}

/// The operators of a query. Parentheses are none.
pub(crate) fn tree(expr: &Expr) -> Operator {
    let expr = expr.unparen();
    Operator { name: name(expr), children: expr.children().map(tree).collect() }
}

fn name(expr: &Expr) -> String {
    match expr {
        Expr::Number(_) => format!("[number] {expr}"),
        Expr::String(_) => format!("[string] {expr}"),
        Expr::Vector(_) => format!("[vectorSelector] {expr}"),
        Expr::Matrix(_) => format!("[matrixSelector] {expr}"),
        Expr::Paren(_) => "[paren]".to_owned(),
        Expr::Unary(_) => "[unary]".to_owned(),
        Expr::Subquery(_) => "[subquery]".to_owned(),
        Expr::Binary(binary) => format!("[binary] {}", binary.op.as_str()),
        Expr::Call(call) => format!("[function] {}", call.function.name),
        Expr::Aggregate(aggregate) => {
            let mut name = format!("[aggregate] {}", aggregate.op.as_str());
            if aggregate.without || !aggregate.grouping.is_empty() {
                let word = if aggregate.without { "without" } else { "by" };
                name.push_str(&format!(" {word} ({})", aggregate.grouping.join(", ")));
            }
            name
        }
    }
}

/// What a query took, with its operators below (`analyze`).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Analysis {
    name: String,
    execution_time: String,
    peak_samples: u64,
    total_samples: u64,
    children: Vec<Operator>,
}

pub(crate) fn write_analysis(out: &mut Vec<u8>, expr: &Expr, stats: &QueryStats) {
    let analysis = Analysis {
        name: "[query]".to_owned(),
        execution_time: go_duration(stats.eval_seconds),
        peak_samples: stats.peak_samples,
        total_samples: stats.total_samples,
        children: vec![tree(expr)],
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
    fn trees() {
        let expr = promql_syntax::parse("sum by (job) (rate(a[5m])) > (2)").unwrap();
        assert_eq!(
            serde_json::to_string(&tree(&expr)).unwrap(),
            concat!(
                r#"{"name":"[binary] >","children":[{"name":"[aggregate] sum by (job)","children":"#,
                r#"[{"name":"[function] rate","children":[{"name":"[matrixSelector] a[5m]"}]}]},"#,
                r#"{"name":"[number] 2"}]}"#
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
