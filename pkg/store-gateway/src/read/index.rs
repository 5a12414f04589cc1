//! The index of one block for one request: its header, and its series and postings where they are read whole.

use std::ops::Range;
use std::sync::Arc;

use block::IndexHeader;
use tokio::sync::OnceCell;

use super::fetch::{Fetched, ObjectReader};
use crate::bucket_block::BucketBlock;
use crate::error::BlockResult;
use crate::index_body::{self, InUse};
use crate::limits::{Data, Request};
use crate::shared::Shared;

/// An index that takes more of the cache than one part of so many is not kept whole.
const CACHE_SHARE: u64 = 16;

/// Series entries that take more of the cache than one part of so many are not kept.
const SCAN_SHARE: u64 = 8;
/// About what the cache takes for a series entry beside its bytes.
const ENTRY_OVERHEAD_BYTES: u64 = 70;

/// One index, open.
pub(crate) struct Index<'a> {
    pub(super) shared: &'a Shared,
    pub(super) block: &'a BucketBlock,
    pub(super) request: &'a Request,
    pub(crate) header: Arc<IndexHeader>,
    whole: OnceCell<Option<Whole>>,
}

struct Whole {
    fetched: Arc<Fetched>,
    /// Where it lies on disk.
    body: Option<InUse>,
}

impl<'a> Index<'a> {
    pub(crate) async fn open(shared: &'a Shared, block: &'a BucketBlock, request: &'a Request) -> BlockResult<Self> {
        Ok(Self { shared, block, request, header: shared.header(block).await?, whole: OnceCell::new() })
    }

    /// Series and postings, if they take so little that reading them at once costs less than reading what is wanted of them
    /// in one round after the other.
    ///
    /// # Errors
    /// Limits, and failures of the store.
    pub(crate) async fn whole(&self) -> BlockResult<Option<&Arc<Fetched>>> {
        let whole = self.whole.get_or_try_init(|| self.find_whole()).await?;
        Ok(whole.as_ref().map(|whole| &whole.fetched))
    }

    /// What was read of the body on disk need not stay in memory.
    pub(crate) fn give_back(&self) {
        if let Some(Some(Whole { body: Some(body), .. })) = self.whole.get() {
            body.give_back();
        }
    }

    async fn find_whole(&self) -> BlockResult<Option<Whole>> {
        let range = index_body::range(self.header.source_toc());
        match self.on_disk(&range).await {
            Some(whole) => Ok(Some(whole)),
            None => self.read_whole(range).await,
        }
    }

    async fn on_disk(&self, range: &Range<u64>) -> Option<Whole> {
        let body = self.block.body.open(range.end - range.start).await?;
        // Pages of a file are not held: the system takes them back when memory is short.
        let fetched = Fetched::new(vec![(range.start, body.bytes())], Vec::new());
        Some(Whole { fetched: Arc::new(fetched), body: Some(body) })
    }

    async fn read_whole(&self, range: Range<u64>) -> BlockResult<Option<Whole>> {
        let (bytes, cache) = (range.end - range.start, &self.shared.cache);
        let most = cache.max_bytes().map_or(u64::MAX, |max| max / CACHE_SHARE);
        if bytes > self.shared.read.whole_index_bytes.min(self.request.batch.index_bytes).min(most) {
            return Ok(None);
        }
        let id = self.block.cache_id();
        // A request that may hold little reads little at a time.
        let Some(held) = self.request.ctx.budget.reserve_spare(bytes) else { return Ok(None) };
        let of = |fetched| Ok(Some(Whole { fetched: Arc::new(fetched), body: None }));
        if let Some(kept) = cache.whole(id) {
            return of(Fetched::new(vec![(range.start, kept)], vec![held]));
        }
        drop(held);
        let reader = ObjectReader { bucket: &self.shared.bucket, ..self.reader(Data::Series) };
        // Queries that come together wait for one of them.
        let _one = reader.in_time(self.block.reading_whole()).await?;
        if let Some(whole) = self.on_disk(&range).await {
            return Ok(Some(whole));
        }
        if let Some(kept) = cache.whole(id) {
            let held = self.request.hold(bytes)?;
            return of(Fetched::new(vec![(range.start, kept)], vec![held]));
        }
        let fetched = reader.fetch(std::slice::from_ref(&range)).await?;
        if !self.block.body.keep(fetched.from(range.start)).await {
            cache.put_whole(id, fetched.slice_from(range.start));
        }
        of(fetched)
    }

    /// Whether so many series entries would take so much of the cache that they drive out what is read often: they are
    /// neither looked for there nor kept.
    pub(crate) fn is_scan(&self, series: usize) -> bool {
        let toc = self.header.source_toc();
        let each = (toc.series_end() - toc.series) / self.block.meta.stats.num_series.max(1);
        let bytes = (each + ENTRY_OVERHEAD_BYTES).saturating_mul(series as u64);
        self.shared.cache.max_bytes().is_none_or(|max| bytes > max / SCAN_SHARE)
    }

    /// Forgets what was read whole: it did not pass its checksums.
    pub(crate) fn forget_whole(&self) {
        self.shared.cache.forget_whole(self.block.cache_id());
        self.block.body.remove();
    }

    /// Reads parts of it.
    pub(crate) fn reader(&self, data: Data) -> ObjectReader<'a> {
        ObjectReader {
            bucket: &self.shared.pooled,
            path: self.block.index_path().clone(),
            size: self.block.index_bytes(),
            data,
            options: &self.shared.read.fetch,
            request: self.request,
            cache: None,
        }
    }
}
