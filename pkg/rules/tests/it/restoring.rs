//! The state of alerts after a restart.

use crate::world::{MINUTE, World};

const SLOW: &str = "
groups:
- name: g
  rules:
  - alert: Slow
    expr: x > 0
    for: 30m
    labels: {which: '{{ $labels.i }}'}
";

/// Evaluates from one minute to another, both included.
async fn evaluate(world: &World, group: &mut rules::Group, from: i64, to: i64) {
    for minute in from..=to {
        for i in 0..2 {
            world.append(&format!("x{{i=\"{i}\"}}"), minute * MINUTE, 1.0).await;
        }
        group.evaluate(minute * MINUTE).await;
    }
}

/// The first minute in which the alert fires.
async fn fires_at(world: &World, group: &mut rules::Group, from: i64) -> i64 {
    for minute in from..from + 60 {
        evaluate(world, group, minute, minute).await;
        let firing = world.query("count(ALERTS{alertstate=\"firing\"})", minute * MINUTE).await;
        if !firing.is_empty() {
            assert_eq!(firing, ["{} 2"]);
            return minute;
        }
    }
    panic!("it never fires");
}

/// Down after so many minutes of pending, back after so many more: when the alert fires.
async fn fires_after(pending: i64, outage: i64) -> i64 {
    let world = World::new();
    let mut group = world.group(SLOW);
    evaluate(&world, &mut group, 0, pending).await;
    drop(group);
    let back = pending + outage;
    let mut group = world.group_with(SLOW, false);
    evaluate(&world, &mut group, back, back + 1).await;
    assert_eq!(world.query("count_over_time(ALERTS[1m])", (back + 1) * MINUTE).await, Vec::<String>::new());
    group.restore((back + 1) * MINUTE).await;
    fires_at(&world, &mut group, back + 2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fired_fires_at_once() {
    assert_eq!(fires_after(31, 10).await, 43);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_about_to_fire_waits_for_the_grace_period() {
    // Restored in minute 36.
    assert_eq!(fires_after(25, 10).await, 46);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pending_goes_on_without_the_outage() {
    // 10 minutes were over; the outage counts from the last sample to the restoration in minute 21.
    assert_eq!(fires_after(10, 10).await, 41);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_long_outage_it_begins_anew() {
    assert_eq!(fires_after(25, 90).await, 25 + 90 + 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_had_ended_is_not_restored() {
    let world = World::new();
    let mut group = world.group(SLOW);
    evaluate(&world, &mut group, 0, 20).await;
    for i in 0..2 {
        world.append(&format!("x{{i=\"{i}\"}}"), 21 * MINUTE - 1, 0.0).await;
    }
    group.evaluate(21 * MINUTE).await;
    drop(group);
    let mut group = world.group_with(SLOW, false);
    evaluate(&world, &mut group, 25, 26).await;
    group.restore(26 * MINUTE).await;
    assert_eq!(fires_at(&world, &mut group, 27).await, 55);
}
