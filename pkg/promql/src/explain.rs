//! What a query is planned into, for people.

use promql_syntax::Expr;

use crate::passes::PassReport;
use crate::threads::STACK_BYTES;
use crate::tree::Node;
use crate::{EngineOptions, Grid, QueryError, describe, passes, planner};

/// A query's plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// The highest node.
    pub root: PlanNode,
    /// What was done to the plan, in this order.
    pub passes: Vec<PassReport>,
}

/// A node of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanNode {
    /// What it is: its kind in brackets, then what it does.
    pub name: String,
    /// The nodes that it reads. A subtree that several places share is below each of them.
    pub children: Vec<PlanNode>,
}

/// Plans `expr` at the steps of `times`, and reads nothing.
///
/// # Errors
/// [`QueryError`], as the evaluation would give it before it reads data.
pub fn explain(expr: &Expr, times: Grid, options: &EngineOptions) -> Result<Explained, QueryError> {
    let explained = || {
        let mut root = planner::plan(expr, times, options)?;
        let passes = passes::run(&mut root, times, options);
        let string = || PlanNode { name: format!("[string] {expr}"), children: Vec::new() };
        Ok(Explained { root: root.node().map_or_else(string, plan_node), passes })
    };
    // A tree as high as the parser lets through needs more stack than threads have.
    std::thread::scope(|scope| {
        let spawned = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, explained);
        let thread = spawned.map_err(|e| QueryError::Execution(format!("no thread for the plan: {e}")))?;
        thread
            .join()
            .unwrap_or_else(|_| Err(QueryError::Execution("unexpected error: the plan ended early".to_owned())))
    })
}

fn plan_node(node: Node<'_>) -> PlanNode {
    let own = describe::range_select(node).map(|name| PlanNode { name, children: Vec::new() });
    let children = own.into_iter().chain(node.children().into_iter().map(plan_node)).collect();
    PlanNode { name: describe::name(node), children }
}
