//! What the log tells at a start: which series there are, and when each had its newest sample.

use std::collections::HashMap;
use std::path::Path;

use histogram::{FloatHistogram, Histogram};
use wal::record::{Histograms, Kind, Samples, SeriesReader};
use wal::{Entry, Reader};

use super::series::SeriesMap;
use super::store::Left;
use crate::db::{Error, Result};

/// What was found beside the series.
#[derive(Debug)]
pub(super) struct Replayed {
    pub corruptions: u64,
    /// The newest sample, ms; `i64::MIN` = none.
    pub newest_ms: i64,
    /// Numbers of series that have another number too.
    pub left: Left,
}

impl Default for Replayed {
    fn default() -> Self {
        Self { corruptions: 0, newest_ms: i64::MIN, left: Left::new() }
    }
}

/// Columns that are used again for each record.
#[derive(Default)]
struct Replay {
    samples: Samples,
    ints: Histograms<Histogram>,
    floats: Histograms<FloatHistogram>,
    /// The number that counts, for others with the same labels.
    other_numbers: HashMap<u64, u64>,
    scratch: Vec<u8>,
    /// Samples of numbers without labels.
    unknown: u64,
    out: Replayed,
}

/// Reads the newest checkpoint of the log in `dir` and the segments behind it into `series`.
pub(super) fn read(dir: &Path, series: &SeriesMap) -> Result<Replayed> {
    let checkpoints = wal::checkpoint::last(dir).map_err(Error::io("list", dir))?;
    for empty in &checkpoints.empty {
        tracing::warn!(path = %empty.display(), "a checkpoint without segments is passed over, series may be missing");
    }
    wal::checkpoint::remove_unfinished(dir).map_err(Error::io("clean", dir))?;
    let reader = Reader::behind_checkpoint(dir, checkpoints.last.as_ref());
    let mut reader = match reader {
        Ok(reader) => reader,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Replayed::default()),
        Err(e) => return Err(Error::io("open", dir)(e)),
    };
    let mut replay = Replay::default();
    while let Some((entry, position)) = reader.read_at() {
        match entry {
            Entry::Record(record) => replay.record(record, position.segment, series),
            Entry::Corrupt(corruption) if corruption.torn => {}
            Entry::Corrupt(corruption) => {
                replay.out.corruptions += 1;
                tracing::warn!(%corruption, "corrupt place in the log, the replay goes on behind it");
            }
        }
    }
    if replay.unknown > 0 {
        tracing::warn!(samples = replay.unknown, "the log has samples of series whose labels it has not");
    }
    Ok(replay.out)
}

impl Replay {
    fn record(&mut self, record: &[u8], segment: u64, series: &SeriesMap) {
        let read = match Kind::of(record) {
            Some(Kind::Series) => self.series(record, segment, series),
            Some(Kind::Samples | Kind::SamplesWithStarts) => {
                self.samples.clear();
                let read = self.samples.decode(record);
                let (refs, times_ms) =
                    (std::mem::take(&mut self.samples.refs), std::mem::take(&mut self.samples.times_ms));
                self.newest(&refs, &times_ms, segment, series);
                (self.samples.refs, self.samples.times_ms) = (refs, times_ms);
                read
            }
            Some(Kind::Histograms | Kind::CustomHistograms | Kind::HistogramsWithStarts) => {
                self.ints.clear();
                let read = self.ints.decode(record).map(drop);
                let (refs, times_ms) = (std::mem::take(&mut self.ints.refs), std::mem::take(&mut self.ints.times_ms));
                self.newest(&refs, &times_ms, segment, series);
                (self.ints.refs, self.ints.times_ms) = (refs, times_ms);
                read
            }
            Some(Kind::FloatHistograms | Kind::CustomFloatHistograms | Kind::FloatHistogramsWithStarts) => {
                self.floats.clear();
                let read = self.floats.decode(record).map(drop);
                let (refs, times_ms) =
                    (std::mem::take(&mut self.floats.refs), std::mem::take(&mut self.floats.times_ms));
                self.newest(&refs, &times_ms, segment, series);
                (self.floats.refs, self.floats.times_ms) = (refs, times_ms);
                read
            }
            _ => Ok(()),
        };
        if let Err(error) = read {
            self.out.corruptions += 1;
            tracing::warn!(%error, segment, "a record of the log cannot be read, the replay goes on behind it");
        }
    }

    fn series(
        &mut self,
        record: &[u8],
        segment: u64,
        series: &SeriesMap,
    ) -> std::result::Result<(), encoding::Corrupt> {
        let mut reader = SeriesReader::new(record)?;
        while let Some((number, labels)) = reader.read()? {
            let digest = series.digest(labels.iter().copied(), &mut self.scratch);
            let known = series.restore(digest, number);
            if known != number {
                self.other_numbers.insert(number, known);
                self.out.left.insert(number, segment);
            }
        }
        Ok(())
    }

    fn newest(&mut self, refs: &[u64], times_ms: &[i64], segment: u64, series: &SeriesMap) {
        for (number, time_ms) in refs.iter().zip(times_ms) {
            let number = match self.other_numbers.get(number) {
                Some(known) => {
                    self.out.left.insert(*number, segment);
                    known
                }
                None => number,
            };
            self.out.newest_ms = self.out.newest_ms.max(*time_ms);
            if series.with(*number, |state| state.newest_ms = state.newest_ms.max(*time_ms)).is_none() {
                self.unknown += 1;
            }
        }
    }
}
