//! A queue finds its place in the log again, whatever happened.

use std::time::Duration;

use labels::Labels;
use remote::send::QueueConfig;
use wal::Options;

use crate::logs::Log;
use crate::storages::Storage;
use crate::{Rig, queue, wait};

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_costs_no_sample_and_doubles_no_more_than_a_batch_of_each_shard() {
    let (storage, url) = Storage::start().await;
    storage.delay_ms.store(3, std::sync::atomic::Ordering::SeqCst);
    let mut log = Log::new();
    let series = log.many(300);
    let config = QueueConfig { min_shards: 3, max_shards: 3, max_samples_per_send: 50, ..queue(&url) };
    let (mut written, mut doubled) = (0, 0);
    for life in 0..5 {
        let rig = Rig::new(&log, vec![config.clone()]);
        for n in 0..20 {
            log.samples(&series, 1000 + life * 100 + n, 1.0);
            written += series.len();
        }
        let enough = written - 2000;
        wait("most samples", async || storage.different() >= enough).await;
        rig.die();
        let now = storage.doubled().0;
        assert!(now - doubled <= 3 * 50, "{} doubled by the kill before", now - doubled);
        doubled = now;
    }
    let rig = Rig::new(&log, vec![config]);
    wait("all samples", async || storage.different() == written).await;
    let now = storage.doubled().0;
    assert!(now - doubled <= 3 * 50, "{} doubled by the last kill", now - doubled);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_in_good_order_doubles_nothing() {
    let (storage, url) = Storage::start().await;
    let mut log = Log::new();
    let series = log.many(100);
    for life in 0..3 {
        let rig = Rig::new(&log, vec![queue(&url)]);
        log.samples(&series, 1000 + life, 1.0);
        // All of the log is sent before it ends.
        rig.end().await;
        assert_eq!(storage.samples(), 100 * (life as usize + 1));
    }
    assert_eq!(storage.doubled(), (0, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_queue_begins_with_what_is_new() {
    let (storage, url) = Storage::start().await;
    let mut log = Log::new();
    let series = log.many(5);
    log.samples(&series, 1000, 1.0);
    let rig = Rig::new(&log, vec![queue(&url)]);
    log.samples(&series, 2000, 1.0);
    wait("the new ones", async || storage.samples() == 5).await;
    assert!(storage.taken.lock().values().all(|times| times == &[2000]));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_what_changed_and_nothing_else() {
    let (storage, url) = Storage::start().await;
    let (kept, kept_url) = Storage::start().await;
    let mut log = Log::new();
    let series = log.many(10);
    let slow = QueueConfig { batch_send_deadline: Duration::from_secs(600), ..queue(&kept_url) };
    let with_query = |query: &str| queue(&format!("{url}?{query}"));
    let rig = Rig::new(&log, vec![with_query("a=1"), slow.clone()]);
    log.samples(&series, 1000, 1.0);
    wait("the first ones", async || storage.samples() == 10).await;
    storage.answers(500);
    log.samples(&series, 2000, 1.0);
    wait("failures", async || storage.requests() > 3).await;
    // Another query and other labels are the same queue: it goes on where it was.
    let external = Labels::from_pairs([("cluster", "c")]);
    let prepared = rig.sender.prepare(vec![slow.clone(), with_query("a=2")], Labels::empty()).unwrap();
    rig.sender.apply(prepared);
    let is_new = async || storage.came.lock().last().is_some_and(|came| came.uri.query() == Some("a=2"));
    wait("the queue with the other query", is_new).await;
    storage.answers(204);
    wait("the others", async || storage.samples() == 20).await;
    assert_eq!(storage.came.lock().last().unwrap().uri.query(), Some("a=2"));
    assert_eq!(storage.doubled(), (0, true));
    // What waits in the queue that stays has waited on.
    assert_eq!(kept.samples(), 0);
    let prepared = rig.sender.prepare(vec![with_query("a=2")], external).unwrap();
    rig.sender.apply(prepared);
    log.samples(&series, 3000, 1.0);
    wait("other labels", async || storage.taken.lock().contains_key("__name__=a,cluster=c,n=1")).await;
    assert!(rig.sender.prepare(vec![with_query("a=1"), with_query("a=2")], Labels::empty()).is_err());
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_cut_is_told() {
    let (storage, url) = Storage::start().await;
    storage.answers(500);
    let mut log = Log::new();
    let series = log.many(10);
    let small = QueueConfig { capacity: 10, max_samples_per_send: 10, ..queue(&url) };
    let rig = Rig::new(&log, vec![small]);
    for n in 0..10 {
        for _ in 0..10 {
            log.samples(&series, 1000 + n, 1.0);
        }
        log.cut();
        if n == 0 {
            // The queue is full of these: it has not read the others when they are gone.
            wait("failures", async || storage.requests() > 3).await;
        }
    }
    log.writer.truncate(8).unwrap();
    storage.answers(204);
    log.samples(&series, 9000, 1.0);
    wait("the newest", async || storage.taken.lock().values().all(|times| times.contains(&9000))).await;
    wait("the count", async || rig.metric("aion_remote_write_log_cut_total{") == 1.0).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn series_of_a_checkpoint_are_known() {
    let (storage, url) = Storage::start().await;
    let mut log = Log::new();
    let series = log.many(10);
    for n in 0..3 {
        log.cut();
        log.samples(&series, 1000 + n, 1.0);
    }
    let mut keep = |number: u64| number < 6;
    let request = wal::checkpoint::Request {
        segment: 2,
        min_time_ms: 5000,
        deleted_min_ms: 5000,
        keep: &mut keep,
        options: Options::default(),
    };
    wal::checkpoint::write(&log.dir(), request).unwrap();
    log.writer.truncate(3).unwrap();
    let rig = Rig::new(&log, vec![queue(&url)]);
    log.samples(&series, 9000, 1.0);
    wait("those that are known", async || storage.samples() == 5).await;
    let unknown = async || rig.metrics.encode().contains("reason=\"unintentionally_dropped_series\"} 5");
    wait("the count of the others", unknown).await;
    rig.end().await;
}
