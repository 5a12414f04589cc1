//! Arithmetic of numbers, done once.

use super::settings::Settings;
use crate::binary::arith::scalar_op;
use crate::describe::number;
use crate::go_float::{go_max, go_min};
use crate::plan::{Plan, Root, ScalarPlan};
use crate::tree::NodeMut;

pub(super) fn run(root: &mut Root, _: &Settings) -> Vec<String> {
    let mut changes = Vec::new();
    if let Some(node) = root.node_mut() {
        node.each(&mut |node| {
            if let NodeMut::Scalar(scalar) = node
                && let Some(value) = folded(scalar)
            {
                changes.push(format!("calculated {}", number(value)));
                *scalar = ScalarPlan::Const(value);
            }
        });
    }
    changes
}

/// The value of what has numbers directly below.
fn folded(scalar: &ScalarPlan) -> Option<f64> {
    let constant = |scalar: &ScalarPlan| if let ScalarPlan::Const(v) = scalar { Some(*v) } else { None };
    match scalar {
        ScalarPlan::Negate(a) => Some(-constant(a)?),
        ScalarPlan::Binary(op, a, b) => Some(scalar_op(*op, constant(a)?, constant(b)?)),
        ScalarPlan::MinOf(a, b) => Some(go_min(constant(a)?, constant(b)?)),
        ScalarPlan::MaxOf(a, b) => Some(go_max(constant(a)?, constant(b)?)),
        ScalarPlan::FromVector(inner) => match &**inner {
            Plan::Vector(a) => constant(a),
            _ => None,
        },
        ScalarPlan::Const(_) | ScalarPlan::Time | ScalarPlan::Date(_) => None,
    }
}
