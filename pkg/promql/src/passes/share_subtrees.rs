//! Equal aggregations of one query are evaluated once. They are small, so that one place can hold what another one still
//! has to read.
//!
//! The one that stands last is evaluated, since an annotation has the last place that gave rise to it. Functions of
//! classic histograms count how often they mended one, and so stay apart, as do series whose start times are read.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use promql_syntax::{AggregateOp, Span};

use super::settings::Settings;
use crate::describe::{name, own_key};
use crate::plan::{AggregatePlan, Plan, Root, SharedPlan};
use crate::tree::{Node, NodeMut};

pub(super) fn run(root: &mut Root, settings: &Settings) -> Vec<String> {
    let Some(node) = root.node() else { return Vec::new() };
    let mut ids = Ids { counts_starts: settings.use_start_timestamps, ..Ids::default() };
    ids.visit(node);
    let mut groups: HashMap<u32, Group> = HashMap::new();
    let mut number = 0;
    outermost(node, &mut |a| {
        let Some(id) = ids.repeated(a) else { return false };
        let group = groups.entry(id).or_insert_with(|| {
            number += 1;
            Group { number, places: 0, last: a.span, shared: None }
        });
        group.places += 1;
        group.last = if a.span.start > group.last.start { a.span } else { group.last };
        true
    });
    groups.retain(|_, group| group.places > 1);
    if let Some(node) = root.node_mut() {
        replace(node, &ids, &mut groups);
    }
    let mut all: Vec<Group> = groups.into_values().collect();
    all.sort_by_key(|group| group.number);
    let line = |group: Group| {
        let plan = group.shared?;
        Some(format!("{} places share {}", group.places, name(Node::Vector(plan.plan()?))))
    };
    all.into_iter().filter_map(line).collect()
}

/// Equal aggregations.
struct Group {
    number: u32,
    places: usize,
    /// Of the one that is evaluated.
    last: Span,
    shared: Option<Arc<SharedPlan>>,
}

/// A number for each different subtree.
#[derive(Default)]
struct Ids {
    /// By what a node does, and the numbers of its children.
    numbers: HashMap<(String, Vec<u32>), u32>,
    /// Of aggregations, by their places.
    places: HashMap<(usize, usize), u32>,
    counts: HashMap<u32, usize>,
    counts_starts: bool,
}

impl Ids {
    /// The number of this subtree, and whether it may be evaluated once for several.
    fn visit(&mut self, node: Node<'_>) -> (u32, bool) {
        let mut may_be_shared = match node {
            Node::Vector(Plan::Buckets(_)) => false,
            Node::Vector(Plan::Range(r)) => !(self.counts_starts && r.kernel.reads_starts),
            _ => true,
        };
        let mut below = Vec::new();
        for child in node.children() {
            let (id, may_be) = self.visit(child);
            below.push(id);
            may_be_shared &= may_be;
        }
        let next = self.numbers.len() as u32;
        let id = *self.numbers.entry((own_key(node), below)).or_insert(next);
        if let Node::Vector(Plan::Aggregate(a)) = node
            && may_be_shared
            && is_small(a.op)
        {
            // Two at one place cannot be told apart; no query that was parsed has them.
            let place = self.places.insert((a.span.start, a.span.end), id);
            *self.counts.entry(id).or_default() += usize::from(place.is_none());
        }
        (id, may_be_shared)
    }

    /// The number of an aggregation that is there more than once.
    fn repeated(&self, a: &AggregatePlan) -> Option<u32> {
        let id = self.places.get(&(a.span.start, a.span.end))?;
        (*self.counts.get(id)? > 1).then_some(*id)
    }
}

/// Whether there is a series per group only.
fn is_small(op: AggregateOp) -> bool {
    !matches!(
        op,
        AggregateOp::TopK
            | AggregateOp::BottomK
            | AggregateOp::LimitK
            | AggregateOp::LimitRatio
            | AggregateOp::CountValues
    )
}

/// Calls `f` with the aggregations, and goes on below those for which it is false.
fn outermost(node: Node<'_>, f: &mut dyn FnMut(&AggregatePlan) -> bool) {
    if let Node::Vector(Plan::Aggregate(a)) = node
        && f(a)
    {
        return;
    }
    node.children().into_iter().for_each(|child| outermost(child, f));
}

fn replace(node: NodeMut<'_>, ids: &Ids, groups: &mut HashMap<u32, Group>) {
    let NodeMut::Vector(plan) = node else {
        node.children().into_iter().for_each(|child| replace(child, ids, groups));
        return;
    };
    let group = match &*plan {
        Plan::Aggregate(a) => ids.repeated(a).map(|id| (id, a.span)),
        _ => None,
    };
    let Some((id, span)) = group else {
        NodeMut::Vector(plan).children().into_iter().for_each(|child| replace(child, ids, groups));
        return;
    };
    // One that stands alone outside of others has its like inside of them only.
    let Some(group) = groups.get_mut(&id) else { return };
    let number = group.number;
    let shared = group.shared.get_or_insert_with(|| Arc::new(SharedPlan { number, plan: OnceLock::new() }));
    let own = std::mem::replace(plan, Plan::Shared(shared.clone()));
    if span == group.last {
        // The first and only time.
        let _ = shared.plan.set(own);
    }
}
