//! Buckets of native histograms are not decoded where only count and sum matter.

use std::sync::Arc;

use super::settings::Settings;
use crate::describe::select;
use crate::plan::{Plan, RangeInput, Root};
use crate::select_plan::SelectPlan;
use crate::tree::NodeMut;

/// Whether buckets are looked at by what stands around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Buckets {
    /// They are part of the result.
    Shown,
    /// Only the count and the sum are.
    Skipped,
    /// They are read, whatever becomes of the result.
    Read,
}

pub(super) fn run(root: &mut Root, _: &Settings) -> Vec<String> {
    let mut changes = Vec::new();
    if let Some(node) = root.node_mut() {
        visit(node, Buckets::Shown, &mut changes);
    }
    changes
}

fn visit(node: NodeMut<'_>, around: Buckets, changes: &mut Vec<String>) {
    let mut inside = around;
    if let NodeMut::Vector(plan) = &node {
        match plan {
            Plan::Native(n) if !n.reads_buckets && around == Buckets::Shown => inside = Buckets::Skipped,
            Plan::Buckets(_) => inside = Buckets::Read,
            Plan::Binary(b) if crate::binary::arith::is_trim(b.op) => inside = Buckets::Read,
            Plan::WithScalar(w) if crate::binary::arith::is_trim(w.op) => inside = Buckets::Read,
            // Resets can only be told from buckets where samples are left out.
            Plan::Subquery(_) => inside = Buckets::Read,
            Plan::Range(r) if matches!(r.input, RangeInput::Subquery(_)) => inside = Buckets::Read,
            _ => {}
        }
    }
    if inside == Buckets::Skipped
        && let NodeMut::Vector(plan) = node
    {
        match plan {
            Plan::Select(s) | Plan::SampleTime(s, _) | Plan::Matrix(s, _) => skip(s, changes),
            Plan::Range(r) => {
                if let RangeInput::Select(s, _) = &mut r.input {
                    skip(s, changes);
                }
            }
            _ => {}
        }
        NodeMut::Vector(plan).children().into_iter().for_each(|child| visit(child, inside, changes));
        return;
    }
    node.children().into_iter().for_each(|child| visit(child, inside, changes));
}

fn skip(plan: &mut Arc<SelectPlan>, changes: &mut Vec<String>) {
    Arc::make_mut(plan).stats_only = true;
    changes.push(format!("of histograms of {} only count and sum", select(plan, None)));
}
