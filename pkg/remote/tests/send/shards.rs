//! Shards follow the load, and the samples of each series stay in order.

use std::sync::atomic::Ordering;

use remote::send::QueueConfig;

use crate::logs::Log;
use crate::storages::Storage;
use crate::{Rig, queue, wait};

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_makes_shards_more() {
    let (storage, url) = Storage::start().await;
    storage.delay_ms.store(50, Ordering::SeqCst);
    let mut log = Log::new();
    let series = log.many(100);
    let rig =
        Rig::new(&log, vec![QueueConfig { max_samples_per_send: 100, capacity: 300, max_shards: 20, ..queue(&url) }]);
    for n in 0..1500 {
        log.samples(&series, 1000 + n, 1.0);
    }
    wait("more shards", async || rig.metric("prometheus_remote_storage_shards{") > 2.0).await;
    storage.delay_ms.store(0, Ordering::SeqCst);
    wait("all samples", async || storage.samples() == 150_000).await;
    assert_eq!(storage.doubled(), (0, true));
    rig.end().await;
}
