//! Recording rules.

use crate::world::{MINUTE, World};

const SUMS: &str = "
groups:
- name: g
  labels: {team: a}
  rules:
  - record: sum:up
    expr: sum by (job) (up)
    labels: {kind: sum}
  - record: n
    expr: 1 + 1
  - record: double
    expr: sum:up * 2
";

#[tokio::test(flavor = "multi_thread")]
async fn results_are_recorded_and_seen_by_later_rules() {
    let world = World::new();
    world.append("up{job=\"x\",instance=\"1\"}", 0, 1.0).await;
    world.append("up{job=\"x\",instance=\"2\"}", 0, 1.0).await;
    let mut group = world.group(SUMS);
    group.evaluate(MINUTE).await;
    let recorded = world.query("{team=\"a\"}", MINUTE).await;
    assert_eq!(
        recorded,
        [
            "{__name__=\"double\", job=\"x\", kind=\"sum\", team=\"a\"} 4",
            "{__name__=\"n\", team=\"a\"} 2",
            "{__name__=\"sum:up\", job=\"x\", kind=\"sum\", team=\"a\"} 2",
        ]
    );
    assert_eq!(world.query("timestamp(n)", MINUTE).await, ["{team=\"a\"} 60"]);
    let metrics = world.metrics.encode();
    for line in [
        "prometheus_rule_evaluations_total{rule_group=\"f.yml;g\"} 3",
        "prometheus_rule_group_last_evaluation_samples{rule_group=\"f.yml;g\"} 3.0",
        "prometheus_rule_group_rules{rule_group=\"f.yml;g\"} 3.0",
        "prometheus_rule_group_interval_seconds{rule_group=\"f.yml;g\"} 60.0",
        "prometheus_rule_evaluation_duration_seconds_count 3",
        "prometheus_rule_evaluation_duration_seconds{quantile=\"0.99\"} ",
        "prometheus_rule_evaluation_duration_histogram_seconds_count 3",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn series_that_are_gone_end_with_a_stale_marker() {
    let world = World::new();
    let mut group = world.group("groups: [{name: g, rules: [{record: r, expr: 'x > 0'}]}]");
    world.append("x{i=\"1\"}", 0, 1.0).await;
    world.append("x{i=\"2\"}", 0, 1.0).await;
    group.evaluate(MINUTE).await;
    assert_eq!(world.query("count(r)", MINUTE).await, ["{} 2"]);
    world.append("x{i=\"2\"}", MINUTE + 1, 0.0).await;
    group.evaluate(2 * MINUTE).await;
    assert_eq!(world.query("r", 2 * MINUTE).await, ["{__name__=\"r\", i=\"1\"} 1"]);
    // It comes back.
    world.append("x{i=\"2\"}", 2 * MINUTE + 1, 5.0).await;
    group.evaluate(3 * MINUTE).await;
    assert_eq!(world.query("r{i=\"2\"}", 3 * MINUTE).await, ["{__name__=\"r\", i=\"2\"} 5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_moves_question_and_answer() {
    let world = World::new();
    let mut group = world
        .group("groups: [{name: g, query_offset: 1m, rules: [{record: r, expr: 'x'}, {record: t, expr: time()}]}]");
    world.append("x", MINUTE, 1.0).await;
    world.append("x", 2 * MINUTE, 2.0).await;
    group.evaluate(2 * MINUTE).await;
    assert_eq!(world.query("timestamp(r) * 0 + r", MINUTE).await, ["{} 1"]);
    assert_eq!(world.query("t", MINUTE).await, ["{__name__=\"t\"} 60"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_cost_the_rule_alone_and_are_told() {
    let world = World::new();
    for i in 0..3 {
        world.append(&format!("x{{i=\"{i}\"}}"), 0, 1.0).await;
    }
    let text = "
groups:
- name: g
  limit: 2
  rules:
  - {record: many, expr: x}
  - {record: same, expr: x, labels: {i: ''}}
  - {record: joined, expr: x + on() group_left x}
  - {record: fine, expr: sum(x)}
";
    let mut group = world.group(text);
    group.evaluate(MINUTE).await;
    assert_eq!(world.query("{__name__=~\"many|same|joined|fine\"}", MINUTE).await, ["{__name__=\"fine\"} 3"]);
    let metrics = world.metrics.encode();
    assert!(metrics.contains("prometheus_rule_evaluation_failures_total{rule_group=\"f.yml;g\"} 3"), "{metrics}");
    let errors = crate::reload::errors_of(&world, text).await;
    assert_eq!(errors[0], "exceeded limit of 2 with 3 series");
    assert_eq!(errors[1], "vector contains metrics with the same labelset after applying rule labels");
    assert!(errors[2].contains("many-to-many") || errors[2].contains("duplicate series"), "{}", errors[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_refuses_is_counted() {
    let world = World::new();
    world.append("x", 0, 1.0).await;
    world.append("r", 5 * MINUTE, 1.0).await;
    let mut group = world.group("groups: [{name: g, rules: [{record: r, expr: x}]}]");
    group.evaluate(MINUTE).await;
    let metrics = world.metrics.encode();
    assert!(metrics.contains("aion_rule_samples_dropped_total{rule_group=\"f.yml;g\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_beside_one_another_give_the_same() {
    let text = "
groups:
- name: g
  rules:
  - {record: a, expr: x + 1}
  - {record: b, expr: x + 2}
  - {record: c, expr: a + b}
  - {record: d, expr: c * 2}
  - {record: a2, expr: x * 10}
";
    let mut results = Vec::new();
    for concurrent_max in [0, 4] {
        let mut world = World::new();
        world.options.concurrent_max = concurrent_max;
        world.append("x", 0, 1.0).await;
        let mut group = world.group(text);
        group.evaluate(MINUTE).await;
        results.push(world.query("{__name__=~\"a|b|c|d|a2\"}", MINUTE).await);
    }
    assert_eq!(results[0], results[1]);
    assert!(results[0].contains(&"{__name__=\"d\"} 10".to_owned()), "{results:?}");
}
