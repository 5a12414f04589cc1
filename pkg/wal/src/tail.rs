//! The end of a log that a crash cut short.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};

use crate::Disk;
use crate::page::{PAGE_BYTES, Position};
use crate::scanner::{CUT_SHORT, Found, Scanner};
use crate::segments::Segment;

/// What was cut off the end of a log when it was opened for writing: the rest of a write that did not finish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// Where the log ends now.
    pub position: Position,
    /// How many bytes were cut off.
    pub bytes: u64,
    /// What was wrong with them.
    pub why: String,
    /// They are more than the begin of a write: bytes that were there have changed, and records may be lost that were
    /// acknowledged.
    pub is_damage: bool,
}

/// Bytes at the end of a segment that are looked at first.
const TAIL_BYTES: u64 = 256 << 10;

/// Cuts `segment` behind its last whole record, where what follows cannot be read: otherwise Prometheus would take it
/// for a corruption and drop all segments that follow. Bytes that a later version may have written stay.
pub(crate) fn cut(disk: &dyn Disk, segment: &Segment) -> io::Result<Option<Torn>> {
    let len = std::fs::metadata(&segment.path)?.len();
    match find(segment, len, TAIL_BYTES)? {
        Tail::Torn { end, why } => cut_at(disk, segment, (len, end), why).map(Some),
        Tail::Whole | Tail::NoRecord => Ok(None),
    }
}

/// What a segment of `len` bytes ends with, of which `tail_bytes` are looked at first.
fn find(segment: &Segment, len: u64, mut tail_bytes: u64) -> io::Result<Tail> {
    loop {
        // A page begins with a fragment, so that reading may begin with any of them.
        let from = len.saturating_sub(tail_bytes) / PAGE_BYTES as u64 * PAGE_BYTES as u64;
        match read_tail(segment, from)? {
            Tail::NoRecord => tail_bytes *= 8,
            found => return Ok(found),
        }
    }
}

/// What a segment ends with.
#[derive(Debug, PartialEq, Eq)]
enum Tail {
    /// Records, or bytes that a later version may have written.
    Whole,
    /// Behind the last whole record come bytes that cannot be read.
    Torn { end: u64, why: String },
    /// There is no whole record behind the place where reading began, which is not the begin.
    NoRecord,
}

fn read_tail(segment: &Segment, from: u64) -> io::Result<Tail> {
    let mut file = File::open(&segment.path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut scanner = Scanner::new(file, from);
    // The rest of a record that began before tells nothing; nor does a record right where reading began, which may be the
    // rest of one, its type changed.
    let (mut torn, mut is_sure) = (None, from == 0);
    while let Some(found) = scanner.next()? {
        match found {
            Found::Record { offset, .. } => {
                torn = None;
                is_sure |= offset > from;
            }
            Found::Corrupt { unknown: true, .. } => return Ok(Tail::Whole),
            Found::Corrupt { why, .. } => {
                torn.get_or_insert(why);
            }
        }
    }
    Ok(match torn {
        _ if !is_sure => Tail::NoRecord,
        Some(why) => Tail::Torn { end: scanner.end(), why },
        None => Tail::Whole,
    })
}

fn cut_at(disk: &dyn Disk, segment: &Segment, (len, end): (u64, u64), why: String) -> io::Result<Torn> {
    let is_damage = why != CUT_SHORT;
    let file = disk.open(&segment.path)?;
    file.set_len(end)?;
    file.sync()?;
    let position = Position { segment: segment.number, offset: end };
    Ok(Torn { position, bytes: len.saturating_sub(end), why, is_damage })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Compression, Options, Writer};

    #[derive(Debug, Clone)]
    enum Harm {
        None,
        /// The file ends here, by the share of its length.
        Cut(f64),
        /// A byte changes.
        Flip(f64, u8),
        /// A part is filled with a byte.
        Fill(f64, usize, u8),
    }

    fn harm() -> impl Strategy<Value = Harm> {
        prop_oneof![
            Just(Harm::None),
            (0.0..1.0).prop_map(Harm::Cut),
            (0.0..1.0, any::<u8>()).prop_map(|(at, byte)| Harm::Flip(at, byte)),
            (0.0..1.0, 1usize..100_000, any::<u8>()).prop_map(|(at, len, byte)| Harm::Fill(at, len, byte)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        /// Whatever is at the end, a look at the end finds what a look at all of the segment finds.
        #[test]
        fn the_end_is_found_from_the_end(
            lengths in prop::collection::vec(prop_oneof![4 => 0usize..5_000, 1 => 0usize..150_000], 0..30),
            harms in prop::collection::vec(harm(), 0..3),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let options = Options { compression: Compression::None, ..Options::default() };
            let (mut writer, _) = Writer::open(dir.path(), options).unwrap();
            for (n, len) in lengths.iter().enumerate() {
                writer.log(&[vec![n as u8 | 1; *len]]).unwrap();
            }
            drop(writer);
            let path = dir.path().join("00000000");
            let mut bytes = std::fs::read(&path).unwrap();
            for harm in harms {
                let place = |at: f64| (at * bytes.len() as f64) as usize;
                match harm {
                    Harm::None => {}
                    Harm::Cut(at) => bytes.truncate(place(at)),
                    Harm::Flip(at, byte) => {
                        let at = place(at);
                        if let Some(found) = bytes.get_mut(at) {
                            *found ^= byte;
                        }
                    }
                    Harm::Fill(at, len, byte) => {
                        let at = place(at);
                        let end = bytes.len().min(at + len);
                        bytes[at..end].fill(byte);
                    }
                }
            }
            std::fs::write(&path, &bytes).unwrap();
            let segment = Segment { number: 0, path };
            let whole = read_tail(&segment, 0).unwrap();
            for tail_bytes in [1, PAGE_BYTES as u64, TAIL_BYTES] {
                let found = find(&segment, bytes.len() as u64, tail_bytes).unwrap();
                // A part that a later version wrote may lie before what was looked at.
                let is_later = whole == Tail::Whole && matches!(found, Tail::Torn { .. });
                prop_assert!(found == whole || is_later && has_unknown(&segment), "{found:?}, not {whole:?}");
            }
        }
    }

    fn has_unknown(segment: &Segment) -> bool {
        let mut scanner = Scanner::new(File::open(&segment.path).unwrap(), 0);
        let mut all = std::iter::from_fn(|| scanner.next().unwrap());
        all.any(|found| matches!(found, Found::Corrupt { unknown: true, .. }))
    }
}
