//! Rules that give far more than anybody wants.

use storage::Budget;

use crate::world::{MINUTE, World};

const TEXT: &str = "
groups:
- name: g
  rules:
  - {record: many, expr: 'x'}
  - {record: product, expr: 'x * on() group_right label_replace(x, \"j\", \"$1\", \"i\", \"(.*)\")'}
  - {alert: Many, expr: 'x'}
  - {record: fine, expr: 'count(x)'}
";

async fn world(series: usize) -> World {
    let world = World::new();
    for i in 0..series {
        world.append(&format!("x{{i=\"{i}\"}}"), 0, 1.0).await;
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_gives_too_many_series_fails_alone() {
    let mut world = world(2000).await;
    world.options.series_max = 1000;
    let mut group = world.group(TEXT);
    group.evaluate(MINUTE).await;
    assert_eq!(world.query("{__name__=~\"many|fine|ALERTS\"}", MINUTE).await, ["{__name__=\"fine\"} 2000"]);
    let errors = group.rule_errors();
    let of = |name: &str| errors.iter().find(|(rule, _)| rule == name).map(|(_, error)| error.as_str());
    assert_eq!(of("many"), Some("exceeded limit of 1000 with 2000 series"));
    assert_eq!(of("Many"), Some("exceeded limit of 1000 with 2000 alerts"));
    assert_eq!(of("fine"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_whose_result_does_not_fit_is_refused_and_others_go_on() {
    let mut world = world(2000).await;
    let budget = Budget::new("rules", "--limits.rule-memory", 100 << 10, None);
    world.deps.budget = budget.clone();
    let mut group = world.group(TEXT);
    group.evaluate(MINUTE).await;
    assert_eq!(world.query("{__name__=~\"many|fine|ALERTS\"}", MINUTE).await, ["{__name__=\"fine\"} 2000"]);
    let errors = group.rule_errors();
    let of = |name: &str| errors.iter().find(|(rule, _)| rule == name).map_or("", |(_, error)| error.as_str());
    for wrong in ["many", "Many"] {
        assert!(of(wrong).contains("--limits.rule-memory"), "{errors:?}");
    }
    assert_eq!(of("fine"), "");
    assert_eq!(budget.used_bytes(), 0, "nothing is held between two evaluations");
    assert!(budget.peak_bytes() <= 100 << 10);
}
