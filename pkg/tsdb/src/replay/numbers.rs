//! Numbers that new series may get before the log is replayed.

use std::io;
use std::path::Path;

use wal::record::{Kind, SeriesReader};
use wal::{Packed, Position, Reader, Unpacker};

use super::Error;
use super::sources::Sources;

/// Commits that were under way at the same time log the numbers of their series in any order, and a crash may have lost
/// the last ones.
const MARGIN: u64 = 1 << 16;

/// A number above all that the logs have. Numbers ascend, so that only the last segment that has series is looked
/// through, or the checkpoint; or both if the checkpoint may be newer. What lies before saved open chunks is not, as they
/// know a number.
pub(super) fn first_free(sources: &Sources, with_checkpoint: bool) -> Result<u64, Error> {
    let Some(last) = sources.last_wal else { return Ok(1) };
    let in_segments = in_segments(sources, last)?;
    let in_checkpoint = match &sources.checkpoint {
        Some(checkpoint) if with_checkpoint || in_segments.is_none() => {
            highest(Reader::open(&checkpoint.dir, 0).map_err(within(&sources.wal_dir))?)
        }
        _ => None,
    };
    Ok(in_segments.max(in_checkpoint).unwrap_or(0).saturating_add(MARGIN))
}

fn within(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { path: path.to_owned(), source }
}

fn in_segments(sources: &Sources, last: u64) -> Result<Option<u64>, Error> {
    let (first, _) = sources.segments();
    for segment in (first..=last).rev() {
        let saved = sources.saved.as_ref().filter(|saved| saved.position.segment == segment);
        let from = saved.map_or(Position { segment, offset: 0 }, |saved| saved.position);
        let mut reader = Reader::from_position(&sources.wal_dir, from).map_err(within(&sources.wal_dir))?;
        reader.stop_behind(segment, &sources.wal_dir);
        let before = saved.map(|saved| saved.next_number);
        if let Some(number) = highest(reader).max(before) {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

fn highest(mut reader: Reader) -> Option<u64> {
    let (mut highest, mut unpacker) = (None, Unpacker::default());
    while let Some(packed) = reader.read_packed() {
        let Packed::Record { compression, bytes, .. } = packed else { continue };
        if Unpacker::first_byte(compression, bytes).is_some_and(|byte| byte != Kind::Series as u8) {
            continue;
        }
        let record = unpacker.unpack(compression, bytes).unwrap_or_default();
        let Ok(mut series) = SeriesReader::new(record) else { continue };
        while let Ok(Some((number, _))) = series.read() {
            highest = highest.max(Some(number));
        }
    }
    highest
}
