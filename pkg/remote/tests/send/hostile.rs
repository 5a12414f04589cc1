//! Storages that take a request and say nothing, name a date, refuse for ever; clocks that jump.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use labels::Labels;
use model::FakeClock;
use remote::send::QueueConfig;

use crate::logs::Log;
use crate::storages::Storage;
use crate::{Rig, queue, wait};

const HOUR_MS: i64 = 3_600_000;
/// `Sun, 06 Nov 1994 08:49:37 GMT`.
const NOW_MS: i64 = 784_111_777_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_behind_the_body_costs_no_sample() {
    let (storage, url) = Storage::start().await;
    storage.cuts.store(3, Ordering::SeqCst);
    let mut log = Log::new();
    let series = log.many(10);
    let rig = Rig::new(&log, vec![queue(&url)]);
    for time_ms in 1000..1005 {
        log.samples(&series, time_ms, 1.0);
    }
    let sent = || rig.metric("prometheus_remote_storage_samples_total{");
    wait("all samples to be counted", async || sent() == 50.0).await;
    // It cannot be known what was written: only the requests without an answer come twice.
    assert_eq!(storage.different(), 50);
    let (doubled, _) = storage.doubled();
    assert!(doubled <= 150 && storage.requests() >= 4, "{doubled} in {} requests", storage.requests());
    assert_eq!(rig.metric("prometheus_remote_storage_samples_failed_total{"), 0.0);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_date_says_when_to_come_again() {
    let (storage, url) = Storage::start().await;
    *storage.retry_after.lock() = Some("Sun, 06 Nov 1994 08:49:39 GMT".to_owned());
    storage.next(&[(429, None)]);
    let mut log = Log::new();
    let series = log.many(3);
    let busy = QueueConfig { retry_on_429: true, ..queue(&url) };
    let rig = Rig::at(&log, vec![busy], Labels::empty(), Arc::new(FakeClock::at(NOW_MS)));
    let begin = Instant::now();
    log.samples(&series, 1000, 1.0);
    wait("the samples", async || storage.samples() == 3).await;
    assert!(begin.elapsed() >= Duration::from_secs(2), "the longest pause would be 50 ms without Retry-After");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_refuses_for_ever_holds_nothing_up() {
    let (storage, url) = Storage::start().await;
    storage.answers(400);
    let mut log = Log::new();
    let series = log.many(50);
    let rig = Rig::new(&log, vec![QueueConfig { capacity: 200, max_samples_per_send: 100, ..queue(&url) }]);
    for time_ms in 0..200 {
        log.samples(&series, time_ms, 1.0);
    }
    let failed = || rig.metric("prometheus_remote_storage_samples_failed_total{");
    wait("all to be refused", async || failed() == 10_000.0).await;
    let behind = || rig.metric("aion_remote_write_log_behind_bytes{");
    wait("the end of the log", async || behind() == 0.0).await;
    // What is refused is not asked for again.
    assert!(storage.requests() <= 400, "{}", storage.requests());
    storage.answers(204);
    log.samples(&series, 1000, 1.0);
    wait("what follows", async || storage.samples() == 50).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_by_days_costs_no_sample() {
    let (storage, url) = Storage::start().await;
    let mut log = Log::new();
    let series = log.many(10);
    let clock = Arc::new(FakeClock::at(NOW_MS));
    let rig = Rig::at(&log, vec![queue(&url)], Labels::empty(), clock.clone());
    let mut sent = 0;
    for (n, hours) in [0, 49, -49, -49, 49].into_iter().enumerate() {
        clock.advance(hours * HOUR_MS);
        storage.next(&[(503, None)]);
        log.samples(&series, NOW_MS + n as i64 * HOUR_MS, 1.0);
        sent += 10;
        wait("the samples", async || storage.samples() == sent).await;
    }
    assert_eq!(storage.doubled(), (0, true));
    assert_eq!(rig.metric("prometheus_remote_storage_samples_dropped_total{"), 0.0);
    rig.end().await;
}
