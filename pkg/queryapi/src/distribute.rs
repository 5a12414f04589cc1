//! Which parts of a query can be evaluated by queriers that each hold some of the series.
//!
//! Each querier has series of its own values of the *partition labels*. A part of a query is *partitioned* when each series
//! of its result comes of series of one querier, and has that querier's partition labels: then the results of all queriers
//! together are its result. Of an aggregation over a partitioned part, each querier makes a partial one, kept apart by the
//! partition labels. Thanos' engine splits queries so as well (`logicalplan/distribute.go`).

use std::sync::Arc;

use labels::Matcher;
use promql_syntax::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, DurationExpr, Expr, Matching, Paren, Span, StringLiteral,
    ValueType, VectorSelector, selectors,
};

/// The label by which the remaining query selects a part's results; its value is the part's number.
pub const PART_LABEL: &str = "__part__";

/// A query in parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Distributed {
    /// What is left to do, with selectors of [`PART_LABEL`] in place of the parts.
    pub rest: Expr,
    /// The parts, each to be evaluated by all queriers at the query's own steps.
    pub parts: Vec<Expr>,
}

/// Splits `expr` for queriers told apart by `partition` labels; `None` where no part of it can be left to them.
pub fn distribute(expr: &Expr, partition: &[String]) -> Option<Distributed> {
    // Classic histograms lose this label on the way.
    let ours = |s: &&VectorSelector| s.matchers.iter().any(|m| m.name() == PART_LABEL);
    if partition.is_empty() || partition.iter().any(|p| p == "le") || selectors(expr).iter().any(ours) {
        return None;
    }
    let mut splitter = Splitter { partition, parts: Vec::new() };
    let mut rest = expr.clone();
    splitter.split(&mut rest);
    let parts: Vec<Expr> = splitter.parts.into_iter().map(|(_, part)| part).collect();
    (!parts.is_empty()).then_some(Distributed { rest, parts })
}

/// Functions that say something of what is not there, or of more series than their arguments name.
const NOT_PARTITIONED: [&str; 7] =
    ["absent", "absent_over_time", "info", "sort", "sort_by_label", "sort_by_label_desc", "sort_desc"];

/// Functions that look at how their argument is written.
const NOT_ENTERED: [&str; 3] = ["info", "timestamp", "start_timestamp"];

struct Splitter<'a> {
    partition: &'a [String],
    /// The parts as they are written, and parsed. What is written alike is alike, wherever it stands.
    parts: Vec<(String, Expr)>,
}

