//! The thread that makes durable what was written.

use std::time::Duration;

use parking_lot::Mutex;

use super::metrics::LogMetrics;
use super::queue::Queue;
use super::write::Logs;

/// Works until the queue is closed. The lock is not held while the disk works.
pub(super) fn run(queue: &Queue, logs: &Mutex<Logs>, every: Duration, metrics: &LogMetrics) {
    while !queue.is_closed_within(every) {
        let unsynced = logs.lock().unsynced();
        let begin = tokio::time::Instant::now();
        let synced = unsynced.into_iter().try_for_each(wal::Unsynced::sync);
        metrics.sync_seconds.observe(begin.elapsed().as_secs_f64());
        if let Err(error) = synced {
            metrics.syncs_failed.inc();
            if let Some(times) = metrics.occasionally.count() {
                tracing::error!(%error, times, "the log cannot be made durable, it goes on in a new segment");
            }
            logs.lock().leave_segments();
        }
    }
}
