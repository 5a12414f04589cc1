//! Writes a checkpoint.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::filter::{Filter, Verdict};
use super::{Checkpoint, PREFIX, UNFINISHED, last, remove_unfinished};
use crate::page::Corruption;
use crate::reader::{Entry, Reader};
use crate::segments::segment_name;
use crate::writer::{Error, Options, Writer};

/// Bytes of records that are logged at a time.
const BATCH_BYTES: usize = 1 << 20;
/// Corrupt places that are told; more are counted only.
const CORRUPTIONS_TOLD: usize = 16;

/// What a checkpoint is to hold.
pub struct Request<'k> {
    /// The last segment that it replaces.
    pub segment: u64,
    /// Samples and exemplars before stay behind, ms since the epoch.
    pub min_time_ms: i64,
    /// Deleted intervals that end before stay behind, ms since the epoch. Another log may have older samples.
    pub deleted_min_ms: i64,
    /// Whether the labels, deleted intervals and metadata of a series are still needed. They are as long as the head has
    /// the series, and as long as a segment behind [`Self::segment`] names its reference (prometheus#16060,
    /// prometheus#17029).
    pub keep: &'k mut dyn FnMut(u64) -> bool,
    /// How it is written.
    pub options: Options,
}

/// What was kept and what was not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Stats {
    pub series: u64,
    pub series_dropped: u64,
    pub samples: u64,
    pub samples_dropped: u64,
    pub exemplars: u64,
    pub exemplars_dropped: u64,
    pub tombstones: u64,
    pub tombstones_dropped: u64,
    pub metadata: u64,
    pub metadata_dropped: u64,
    /// Histograms that make no sense, left out.
    pub invalid_histograms: u64,
    /// Records of kinds that are not known, left out.
    pub unknown_records: u64,
    /// Places that could not be read, left out.
    pub corruptions: u64,
    /// The first of these places.
    pub corruptions_told: Vec<Corruption>,
}

impl Stats {
    fn corrupt(&mut self, corruption: Corruption) {
        self.corruptions += 1;
        if self.corruptions_told.len() < CORRUPTIONS_TOLD {
            self.corruptions_told.push(corruption);
        }
    }
}

/// Writes the checkpoint that replaces the one before and the segments of `dir` up to `request.segment`, which stay: once
/// this has returned, [`super::remove_below`] and [`Writer::truncate`] remove them. What cannot be read is counted and
/// does not stop it (prometheus#13152). `None` if there is such a checkpoint already.
///
/// # Errors
/// [`Error::Io`]; nothing has changed then.
pub fn write(dir: &Path, request: Request<'_>) -> Result<Option<(Checkpoint, Stats)>, Error> {
    let list = || Ok((last(dir)?.last, remove_unfinished(dir)?));
    let (before, ()) = list().map_err(Error::io("list checkpoints in", dir))?;
    if before.as_ref().is_some_and(|b| b.segment >= request.segment) {
        return Ok(None);
    }
    let name = format!("{PREFIX}{}", segment_name(request.segment));
    let unfinished = dir.join(format!("{name}{UNFINISHED}"));
    let checkpoint = Checkpoint { dir: dir.join(name), segment: request.segment };
    let written = fill(dir, &unfinished, before.as_ref(), request).and_then(|stats| {
        publish(dir, &unfinished, &checkpoint.dir).map_err(Error::io("rename", &unfinished))?;
        Ok(stats)
    });
    if written.is_err() {
        // What remains is removed before the next attempt.
        _ = std::fs::remove_dir_all(&unfinished);
    }
    written.map(|stats| Some((checkpoint, stats)))
}

fn publish(dir: &Path, unfinished: &Path, finished: &PathBuf) -> std::io::Result<()> {
    File::open(unfinished)?.sync_all()?;
    if finished.is_dir() {
        // It has no segment, else it would have been the checkpoint before.
        std::fs::remove_dir_all(finished)?;
    }
    std::fs::rename(unfinished, finished)?;
    File::open(dir)?.sync_all()
}

fn fill(dir: &Path, to: &Path, before: Option<&Checkpoint>, request: Request<'_>) -> Result<Stats, Error> {
    let mut stats = Stats::default();
    let mut reader = Reader::behind_checkpoint(dir, before).map_err(Error::io("list", dir))?;
    reader.stop_behind(request.segment, dir);
    let (mut writer, _) = Writer::open(to, request.options)?;
    let mut filter = Filter::new(request.keep, (request.min_time_ms, request.deleted_min_ms));
    let mut batch = Batch::default();
    loop {
        let at = reader.position();
        let record = match reader.read() {
            Some(Entry::Record(record)) => record,
            Some(Entry::Corrupt(corruption)) => {
                stats.corrupt(corruption);
                continue;
            }
            None => break,
        };
        let out = batch.next();
        match filter.record(record, out, &mut stats) {
            Ok(Verdict::Part) => {}
            Ok(Verdict::Whole) => out.extend_from_slice(record),
            Err(e) => {
                out.clear();
                let path = dir.join(segment_name(at.segment));
                let why = format!("a record behind it: {e}");
                stats.corrupt(Corruption { path, position: at, why, torn: false });
            }
        }
        batch.took();
        if batch.bytes >= BATCH_BYTES {
            batch.log(&mut writer)?;
        }
    }
    filter.finish(batch.next(), &mut stats);
    batch.took();
    batch.log(&mut writer)?;
    writer.sync()?;
    Ok(stats)
}

/// Records to be logged together; their memory is used again.
#[derive(Default)]
struct Batch {
    records: Vec<Vec<u8>>,
    used: usize,
    bytes: usize,
}

impl Batch {
    /// An empty buffer for the next record.
    fn next(&mut self) -> &mut Vec<u8> {
        if self.used == self.records.len() {
            self.records.push(Vec::new());
        }
        let record = &mut self.records[self.used];
        record.clear();
        record
    }

    /// The buffer was filled, unless it is still empty.
    fn took(&mut self) {
        let bytes = self.records.get(self.used).map_or(0, Vec::len);
        if bytes > 0 {
            self.used += 1;
            self.bytes += bytes;
        }
    }

    fn log(&mut self, writer: &mut Writer) -> Result<(), Error> {
        writer.log(&self.records[..self.used])?;
        (self.used, self.bytes) = (0, 0);
        Ok(())
    }
}
