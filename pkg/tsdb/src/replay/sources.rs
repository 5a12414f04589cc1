//! What there is to be replayed.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use model::Exemplar;
use wal::checkpoint::{self, Checkpoint};
use wal::{Position, Reader};

use super::{Error, Replayed};
use crate::head::{self, Restore};
use crate::journal::{Log, log_dir};
use crate::mapped::{MappedChunk, MappedChunks, without_holes};
use crate::open_chunks::Saved;
use crate::snapshot::{self, Record, SnapshotReader};

/// Places on disk.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) wal_dir: PathBuf,
    wbl_dir: PathBuf,
    pub(super) last_wal: Option<u64>,
    last_wbl: Option<u64>,
    pub(super) checkpoint: Option<Checkpoint>,
    first_segment: Option<u64>,
    snapshot: Option<snapshot::Found>,
    /// Open chunks that were saved, of this log and no other one.
    pub(super) saved: Option<Saved>,
}

fn within(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}

impl Sources {
    pub(super) fn find(data: &Path, last_wal: Option<u64>, last_wbl: Option<u64>) -> Result<Self, Error> {
        let (wal_dir, wbl_dir) = (log_dir(data, Log::Wal), log_dir(data, Log::Wbl));
        let checkpoints = checkpoint::last(&wal_dir).map_err(within(&wal_dir))?;
        for dir in &checkpoints.empty {
            tracing::warn!(dir = %dir.display(), "a checkpoint of the log has no segments and is passed over");
        }
        let segments = wal::list_segments(&wal_dir).map_err(within(&wal_dir))?;
        let mut snapshot = snapshot::last(data).map_err(within(data))?;
        if let Some(found) = snapshot.take_if(|found| last_wal.is_none_or(|last| found.position.segment > last)) {
            tracing::warn!(dir = %found.dir.display(), "the snapshot is ahead of the log and is ignored");
        }
        let covered = checkpoints.last.as_ref().map_or(0, |checkpoint| checkpoint.segment + 1);
        let within_log = |saved: &Saved| (covered..=last_wal.unwrap_or(0)).contains(&saved.position.segment);
        let saved = Saved::find(&wal_dir).unwrap_or_else(|error| {
            tracing::warn!(%error, "saved open chunks are ignored, the log is replayed instead");
            None
        });
        Ok(Self {
            saved: saved.filter(within_log),
            wal_dir,
            wbl_dir,
            last_wal,
            last_wbl,
            checkpoint: checkpoints.last,
            first_segment: segments.first().map(|s| s.number),
            snapshot,
        })
    }

    /// The first and the last segment that are read.
    pub(super) fn segments(&self) -> (u64, u64) {
        let behind = self.checkpoint.as_ref().map(|c| c.segment + 1);
        let first = behind.max(self.first_segment).unwrap_or(0);
        (first, self.last_wal.unwrap_or(first).max(first))
    }

    /// The write-ahead log behind `snapshot`, with the checkpoint if that is newer.
    pub(super) fn wal(&self, snapshot: Option<Position>) -> Result<Option<Reader>, Error> {
        let Some(last) = self.last_wal else { return Ok(None) };
        let covered = self.checkpoint.as_ref().map_or(0, |c| c.segment + 1);
        let reader = match snapshot.filter(|s| s.segment >= covered) {
            Some(position) => Reader::from_position(&self.wal_dir, position),
            None => Reader::behind_checkpoint(&self.wal_dir, self.checkpoint.as_ref()),
        };
        let mut reader = reader.map_err(within(&self.wal_dir))?;
        reader.stop_behind(last, &self.wal_dir);
        Ok(Some(reader))
    }

    /// The checkpoint and the log up to a place behind it.
    pub(super) fn wal_until(&self, until: Position) -> Result<Reader, Error> {
        let reader = Reader::behind_checkpoint(&self.wal_dir, self.checkpoint.as_ref());
        let mut reader = reader.map_err(within(&self.wal_dir))?;
        reader.stop_at(until, &self.wal_dir);
        Ok(reader)
    }

    /// The log of late samples.
    pub(super) fn wbl(&self) -> Result<Option<Reader>, Error> {
        let Some(last) = self.last_wbl else { return Ok(None) };
        let mut reader = Reader::open(&self.wbl_dir, 0).map_err(within(&self.wbl_dir))?;
        reader.stop_behind(last, &self.wbl_dir);
        Ok(Some(reader))
    }

    /// Restores the snapshot; up to where it has the log, if it is whole.
    pub(super) fn snapshot(&self, restore: &Restore, tally: &mut Replayed) -> Option<Position> {
        let found = self.snapshot.as_ref()?;
        // Nothing of one that is corrupt is used (prometheus#18739).
        let read = snapshot::verify(found).and_then(|()| {
            SnapshotReader::open(found)?.each(&mut |record| {
                restore_record(restore, record, tally)?;
                Ok(())
            })
        });
        match read {
            Ok(()) => Some(found.position),
            Err(error) => {
                tracing::warn!(%error, "the snapshot of the head is ignored, the log is replayed instead");
                None
            }
        }
    }
}

fn restore_record(restore: &Restore, record: Record<'_>, tally: &mut Replayed) -> Result<(), encoding::Corrupt> {
    match record {
        Record::Series(series) => {
            let open = series.open.as_ref().map(|open| &open.chunk);
            tally.snapshot_series += 1;
            restore.snapshot_series(series.series_ref, series.labels, open).map_err(|e| {
                let what = format!("series {}: {e}", series.series_ref);
                encoding::Corrupt::new("snapshot", 0, what)
            })?;
        }
        Record::Tombstones(rows) => {
            rows.into_iter().for_each(|(number, min_ms, max_ms)| restore.tombstone(number, min_ms, max_ms));
        }
        Record::Exemplars(mut rows) => {
            while let Some(row) = rows.read()? {
                let labels = labels::Labels::from_pairs(row.labels.iter().copied());
                restore.exemplar(row.series_ref, Exemplar { labels, value: row.value, timestamp_ms: row.time_ms });
            }
        }
    }
    Ok(())
}

/// Tells the head which full chunks are on disk; the references of those with late samples, for which the log need not be
/// read.
pub(super) fn chunks(chunks: &MappedChunks, restore: &Restore, tally: &mut Replayed) -> HashSet<u64> {
    let mut late = HashSet::new();
    let mut give = |chunk: MappedChunk| {
        if chunk.out_of_order {
            late.insert(chunk.reference);
        }
        let mapped = head::MappedChunk {
            reference: chunk.reference,
            min_time_ms: chunk.min_time,
            max_time_ms: chunk.max_time,
            encoding: chunk.encoding,
            samples: chunk.samples,
            out_of_order: chunk.out_of_order,
        };
        restore.mapped_chunk(chunk.series_ref, mapped);
    };
    let loaded = chunks.load(&mut give);
    tally.chunks = loaded.chunks;
    if loaded.corrupt.is_empty() {
        return late;
    }
    // Which ones stand behind a corrupt place is known now: all are given anew.
    restore.drop_mapped_chunks();
    loaded.corrupt.iter().for_each(|(_, corrupt)| tally.corrupt_chunk(corrupt));
    let places: Vec<u64> = loaded.corrupt.iter().map(|(place, _)| *place).collect();
    let mut found = Vec::new();
    chunks.load(&mut |chunk| found.push(chunk));
    without_holes(&mut found, &places);
    found.into_iter().for_each(give);
    // A marker names the last of several chunks, of which another one may be corrupt: the log's samples are taken again,
    // and those that come twice count once in answers.
    late.clear();
    late
}
