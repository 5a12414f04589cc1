//! Storages that refuse, fail, are busy, hang.

use std::time::{Duration, Instant};

use model::{Clock, SystemClock};
use remote::send::QueueConfig;

use crate::logs::Log;
use crate::storages::Storage;
use crate::{Rig, queue, wait};

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_sent_again_and_what_is_refused_is_not() {
    for (first, sent, retried, failed) in [
        (vec![(500, None), (503, None)], 10, 20, 0),
        (vec![(400, None)], 0, 0, 10),
        (vec![(404, None)], 0, 0, 10),
        // As in Prometheus, 429 is no failure that is tried again unless it is configured.
        (vec![(429, None)], 0, 0, 10),
    ] {
        let (storage, url) = Storage::start().await;
        let mut log = Log::new();
        let series = log.many(10);
        storage.next(&first);
        let rig = Rig::new(&log, vec![queue(&url)]);
        log.samples(&series, 1000, 1.0);
        wait("the requests", async || storage.requests() == first.len() + usize::from(sent > 0)).await;
        let counted = async || {
            rig.metric("prometheus_remote_storage_samples_total{") == f64::from(sent)
                && rig.metric("prometheus_remote_storage_samples_retried_total{") == f64::from(retried)
                && rig.metric("prometheus_remote_storage_samples_failed_total{") == f64::from(failed)
        };
        wait("the counts", counted).await;
        assert_eq!(storage.samples(), sent as usize);
        let attempts: Vec<_> =
            storage.came.lock().iter().map(|came| came.header("retry-attempt").map(str::to_owned)).collect();
        let expected: Vec<_> = (0..attempts.len()).map(|attempt| (attempt > 0).then(|| attempt.to_string())).collect();
        assert_eq!(attempts, expected);
        // A refusal does not stop what follows.
        log.samples(&series, 2000, 1.0);
        wait("what follows", async || storage.samples() == sent as usize + 10).await;
        rig.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_new_in_a_request_that_is_partly_old_arrives() {
    let (storage, url) = Storage::start().await;
    let mut log = Log::new();
    let series = log.many(5);
    storage.checks_order.store(true, std::sync::atomic::Ordering::SeqCst);
    let rig = Rig::new(&log, vec![queue(&url)]);
    log.samples(&series, 3000, 1.0);
    wait("the first samples", async || storage.samples() == 5).await;
    // As a sender that was killed sends again what it does not know to have arrived.
    for time_ms in [1000, 2000, 4000, 5000] {
        log.samples(&series, time_ms, 1.0);
    }
    wait("the new samples", async || storage.samples() == 15).await;
    let failed = async || rig.metric("prometheus_remote_storage_samples_failed_total{") == 10.0;
    wait("the old ones to be counted", failed).await;
    assert_eq!(storage.doubled(), (0, true));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_refuses_the_order_for_ever_is_not_asked_for_every_sample() {
    let (storage, url) = Storage::start().await;
    let mut log = Log::new();
    let series = log.many(5);
    storage.checks_order.store(true, std::sync::atomic::Ordering::SeqCst);
    let rig = Rig::new(&log, vec![QueueConfig { max_samples_per_send: 10, ..queue(&url) }]);
    log.samples(&series, 1_000_000, 1.0);
    wait("the first samples", async || storage.samples() == 5).await;
    for time_ms in 0..200 {
        log.samples(&series, time_ms, 1.0);
    }
    let failed = async || rig.metric("prometheus_remote_storage_samples_failed_total{") == 1000.0;
    wait("the old ones to be counted", failed).await;
    // A hundred requests or somewhat more, and twenty that were split.
    assert!(storage.requests() < 400, "{}", storage.requests());
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_storage_says_when_to_come_again() {
    let (storage, url) = Storage::start().await;
    let mut log = Log::new();
    let series = log.many(3);
    storage.next(&[(429, Some(1)), (503, Some(1))]);
    let rig = Rig::new(&log, vec![QueueConfig { retry_on_429: true, ..queue(&url) }]);
    let begin = Instant::now();
    log.samples(&series, 1000, 1.0);
    wait("the samples", async || storage.samples() == 3).await;
    assert!(begin.elapsed() >= Duration::from_secs(2), "the longest pause would be 50 ms without Retry-After");
    assert_eq!(storage.doubled(), (0, true));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_costs_no_memory_and_no_sample() {
    let (storage, url) = Storage::start().await;
    let (other, other_url) = Storage::start().await;
    let mut log = Log::new();
    let series = log.many(500);
    storage.answers(503);
    let name = "small".to_owned();
    let small = QueueConfig { name, capacity: 1000, max_samples_per_send: 100, max_shards: 4, ..queue(&url) };
    let rig = Rig::new(&log, vec![small, queue(&other_url)]);
    for n in 0..200 {
        log.samples(&series, 1000 + n, 1.0);
        if n % 50 == 49 {
            log.cut();
        }
    }
    wait("the other storage", async || other.samples() == 100_000).await;
    let of = |metric: &str| rig.metric(&format!("{metric}{{remote_name=\"small\""));
    let pending = || of("prometheus_remote_storage_samples_pending");
    wait("a full queue", async || pending() >= 1000.0).await;
    // A shard's queue, and what its sender has taken; shards do not become more while requests fail.
    assert!(pending() <= 1100.0, "{}", pending());
    assert!(of("aion_remote_write_log_behind_bytes") > 100_000.0);
    assert_eq!(of("prometheus_remote_storage_shards"), 1.0);
    storage.answers(204);
    wait("all samples", async || storage.samples() == 100_000).await;
    assert_eq!((storage.doubled(), other.doubled()), ((0, true), (0, true)));
    let taken_in = rig.metric("prometheus_remote_storage_samples_in_total ");
    assert_eq!(taken_in, 100_000.0, "each sample once, whatever the number of queues");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_harms_no_other_and_ends_in_time() {
    let (hangs, url) = Storage::start().await;
    let (other, other_url) = Storage::start().await;
    hangs.answers(0);
    let mut log = Log::new();
    let series = log.many(10);
    let impatient = QueueConfig { timeout: Duration::from_millis(100), ..queue(&url) };
    let rig = Rig::new(&log, vec![impatient, queue(&other_url)]);
    log.samples(&series, 1000, 1.0);
    wait("the other one", async || other.samples() == 10).await;
    wait("three tries", async || hangs.requests() >= 3).await;
    hangs.answers(204);
    wait("the samples", async || hangs.samples() == 10).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_does_not_wait_for_one_that_is_away() {
    let (storage, url) = Storage::start().await;
    storage.answers(503);
    let mut log = Log::new();
    let series = log.many(10);
    let rig = Rig::new(&log, vec![queue(&url)]);
    log.samples(&series, 1000, 1.0);
    wait("a try", async || storage.requests() > 0).await;
    // The deadline for what is left would be 30 s; the log has it for the next life.
    tokio::time::timeout(Duration::from_secs(25), rig.end()).await.unwrap();
    storage.answers(204);
    let rig = Rig::new(&log, vec![queue(&url)]);
    wait("the samples", async || storage.samples() == 10).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_that_are_too_old_are_dropped_while_they_wait() {
    let (storage, url) = Storage::start().await;
    storage.answers(500);
    let mut log = Log::new();
    let series = log.many(4);
    let rig = Rig::new(&log, vec![QueueConfig { sample_age_limit: Duration::from_secs(3), ..queue(&url) }]);
    let now_ms = SystemClock.now_ms();
    // One is too old at once, two become so, the last one stays.
    log.samples(&series[..1], now_ms - 100_000, 1.0);
    log.samples(&series[1..3], now_ms, 1.0);
    log.samples(&series[3..], now_ms + 600_000, 1.0);
    let dropped = "prometheus_remote_storage_samples_dropped_total{";
    wait("the first to be dropped", async || rig.metric(dropped) >= 1.0).await;
    wait("the others to be dropped", async || rig.metric(dropped) == 3.0).await;
    storage.answers(204);
    wait("the last one", async || storage.samples() == 1).await;
    assert_eq!(storage.taken.lock().keys().collect::<Vec<_>>(), ["__name__=a,n=3"]);
    assert!(rig.metrics.encode().contains("reason=\"too_old\"} 3"));
    rig.end().await;
}
