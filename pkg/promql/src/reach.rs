//! What a query would read, told before it reads anything.

use std::sync::Arc;

use labels::Matcher;
use model::{Resolution, TimeRange};
use promql_syntax::{At, DurationExpr, Expr, walk};

use crate::eval::subquery_grid;
use crate::plan::{Plan, RangeInput};
use crate::select_plan::SelectPlan;
use crate::tree::Node;
use crate::{EngineOptions, Grid, QueryError, ReadOptions, planner};

/// Higher trees are not looked at: this is done on threads whose stacks are small.
const HEIGHT_MAX: usize = 100;

/// What a query would read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reach {
    /// Of each selector the matchers, and the times outside of which it reads nothing.
    pub selects: Vec<(Arc<[Matcher]>, TimeRange)>,
    /// Each selector's samples become fewer on their way to the answer: by an aggregation, a function of a range of two steps
    /// or more, or because one instant of them shows.
    pub shrinks: bool,
}

/// What `expr` at the steps of `times` would read, in the way of `read`; `None` where its data decides that.
///
/// # Errors
/// [`QueryError`], as the evaluation would give it before it reads data.
pub fn reach(
    expr: &Expr,
    times: Grid,
    read: &ReadOptions,
    options: &EngineOptions,
) -> Result<Option<Reach>, QueryError> {
    if is_higher(expr, HEIGHT_MAX) {
        return Ok(None);
    }
    let root = planner::plan(expr, times, options)?;
    let lookback_ms = if read.lookback_ms > 0 { read.lookback_ms } else { options.lookback_ms };
    // Of downsampled data the windows around the times count too, and the chunks in which these are.
    let is_raw = read.max_resolution_ms <= 0 && !read.auto_resolution;
    let around_ms = if is_raw { 0 } else { 4 * Resolution::COARSEST.ms() };
    let mut search = Search { selects: Vec::new(), shrinks: true, is_known: true, lookback_ms, around_ms };
    if let Some(node) = root.node() {
        search.visit(node, times, false);
    }
    let Search { selects, shrinks, is_known, .. } = search;
    Ok(is_known.then_some(Reach { selects, shrinks }))
}

/// Whether the answer at a step depends on which other steps the query has.
pub fn depends_on_steps(expr: &Expr) -> bool {
    let mut depends = false;
    walk(expr, &mut |node| {
        let pinned = |at: Option<At>| matches!(at, Some(At::Start | At::End));
        depends |= match node {
            Expr::Vector(v) => pinned(v.at) || of_range(&v.offset),
            Expr::Matrix(m) => pinned(m.vector.at) || of_range(&m.vector.offset) || of_range(&m.range),
            Expr::Subquery(s) => {
                pinned(s.at) || of_range(&s.offset) || of_range(&s.range) || s.step.as_ref().is_some_and(of_range)
            }
            Expr::Call(call) => matches!(call.function.name, "start" | "end" | "range"),
            _ => false,
        };
    });
    depends
}

/// Whether the length of the query's whole range is part of a length of time.
fn of_range(duration: &DurationExpr) -> bool {
    match duration {
        DurationExpr::Range => true,
        DurationExpr::Literal(_) | DurationExpr::Number(_) | DurationExpr::Step => false,
        DurationExpr::Paren(inner) | DurationExpr::Whole(inner, _) => of_range(inner),
        DurationExpr::Sign { expr, .. } => of_range(expr),
        DurationExpr::MinOf(a, b) | DurationExpr::MaxOf(a, b) => of_range(a) || of_range(b),
        DurationExpr::Binary { lhs, rhs, .. } => of_range(lhs) || of_range(rhs),
    }
}

fn is_higher(expr: &Expr, levels: usize) -> bool {
    levels == 0 || expr.children().any(|child| is_higher(child, levels - 1))
}

struct Search {
    selects: Vec<(Arc<[Matcher]>, TimeRange)>,
    shrinks: bool,
    is_known: bool,
    lookback_ms: i64,
    around_ms: i64,
}

impl Search {
    /// `shrinks`: what stands around makes fewer samples of those of `node`.
    fn visit(&mut self, node: Node<'_>, grid: Grid, shrinks: bool) {
        let few = |range_ms: i64| grid.steps() <= 1 || range_ms / 2 >= grid.step_ms;
        let shrinks_below = match node {
            Node::Vector(Plan::Select(s) | Plan::SampleTime(s, _)) => {
                return self.select(s, grid, 0, shrinks || grid.steps() <= 1);
            }
            Node::Vector(Plan::Matrix(s, range_ms)) => return self.select(s, grid, *range_ms, shrinks),
            Node::Vector(Plan::Subquery(s)) => {
                let inside = subquery_grid(grid, s.at_ms, s.offset_ms, s.range_ms, s.step_ms);
                return self.visit(Node::Vector(&s.inner), inside, shrinks);
            }
            Node::Vector(Plan::Range(r)) => {
                match &r.input {
                    RangeInput::Select(s, range_ms) => self.select(s, grid, *range_ms, shrinks || few(*range_ms)),
                    RangeInput::Subquery(s) => {
                        let inside = subquery_grid(grid, s.at_ms, s.offset_ms, s.range_ms, s.step_ms);
                        self.visit(Node::Vector(&s.inner), inside, shrinks || few(s.range_ms));
                    }
                }
                r.args.iter().for_each(|arg| self.visit(Node::Scalar(arg), grid, true));
                return;
            }
            // Which series it reads follows from those of its argument.
            Node::Vector(Plan::Info(_)) => {
                self.is_known = false;
                return;
            }
            Node::Vector(Plan::Aggregate(_) | Plan::Absent(..)) | Node::Scalar(_) => true,
            Node::Vector(_) => shrinks,
        };
        node.children().into_iter().for_each(|child| self.visit(child, grid, shrinks_below));
    }

