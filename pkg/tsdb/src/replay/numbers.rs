//! Numbers that new series may get before the log is replayed.

use std::io;
use std::path::Path;

use wal::record::{Kind, SeriesReader};
use wal::{Compression, Packed, Reader, Unpacker};

use super::Error;
use super::sources::Sources;

/// Commits that were under way at the same time log the numbers of their series in any order, and a crash may have lost
/// the last ones.
const MARGIN: u64 = 1 << 16;

/// A number above all that the logs have. Numbers ascend, so that only the last segment that has series is looked
/// through, or the checkpoint; or both if the checkpoint may be newer.
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
        let mut reader = Reader::open(&sources.wal_dir, segment).map_err(within(&sources.wal_dir))?;
        reader.stop_behind(segment, &sources.wal_dir);
        if let Some(number) = highest(reader) {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

fn highest(mut reader: Reader) -> Option<u64> {
    let (mut highest, mut unpacker) = (None, Unpacker::default());
    while let Some(packed) = reader.read_packed() {
        let Packed::Record { compression, bytes, .. } = packed else { continue };
        if first_byte(compression, bytes).is_some_and(|byte| byte != Kind::Series as u8) {
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

/// The first byte of a record without unpacking the rest; `None` where that is not possible.
fn first_byte(compression: Compression, bytes: &[u8]) -> Option<u8> {
    match compression {
        Compression::None => bytes.first().copied(),
        Compression::Zstd => None,
        Compression::Snappy => {
            // Behind the length lies a literal, whose own length may take up to four bytes more.
            let tag = bytes.iter().position(|byte| *byte < 0x80)? + 1;
            let literal = usize::from(*bytes.get(tag)? >> 2);
            let longer = literal.saturating_sub(59);
            bytes.get(tag + 1 + longer).copied().filter(|_| bytes[tag] & 3 == 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_is_found_in_packed_records() {
        for len in [1, 2, 59, 60, 61, 62, 300, 70_000] {
            let record: Vec<u8> = (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 | 1).collect();
            let packed = snap::raw::Encoder::new().compress_vec(&record).unwrap();
            assert_eq!(first_byte(Compression::Snappy, &packed), Some(record[0]), "{len}");
            assert_eq!(first_byte(Compression::None, &record), Some(record[0]));
        }
        assert_eq!(first_byte(Compression::Snappy, &[]), None);
        assert_eq!(first_byte(Compression::Snappy, &[0x80, 0x80]), None);
        assert_eq!(first_byte(Compression::Snappy, &[5, 63 << 2, 1]), None);
    }
}
