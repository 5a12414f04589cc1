//! One request's limits and what it has used of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use storage::{Ctx, Error, ItemStats, ReadStats, Reservation, Result};

use crate::metrics::GatewayMetrics;

/// Thanos' measure of samples not yet decoded.
const SAMPLES_PER_CHUNK: u64 = 120;

/// What a request may hold of indexes that are read whole.
const WHOLE_INDEX_BYTES: u64 = 64 << 20;

/// Limits of one request; 0 = none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Series looked at, in all blocks (`--store.grpc.touched-series-limit`).
    pub touched_series: u64,
    /// Samples fetched, counted as 120 a chunk (`--store.grpc.series-sample-limit`).
    pub samples: u64,
    /// Bytes fetched from the bucket (`--store.grpc.downloaded-bytes-limit`).
    pub downloaded_bytes: u64,
}

/// A kind of data, as in the `data_type` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Data {
    Postings,
    Series,
    Chunks,
}

impl Data {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postings => "postings",
            Self::Series => "series",
            Self::Chunks => "chunks",
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    touched: AtomicU64,
    fetched: AtomicU64,
    touched_bytes: AtomicU64,
    fetched_bytes: AtomicU64,
    fetches: AtomicU64,
}

/// A request under way; shared by the tasks that read its blocks.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) ctx: Ctx,
    limits: Limits,
    counts: [Counts; 3],
    downloaded: AtomicU64,
    series: AtomicU64,
    chunks: AtomicU64,
    metrics: GatewayMetrics,
    /// How much of one block is read at a time.
    pub(crate) batch: BatchSizes,
}

/// How much of one block is read at a time. Chunks are what takes memory; series entries are small, and each round of
/// them holds the chunks up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchSizes {
    /// Series entries fetched at a time, about.
    pub(crate) series_bytes: u64,
    /// Chunks fetched at a time, about.
    pub(crate) chunk_bytes: u64,
    /// Series whose chunks are fetched at a time, at most.
    pub(crate) series: usize,
    /// An index whose series and postings take no more is read whole.
    pub(crate) index_bytes: u64,
}

impl BatchSizes {
    /// Of one block, where a request reads `blocks` side by side: they share the memory that a request should take, but
    /// none gets so little that there would be a request for each few series.
    pub(crate) fn of(blocks: usize) -> Self {
        let share = |all: u64, least: u64, most: u64| (all / blocks.max(1) as u64).clamp(least, most);
        Self {
            series_bytes: share(8 << 20, 128 << 10, 2 << 20),
            // Each block holds one batch in sight of the merge, one that waits and one being read; larger ones would not stay
            // in the processor's cache from the read to the message.
            chunk_bytes: share(2 << 20, 128 << 10, 2 << 20),
            series: 4096,
            index_bytes: WHOLE_INDEX_BYTES / blocks.max(1) as u64,
        }
    }
}

impl Request {
    pub(crate) fn new(ctx: Ctx, limits: Limits, metrics: GatewayMetrics, batch: BatchSizes) -> Arc<Self> {
        Arc::new(Self {
            ctx,
            batch,
            limits,
            counts: Default::default(),
            downloaded: AtomicU64::new(0),
            series: AtomicU64::new(0),
            chunks: AtomicU64::new(0),
            metrics,
        })
    }

