//! Nodes of a plan as text: for people, and to tell whether two are the same.

use std::fmt::Write as _;

use labels::{METRIC_NAME, MatchType, Matcher};
use model::format_duration;
use promql_syntax::{BinaryOp, Cardinality, Matching};

use crate::functions::sort::SortOrder;
use crate::plan::{AggregateParam, AggregatePlan, BucketsFn, Plan, RangeInput, ScalarPlan, SubqueryPlan};
use crate::select_plan::{SelectPlan, Shown};
use crate::tree::Node;

/// What a node is: its kind in brackets, then what it does.
pub(crate) fn name(node: Node<'_>) -> String {
    match node {
        Node::Vector(plan) => vector(plan),
        Node::Scalar(plan) => scalar(plan),
    }
}

/// The range selector that is an argument of `node`, and no node of its own.
pub(crate) fn range_select(node: Node<'_>) -> Option<String> {
    let Node::Vector(Plan::Range(r)) = node else { return None };
    match &r.input {
        RangeInput::Select(s, range_ms) => Some(format!("[matrixSelector] {}", select(s, Some(*range_ms)))),
        RangeInput::Subquery(_) => None,
    }
}

/// What a node does, its children aside: equal for nodes that make the same of the same children, but for the places of
/// annotations.
pub(crate) fn own_key(node: Node<'_>) -> String {
    let mut out = name(node);
    let Node::Vector(plan) = node else { return out };
    match plan {
        Plan::Select(s) | Plan::SampleTime(s, _) | Plan::Matrix(s, _) => write_hints(s, &mut out),
        Plan::Range(r) => match &r.input {
            RangeInput::Select(s, range_ms) => {
                let _ = write!(out, " {range_ms} {}", select(s, None));
                write_hints(s, &mut out);
            }
            RangeInput::Subquery(s) => out.push_str(&subquery(s)),
        },
        Plan::LabelReplace(_, replace) => _ = write!(out, " {replace:?}"),
        Plan::LabelJoin(_, join) => _ = write!(out, " {join:?}"),
        Plan::Absent(_, labels) => _ = write!(out, " {labels}"),
        Plan::Info(i) => _ = write!(out, " {:?} {:?} {}", i.matchers, i.at_ms, i.offset_ms),
        _ => {}
    }
    out
}

fn write_hints(s: &SelectPlan, out: &mut String) {
    let _ = write!(out, " {} {:?} {:?} {:?} {}", s.offset_ms, s.at_ms, s.within_ms, s.hint, s.stats_only);
}

fn vector(plan: &Plan) -> String {
    match plan {
        Plan::Select(s) => format!("[vectorSelector] {}", select(s, None)),
        Plan::SampleTime(s, Shown::Starts) => format!("[function] start_timestamp {}", select(s, None)),
        Plan::SampleTime(s, _) => format!("[function] timestamp {}", select(s, None)),
        Plan::Matrix(s, range_ms) => format!("[matrixSelector] {}", select(s, Some(*range_ms))),
        Plan::Subquery(s) => format!("[subquery] {}", subquery(s)),
        Plan::Range(r) => format!("[function] {}", r.name),
        Plan::Absent(..) => "[function] absent".to_owned(),
        Plan::Math(f, ..) => format!("[function] {}", f.name),
        Plan::Date(f, _) => format!("[function] {}", f.name),
        Plan::StepTime(_) => "[function] timestamp".to_owned(),
        Plan::Nothing(_) => "[function] start_timestamp".to_owned(),
        Plan::Native(n) => format!("[function] {}", n.function.name),
        Plan::Negate(_) => "[unary] -".to_owned(),
        Plan::Vector(_) => "[function] vector".to_owned(),
        Plan::Sort(s) => match &s.order {
            SortOrder::Labels { labels, .. } => format!("[function] {} {labels:?}", s.name),
            SortOrder::Value { .. } => format!("[function] {}", s.name),
        },
        Plan::LabelReplace(..) => "[function] label_replace".to_owned(),
        Plan::LabelJoin(..) => "[function] label_join".to_owned(),
        Plan::Buckets(b) => match &b.function {
            BucketsFn::Quantiles(label, _) => format!("[function] {} {label:?}", b.name),
            _ => format!("[function] {}", b.name),
        },
        Plan::Info(_) => "[function] info".to_owned(),
        Plan::Aggregate(a) => aggregate(a),
        Plan::Binary(b) => format!("[binary] {}", operator(b.op, b.return_bool, &b.matching)),
        Plan::WithScalar(w) => {
            let side = if w.scalar_left { "scalar before vector" } else { "vector before scalar" };
            format!("[binary] {} ({side})", operator(w.op, w.return_bool, &Matching::default()))
        }
        Plan::Invariant(_) => "[stepInvariant]".to_owned(),
        Plan::Shared(s) => format!("[shared] {}", s.number),
    }
}