    /// An instant selector is one with a range of 0 ms.
    fn select(&mut self, s: &SelectPlan, grid: Grid, range_ms: i64, shrinks: bool) {
        // More than is read in most cases: what matters is that nothing is read outside.
        let before = range_ms.saturating_add(self.lookback_ms);
        let ahead = if s.smoothed || s.anchored { self.lookback_ms } else { 0 };
        let (first, last) = s.bounds(grid);
        let range = TimeRange::new(
            first.saturating_sub(before).saturating_sub(self.around_ms),
            last.saturating_add(ahead).saturating_add(self.around_ms),
        );
        self.shrinks &= shrinks;
        self.selects.push((s.matchers.clone(), range));
    }
}

#[cfg(test)]
mod tests {
    use promql_syntax::ParseOptions;

    use super::*;

    const TIMES: Grid = Grid { start_ms: 10_000_000, end_ms: 13_600_000, step_ms: 60_000 };

    fn of(query: &str, times: Grid, read: &ReadOptions) -> Option<Reach> {
        let expr = promql_syntax::parse_with(query, &ParseOptions::ALL).unwrap();
        reach(&expr, times, read, &EngineOptions::default()).unwrap()
    }

    fn ranges(query: &str) -> Vec<(i64, i64)> {
        let found = of(query, TIMES, &ReadOptions::default()).unwrap();
        found.selects.iter().map(|(_, range)| (range.min, range.max)).collect()
    }

    #[test]
    fn ranges_cover_windows_offsets_and_subqueries() {
        assert_eq!(ranges("a"), [(9_700_000, 13_600_000)]);
        assert_eq!(ranges("a offset 1h"), [(6_100_000, 10_000_000)]);
        assert_eq!(ranges("a offset -1h"), [(13_300_000, 17_200_000)]);
        assert_eq!(ranges("rate(a[10m]) / b @ 5"), [(9_100_000, 13_600_000), (-295_000, 5_000)]);
        assert_eq!(ranges("a @ end()"), [(13_300_000, 13_600_000)]);
        // From the first step of the subquery, which is a multiple of its own step.
        assert_eq!(ranges("max_over_time(sum(rate(a[5m]))[1h:1m] offset 1m)"), [(5_760_000, 13_500_000)]);
        assert_eq!(ranges("rate(a[5m] smoothed)"), [(9_400_000, 13_900_000)]);
        assert_eq!(ranges("1 + time()"), []);
        let read = ReadOptions { max_resolution_ms: 300_000, lookback_ms: 1_000_000, ..ReadOptions::default() };
        let range = of("a", TIMES, &read).unwrap().selects[0].1;
        assert_eq!((range.min, range.max), (9_000_000 - 14_400_000, 13_600_000 + 14_400_000));
        assert_eq!(of("info(a)", TIMES, &ReadOptions::default()), None);
        let deep = format!("{}a{}", "-(".repeat(60), ")".repeat(60));
        assert_eq!(of(&deep, TIMES, &ReadOptions::default()), None);
    }

    #[test]
    fn what_becomes_less() {
        for (query, range, instant) in [
            ("a", false, true),
            ("a[5m]", false, false),
            ("-rate(a[1m])", false, true),
            ("rate(a[2m])", true, true),
            ("sum(a)", true, true),
            ("sum(a) + b", false, true),
            ("sum(a) + on () group_left sum(b)", true, true),
            ("absent(a)", true, true),
            ("topk(3, a)", true, true),
            ("max_over_time(a[1h:1m])", true, true),
            ("max_over_time(sum(a)[1m:15s])", true, true),
            ("max_over_time(a[1m:15s])", false, true),
            ("vector(scalar(a))", true, true),
        ] {
            let shrinks = |times| of(query, times, &ReadOptions::default()).unwrap().shrinks;
            if !query.ends_with("m]") {
                assert_eq!(shrinks(TIMES), range, "{query}");
            }
            assert_eq!(shrinks(Grid::instant(10_000_000)), instant, "{query} at one instant");
        }
    }

    #[test]
    fn steps_that_depend_on_others() {
        let depends = |query: &str| depends_on_steps(&promql_syntax::parse_with(query, &ParseOptions::ALL).unwrap());
        for query in [
            "a @ start()",
            "sum(rate(a[5m] @ end()))",
            "max_over_time(a[5m:1m] @ end())",
            "a offset -range()",
            "rate(a[range()])",
            "rate(a[range() + 5m])",
            "a * end()",
            "a + start()",
            "vector(range())",
        ] {
            assert!(depends(query), "{query}");
        }
        for query in ["a @ 5", "rate(a[step()])", "sum(a) / time()", "a offset 5m", "vector(step())"] {
            assert!(!depends(query), "{query}");
        }
    }
}
