//! Smaller cases that fail in the same way.

use promql::Grid;
use promql_syntax::{Expr, ParseOptions, parse_with, walk};

use crate::sides::{Case, Check, Sides};
use crate::world::World;

/// Tries of one kind.
const TRIES_MAX: usize = 150;

/// The smallest world and case found in which `check` still finds a difference.
pub async fn shrink(check: Check, world: World, seed: u64, case: Case) -> (World, Case) {
    let (mut world, mut case) = (world, case);
    let sides = Sides::of(&world, seed).await;
    let mut tries = 0;
    'smaller: while tries < TRIES_MAX {
        for candidate in smaller_queries(&case.query).into_iter().map(|query| Case { query, ..case.clone() }) {
            tries += 1;
            if fails(&sides, check, &candidate).await {
                case = candidate;
                continue 'smaller;
            }
        }
        break;
    }
    for step in 0..case.grid.steps() {
        let at = case.grid.time(step);
        let one = Case { grid: Grid { start_ms: at, end_ms: at, ..case.grid }, ..case.clone() };
        if fails(&sides, check, &one).await {
            case = one;
            break;
        }
    }
    // Series in halves, then one by one.
    let mut size = world.0.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < world.0.len() {
            let mut less = world.clone();
            less.0.drain(at..(at + size).min(world.0.len()));
            if fails(&Sides::of(&less, seed).await, check, &case).await {
                world = less;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    (world, case)
}

async fn fails(sides: &Sides, check: Check, case: &Case) -> bool {
    let plain = sides.plain(case).await;
    sides.difference(check, case, &plain).await.is_some()
}

/// Queries with a node replaced by one below it of the same type, the shortest first.
pub fn smaller_queries(query: &str) -> Vec<String> {
    let Ok(expr) = parse_with(query, &ParseOptions::ALL) else { return Vec::new() };
    let text = |e: &Expr| &query[e.span().start..e.span().end];
    let mut out = Vec::new();
    walk(&expr, &mut |outer| {
        walk(outer, &mut |inner| {
            if inner.value_type() == outer.value_type() && text(inner).len() < text(outer).len() {
                let (from, to) = (outer.span().start, outer.span().end);
                out.push(format!("{}{}{}", &query[..from], text(inner), &query[to..]));
            }
        });
    });
    out.sort_by_key(String::len);
    out.dedup();
    out
}
