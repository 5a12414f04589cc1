//! Groups exchanged while they run. Time stands still but for what the tests do with it.

use std::sync::Arc;
use std::time::Duration;

use rules::Manager;
use storage::{AlertState, Ctx, RuleKind, RulesQuery, RulesSource};
use tokio_util::sync::CancellationToken;

use crate::world::{World, groups, settings};

/// The last errors of the rules of a file after one evaluation.
pub async fn errors_of(world: &World, text: &str) -> Vec<String> {
    let manager = Arc::new(Manager::new(world.options.clone(), world.deps.clone()));
    let mut specs = groups(text);
    specs[0].interval_ms = Some(50);
    manager.update(specs, settings()).await;
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let (manager, shutdown) = (manager.clone(), shutdown.clone());
        async move { manager.run(shutdown).await }
    });
    world.clock.advance(60);
    let shown = loop {
        let shown = manager.rules(&Ctx::background(), RulesQuery::default()).await.unwrap().value;
        if shown[0].rules.iter().all(|rule| rule.health != "unknown") {
            break shown;
        }
        world.clock.advance(1);
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    shutdown.cancel();
    running.await.unwrap();
    shown[0].rules.iter().map(|rule| rule.last_error.clone()).collect()
}

struct Running {
    world: World,
    manager: Arc<Manager>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start(world: World, text: &str) -> Self {
        let manager = Arc::new(Manager::new(world.options.clone(), world.deps.clone()));
        manager.update(groups(text), settings()).await;
        let shutdown = CancellationToken::new();
        let task = tokio::spawn({
            let (manager, shutdown) = (manager.clone(), shutdown.clone());
            async move { manager.run(shutdown).await }
        });
        Self { world, manager, shutdown, task }
    }

    async fn shown(&self, want: RulesQuery) -> Vec<storage::RuleGroup> {
        self.manager.rules(&Ctx::background(), want).await.unwrap().value
    }

    /// Moves the clock until a query gives something, with samples of `x` on the way.
    async fn until(&self, query: &str) -> Vec<String> {
        use model::Clock as _;
        for _ in 0..20_000 {
            let now = self.world.clock.now_ms();
            let found = self.world.query(query, now).await;
            if !found.is_empty() {
                return found;
            }
            self.world.clock.advance(20);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{query} never gives anything");
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

fn two_groups(extra: &str) -> String {
    format!(
        "groups:
- name: a
  interval: 100ms
  rules:
  - {{record: r, expr: vector(1)}}
  - {{alert: A, expr: vector(1), for: 1s{extra}}}
- name: b
  interval: 100ms
  rules:
  - {{record: gone, expr: vector(2)}}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn state_is_kept_and_what_is_gone_ends() {
    let running = Running::start(World::new(), &two_groups("")).await;
    running.until("ALERTS{alertstate=\"firing\"} and on() gone").await;
    let fired = running.world.query("ALERTS_FOR_STATE", model::Clock::now_ms(&*running.world.clock)).await;
    // An annotation is new: the alert goes on. The group b is gone.
    let changed = two_groups(", annotations: {x: y}");
    let changed = changed.split("- name: b").next().unwrap();
    running.manager.update(groups(changed), settings()).await;
    let shown = running.shown(RulesQuery::default()).await;
    assert_eq!(shown.len(), 1);
    let alert = shown[0].rules[1].alert.as_ref().unwrap();
    assert_eq!((alert.state, alert.alerts.len()), (AlertState::Firing, 1));
    running.until("r and on() (absent(gone))").await;
    let now = model::Clock::now_ms(&*running.world.clock);
    assert_eq!(running.world.query("ALERTS_FOR_STATE", now).await, fired);
    let metrics = running.world.metrics.encode();
    assert!(!metrics.contains("f.yml;b"), "{metrics}");
    running.stop().await;
}

/// What only `keep_firing_for` keeps is told apart from what still holds.
#[tokio::test(flavor = "multi_thread")]
async fn since_when_an_alert_is_kept() {
    let text =
        "groups: [{name: a, interval: 100ms, rules: [{alert: A, expr: vector(1) unless on() x, keep_firing_for: 1h}]}]";
    let running = Running::start(World::new(), text).await;
    running.until("ALERTS").await;
    let kept = async || {
        let shown = running.shown(RulesQuery::default()).await;
        let alert = &shown[0].rules[0].alert.as_ref().unwrap().alerts[0];
        alert.keep_firing_since_ns.map(|ns| (alert.state, ns / 1_000_000))
    };
    assert_eq!(kept().await, None);
    let ended_ms = model::Clock::now_ms(&*running.world.clock);
    running.world.append("x", ended_ms, 1.0).await;
    let mut found = None;
    testkit::wait_for("an alert that is kept", Duration::from_secs(60), async || {
        running.world.clock.advance(20);
        found = kept().await;
        found.is_some()
    })
    .await;
    let (state, since_ms) = found.unwrap();
    assert!(state == AlertState::Firing && since_ms >= ended_ms, "{since_ms} {ended_ms}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_shows() {
    let running = Running::start(World::new(), &two_groups(", keep_firing_for: 2s, labels: {a: b}")).await;
    running.until("ALERTS{alertstate=\"firing\"} and on() gone").await;
    let all = running.shown(RulesQuery::default()).await;
    let names: Vec<_> = all.iter().map(|group| (group.name.as_str(), group.rules.len(), group.interval_s)).collect();
    assert_eq!(names, [("a", 2, 0.1), ("b", 1, 0.1)]);
    let rule = &all[0].rules[1];
    let alert = rule.alert.as_ref().unwrap();
    assert_eq!((rule.name.as_str(), rule.query.as_str(), rule.health.as_str()), ("A", "vector(1)", "ok"));
    assert_eq!((alert.for_s, alert.keep_firing_for_s), (1.0, 2.0));
    assert_eq!(alert.alerts[0].labels.to_string(), "{a=\"b\", alertname=\"A\"}");
    assert_eq!(alert.alerts[0].value, "1e+00");
    assert!(rule.last_evaluation_ns.is_some() && all[0].last_evaluation_ns.is_some());
    let only = |want: RulesQuery| async {
        let groups = running.shown(want).await;
        groups.iter().flat_map(|g| g.rules.iter().map(|r| r.name.clone())).collect::<Vec<_>>()
    };
    assert_eq!(only(RulesQuery { kind: RuleKind::Alert, ..RulesQuery::default() }).await, ["A"]);
    assert_eq!(only(RulesQuery { kind: RuleKind::Record, ..RulesQuery::default() }).await, ["r", "gone"]);
    assert_eq!(only(RulesQuery { groups: vec!["b".to_owned()], ..RulesQuery::default() }).await, ["gone"]);
    assert_eq!(only(RulesQuery { names: vec!["r".to_owned()], ..RulesQuery::default() }).await, ["r"]);
    assert_eq!(
        only(RulesQuery { files: vec!["other".to_owned()], ..RulesQuery::default() }).await,
        Vec::<String>::new()
    );
    let matchers = vec![vec![labels::Matcher::equal("a", "b")]];
    assert_eq!(only(RulesQuery { matchers, ..RulesQuery::default() }).await, ["A"]);
    running.stop().await;
}
