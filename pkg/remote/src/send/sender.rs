//! Takes the rows of one shard, and sends them in requests one after the other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::client::{Failure, Written};
use super::metrics::Reason;
use super::queue::Shared;
use super::rows::{Counts, Row};
use super::shard::Shard;

/// Encoders whose memory is kept for the next requests.
const ENCODERS_KEPT: usize = 4;

/// The sender of one shard.
pub(super) struct Sender {
    pub shared: Arc<Shared>,
    pub shard: Arc<Shard>,
    /// Nothing more is taken of the shard.
    pub retired: CancellationToken,
}

impl Sender {
    /// Works until it is retired. What it has taken is sent by then, or left to the next start.
    pub async fn run(self) {
        let (max, deadline) = (self.shared.config.max_samples_per_send, self.shared.config.batch_send_deadline);
        let retired = self.retired.clone();
        retired
            .run_until_cancelled(async {
                loop {
                    match self.shard.take(max, deadline) {
                        Ok(rows) => self.deliver(rows).await,
                        Err(due) => self.wait(due).await,
                    }
                }
            })
            .await;
    }

    async fn wait(&self, due: Option<Instant>) {
        let filled = self.shard.filled.notified();
        match due {
            Some(due) => tokio::select! {
                () = filled => {}
                () = sleep_until(due) => {}
            },
            None => filled.await,
        }
    }

    /// Sends rows until they have arrived or are given up.
    async fn deliver(&self, mut rows: Vec<Row>) {
        let Some(last_index) = rows.last().map(|row| row.index) else { return };
        self.drop_old(&mut rows);
        if !rows.is_empty() {
            self.send(rows).await;
        }
        self.shard.settle(last_index);
        self.shared.room.notify_waiters();
        self.shared.store_cursor().await;
    }

    /// Sends rows, in parts where the receiver has had some of them in a life before: a receiver that checks the order
    /// refuses such a request whole, and what is new in it would be lost.
    async fn send(&self, rows: Vec<Row>) {
        let mut parts = vec![rows];
        while let Some(part) = parts.pop() {
            if let Some((first, rest)) = self.send_part(part).await {
                parts.extend([rest, first]);
            }
        }
    }

    /// Sends rows in one request; the halves of a request that is to be sent in parts.
    async fn send_part(&self, mut rows: Vec<Row>) -> Option<(Vec<Row>, Vec<Row>)> {
        let shared = self.shared.clone();
        let config = &shared.config;
        let mut backoff = config.min_backoff;
        let mut body = self.encode(&rows);
        for attempt in 0u32.. {
            let begin = Instant::now();
            let outcome = shared.client.post(body.bytes.clone(), attempt).await;
            shared.metrics.duration.observe(begin.elapsed().as_secs_f64());
            let (why, after) = match outcome {
                Ok(written) => {
                    shared.metrics.bytes.inc_by(body.bytes.len() as u64);
                    shared.metrics.without_metadata.inc_by(body.without_metadata);
                    self.arrived(&rows, written, begin.elapsed());
                    return None;
                }
                Err(Failure::Refused(why)) if rows.len() > 1 && shared.splits(&why) => {
                    let rest = rows.split_off(rows.len() / 2);
                    return Some((rows, rest));
                }
                Err(Failure::Refused(why)) => {
                    self.refused(&rows, &why);
                    return None;
                }
                Err(Failure::Again(why, after)) => (why, after),
            };
            self.failed(&rows, &why);
            sleep(after.unwrap_or(backoff)).await;
            backoff = (backoff * 2).min(config.max_backoff).max(Duration::from_millis(1));
            if self.drop_old(&mut rows) {
                if rows.is_empty() {
                    return None;
                }
                body = self.encode(&rows);
            }
        }
        None
    }

    fn encode(&self, rows: &[Row]) -> super::encode::Body {
        let shared = &self.shared;
        let families = shared.families.read().clone();
        let mut encoder = shared.encoders.lock().pop().unwrap_or_default();
        let body = encoder.encode(shared.config.message, rows, &shared.rewrites, &shared.table, &families);
        let mut spare = shared.encoders.lock();
        if spare.len() < ENCODERS_KEPT {
            spare.push(encoder);
        }
        body
    }

    /// Drops rows that are older than is allowed; whether there were any.
    fn drop_old(&self, rows: &mut Vec<Row>) -> bool {
        let Some(oldest_ms) = self.shared.oldest_ms() else { return false };
        let mut old = Counts::default();
        rows.retain(|row| {
            let keep = row.time_ms >= oldest_ms;
            if !keep {
                old.add(&row.value);
            }
            keep
        });
        self.shared.metrics.dropped(Reason::TooOld, old);
        old != Counts::default()
    }

    fn arrived(&self, rows: &[Row], written: Written, took: Duration) {
        let (shared, counts) = (&self.shared, Counts::of(rows));
        shared.pace.sent(rows.len(), took);
        let written = written.unwrap_or(counts);
        let lost = |sent: u64, written: u64| sent.saturating_sub(written);
        let lost = Counts {
            floats: lost(counts.floats, written.floats),
            histograms: lost(counts.histograms, written.histograms),
            exemplars: lost(counts.exemplars, written.exemplars),
        };
        shared.metrics.sent(counts);
        if lost != Counts::default() {
            shared.metrics.failed(lost);
            shared.tell(|times| {
                tracing::error!(
                    remote_name = shared.name,
                    url = shared.url,
                    times,
                    samples = lost.floats,
                    histograms = lost.histograms,
                    exemplars = lost.exemplars,
                    "the remote storage has not written all of a request that it took"
                );
            });
        }
        let newest_ms = rows.iter().map(|row| row.time_ms).max().unwrap_or(0);
        let before = shared.highest_sent_ms.fetch_max(newest_ms, Ordering::Relaxed);
        shared.metrics.highest_sent.set(before.max(newest_ms) as f64 / 1000.0);
    }

    fn refused(&self, rows: &[Row], why: &str) {
        let (shared, counts) = (&self.shared, Counts::of(rows));
        shared.metrics.failed(counts);
        shared.pace.refused();
        shared.tell(|times| {
            tracing::error!(
                remote_name = shared.name,
                url = shared.url,
                why,
                times,
                rows = rows.len(),
                "the remote storage refuses a request: its samples are dropped"
            );
        });
    }

    fn failed(&self, rows: &[Row], why: &str) {
        let shared = &self.shared;
        shared.metrics.retried(Counts::of(rows));
        shared.pace.failed();
        shared.tell(|times| {
            tracing::warn!(
                remote_name = shared.name,
                url = shared.url,
                why,
                times,
                "a request to the remote storage failed, it is sent again; what follows waits in the write-ahead log"
            );
        });
    }
}