impl Splitter<'_> {
    fn split(&mut self, expr: &mut Expr) {
        if self.is_partitioned(expr) {
            *expr = self.part(expr.clone());
            return;
        }
        match expr {
            Expr::Paren(e) => self.split(&mut e.expr),
            Expr::Unary(e) => self.split(&mut e.expr),
            Expr::Binary(e) => {
                self.split(&mut e.lhs);
                self.split(&mut e.rhs);
            }
            Expr::Aggregate(a) if is_partial(a) && self.is_partitioned(&a.expr) => *expr = self.partial(a),
            Expr::Aggregate(a) => {
                self.split(&mut a.expr);
                a.param.iter_mut().for_each(|p| self.split(p));
            }
            Expr::Call(c) if is_absent(c) => {
                if let Some(split) = self.absent(c) {
                    *expr = split;
                }
            }
            Expr::Call(c) if !NOT_ENTERED.contains(&c.function.name) => {
                c.args.iter_mut().for_each(|arg| self.split(arg));
            }
            // Steps of a subquery are not the query's own.
            Expr::Call(_)
            | Expr::Number(_)
            | Expr::String(_)
            | Expr::Vector(_)
            | Expr::Matrix(_)
            | Expr::Subquery(_) => {}
        }
    }

    /// A selector of the results of `expr`, which becomes a part.
    fn part(&mut self, expr: Expr) -> Expr {
        let span = expr.span();
        let number = self.number(expr);
        Expr::Vector(Box::new(selector([Matcher::equal(PART_LABEL, number.as_str())].into(), span)))
    }

    /// The number of the part that `expr` becomes, or is already.
    fn number(&mut self, expr: Expr) -> String {
        let text = expr.to_string();
        let at = self.parts.iter().position(|(known, _)| *known == text).unwrap_or(self.parts.len());
        if at == self.parts.len() {
            self.parts.push((text, expr));
        }
        at.to_string()
    }

    /// `absent` or `absent_over_time` of what each querier has of its argument. Its labels come from how the argument is
    /// written, so the selector of the part is written as the argument is; the part's own label goes afterwards. `None`
    /// where the call stays as it is.
    fn absent(&mut self, c: &mut Call) -> Option<Expr> {
        let arg = c.args.first()?.unparen().clone();
        let (present, selected) = match &arg {
            Expr::Matrix(m) if m.vector.anchored || m.vector.smoothed => return None,
            Expr::Matrix(m) => (present_over_time(&arg)?, Some(&m.vector)),
            Expr::Subquery(s) if s.step.is_some() && self.is_partitioned(&s.expr) => (present_over_time(&arg)?, None),
            Expr::Subquery(_) => return None,
            Expr::Vector(v) => (arg.clone(), Some(&**v)),
            other if self.is_partitioned(other) => (arg.clone(), None),
            _ => {
                c.args.iter_mut().for_each(|arg| self.split(arg));
                return None;
            }
        };
        let grouping = self.partition.to_vec();
        let (op, span) = (AggregateOp::Group, c.span);
        let aggregate = Aggregate { op, expr: present, param: None, grouping, without: false, span };
        let number = self.number(Expr::Aggregate(Box::new(aggregate)));
        let own = Matcher::equal(PART_LABEL, number.as_str());
        let matchers = selected.map_or(&[][..], |v| &v.matchers).iter().cloned().chain([own]).collect();
        let args = vec![Expr::Vector(Box::new(selector(matchers, span)))];
        let absent = Call { function: promql_syntax::function("absent")?, args, span };
        let text = |value: &str| Expr::String(StringLiteral { value: value.to_owned(), quoted: None, span });
        let args = vec![Expr::Call(Box::new(absent)), text(PART_LABEL), text(""), text(""), text("")];
        Some(Expr::Call(Box::new(Call { function: promql_syntax::function("label_replace")?, args, span })))
    }

    /// The aggregation of partial aggregations.
    fn partial(&mut self, a: &Aggregate) -> Expr {
        let of = |outer: AggregateOp, inner: AggregateOp, splitter: &mut Self| {
            let part = splitter.part(Expr::Aggregate(Box::new(splitter.apart(a, inner))));
            Expr::Aggregate(Box::new(Aggregate { op: outer, expr: part, ..a.clone() }))
        };
        match a.op {
            AggregateOp::Count => of(AggregateOp::Sum, AggregateOp::Count, self),
            AggregateOp::Avg => {
                let lhs = of(AggregateOp::Sum, AggregateOp::Sum, self);
                let rhs = of(AggregateOp::Sum, AggregateOp::Count, self);
                let (op, matching, span) = (BinaryOp::Div, Some(Matching::default()), a.span);
                let mean = Binary { op, lhs, rhs, matching, return_bool: false, span };
                Expr::Paren(Box::new(Paren { expr: Expr::Binary(Box::new(mean)), span }))
            }
            op => of(op, op, self),
        }
    }

    /// The aggregation as one querier does it: its results have its partition labels.
    fn apart(&self, a: &Aggregate, op: AggregateOp) -> Aggregate {
        let mut grouping = a.grouping.clone();
        match a.without {
            true => grouping.retain(|label| !self.partition.contains(label)),
            false => grouping.extend(self.partition.iter().filter(|p| !a.grouping.contains(p)).cloned()),
        }
        Aggregate { op, grouping, ..a.clone() }
    }

    /// Whether labels named so leave the partition labels alone.
    fn spares(&self, labels: &[String]) -> bool {
        !self.partition.iter().any(|p| labels.contains(p))
    }

    fn is_partitioned(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Vector(_) => true,
            Expr::Paren(e) => self.is_partitioned(&e.expr),
            Expr::Unary(e) => self.is_partitioned(&e.expr),
            Expr::Aggregate(a) => {
                let kept = match a.without {
                    true => self.spares(&a.grouping),
                    false => self.partition.iter().all(|p| a.grouping.contains(p)),
                };
                let label = match a.param.as_ref().map(Expr::unparen) {
                    Some(Expr::String(s)) => self.spares(std::slice::from_ref(&s.value)),
                    Some(param) => is_fixed(param),
                    None => true,
                };
                kept && label && self.is_partitioned(&a.expr)
            }
            Expr::Binary(b) => self.is_partitioned_binary(b),
            Expr::Call(c) => self.is_partitioned_call(c),
            Expr::Number(_) | Expr::String(_) | Expr::Matrix(_) | Expr::Subquery(_) => false,
        }
    }

    fn is_partitioned_binary(&self, b: &Binary) -> bool {
        match (b.lhs.value_type(), b.rhs.value_type()) {
            (ValueType::Vector, ValueType::Scalar) => self.is_partitioned(&b.lhs) && is_fixed(&b.rhs),
            (ValueType::Scalar, ValueType::Vector) => is_fixed(&b.lhs) && self.is_partitioned(&b.rhs),
            (ValueType::Vector, ValueType::Vector) => {
                let matching = b.matching.clone().unwrap_or_default();
                let kept = match matching.on {
                    true => self.partition.iter().all(|p| matching.labels.contains(p)),
                    false => self.spares(&matching.labels),
                };
                kept && self.spares(&matching.include) && self.is_partitioned(&b.lhs) && self.is_partitioned(&b.rhs)
            }
            _ => false,
        }
    }

    fn is_partitioned_call(&self, c: &Call) -> bool {
        if c.function.returns != ValueType::Vector || NOT_PARTITIONED.contains(&c.function.name) {
            return false;
        }
        let mut of_series = 0;
        for (at, arg) in c.args.iter().enumerate() {
            let fits = match arg.unparen() {
                // The label that label_replace, label_join and histogram_quantiles write is their first string.
                Expr::String(s) => at != 1 || self.spares(std::slice::from_ref(&s.value)),
                Expr::Matrix(_) => {
                    of_series += 1;
                    true
                }
                Expr::Subquery(s) => {
                    of_series += 1;
                    // Without a step it is the evaluator's own, which may differ.
                    s.step.is_some() && self.is_partitioned(&s.expr)
                }
                other if other.value_type() == ValueType::Scalar => is_fixed(other),
                other => {
                    of_series += 1;
                    self.is_partitioned(other)
                }
            };
            if !fits {
                return false;
            }
        }
        of_series == 1
    }
}

