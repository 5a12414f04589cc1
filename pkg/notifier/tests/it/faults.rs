//! One Alertmanager that is dead, slow or refuses harms no other, and what each one gets is counted exactly.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use labels::Labels;
use model::{Clock, SystemClock};
use notifier::{NotifierConfig, NotifierOptions, Notify};
use relabel::parse_rules;

use crate::servers::Fake;
use crate::{Rig, alert, config, firing, options, set, snapshot};

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_one_harms_no_other() {
    let (good, good_at) = Fake::start(200).await;
    let (_hangs, hangs_at) = Fake::start(0).await;
    let (fails, fails_at) = Fake::start(500).await;
    let (_refuses, refuses_at) = Fake::start(400).await;
    // Nobody listens there.
    let gone_at = format!("127.0.0.1:{}", testkit::free_port().unwrap());
    let all = [&good_at, &hangs_at, &fails_at, &refuses_at, &gone_at].map(String::clone);
    let small = NotifierOptions { queue_capacity: 600, batch_size: 64, ..options() };
    let rig = Rig::new(small, config(vec![set(0, "", "")]), &[&all]);
    rig.active(5).await;
    for n in 0..10 {
        rig.notifier.notify(firing(n * 100..(n + 1) * 100));
        rig.counts("sent_total", &good_at, (n as u64 + 1) * 100).await;
    }
    assert_eq!(good.names(), 1000);
    assert!(good.taken.lock().values().all(|times| *times == 1));
    assert_eq!((rig.of("errors_total", &good_at), rig.of("dropped_total", &good_at)), (0, 0));
    rig.counts("dropped_total", &refuses_at, 1000).await;
    assert_eq!((rig.of("errors_total", &refuses_at), rig.of("sent_total", &refuses_at)), (1000, 0));
    for dead in [&hangs_at, &fails_at, &gone_at] {
        // All that there is no room for: the queue has 600, and a batch is under way.
        let (dropped, waiting) = (rig.of("dropped_total", dead), rig.of("queue_length", dead));
        assert!((336..=400).contains(&dropped) && waiting == 600, "{dead}: {dropped} dropped, {waiting} wait");
    }
    fails.answers(200);
    let (dropped, begin) = (rig.of("dropped_total", &fails_at), rig.of("sent_total", &fails_at));
    assert_eq!(begin, 0);
    rig.counts("sent_total", &fails_at, 1000 - dropped).await;
    assert!(fails.taken.lock().values().all(|times| *times == 1), "nothing comes twice");
    assert_eq!(fails.names() as u64, 1000 - dropped);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_answers_are_waited_for() {
    let (slow, at) = Fake::start(200).await;
    slow.delay_ms.store(200, Ordering::SeqCst);
    let rig = Rig::new(options(), config(vec![set(0, "", "")]), &[std::slice::from_ref(&at)]);
    rig.active(1).await;
    rig.notifier.notify(firing(0..1000));
    rig.counts("sent_total", &at, 1000).await;
    assert_eq!(slow.requests.load(Ordering::SeqCst), 4);
    assert_eq!(rig.of("errors_total", &at), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_sent_at_the_end() {
    let (fake, at) = Fake::start(500).await;
    let slow = NotifierOptions { backoff_min: Duration::from_secs(600), ..options() };
    for drains in [true, false] {
        let rig = Rig::new(
            NotifierOptions { drain: drains, ..slow.clone() },
            config(vec![set(0, "", "")]),
            &[std::slice::from_ref(&at)],
        );
        rig.active(1).await;
        fake.answers(500);
        fake.taken.lock().clear();
        rig.notifier.notify(firing(0..300));
        let failed = async || rig.of("errors_total", &at) > 0;
        testkit::wait_for("a failure", Duration::from_secs(10), failed).await;
        fake.answers(200);
        let metrics = rig.end().await;
        assert_eq!(fake.names(), if drains { 300 } else { 0 });
        let dropped =
            format!("dropped_total{{alertmanager=\"http://{at}/api/v2/alerts\"}} {}", if drains { 0 } else { 300 });
        assert!(metrics.encode().contains(&dropped), "{}", metrics.encode());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_does_not_wait_for_one_that_hangs() {
    let (_hangs, at) = Fake::start(0).await;
    let rig = Rig::new(options(), config(vec![set(0, "", "")]), &[std::slice::from_ref(&at)]);
    rig.active(1).await;
    rig.notifier.notify(firing(0..300));
    tokio::time::timeout(Duration::from_secs(60), rig.end()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_fires_does_not_arrive_late_as_one_that_has_ended() {
    let (fake, at) = Fake::start(500).await;
    let rig = Rig::new(options(), config(vec![set(0, "", "")]), &[std::slice::from_ref(&at)]);
    rig.active(1).await;
    let now_ms = SystemClock.now_ms();
    rig.notifier.notify(vec![
        alert("short", now_ms + 300),
        alert("ended", now_ms - 10),
        alert("long", now_ms + 240_000),
    ]);
    rig.counts("dropped_total", &at, 1).await;
    fake.answers(200);
    rig.counts("sent_total", &at, 2).await;
    assert_eq!(fake.taken.lock().keys().collect::<Vec<_>>(), ["ended", "long"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_set_has_its_own_labels_and_credentials() {
    let (first, first_at) = Fake::start(200).await;
    let (second, second_at) = Fake::start(200).await;
    let rules = "- {target_label: added, replacement: first}\n- {regex: severity, action: labeldrop}";
    let common = "- {source_labels: [alertname], regex: alert-0, action: drop}";
    let sets = vec![set(0, "basic_auth: {username: me, password: secret}", rules), set(1, "", "")];
    let external_labels = Labels::from_pairs([("cluster", "a"), ("severity", "not this one")]);
    let alert_relabel = parse_rules(common).unwrap().into();
    let rig = Rig::new(
        options(),
        NotifierConfig { external_labels, alert_relabel, sets },
        &[std::slice::from_ref(&first_at), std::slice::from_ref(&second_at)],
    );
    rig.active(2).await;
    rig.notifier.notify(firing(0..2));
    rig.counts("sent_total", &first_at, 1).await;
    rig.counts("sent_total", &second_at, 1).await;
    let (uri, headers, alerts) = first.last.lock().take().unwrap();
    assert_eq!(uri.path(), "/api/v2/alerts");
    assert_eq!(headers["authorization"], "Basic bWU6c2VjcmV0");
    assert_eq!(headers["content-type"], "application/json");
    let labels = serde_json::json!({"alertname": "alert-1", "cluster": "a", "added": "first"});
    assert_eq!(alerts[0]["labels"], labels);
    let (_, headers, alerts) = second.last.lock().take().unwrap();
    assert!(!headers.contains_key("authorization"));
    let labels = serde_json::json!({"alertname": "alert-1", "cluster": "a", "severity": "page"});
    assert_eq!(alerts[0]["labels"], labels);
    assert_eq!(alerts[0]["annotations"]["summary"], "for a test: \"é\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_survive_a_change_of_the_configuration() {
    let (fake, at) = Fake::start(500).await;
    let (other, other_at) = Fake::start(200).await;
    let rig = Rig::new(options(), config(vec![set(0, "", "")]), &[std::slice::from_ref(&at)]);
    rig.active(1).await;
    rig.notifier.notify(firing(0..500));
    // Another set comes before it.
    rig.notifier.apply(config(vec![set(0, "", ""), set(1, "", "")]));
    rig.snapshots.send_replace(Arc::new(snapshot(&[std::slice::from_ref(&other_at), std::slice::from_ref(&at)])));
    rig.active(2).await;
    fake.answers(200);
    rig.counts("sent_total", &at, 500).await;
    assert_eq!((fake.names(), other.names()), (500, 0));
    // One that goes is told of what waits, and leaves no metrics.
    rig.snapshots.send_replace(Arc::new(snapshot(&[&[], std::slice::from_ref(&at)])));
    rig.active(1).await;
    assert!(!rig.metrics.encode().contains(&other_at));
    assert!(rig.metrics.encode().contains("prometheus_notifications_alertmanagers_discovered 1"));
}
