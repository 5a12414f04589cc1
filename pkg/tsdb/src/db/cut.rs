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
use super::retention::limit_bytes;
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
        let min = self.oldest_uncut()?;
        self.head.range().filter(|(_, max)| self.spans_a_block(min, *max))?;
        let length = self.blocks.options.block_ms.max(1);
        Some((self.block_begin(min, length), min.div_euclid(length).saturating_add(1).saturating_mul(length)))
    }

    /// Time of the oldest sample that is in no block. Late samples are older and do not count; chunks may begin before the
    /// end of a block that was cut early.
    fn oldest_uncut(&self) -> Option<i64> {
        let oldest = self.head.oldest_in_order()?;
        Some(oldest.max(self.cut_until.load(Ordering::Acquire)))
    }

    /// The same while the log and the head's chunks take more than half of what all files may: once they are in a block,
    /// older blocks can go instead.
    fn early_cut(&self) -> Option<(i64, i64)> {
        let retention = self.blocks.retention();
        let disk = || self.blocks.deps.disk.space(&self.blocks.dir).ok().map(|space| space.total_bytes);
        let disk_bytes = if retention.percentage > 0.0 { disk() } else { None };
        if self.head_bytes() <= limit_bytes(&retention, disk_bytes)? / 2 {
            return None;
        }
        let options = &self.blocks.options;
        let length = options.block_ms.max(4);
        let (min, (_, max)) = (self.oldest_uncut()?, self.head.range()?);
        let latest = self.blocks.deps.clock.now_ms().saturating_add(options.head.ahead_max_ms);
        // Nothing before this may come in order any more.
        let floor = max.min(latest).saturating_sub(length / 2);
        let begin = self.block_begin(min, length);
        let end = floor.min(min.div_euclid(length).saturating_add(1).saturating_mul(length));
        (end.saturating_sub(min) >= length / 4).then_some((begin, end))
    }

    /// Where a block with samples from `min` on begins: at a multiple of its length, or where the blocks before end.
    fn block_begin(&self, min: i64, length: i64) -> i64 {
        let begin = min.div_euclid(length).saturating_mul(length);
        let before = self.blocks.views.current().head_begins_ms().filter(|before| *before <= min);
        before.map_or(begin, |before| before.max(begin))
    }

    /// Makes blocks of the head while it is long enough, and drops what is in them.
    pub(crate) async fn cut_head(&self, changing: &Changing<'_>, cancel: &CancellationToken) -> Result<()> {
        if !self.truncate(changing).await? {
            return Ok(());
        }
        let mut any = false;
        while let Some((begin, end)) = self.next_cut().or_else(|| self.early_cut()) {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            any = true;
            if tokio::time::timeout(READERS_WAIT, self.head.settle_before(end)).await.is_err() {
                tracing::warn!("a transaction is open for long: the head is made a block of later");
                return Ok(());
            }
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
        let begin = (end, self.head.oldest_late());
        self.log.truncate(&self.journal, begin, (gone.series_removed, newest), &|| self.head.numbers()).await?;
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
    pub(crate) async fn readers_are_done(&self) -> bool {
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

pub(crate) fn of_head<T>(next: storage::Result<T>) -> Result<T> {
    next.map_err(|e| Error::Head(e.to_string()))
}

/// The series of `all`, until `cancel`.
pub(crate) fn until<T>(
    all: impl Iterator<Item = Result<T>>,
    cancel: &CancellationToken,
) -> impl Iterator<Item = Result<T>> {
    all.map(move |next| if cancel.is_cancelled() { Err(Error::Cancelled) } else { next })
}
