//! The work in the background: full chunks to disk each second, and every now and then a round: blocks from the head,
//! blocks into longer ones, what is too old deleted.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::blocks::Changing;
use super::disk::dir_bytes;
use super::error::{Error, Result};
use super::tsdb::{CHUNKS_DIR, Tsdb};
use super::work::aside;
use crate::journal::{Log, log_dir};

/// After the first failure a round is tried again this soon; then twice as late each time.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// At the latest.
const RETRY_LAST: Duration = Duration::from_secs(60);

impl Tsdb {
    /// Works until `shutdown`.
    pub fn run(self: &Arc<Self>, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        let (mapping, rounds) = (self.clone(), self.clone());
        let (one, other) = (shutdown.clone(), shutdown);
        let both = async move {
            join(one.run_until_cancelled(mapping.map_chunks()), other.run_until_cancelled(rounds.rounds())).await;
        };
        Box::pin(both)
    }

    async fn map_chunks(self: Arc<Self>) {
        let failed = telemetry::Occasionally::minutely();
        loop {
            tokio::time::sleep(self.blocks.options.map_interval).await;
            self.note_oldest();
            let tsdb = self.clone();
            let done = aside(move |_| async move {
                tsdb.map_full_chunks().await?;
                Ok(tsdb.save_open_chunks().await)
            });
            let (error, what) = match done.await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => (error, "open chunks are not saved: a start after a kill would take longer"),
                Err(error) => (error, "full chunks stay in memory until they can be written"),
            };
            if let Some(times) = failed.count() {
                tracing::warn!(%error, times, "{what}");
            }
        }
    }

    /// Writes full chunks of the head to files.
    pub(crate) async fn map_full_chunks(&self) -> Result<()> {
        if !self.replay.borrow().chunks_read {
            return Ok(());
        }
        let _mapping = self.mapping.lock().await;
        let mapped = self.head.map_full_chunks(&*self.chunks).await;
        mapped.map(drop).map_err(Error::io("write chunks of the head in", &self.blocks.dir))
    }

    /// Removes files of chunks that are in blocks and that nobody reads any more.
    async fn remove_chunks(&self) -> Result<()> {
        let mark = *self.chunks_mark.lock();
        if !mark.is_some_and(|mark| self.head.is_past(mark)) {
            return Ok(());
        }
        let _mapping = self.mapping.lock().await;
        let dir = self.blocks.dir.join(CHUNKS_DIR);
        self.chunks.truncate(self.head.oldest_mapped()).map_err(Error::io("remove chunks in", &dir))?;
        *self.chunks_mark.lock() = None;
        Ok(())
    }

    async fn rounds(self: Arc<Self>) {
        let mut retry = RETRY_FIRST;
        let mut next = Instant::now();
        let mut earliest = next;
        loop {
            self.wait_for_round(earliest, next).await;
            match self.maintain().await {
                Ok(()) => {
                    retry = RETRY_FIRST;
                    next = Instant::now() + self.blocks.options.reload_interval;
                    // What could not be cut now cannot be cut at once.
                    earliest = if self.is_long() { next } else { Instant::now() };
                }
                Err(error) => {
                    tracing::error!(%error, retry_seconds = retry.as_secs(), "compaction failed and is tried again");
                    next = Instant::now() + retry;
                    earliest = next;
                    retry = (retry * 2).min(RETRY_LAST);
                }
            }
        }
    }

    /// Until `next`, or until the head is long enough for a block, but no earlier than `earliest`.
    async fn wait_for_round(&self, earliest: Instant, next: Instant) {
        loop {
            let now = Instant::now();
            if now >= next || now >= earliest && self.is_long() {
                return;
            }
            tokio::time::sleep_until(next.min(now + self.blocks.options.map_interval)).await;
        }
    }

    /// One round of the work on blocks.
    ///
    /// # Errors
    /// The first of the disk; the rest of the round is left for the next one.
    pub fn maintain(self: &Arc<Self>) -> BoxFuture<'static, Result<()>> {
        let tsdb = self.clone();
        aside(move |cancel| async move {
            let changing = tsdb.changing().await?;
            let metrics = &tsdb.blocks.metrics;
            metrics.compactions_triggered.inc();
            let outcome = tsdb.round(&changing, &cancel).await;
            match &outcome {
                Ok(()) => _ = metrics.last_success.set(tsdb.blocks.deps.clock.now_ms() as f64 / 1000.0),
                Err(Error::Cancelled | Error::Closed | Error::Merge(merge::Error::Cancelled)) => {}
                Err(_) => _ = metrics.compactions_failed.inc(),
            }
            tsdb.measure();
            outcome
        })
    }

    async fn round(&self, changing: &Changing<'_>, cancel: &CancellationToken) -> Result<()> {
        self.blocks.reload(changing, self.head_bytes())?;
        if self.unfinished().is_none() {
            self.remove_chunks().await?;
            self.cut_head(changing, cancel).await?;
            self.cut_stale(changing, cancel).await?;
        }
        if !self.blocks.options.compaction {
            self.blocks.metrics.compactions_skipped.inc();
            return Ok(());
        }
        self.blocks.merge_all(changing, self.head_bytes(), cancel, &|| self.is_long()).await
    }

    /// Waits until nobody else changes blocks.
    pub(crate) async fn changing(&self) -> Result<Changing<'_>> {
        let changing = self.blocks.changing().await;
        if self.closed.is_cancelled() { Err(Error::Closed) } else { Ok(changing) }
    }

    /// Bytes of the log and of the head's chunks on disk.
    pub(crate) fn head_bytes(&self) -> u64 {
        let [wal, wbl, chunks] = self.head_parts_bytes();
        wal + wbl + chunks
    }

    fn head_parts_bytes(&self) -> [u64; 3] {
        let dir = &self.blocks.dir;
        [log_dir(dir, Log::Wal), log_dir(dir, Log::Wbl), dir.join(CHUNKS_DIR)].map(|dir| dir_bytes(&dir))
    }

    fn measure(&self) {
        let [wal, wbl, chunks] = self.head_parts_bytes();
        self.blocks.metrics.wal_bytes.set((wal + wbl) as f64);
        self.blocks.metrics.head_chunks_bytes.set(chunks as f64);
        self.note_oldest();
    }

    /// Who stands beside a server asks for this before it serves its data.
    fn note_oldest(&self) {
        let oldest_ms = self.oldest_ms().unwrap_or(0) as f64;
        self.blocks.metrics.lowest_timestamp.set(oldest_ms);
        self.blocks.metrics.lowest_timestamp_seconds.set(oldest_ms / 1000.0);
    }
}