fn is_absent(c: &Call) -> bool {
    matches!(c.function.name, "absent" | "absent_over_time")
}

fn present_over_time(range: &Expr) -> Option<Expr> {
    let function = promql_syntax::function("present_over_time")?;
    Some(Expr::Call(Box::new(Call { function, args: vec![range.clone()], span: range.span() })))
}

/// A plain selector.
fn selector(matchers: Arc<[Matcher]>, span: Span) -> VectorSelector {
    let offset = DurationExpr::Literal(0);
    VectorSelector { name: None, matchers, offset, at: None, anchored: false, smoothed: false, span }
}

/// Aggregations that can be made of partial ones.
fn is_partial(a: &Aggregate) -> bool {
    use AggregateOp as Op;
    match a.op {
        Op::Sum | Op::Min | Op::Max | Op::Count | Op::Group => true,
        // Dividing drops names.
        Op::Avg => a.without || !a.grouping.iter().any(|label| label == labels::METRIC_NAME),
        _ => false,
    }
}

/// Whether a scalar is the same wherever it is evaluated.
fn is_fixed(expr: &Expr) -> bool {
    expr.value_type() == ValueType::Scalar && selectors(expr).is_empty()
}

#[cfg(test)]
mod tests {
    use promql_syntax::{ParseOptions, parse_with};

    use super::*;

    fn shown(query: &str) -> String {
        let expr = parse_with(query, &ParseOptions::ALL).unwrap();
        match distribute(&expr, &["region".to_owned()]) {
            None => "local".to_owned(),
            Some(d) => {
                let parts = d.parts.iter().map(|p| format!(" | {p}")).collect::<String>();
                format!("{}{parts}", d.rest.to_string().replace(PART_LABEL, "p"))
            }
        }
    }

