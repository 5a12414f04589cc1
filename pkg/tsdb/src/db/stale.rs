//! Series that have ended become blocks of their own and leave the head, once they are a large part of it: rollouts would
//! else fill the memory with what nobody writes any more, until the head is cut.

use std::sync::atomic::{AtomicU64, Ordering};

use model::TimeRange;
use tokio_util::sync::CancellationToken;

use super::blocks::Changing;
use super::cut::{of_head, until};
use super::error::{Error, Result};
use super::plan::STALE;
use super::tsdb::Tsdb;
use crate::head::StaleSeries;

/// The share of stale series from which on they leave, as the bits of a float; 0 = never.
#[derive(Debug, Default)]
pub(crate) struct StaleThreshold(AtomicU64);

impl StaleThreshold {
    pub(crate) fn set(&self, share: f64) {
        self.0.store(share.to_bits(), Ordering::Relaxed);
    }

    fn is_reached(&self, stale: usize, series: usize) -> bool {
        let share = f64::from_bits(self.0.load(Ordering::Relaxed));
        share > 0.0 && stale > 0 && stale as f64 >= share * series as f64
    }
}

impl Tsdb {
    /// From which share of stale series on, between 0 and 1, they are written to blocks early; 0 = never.
    pub fn set_stale_series_threshold(&self, share: f64) {
        self.stale_threshold.set(share);
    }

    /// Writes the series that have ended to blocks and removes them from the head, if they are as many as that takes.
    pub(crate) async fn cut_stale(&self, changing: &Changing<'_>, cancel: &CancellationToken) -> Result<()> {
        if !self.stale_threshold.is_reached(self.head.stale_series(), self.head.series()) {
            return Ok(());
        }
        let metrics = &self.blocks.metrics;
        metrics.stale_triggered.inc();
        let begin = tokio::time::Instant::now();
        let outcome = self.try_cut_stale(changing, cancel).await;
        metrics.stale_seconds.observe(begin.elapsed().as_secs_f64());
        if outcome.is_err() {
            metrics.stale_failed.inc();
        }
        outcome
    }

    async fn try_cut_stale(&self, changing: &Changing<'_>, cancel: &CancellationToken) -> Result<()> {
        let stale = self.head.stale();
        self.write_stale(&stale, cancel)?;
        self.blocks.reload(changing, self.head_bytes())?;
        self.blocks.deps.failpoints.hit("tsdb.stale.before_removal")?;
        if !self.readers_are_done().await {
            // They are in the head and in blocks, where readers find them once, and are tried again with the next round.
            return Ok(());
        }
        let (numbers, logged) = stale.remove();
        let removed = numbers.len();
        self.log.note_removed(numbers);
        *self.chunks_mark.lock() = Some(self.head.mark());
        self.blocks.deps.failpoints.hit("tsdb.stale.before_log")?;
        logged.await.map_err(|e| Error::Head(format!("write-ahead log: {}", e.message)))?;
        tracing::info!(series = removed, "series that had ended left the head");
        Ok(())
    }

    /// Blocks do not reach over multiples of their length.
    fn write_stale(&self, stale: &StaleSeries, cancel: &CancellationToken) -> Result<()> {
        let Some((min, max)) = stale.times() else { return Ok(()) };
        let length = self.blocks.options.block_ms.max(1);
        let mut begin = min.div_euclid(length).saturating_mul(length);
        while begin <= max {
            let end = begin.saturating_add(length);
            let series = stale.cut(begin, end).map(of_head);
            self.blocks.write(&self.blocks.dir, TimeRange::new(begin, end - 1), &[STALE], until(series, cancel))?;
            begin = end;
        }
        Ok(())
    }
}
