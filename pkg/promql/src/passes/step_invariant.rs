//! What is the same at every step is evaluated at one.

use super::settings::Settings;
use crate::describe;
use crate::plan::{Plan, RangeInput, Root, ScalarPlan};
use crate::tree::{Node, NodeMut};

pub(super) fn run(root: &mut Root, settings: &Settings) -> Vec<String> {
    let mut changes = Vec::new();
    match root {
        Root::Vector(plan) => {
            let top = mark(plan, &mut changes);
            // A range has no steps, and an instant query has one.
            if top && settings.times.is_range() && !matches!(plan, Plan::Matrix(..) | Plan::Subquery(_)) {
                wrap(plan, &mut changes);
            }
        }
        Root::Scalar(scalar) => _ = mark_scalar(scalar, &mut changes),
        Root::String(_) => {}
    }
    changes
}

/// Wraps what is invariant below `plan`. Gives whether `plan` itself is, which is for the caller to wrap.
fn mark(plan: &mut Plan, changes: &mut Vec<String>) -> bool {
    let may_be = match plan {
        Plan::Select(_) | Plan::SampleTime(..) | Plan::Matrix(..) => return is_invariant(plan),
        Plan::Subquery(s) => {
            // It has steps of its own.
            mark_and_wrap(&mut s.inner, changes);
            return s.at_ms.is_some();
        }
        Plan::Range(r) => {
            let at_ms = match &mut r.input {
                RangeInput::Select(s, _) => s.at_ms,
                RangeInput::Subquery(s) => {
                    mark_and_wrap(&mut s.inner, changes);
                    s.at_ms
                }
            };
            let mut is_invariant = !r.kernel.depends_on_time && at_ms.is_some();
            for arg in &mut r.args {
                is_invariant &= mark_scalar(arg, changes);
            }
            return is_invariant;
        }
        Plan::Date(..) | Plan::StepTime(_) => false,
        Plan::Info(i) => i.at_ms.is_some(),
        _ => true,
    };
    let below = NodeMut::Vector(plan).children().into_iter().map(|node| match node {
        NodeMut::Vector(plan) => (mark(plan, changes), Some(plan)),
        NodeMut::Scalar(scalar) => (mark_scalar(scalar, changes), None),
    });
    let below: Vec<_> = below.collect();
    if may_be && below.iter().all(|(is_invariant, _)| *is_invariant) {
        return true;
    }
    for (is_invariant, plan) in below {
        if let Some(plan) = plan
            && is_invariant
        {
            wrap(plan, changes);
        }
    }
    false
}

fn mark_and_wrap(plan: &mut Plan, changes: &mut Vec<String>) -> bool {
    let is_invariant = mark(plan, changes);
    if is_invariant {
        wrap(plan, changes);
    }
    is_invariant
}

fn mark_scalar(scalar: &mut ScalarPlan, changes: &mut Vec<String>) -> bool {
    match scalar {
        ScalarPlan::Time | ScalarPlan::Date(_) => false,
        ScalarPlan::Const(_) => true,
        ScalarPlan::Negate(a) => mark_scalar(a, changes),
        ScalarPlan::Binary(_, a, b) | ScalarPlan::MinOf(a, b) | ScalarPlan::MaxOf(a, b) => {
            let first = mark_scalar(a, changes);
            mark_scalar(b, changes) && first
        }
        ScalarPlan::FromVector(inner) => mark_and_wrap(inner, changes),
    }
}

fn wrap(plan: &mut Plan, changes: &mut Vec<String>) {
    if matches!(plan, Plan::Vector(ScalarPlan::Const(_))) {
        return;
    }
    changes.push(format!("evaluates once: {}", describe::name(Node::Vector(plan))));
    let inner = std::mem::replace(plan, Plan::Vector(ScalarPlan::Const(f64::NAN)));
    *plan = Plan::Invariant(Box::new(inner));
}

/// Whether the plan gives the same at every step.
pub(crate) fn is_invariant(plan: &Plan) -> bool {
    match plan {
        Plan::Select(s) | Plan::SampleTime(s, _) | Plan::Matrix(s, _) => s.at_ms.is_some(),
        Plan::Subquery(s) => s.at_ms.is_some(),
        Plan::Range(r) => {
            let at_ms = match &r.input {
                RangeInput::Select(s, _) => s.at_ms,
                RangeInput::Subquery(s) => s.at_ms,
            };
            !r.kernel.depends_on_time && at_ms.is_some() && r.args.iter().all(is_invariant_scalar)
        }
        Plan::Date(..) | Plan::StepTime(_) => false,
        Plan::Info(i) => i.at_ms.is_some() && is_invariant(&i.inner),
        // Looked at when it was made.
        Plan::Sort(s) => s.is_pinned,
        Plan::Invariant(_) => true,
        Plan::Shared(_) => false,
        _ => Node::Vector(plan).children().into_iter().all(|node| match node {
            Node::Vector(plan) => is_invariant(plan),
            Node::Scalar(scalar) => is_invariant_scalar(scalar),
        }),
    }
}

fn is_invariant_scalar(scalar: &ScalarPlan) -> bool {
    match scalar {
        ScalarPlan::Time | ScalarPlan::Date(_) => false,
        ScalarPlan::Const(_) => true,
        ScalarPlan::Negate(a) => is_invariant_scalar(a),
        ScalarPlan::Binary(_, a, b) | ScalarPlan::MinOf(a, b) | ScalarPlan::MaxOf(a, b) => {
            is_invariant_scalar(a) && is_invariant_scalar(b)
        }
        ScalarPlan::FromVector(inner) => is_invariant(inner),
    }
}
