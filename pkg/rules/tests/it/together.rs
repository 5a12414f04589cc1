//! Rules that are evaluated together give what they give one by one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
use promql::{Answers, Evaluate, Query, QueryError, QueryResult};
use proptest::prelude::*;
use storage::{Budget, Ctx};

use crate::world::{MINUTE, World};

/// Says that each query took a second, so that no rule is evaluated together with others; or counts those that are.
#[derive(Debug)]
struct Told {
    inside: Arc<dyn Evaluate>,
    slow: bool,
    alone: AtomicUsize,
    together: AtomicUsize,
}

impl Evaluate for Told {
    fn evaluate(&self, ctx: &Ctx, query: Query) -> BoxFuture<'static, Result<QueryResult, QueryError>> {
        self.alone.fetch_add(1, Ordering::Relaxed);
        let (answer, slow) = (self.inside.evaluate(ctx, query), self.slow);
        Box::pin(async move {
            let mut answer = answer.await?;
            answer.stats.eval_seconds = if slow { 1.0 } else { 0.0 };
            Ok(answer)
        })
    }

    fn evaluate_all(&self, ctx: &Ctx, queries: Vec<Query>) -> BoxFuture<'static, Answers> {
        assert!(!self.slow && queries.len() > 1);
        self.together.fetch_add(queries.len(), Ordering::Relaxed);
        self.inside.evaluate_all(ctx, queries)
    }
}

/// A world in which queries are told to be slow or quick.
fn world(slow: bool) -> (World, Arc<Told>) {
    let mut world = World::new();
    let told = Arc::new(Told {
        inside: world.deps.evaluator.clone(),
        slow,
        alone: AtomicUsize::new(0),
        together: AtomicUsize::new(0),
    });
    world.deps.evaluator = told.clone();
    (world, told)
}

/// All series after each of four evaluations, what was told to Alertmanagers, and the errors of rules.
async fn outcome(world: &World, text: &str) -> Vec<Vec<String>> {
    let mut group = world.group(text);
    let mut all = Vec::new();
    for round in 1..=4 {
        for (i, value) in [1.0, 2.0, 4.0].into_iter().enumerate() {
            // A series comes, and one goes.
            if (round != 1 || i != 1) && (round < 3 || i != 2) {
                world.append(&format!("x{{i=\"{i}\"}}"), round * MINUTE, value * round as f64).await;
            }
        }
        group.evaluate(round * MINUTE).await;
        all.push(world.query("{__name__!=\"\"}", round * MINUTE).await);
        all.push(world.alerts());
        all.push(group.rule_errors().into_iter().map(|(rule, error)| format!("{rule} {error}")).collect());
    }
    all
}

const EXPRESSIONS: [&str; 9] = [
    "x",
    "sum(x)",
    "x > 3",
    "a + b",
    "a or c",
    "count({__name__=~\"a|b|c\"})",
    "label_replace(x, \"i\", \"same\", \"\", \"\")",
    "b offset 1m",
    "ALERTS",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn as_one_by_one(rules in prop::collection::vec((0usize..6, 0..EXPRESSIONS.len()), 1..12)) {
        let names = ["a", "b", "c", "d", "Alert", "Other"];
        let mut text = "groups:\n- name: g\n  rules:\n".to_owned();
        for (name, expr) in rules {
            let kind = if name > 3 { "alert" } else { "record" };
            text += &format!("  - {kind}: {}\n    expr: '{}'\n", names[name], EXPRESSIONS[expr]);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let of = |slow| runtime.block_on(async { outcome(&world(slow).0, &text).await });
        prop_assert_eq!(of(false), of(true), "{}", text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cheap_rules_are_evaluated_together_from_the_second_time_on() {
    let mut text = "groups:\n- name: g\n  rules:\n".to_owned();
    (0..20).for_each(|n| text += &format!("  - {{record: 'r{n}', expr: 'sum(x) + {n}'}}\n"));
    let (world, told) = world(false);
    world.append("x", MINUTE, 1.0).await;
    let mut group = world.group(&text);
    group.evaluate(MINUTE).await;
    assert_eq!(told.together.load(Ordering::Relaxed), 0, "nothing is known of them");
    group.evaluate(2 * MINUTE).await;
    assert_eq!(told.together.load(Ordering::Relaxed), 20);
    assert_eq!(world.query("count({__name__=~\"r.+\"})", 2 * MINUTE).await, ["{} 20"]);
    assert_eq!(world.query("sum({__name__=~\"r.+\"})", 2 * MINUTE).await, ["{} 210"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_beside_others_is_evaluated_alone() {
    let (mut world, told) = world(false);
    let budget = Budget::new("rules", "--limits.rule-memory", 300 << 10, None);
    world.deps.budget = budget.clone();
    for i in 0..700 {
        world.append(&format!("x{{i=\"{i}\"}}"), 0, 1.0).await;
    }
    let mut text = "groups:\n- name: g\n  rules:\n".to_owned();
    (0..6).for_each(|n| text += &format!("  - {{record: 'r{n}', expr: 'x + {n}'}}\n"));
    let mut group = world.group(&text);
    group.evaluate(MINUTE).await;
    assert_eq!((told.alone.load(Ordering::Relaxed), told.together.load(Ordering::Relaxed)), (6, 0));
    group.evaluate(2 * MINUTE).await;
    assert!(told.alone.load(Ordering::Relaxed) > 6 && told.together.load(Ordering::Relaxed) == 6);
    assert_eq!(group.rule_errors(), []);
    assert_eq!(world.query("count({__name__=~\"r.+\"})", 2 * MINUTE).await, ["{} 4200"]);
    assert_eq!(budget.used_bytes(), 0);
}
