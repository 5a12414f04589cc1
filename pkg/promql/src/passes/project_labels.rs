//! Selectors below an aggregation `by` some labels read these alone, and what annotations and checks of an answer look at.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use promql_syntax::AggregateOp;

use super::settings::Settings;
use crate::describe::select;
use crate::plan::{AggregatePlan, Plan, RangeInput, Root};
use crate::select_plan::{METADATA_LABELS, SelectPlan};
use crate::tree::Node;

pub(super) fn run(root: &mut Root, _: &Settings) -> Vec<String> {
    let mut pass = Pass::default();
    if let Some(node) = root.node() {
        pass.visit(node, None);
    }
    pass.changes
}

#[derive(Default)]
struct Pass {
    changes: Vec<String>,
    /// Numbers of the subtrees that several places share.
    seen: HashSet<u32>,
}

impl Pass {
    /// `around`: the labels that what stands around looks at; `None` = all.
    fn visit(&mut self, node: Node<'_>, around: Option<&[String]>) {
        let Node::Vector(plan) = node else {
            node.children().into_iter().for_each(|child| self.visit(child, None));
            return;
        };
        let inside = match plan {
            Plan::Shared(shared) if !self.seen.insert(shared.number) => return,
            Plan::Select(s) | Plan::SampleTime(s, _) => return self.project(s, around),
            Plan::Range(r) => {
                if let RangeInput::Select(s, _) = &r.input {
                    self.project(s, around);
                }
                None
            }
            Plan::Aggregate(a) => grouping(a),
            // It tells the labels of its matchers.
            Plan::Absent(inner, _) => inner.distinct_without_name().then_some(&[][..]),
            Plan::Math(..)
            | Plan::Date(..)
            | Plan::StepTime(_)
            | Plan::Nothing(_)
            | Plan::Negate(_)
            | Plan::Native(_)
            | Plan::Invariant(_)
            | Plan::WithScalar(_) => around,
            _ => None,
        };
        node.children().into_iter().for_each(|child| self.visit(child, inside));
    }

    fn project(&mut self, s: &SelectPlan, around: Option<&[String]>) {
        // Who reads for several selectors may begin anew in the midst of it, from what is another stream by then.
        let Some(around) = around.filter(|_| s.shared.get().is_none()) else { return };
        let mut names: BTreeSet<&str> = around.iter().map(String::as_str).chain(METADATA_LABELS).collect();
        // Whether a peer sent what was asked for is checked by these.
        names.extend(s.matchers.iter().map(|m| m.name()));
        let names: Arc<[String]> = names.into_iter().map(str::to_owned).collect();
        let shown = match around {
            [] => "no labels".to_owned(),
            some => format!("the labels {}", some.join(", ")),
        };
        self.changes.push(format!("of {} {shown} are looked at", select(s, None)));
        // The first and only time.
        let _ = s.labels.set(names);
    }
}

/// The labels that an aggregation looks at; `None` = all, also where series that lose their names could become the same.
fn grouping(a: &AggregatePlan) -> Option<&[String]> {
    use AggregateOp::{Avg, Count, Group, Max, Min, Quantile, Stddev, Stdvar, Sum};
    let folds = matches!(a.op, Sum | Avg | Count | Min | Max | Group | Stddev | Stdvar | Quantile);
    (folds && !a.without && a.inner.distinct_without_name()).then_some(&a.grouping)
}
