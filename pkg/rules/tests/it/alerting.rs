//! Alerting rules.

use crate::world::{MINUTE, World};

const DOWN: &str = "
groups:
- name: g
  rules:
  - alert: Down
    expr: up == 0
    for: 2m
    keep_firing_for: 3m
    labels: {severity: page, where: '{{ $labels.instance }} of {{ $externalLabels.cluster }}'}
    annotations:
      summary: 'value {{ $value }} {{ with query \"up\" }}{{ . | len }}{{ end }}'
";

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_pending_then_fire_then_end() {
    let world = World::new();
    let mut group = world.group(DOWN);
    let up = "up{instance=\"a\"}";
    let alerts = |state: &str| {
        format!(
            "{{__name__=\"ALERTS\", alertname=\"Down\", alertstate=\"{state}\", instance=\"a\", severity=\"page\", where=\"a of eu\"}} 1"
        )
    };
    let labels = "{alertname=\"Down\", instance=\"a\", severity=\"page\", where=\"a of eu\"}";
    let summary = "{summary=\"value 0 1\"}";
    for minute in 0..12 {
        let value = if (1..5).contains(&minute) { 0.0 } else { 1.0 };
        let now = minute * MINUTE;
        world.append(up, now, value).await;
        group.evaluate(now).await;
        let want = match minute {
            1 | 2 => vec![alerts("pending")],
            // Up from the 5th on, it fires on for 3 minutes.
            3..=7 => vec![alerts("firing")],
            _ => vec![],
        };
        assert_eq!(world.query("ALERTS", now).await, want, "minute {minute}");
        let since = world.query("ALERTS_FOR_STATE", now).await;
        assert_eq!(since.len(), want.len());
        assert!(since.iter().all(|s| s.ends_with(" 60")), "{since:?}");
        // Sent again when more than the resend delay has passed; it ends in the 8th minute, which is told at once.
        let sent = world.alerts();
        match minute {
            0..=2 => assert_eq!(sent, Vec::<String>::new()),
            3 | 5 | 7 => assert_eq!(sent, [format!("{labels} {summary} 180 {}", minute * 60 + 240)], "minute {minute}"),
            4 | 6 => assert_eq!(sent, Vec::<String>::new(), "minute {minute}"),
            8 => assert_eq!(sent, [format!("{labels} {summary} 180 480")]),
            10 => assert_eq!(sent, [format!("{labels} {summary} 180 480")]),
            _ => assert_eq!(sent, Vec::<String>::new(), "minute {minute}"),
        }
    }
    // What has ended is told of for a quarter of an hour.
    for minute in 12..30 {
        world.append(up, minute * MINUTE, 1.0).await;
        group.evaluate(minute * MINUTE).await;
        assert_eq!(world.alerts().is_empty(), minute % 2 == 1 || minute > 23, "minute {minute}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_without_for_fires_at_once_and_links_to_its_expression() {
    let world = World::new();
    let mut group = world.group("groups: [{name: g, rules: [{alert: A, expr: 'vector(1) > 0'}]}]");
    group.evaluate(MINUTE).await;
    let taken = world.taken.0.lock().clone();
    assert_eq!(taken[0].generator_url, "http://prom/graph?g0.expr=vector%281%29+%3E+0&g0.tab=1");
    assert_eq!((taken[0].starts_at_ms, taken[0].ends_at_ms), (MINUTE, 5 * MINUTE));
    assert_eq!(taken[0].labels.to_string(), "{alertname=\"A\"}");
}

/// As templates of Alertmanager expect them.
#[tokio::test(flavor = "multi_thread")]
async fn empty_annotations_are_sent_and_empty_labels_are_none() {
    let world = World::new();
    let mut group = world.group(
        "groups: [{name: g, rules: [{alert: A, expr: vector(1), labels: {l: ''}, \
         annotations: {b: '', a: '{{ if false }}x{{ end }}'}}]}]",
    );
    group.evaluate(MINUTE).await;
    let taken = world.taken.0.lock().clone();
    assert_eq!(taken[0].annotations.to_string(), "{a=\"\", b=\"\"}");
    assert_eq!(taken[0].labels.to_string(), "{alertname=\"A\"}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_fails_does_not_cost_the_alert() {
    let world = World::new();
    let mut group = world.group(
        "groups: [{name: g, rules: [{alert: A, expr: vector(1), annotations: {x: '{{ query \"(\" }}', y: '{{ range 100000000 }}{{ end }}'}}]}]",
    );
    group.evaluate(MINUTE).await;
    let taken = world.taken.0.lock().clone();
    let text = taken[0].annotations.to_string();
    assert!(text.contains("<error expanding template: template: __alert_A:1:3: executing"), "{text}");
    assert!(text.contains("runs too long"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_alerts_are_none() {
    let world = World::new();
    for i in 0..3 {
        world.append(&format!("x{{i=\"{i}\"}}"), 0, 1.0).await;
    }
    let mut group = world.group("groups: [{name: g, limit: 2, rules: [{alert: A, expr: x}]}]");
    group.evaluate(MINUTE).await;
    assert_eq!(world.query("ALERTS", MINUTE).await, Vec::<String>::new());
    assert_eq!(world.alerts(), Vec::<String>::new());
    let errors = crate::reload::errors_of(&world, "groups: [{name: g, limit: 2, rules: [{alert: A, expr: x}]}]").await;
    assert_eq!(errors, ["exceeded limit of 2 with 3 alerts"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_that_become_the_same_are_refused() {
    let world = World::new();
    for i in 0..2 {
        world.append(&format!("x{{i=\"{i}\"}}"), 0, 1.0).await;
    }
    let errors =
        crate::reload::errors_of(&world, "groups: [{name: g, rules: [{alert: A, expr: x, labels: {i: same}}]}]").await;
    assert_eq!(errors, ["vector contains metrics with the same labelset after applying alert labels"]);
}