fn scalar(plan: &ScalarPlan) -> String {
    match plan {
        ScalarPlan::Const(v) => format!("[number] {}", number(*v)),
        ScalarPlan::Time => "[function] time".to_owned(),
        ScalarPlan::Date(f) => format!("[function] {}", f.name),
        ScalarPlan::Negate(_) => "[unary] -".to_owned(),
        ScalarPlan::Binary(op, ..) => format!("[binary] {}", op.as_str()),
        ScalarPlan::MinOf(..) => "[function] min_of".to_owned(),
        ScalarPlan::MaxOf(..) => "[function] max_of".to_owned(),
        ScalarPlan::FromVector(_) => "[function] scalar".to_owned(),
    }
}

pub(crate) fn number(v: f64) -> String {
    if v.is_infinite() { (if v > 0.0 { "+Inf" } else { "-Inf" }).to_owned() } else { v.to_string() }
}

fn aggregate(a: &AggregatePlan) -> String {
    let mut name = format!("[aggregate] {}", a.op.as_str());
    if let AggregateParam::Label(label) = &a.param {
        let _ = write!(name, " {label:?}");
    }
    if a.without || !a.grouping.is_empty() {
        let word = if a.without { "without" } else { "by" };
        let _ = write!(name, " {word} ({})", a.grouping.join(", "));
    }
    name
}

fn operator(op: BinaryOp, return_bool: bool, matching: &Matching) -> String {
    let mut out = op.as_str().to_owned();
    if return_bool {
        out.push_str(" bool");
    }
    if matching.on || !matching.labels.is_empty() {
        let word = if matching.on { "on" } else { "ignoring" };
        let _ = write!(out, " {word} ({})", matching.labels.join(", "));
    }
    let group = match matching.cardinality {
        Cardinality::ManyToOne => "group_left",
        Cardinality::OneToMany => "group_right",
        Cardinality::OneToOne | Cardinality::ManyToMany => "",
    };
    if !group.is_empty() {
        let _ = write!(out, " {group} ({})", matching.include.join(", "));
    }
    for (word, fill) in [("fill_left", matching.fill_left), ("fill_right", matching.fill_right)] {
        if let Some(fill) = fill {
            let _ = write!(out, " {word} ({})", number(fill));
        }
    }
    out
}

fn subquery(s: &SubqueryPlan) -> String {
    format!(
        "[{}:{}]{}",
        format_duration(s.range_ms),
        format_duration(s.step_ms),
        modifiers(s.at_ms, s.offset_ms, false, false)
    )
}

/// A selector as it would be written in a query.
pub(crate) fn select(s: &SelectPlan, range_ms: Option<i64>) -> String {
    let is_name = |m: &&Matcher| m.name() == METRIC_NAME && m.kind() == MatchType::Equal;
    let name = s.matchers.iter().find(is_name).filter(|m| labels::is_legacy_metric_name(m.value()));
    let mut out = name.map_or_else(String::new, |m| m.value().to_owned());
    let others: Vec<String> =
        s.matchers.iter().filter(|m| name.is_none_or(|n| *m != n)).map(ToString::to_string).collect();
    if !others.is_empty() || name.is_none() {
        let _ = write!(out, "{{{}}}", others.join(","));
    }
    if let Some(range_ms) = range_ms {
        let _ = write!(out, "[{}]", format_duration(range_ms));
    }
    out.push_str(&modifiers(s.at_ms, s.offset_ms, s.anchored, s.smoothed));
    out
}

fn modifiers(at_ms: Option<i64>, offset_ms: i64, anchored: bool, smoothed: bool) -> String {
    let mut out = String::new();
    for (set, word) in [(anchored, " anchored"), (smoothed, " smoothed")] {
        if set {
            out.push_str(word);
        }
    }
    if let Some(at) = at_ms {
        let _ = write!(out, " @ {}", at as f64 / 1000.0);
    }
    match offset_ms {
        0 => {}
        ms if ms < 0 => {
            let _ = write!(out, " offset -{}", format_duration(ms.saturating_neg()));
        }
        ms => {
            let _ = write!(out, " offset {}", format_duration(ms));
        }
    }
    out
}