    #[test]
    fn queries_in_parts() {
        for (query, want) in [
            ("sum(rate(a[5m]))", "sum({p=\"0\"}) | sum by (region) (rate(a[5m]))"),
            ("sum by (job) (a)", "sum by (job) ({p=\"0\"}) | sum by (job, region) (a)"),
            ("sum by (job, region) (a)", "{p=\"0\"} | sum by (job, region) (a)"),
            ("max without (region, pod) (a)", "max without (region, pod) ({p=\"0\"}) | max without (pod) (a)"),
            ("min without (pod) (a)", "{p=\"0\"} | min without (pod) (a)"),
            ("count(a)", "sum({p=\"0\"}) | count by (region) (a)"),
            (
                "avg by (job) (a)",
                "(sum by (job) ({p=\"0\"}) / sum by (job) ({p=\"1\"})) | sum by (job, region) (a) | count by (job, region) (a)",
            ),
            ("sum(a) / sum(a)", "sum({p=\"0\"}) / sum({p=\"0\"}) | sum by (region) (a)"),
            ("sum(a) / sum(b)", "sum({p=\"0\"}) / sum({p=\"1\"}) | sum by (region) (a) | sum by (region) (b)"),
            ("a / b", "{p=\"0\"} | a / b"),
            ("a / on (job) b", "{p=\"0\"} / on (job) {p=\"1\"} | a | b"),
            ("sum(a / ignoring (region) b)", "sum({p=\"0\"} / ignoring (region) {p=\"1\"}) | a | b"),
            ("topk(3, a)", "topk(3, {p=\"0\"}) | a"),
            ("topk by (region) (3, a)", "{p=\"0\"} | topk by (region) (3, a)"),
            ("quantile(0.9, a * 2)", "quantile(0.9, {p=\"0\"}) | a * 2"),
            (
                "histogram_quantile(0.9, sum by (le) (rate(h[5m])))",
                "histogram_quantile(0.9, sum by (le) ({p=\"0\"})) | sum by (le, region) (rate(h[5m]))",
            ),
            ("histogram_quantile(0.9, rate(h[5m]))", "{p=\"0\"} | histogram_quantile(0.9, rate(h[5m]))"),
            ("sum(max_over_time(a[1h:1m]))", "sum({p=\"0\"}) | sum by (region) (max_over_time(a[1h:1m]))"),
            ("max_over_time(sum(a)[1h:1m])", "local"),
            ("sum(max_over_time(a[1h:]))", "local"),
            ("avg by (__name__) (a)", "avg by (__name__) ({p=\"0\"}) | a"),
            ("sum({__part__=\"0\"})", "local"),
            (
                "absent(a{job=\"x\"})",
                "label_replace(absent({__name__=\"a\",p=\"0\",job=\"x\"}), \"p\", \"\", \"\", \"\") | group by (region) (a{job=\"x\"})",
            ),
            (
                "absent_over_time(a[5m])",
                "label_replace(absent({__name__=\"a\",p=\"0\"}), \"p\", \"\", \"\", \"\") | group by (region) (present_over_time(a[5m]))",
            ),
            ("absent(sum(a))", "absent(sum({p=\"0\"})) | sum by (region) (a)"),
            ("absent(a > 1)", "label_replace(absent({p=\"0\"}), \"p\", \"\", \"\", \"\") | group by (region) (a > 1)"),
            ("absent_over_time(a[5m:])", "local"),
            (
                "sum(a) > scalar(sum(b))",
                "sum({p=\"0\"}) > scalar(sum({p=\"1\"})) | sum by (region) (a) | sum by (region) (b)",
            ),
            ("sum(a * scalar(b))", "sum({p=\"0\"} * scalar({p=\"1\"})) | a | b"),
            (
                "label_replace(a, \"region\", \"x\", \"job\", \".*\")",
                "label_replace({p=\"0\"}, \"region\", \"x\", \"job\", \".*\") | a",
            ),
            (
                "label_replace(a, \"b\", \"x\", \"job\", \".*\")",
                "{p=\"0\"} | label_replace(a, \"b\", \"x\", \"job\", \".*\")",
            ),
            ("count_values(\"region\", a)", "count_values(\"region\", {p=\"0\"}) | a"),
            ("timestamp(a)", "{p=\"0\"} | timestamp(a)"),
            ("sort_desc(sum by (job) (a))", "sort_desc(sum by (job) ({p=\"0\"})) | sum by (job, region) (a)"),
            ("a[5m]", "local"),
            ("1 + 2", "local"),
            ("hour()", "local"),
            ("vector(1)", "local"),
        ] {
            assert_eq!(shown(query), want, "{query}");
        }
    }
}