    /// Counts `items` of `bytes` that were looked at, from the bucket or a cache.
    pub(crate) fn touch(&self, data: Data, items: u64, bytes: u64) {
        let counts = &self.counts[data as usize];
        counts.touched.fetch_add(items, Ordering::Relaxed);
        counts.touched_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts `items` in `bytes` that are about to be fetched, and takes the bytes of the budget.
    pub(crate) fn fetch(&self, data: Data, items: u64, bytes: u64) -> Result<Reservation> {
        self.download(data, bytes)?;
        self.fetched(data, items);
        self.hold(bytes)
    }

    /// Counts `items` that are fetched.
    pub(crate) fn fetched(&self, data: Data, items: u64) {
        self.counts[data as usize].fetched.fetch_add(items, Ordering::Relaxed);
    }

    /// Counts `bytes` that are about to be downloaded.
    pub(crate) fn download(&self, data: Data, bytes: u64) -> Result<()> {
        let total = self.downloaded.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let max = self.limits.downloaded_bytes;
        if max > 0 && total > max {
            return Err(self.refuse("bytes", format!(
                "exceeded bytes limit: {total} bytes would be downloaded, over the limit of {max}: narrow the selector or \
                 the time range, or raise --store.grpc.downloaded-bytes-limit"
            )));
        }
        let counts = &self.counts[data as usize];
        counts.fetched_bytes.fetch_add(bytes, Ordering::Relaxed);
        counts.fetches.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Takes `bytes` of the budget.
    pub(crate) fn hold(&self, bytes: u64) -> Result<Reservation> {
        let taken = self.ctx.budget.reserve(bytes);
        if taken.is_err() {
            self.metrics.queries_dropped.with(&["memory", &self.ctx.tenant]).inc();
        }
        taken
    }

    /// Counts series that match in one block.
    pub(crate) fn touch_series(&self, count: u64) -> Result<()> {
        let total = self.series.fetch_add(count, Ordering::Relaxed).saturating_add(count);
        match self.limits.touched_series {
            max if max > 0 && total > max => Err(self.refuse(
                "series",
                format!(
                    "exceeded series limit: limit {max} violated (got {total} over all blocks), see \
                 --store.limits.request-series or --store.grpc.touched-series-limit"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Counts chunks that are to be sent.
    pub(crate) fn touch_chunks(&self, count: u64) -> Result<()> {
        let chunks = self.chunks.fetch_add(count, Ordering::Relaxed).saturating_add(count);
        let total = chunks.saturating_mul(SAMPLES_PER_CHUNK);
        match self.limits.samples {
            max if max > 0 && total > max => Err(self.refuse("chunks", format!(
                "exceeded samples limit: limit {max} violated (got {total}: {chunks} chunks of {SAMPLES_PER_CHUNK}), see \
                 --store.limits.request-samples or --store.grpc.series-sample-limit"
            ))),
            _ => Ok(()),
        }
    }

    fn refuse(&self, reason: &str, text: String) -> Error {
        self.metrics.queries_dropped.with(&[reason, &self.ctx.tenant]).inc();
        Error::Limit(text)
    }

    /// The counts, for the asker's hints.
    pub(crate) fn stats(&self) -> ReadStats {
        let of = |data: Data| {
            let counts = &self.counts[data as usize];
            let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
            ItemStats {
                touched: read(&counts.touched),
                touched_bytes: read(&counts.touched_bytes),
                fetched: read(&counts.fetched),
                fetched_bytes: read(&counts.fetched_bytes),
                fetches: read(&counts.fetches),
            }
        };
        ReadStats {
            postings: of(Data::Postings),
            series: of(Data::Series),
            chunks: of(Data::Chunks),
            downloaded_bytes: self.downloaded.load(Ordering::Relaxed),
            ..ReadStats::default()
        }
    }

    /// Shows the counts, at the end of a Series call.
    pub(crate) fn observe(&self) {
        let tenant = &*self.ctx.tenant;
        for data in [Data::Postings, Data::Series, Data::Chunks] {
            let counts = &self.counts[data as usize];
            let values = [
                (&self.metrics.data_touched, &counts.touched),
                (&self.metrics.data_fetched, &counts.fetched),
                (&self.metrics.bytes_touched, &counts.touched_bytes),
                (&self.metrics.bytes_fetched, &counts.fetched_bytes),
            ];
            for (family, value) in values {
                family.with(&[data.name(), tenant]).observe(value.load(Ordering::Relaxed) as f64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_share_what_a_request_takes() {
        for (blocks, series_kib, chunks_kib) in
            [(0, 2048, 2048), (1, 2048, 2048), (6, 1365, 341), (12, 682, 170), (40, 204, 128), (1000, 128, 128)]
        {
            let sizes = BatchSizes::of(blocks);
            assert_eq!(
                (sizes.series_bytes >> 10, sizes.chunk_bytes >> 10),
                (series_kib, chunks_kib),
                "{blocks} blocks"
            );
        }
    }
}
