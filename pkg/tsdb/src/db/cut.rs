//! Blocks from the head: first what came in order, then what came late. What is in a block leaves the head when nobody
//! reads it there any more, and then the log.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::TimeRange;
use tokio_util::sync::CancellationToken;

use super::blocks::Changing;
use super::error::{Error, Result};
use super::plan::OUT_OF_ORDER;
use super::tsdb::Tsdb;
use crate::head::LateCut;
use crate::journal::Log;

/// Readers that are slower keep what they read in the head until a later round.
const READERS_WAIT: Duration = Duration::from_secs(30);

impl Tsdb {
    /// Whether the head is long enough for a block, as far as is known without asking each series.
    pub(crate) fn is_long(&self) -> bool {
        let Some((min, max)) = self.head.range() else { return false };
        self.spans_a_block(min.max(self.cut_until.load(Ordering::Acquire)), max)
    }

    /// A sample of the future (a clock that jumped) does not count: nothing of the present may be shut out because of it.
    fn spans_a_block(&self, min: i64, max: i64) -> bool {
        let options = &self.blocks.options;
        let latest = self.blocks.deps.clock.now_ms().saturating_add(options.head.ahead_max_ms);
        max.min(latest).saturating_sub(min) > options.block_ms.max(1) / 2 * 3
    }

    /// The times of the next block from the head, the end exclusive; `None` while the head is short.
    fn next_cut(&self) -> Option<(i64, i64)> {
        // Late samples are older and do not count.
        let min = self.head.oldest_in_order()?;
        let (_, max) = self.head.range().filter(|(_, max)| self.spans_a_block(min, *max))?;
        let length = self.blocks.options.block_ms.max(1);
        let begin = min.div_euclid(length).saturating_mul(length);
        let end = begin.saturating_add(length);
        // Blocks that end within the range were made by others: the new one goes on where they end.
        let before = self.blocks.views.current().head_begins_ms().filter(|before| *before <= min);
        Some((before.map_or(begin, |before| before.max(begin)), end))
    }

    /// Makes blocks of the head while it is long enough, and drops what is in them.
    pub(crate) async fn cut_head(&self, changing: &Changing<'_>, cancel: &CancellationToken) -> Result<()> {
        if !self.truncate(changing).await? {
            return Ok(());
        }
        let mut any = false;
        while let Some((begin, end)) = self.next_cut() {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            any = true;
            self.head.settle_before(end).await;
            let series = self.head.cut(begin, end).map(of_head);
            let range = TimeRange::new(begin, end - 1);
            self.blocks.write(&self.blocks.dir, range, &[], until(series, cancel))?;
            self.blocks.reload(changing, self.head_bytes())?;
            *self.untruncated.lock() = Some(end);
            self.blocks.deps.failpoints.hit("tsdb.cut.before_truncate")?;
            if !self.truncate(changing).await? {
                return Ok(());
            }
        }
        if any { self.cut_late(changing, cancel).await } else { Ok(()) }
    }

    /// Drops from the head what is in blocks; false while somebody reads it there.
    async fn truncate(&self, _: &Changing<'_>) -> Result<bool> {
        let Some(end) = *self.untruncated.lock() else { return Ok(true) };
        if !self.readers_are_done().await {
            return Ok(false);
        }
        let gone = self.head.truncate(end);
        self.cut_until.fetch_max(end, Ordering::AcqRel);
        *self.chunks_mark.lock() = Some(self.head.mark());
        *self.untruncated.lock() = None;
        self.blocks.deps.failpoints.hit("tsdb.cut.before_log")?;
        let newest = self.head.range().map_or(end, |(_, max)| max.max(end));
        self.log.truncate(&self.journal, end, (gone.series_removed, newest), &|| self.head.numbers()).await?;
        Ok(true)
    }

    /// Makes blocks of the samples that came late. What comes while that goes on stays for the next time.
    async fn cut_late(&self, changing: &Changing<'_>, cancel: &CancellationToken) -> Result<()> {
        let failed = |e: crate::head::JournalError| Error::Head(format!("log of late samples: {}", e.message));
        let segment = self.journal.cut(Log::Wbl).await.map_err(failed)?;
        let late = self.head.cut_out_of_order().map_err(|e| Error::Head(e.to_string()))?;
        if late.times().is_none() {
            return self.log.truncate_late(segment);
        }
        self.write_late(&self.blocks.dir, &late, cancel)?;
        self.blocks.reload(changing, self.head_bytes())?;
        self.blocks.deps.failpoints.hit("tsdb.cut.before_late_truncate")?;
        if !self.readers_are_done().await {
            // The samples stay in the head too, and are made blocks of once more: those are merged.
            return Ok(());
        }
        late.finish();
        *self.chunks_mark.lock() = Some(self.head.mark());
        self.log.truncate_late(segment)
    }

    /// Writes blocks of late samples below `parent`.
    fn write_late(&self, parent: &Path, late: &LateCut, cancel: &CancellationToken) -> Result<()> {
        let Some((min, max)) = late.times() else { return Ok(()) };
        let length = self.blocks.options.block_ms.max(1);
        let mut begin = min.div_euclid(length).saturating_mul(length);
        while begin <= max {
            let end = begin.saturating_add(length);
            let series = late.range(begin, end).map(of_head);
            self.blocks.write(parent, TimeRange::new(begin, end - 1), &[OUT_OF_ORDER], until(series, cancel))?;
            begin = end;
        }
        Ok(())
    }

    /// Writes all of the head as blocks below `parent`; it stays in the head.
    pub(crate) fn write_head(&self, parent: &Path, cancel: &CancellationToken) -> Result<()> {
        let Some((min, max)) = self.head.range() else { return Ok(()) };
        let series = self.head.cut(min, max.saturating_add(1)).map(of_head);
        self.blocks.write(parent, TimeRange::new(min, max), &[], until(series, cancel))?;
        let late = self.head.cut_out_of_order().map_err(|e| Error::Head(e.to_string()))?;
        self.write_late(parent, &late, cancel)
    }

    /// Whether nobody reads the blocks and the head as they were before the last change of blocks.
    async fn readers_are_done(&self) -> bool {
        let done = tokio::time::timeout(READERS_WAIT, self.blocks.views.settled()).await.is_ok();
        if !done {
            tracing::warn!(
                seconds = READERS_WAIT.as_secs(),
                "a query reads the head for long: what is in blocks leaves the head later"
            );
        }
        done
    }
}

fn of_head<T>(next: storage::Result<T>) -> Result<T> {
    next.map_err(|e| Error::Head(e.to_string()))
}

/// The series of `all`, until `cancel`.
pub(crate) fn until<T>(
    all: impl Iterator<Item = Result<T>>,
    cancel: &CancellationToken,
) -> impl Iterator<Item = Result<T>> {
    all.map(move |next| if cancel.is_cancelled() { Err(Error::Cancelled) } else { next })
}
