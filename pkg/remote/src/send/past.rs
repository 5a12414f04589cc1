//! The series of the log from before, and those that are gone.

use std::io;
use std::path::Path;

use hashbrown::HashSet;
use wal::checkpoint::{self, Checkpoint};
use wal::record::{Kind, SeriesReader};
use wal::{Packed, Position, Reader, Unpacker};

use super::decode::{metadata, series};
use super::series::SeriesTable;

/// Notes all series of the log up to `until`. Blocks on the disk.
///
/// # Errors
/// The directory cannot be listed.
pub(super) fn load(dir: &Path, until: Position, table: &SeriesTable) -> io::Result<()> {
    let checkpoint = checkpoint::last(dir)?.last;
    let mut reader = Reader::behind_checkpoint(dir, checkpoint.as_ref())?;
    reader.stop_at(until, dir);
    let covered = checkpoint.as_ref().map_or(0, |c| c.segment);
    each(&mut reader, &[Kind::Series, Kind::Metadata], &mut |kind, record, position| {
        // Segments of a checkpoint have numbers of their own.
        let segment = position.segment.max(covered);
        let noted = match kind {
            Kind::Series => series(record, segment, table),
            _ => metadata(record, table),
        };
        if let Err(error) = noted {
            tracing::warn!(%error, "a record of the write-ahead log cannot be read, its series are not known");
        }
    });
    Ok(())
}

/// The numbers of the series that a checkpoint has. Blocks on the disk.
fn numbers(checkpoint: &Checkpoint) -> io::Result<HashSet<u64>> {
    let mut numbers = HashSet::new();
    let mut reader = Reader::open(&checkpoint.dir, 0)?;
    each(&mut reader, &[Kind::Series], &mut |_, record, _| {
        let Ok(mut series) = SeriesReader::new(record) else { return };
        while let Ok(Some((number, _))) = series.read() {
            numbers.insert(number);
        }
    });
    Ok(numbers)
}

/// Forgets series that the log does not have any more, after a checkpoint replaced segments. `needed` is the first segment
/// that a queue still reads. The last segment up to which nothing is to be done again. Blocks on the disk.
///
/// # Errors
/// The checkpoint cannot be read.
pub(super) fn forget(dir: &Path, before: Option<u64>, needed: u64, table: &SeriesTable) -> io::Result<Option<u64>> {
    let Some(checkpoint) = checkpoint::last(dir)?.last else { return Ok(before) };
    if before.is_some_and(|before| before >= checkpoint.segment) || needed <= checkpoint.segment {
        return Ok(before);
    }
    let kept = numbers(&checkpoint)?;
    let gone = table.forget(checkpoint.segment, &|number| kept.contains(&number));
    tracing::debug!(gone, segment = checkpoint.segment, "forgot series that left the write-ahead log");
    Ok(Some(checkpoint.segment))
}

/// Visits the records of some kinds. Others are not even unpacked where their kind shows without.
fn each(reader: &mut Reader, kinds: &[Kind], visit: &mut dyn FnMut(Kind, &[u8], Position)) {
    let mut unpacker = Unpacker::default();
    while let Some(next) = reader.read_packed() {
        // What is corrupt is told by the replay.
        let Packed::Record { compression, bytes, position } = next else { continue };
        let shows = Unpacker::first_byte(compression, bytes).map(|byte| Kind::of(&[byte]));
        if shows.is_some_and(|kind| kind.is_none_or(|kind| !kinds.contains(&kind))) {
            continue;
        }
        let Ok(record) = unpacker.unpack(compression, bytes) else { continue };
        if let Some(kind) = Kind::of(record).filter(|kind| kinds.contains(kind)) {
            visit(kind, record, position);
        }
    }
}
