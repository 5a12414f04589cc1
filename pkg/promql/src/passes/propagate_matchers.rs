//! Matchers of one side of a binary operator, on labels that must be equal on both, given to the other side too.
//!
//! Left alone is what could take an error or an annotation away with the series that are not read any more: arithmetic
//! whose "one" side may have two series in a group, and whatever can annotate between the selector and the operator.

use std::sync::Arc;

use labels::Matcher;
use promql_syntax::{AggregateOp, BinaryOp, Cardinality, Matching};

use super::settings::Settings;
use crate::describe::select;
use crate::plan::{AggregatePlan, BinaryPlan, Plan, RangeInput, Root};
use crate::select_plan::{SelectPlan, is_metadata_label};
use crate::tree::NodeMut;

pub(super) fn run(root: &mut Root, _: &Settings) -> Vec<String> {
    let mut changes = Vec::new();
    if let Some(node) = root.node_mut() {
        node.each(&mut |node| {
            if let NodeMut::Vector(Plan::Binary(b)) = node {
                propagate(b, &mut changes);
            }
        });
    }
    changes
}

fn propagate(b: &mut BinaryPlan, changes: &mut Vec<String>) {
    let (to_left, to_right) = match b.op {
        BinaryOp::And => (true, true),
        BinaryOp::Unless => (false, true),
        BinaryOp::Or => (false, false),
        _ => {
            let fills = b.matching.fill_left.is_some() || b.matching.fill_right.is_some();
            let one = if b.matching.cardinality == Cardinality::OneToMany { &b.lhs } else { &b.rhs };
            let both = !fills && is_one_per_group(one, &b.matching);
            (both, both)
        }
    };
    let shared = |list: Vec<Matcher>| -> Vec<Matcher> {
        list.into_iter().filter(|m| is_matched_by(m.name(), &b.matching)).collect()
    };
    let (of_left, of_right) = (shared(holding(&b.lhs)), shared(holding(&b.rhs)));
    if to_right {
        give(&mut b.rhs, &of_left, changes);
    }
    if to_left {
        give(&mut b.lhs, &of_right, changes);
    }
}

/// Whether series of one group have equal values of this label.
fn is_matched_by(label: &str, matching: &Matching) -> bool {
    matching.labels.iter().any(|l| l == label) == matching.on && !is_metadata_label(label)
}

/// Whether no two series at one step can be in one group.
fn is_one_per_group(plan: &Plan, matching: &Matching) -> bool {
    match plan {
        Plan::Select(s) => s.single_name() && !matching.on && matching.labels.is_empty(),
        Plan::Aggregate(a) => {
            let keeps_series = matches!(
                a.op,
                AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK | AggregateOp::LimitRatio
            );
            !keeps_series
                && a.op != AggregateOp::CountValues
                && !a.without
                && a.grouping.iter().all(|label| is_matched_by(label, matching))
        }
        _ => false,
    }
}

/// Matchers that all series of the result satisfy, labels of metrics' kinds aside.
fn holding(plan: &Plan) -> Vec<Matcher> {
    let own = |s: &SelectPlan| -> Vec<Matcher> {
        s.matchers.iter().filter(|m| !is_metadata_label(m.name())).cloned().collect()
    };
    match plan {
        Plan::Select(s) | Plan::SampleTime(s, _) => own(s),
        Plan::Range(r) => match &r.input {
            RangeInput::Select(s, _) => own(s),
            RangeInput::Subquery(s) => holding(&s.inner),
        },
        Plan::Math(_, inner, _) | Plan::Date(_, inner) | Plan::StepTime(inner) | Plan::Negate(inner) => holding(inner),
        Plan::Native(n) => holding(&n.inner),
        Plan::Sort(s) => holding(&s.inner),
        Plan::WithScalar(w) => holding(&w.vector),
        Plan::Aggregate(a) if a.op != AggregateOp::CountValues => {
            let mut all = holding(&a.inner);
            all.retain(|m| keeps_label(a, m.name()));
            all
        }
        Plan::Binary(b) if matches!(b.op, BinaryOp::And | BinaryOp::Unless) => holding(&b.lhs),
        _ => Vec::new(),
    }
}

/// Whether the series of a group have this label as the series that are aggregated have it.
fn keeps_label(a: &AggregatePlan, label: &str) -> bool {
    let keeps_series =
        matches!(a.op, AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK | AggregateOp::LimitRatio);
    keeps_series || a.grouping.iter().any(|l| l == label) != a.without
}

/// Gives the matchers to the selector that the series come from, if nothing on the way has anything to say of the others.
fn give(plan: &mut Plan, matchers: &[Matcher], changes: &mut Vec<String>) {
    if matchers.is_empty() {
        return;
    }
    match plan {
        Plan::Select(s) => add(s, matchers, changes),
        // Two series that are one without their names are an error.
        Plan::SampleTime(s, _) if s.single_name() => add(s, matchers, changes),
        Plan::Math(_, inner, _) | Plan::Date(_, inner) | Plan::StepTime(inner) | Plan::Negate(inner)
            if inner.distinct_without_name() =>
        {
            give(inner, matchers, changes);
        }
        Plan::Aggregate(a) if matches!(a.op, AggregateOp::Count | AggregateOp::Group) => {
            let kept: Vec<Matcher> = matchers.iter().filter(|m| keeps_label(a, m.name())).cloned().collect();
            give(&mut a.inner, &kept, changes);
        }
        Plan::Binary(b) if matches!(b.op, BinaryOp::And | BinaryOp::Unless) => give(&mut b.lhs, matchers, changes),
        _ => {}
    }
}

fn add(s: &mut Arc<SelectPlan>, matchers: &[Matcher], changes: &mut Vec<String>) {
    let new: Vec<Matcher> = matchers.iter().filter(|m| !s.matchers.contains(m)).cloned().collect();
    if new.is_empty() {
        return;
    }
    let text = new.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    changes.push(format!("added {text} to {}", select(s, None)));
    let all: Vec<Matcher> = s.matchers.iter().cloned().chain(new).collect();
    Arc::make_mut(s).matchers = all.into();
}
