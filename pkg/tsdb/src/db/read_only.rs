//! A data directory that is only looked at. Nothing in it is changed or locked, so that a server may have it open.

use std::path::Path;
use std::sync::Arc;

use block::LocalBlock;
use futures::future::BoxFuture;
use model::{Clock, TimeRange};
use storage::{Answer, Ctx, LabelQuery, Result as StorageResult, Select, SeriesSource, SeriesStream, SourceInfo};
use telemetry::Metrics;

use super::error::{Error, Result};
use super::source::{Lost, Reading};
use super::tsdb::CHUNKS_DIR;
use super::view::{Views, replaced, scan};
use crate::head::{Head, HeadOptions, HeadParts, NoJournal};
use crate::journal::{Log, log_dir};
use crate::mapped::MappedChunks;
use crate::replay::{Inputs, Replay};

/// What is in a data directory at one moment: blocks, and what only the write-ahead log has. Clones share it.
#[derive(Debug, Clone)]
pub struct ReadOnly {
    reading: Reading,
    range: TimeRange,
}

impl ReadOnly {
    /// Opens the blocks in `dir`; `with_log` reads the write-ahead log into memory too. Blocks on the disk.
    ///
    /// # Errors
    /// [`Error::Io`]; what is corrupt is told in answers.
    pub fn open(dir: &Path, with_log: bool, clock: Arc<dyn Clock>, metrics: &Metrics) -> Result<Self> {
        let mut found = scan(dir, &[])?;
        let gone = replaced(&found);
        found.blocks.retain(|block| !gone.contains(&block.meta.ulid));
        let view = Views::new(found).current();
        let begin_ms = view.head_begins_ms().unwrap_or(i64::MIN);
        let chunks_dir = dir.join(CHUNKS_DIR);
        let chunks = Arc::new(MappedChunks::open_read_only(&chunks_dir).map_err(Error::io("open", &chunks_dir))?);
        let parts = HeadParts {
            clock,
            metrics: metrics.clone(),
            journal: Arc::new(NoJournal),
            chunks: chunks.clone(),
            seed: 0,
        };
        let head = Head::new(parts, HeadOptions { out_of_order_window_ms: i64::MAX, ..HeadOptions::default() });
        let mut lost = None;
        if with_log {
            let last = |log| {
                let dir = log_dir(dir, log);
                let segments = wal::list_segments(&dir).map_err(Error::io("list", &dir))?;
                Ok::<_, Error>(segments.last().map(|segment| segment.number))
            };
            let inputs = Inputs {
                data: dir,
                head: &head,
                chunks,
                last_wal: last(Log::Wal)?,
                last_wbl: last(Log::Wbl)?,
                unhidden: false,
                min_valid_ms: begin_ms,
                threads: crate::replay::threads(),
            };
            let failed = |e: crate::replay::Error| Error::Head(e.to_string());
            let replay = Replay::prepare(inputs).map_err(failed)?;
            let replayed = replay.run(&mut |_| {}, &|| false).map_err(failed)?;
            let newest = head.range().map_or(i64::MIN, |(_, max)| max);
            lost = Lost::of(replayed.corruptions + replayed.late_corruptions, newest);
        }
        let times = view.blocks.iter().map(|b| b.range()).map(|r| (r.min, r.max)).chain(head.range());
        let (min, max) = times.fold((i64::MAX, i64::MIN), |(min, max), (from, to)| (min.min(from), max.max(to)));
        let reading = Reading { view, head: Arc::new(head), unfinished: None, lost };
        Ok(Self { reading, range: TimeRange::new(min, max) })
    }

    /// The blocks by their begin, each with the bytes of its files.
    pub fn blocks(&self) -> impl Iterator<Item = (&LocalBlock, u64)> {
        self.reading.view.blocks.iter().map(|block| (&block.block, block.bytes))
    }

    /// What cannot be read, a sentence for each block.
    pub fn unreadable(&self) -> Vec<String> {
        self.reading.view.set_aside.iter().map(super::view::SetAside::warning).collect()
    }
}

impl SeriesSource for ReadOnly {
    fn info(&self) -> SourceInfo {
        SourceInfo {
            label_sets: Vec::new(),
            range: self.range,
            supports_sharding: true,
            supports_without_replica_labels: false,
        }
    }

    fn select(&self, ctx: &Ctx, want: Select) -> SeriesStream {
        self.reading.clone().select(ctx, want)
    }

    fn select_here(&self, ctx: &Ctx, want: &Select) -> Option<SeriesStream> {
        Some(self.select(ctx, want.clone()))
    }

    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, StorageResult<Answer<Vec<String>>>> {
        self.reading.clone().label_names(ctx, want)
    }

    fn label_values(
        &self,
        ctx: &Ctx,
        name: &str,
        want: LabelQuery,
    ) -> BoxFuture<'static, StorageResult<Answer<Vec<String>>>> {
        self.reading.clone().label_values(ctx, name, want)
    }
}
