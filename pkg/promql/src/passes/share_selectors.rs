//! Selectors that read the same series over the same time read them once, each decoding what it needs of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::settings::Settings;
use crate::describe::select;
use crate::plan::{Plan, RangeInput, Root};
use crate::select_plan::SelectPlan;
use crate::tree::Node;

pub(super) fn run(root: &mut Root, _: &Settings) -> Vec<String> {
    let mut all = Selects::default();
    if let Some(node) = root.node() {
        all.visit(node, "");
    }
    let mut changes = Vec::new();
    for (text, selects) in all.found {
        if selects.len() < 2 {
            continue;
        }
        changes.push(format!("{} selectors read {text} once", selects.len()));
        for s in selects {
            // The first and only time.
            let _ = s.shared.set(changes.len() as u32);
        }
    }
    changes
}

#[derive(Default)]
struct Selects<'a> {
    /// By what they read, in the order in which they are found.
    found: Vec<(String, Vec<&'a SelectPlan>)>,
    by_key: HashMap<String, usize>,
    /// Numbers of the subtrees that several places share.
    seen: HashSet<u32>,
}

impl<'a> Selects<'a> {
    /// `steps`: the subqueries around, since selectors of other steps read other times.
    fn visit(&mut self, node: Node<'a>, steps: &str) {
        let Node::Vector(plan) = node else {
            node.children().into_iter().for_each(|child| self.visit(child, steps));
            return;
        };
        let subquery = match plan {
            Plan::Shared(shared) if !self.seen.insert(shared.number) => return,
            Plan::Select(s) | Plan::SampleTime(s, _) => return self.add(s, None, steps),
            Plan::Matrix(s, range_ms) => return self.add(s, Some(*range_ms), steps),
            Plan::Subquery(s) => Some(&**s),
            Plan::Range(r) => match &r.input {
                RangeInput::Select(s, range_ms) => {
                    self.add(s, Some(*range_ms), steps);
                    None
                }
                RangeInput::Subquery(s) => Some(s),
            },
            _ => None,
        };
        let inside = subquery.map(|s| format!("{steps} [{}:{}] {} {:?}", s.range_ms, s.step_ms, s.offset_ms, s.at_ms));
        for child in node.children() {
            // Arguments of a function of a subquery have the steps outside.
            let steps = if matches!(child, Node::Vector(_)) { inside.as_deref().unwrap_or(steps) } else { steps };
            self.visit(child, steps);
        }
    }

    fn add(&mut self, s: &'a Arc<SelectPlan>, range_ms: Option<i64>, steps: &str) {
        let text = select(s, range_ms);
        let key = format!("{text} {} {:?} {:?} {steps}", s.offset_ms, s.at_ms, s.within_ms);
        let at = *self.by_key.entry(key).or_insert_with(|| {
            self.found.push((text, Vec::new()));
            self.found.len() - 1
        });
        self.found[at].1.push(s);
    }
}
