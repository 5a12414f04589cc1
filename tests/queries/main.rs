//! Random queries over random series: all the ways to answer one must say the same, and the real Prometheus too.
//!
//! `AION_QUERIES=<n>` asks so many queries of each world, `AION_QUERIES_WORLDS=<n>` makes so many worlds, and
//! `AION_QUERIES_SEED=<seed>` starts at the one that a failure named. `AION_PROMETHEUS_BIN` may be a Prometheus 3, which
//! is asked for native histograms and UTF-8 names as well.

mod answers;
mod grammar;
mod peer;
mod random;
mod replicas;
mod shrink;
mod sides;
mod world;

use promql::Grid;

use crate::grammar::Grammar;
use crate::random::Random;
use crate::sides::{Case, Sides, checks};
use crate::world::{Kinds, START_MS, TICK_MS, TICKS, World};

/// Failures after which a run ends.
const FAILURES_MAX: usize = 10;

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}: {text:?} is no number")),
        Err(_) => default,
    }
}

/// Steps within the data, and a little beyond both its ends. With `aligned` no step is where a sample may be.
fn grid(random: &mut Random, aligned: bool) -> Grid {
    let steps = 1 + random.below(9) as i64;
    let step_ms = *random.pick(&[15_000, 17_000, 60_000, 122_000]);
    let at = START_MS - 60_000 + random.below((TICKS * TICK_MS) as usize + 120_000) as i64;
    let start_ms = if aligned { at / 1000 * 1000 + 7 } else { at / 500 * 500 + 211 };
    Grid { start_ms, end_ms: start_ms + (steps - 1) * step_ms, step_ms }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_ways_to_answer_agree() {
    let (first, worlds) = (setting("AION_QUERIES_SEED", 1), setting("AION_QUERIES_WORLDS", 3));
    let (queries, mut failures, mut with_samples) = (setting("AION_QUERIES", 800), Vec::new(), 0);
    for seed in first..first + worlds {
        let world = World::new(seed, Kinds::All);
        let sides = Sides::of(&world, seed).await;
        let mut grammar = Grammar { random: Random(seed ^ 0x5eed), kinds: Kinds::All };
        let mut pick = Random(seed ^ 0xc4ec);
        for _ in 0..queries {
            let case = Case { query: grammar.query(), grid: grid(&mut grammar.random, false) };
            let plain = sides.plain(&case).await;
            with_samples += u64::from(plain.has_samples());
            for check in checks(&mut pick) {
                if failures.len() < FAILURES_MAX && sides.difference(check, &case, &plain).await.is_some() {
                    failures.push(told(seed, check, &world, case.clone()).await);
                    break;
                }
            }
        }
        assert!(sides.evaluated_at_store().await * 4.0 > queries as f64, "few queries went to the store");
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    // A grammar whose queries fail or find nothing tries nothing.
    assert!(with_samples * 2 > queries * worlds, "only {with_samples} of {} answers had samples", queries * worlds);
}

/// A failure with all that is needed to see it again.
async fn told(seed: u64, check: sides::Check, world: &World, case: Case) -> String {
    let asked = case.query.clone();
    let (world, case) = shrink::shrink(check, world.clone(), seed, case).await;
    let sides = Sides::of(&world, seed).await;
    let plain = sides.plain(&case).await;
    let difference = sides.difference(check, &case, &plain).await.unwrap_or_default();
    let (from, step) = (case.grid.start_ms - START_MS, case.grid.step_ms);
    format!(
        "{check:?}, seed {seed}: {}\n  at {from} ms, {} steps of {step} ms: {difference}\n  asked as {asked}\n{}",
        case.query,
        case.grid.steps(),
        world.read_by(&case.query).shown()
    )
}

#[test]
fn shrinking_keeps_types() {
    let smaller = shrink::smaller_queries("sum(rate(a[1m])) + 2 * b");
    for want in ["b", "rate(a[1m])", "sum(rate(a[1m]))", "sum(rate(a[1m])) + b"] {
        assert!(smaller.iter().any(|q| q == want), "{want}: {smaller:?}");
    }
}

#[test]
fn seeds_make_the_same() {
    let queries = |seed| {
        let mut g = Grammar { random: Random(seed), kinds: Kinds::All };
        (0..50).map(|_| g.query()).collect::<Vec<_>>()
    };
    assert_eq!(queries(7), queries(7));
    assert_ne!(queries(7), queries(8));
    assert_eq!(World::new(7, Kinds::All).to_string(), World::new(7, Kinds::All).to_string());
    for query in queries(9) {
        promql_syntax::parse_with(&query, &promql_syntax::ParseOptions::ALL).unwrap_or_else(|e| panic!("{query}: {e}"));
    }
}
