//! Reads a log from a checkpoint or a segment on to its end.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::checkpoint::{self, Checkpoint};
use crate::compression::{Compression, Unpacker};
use crate::page::{Corruption, PAGE_BYTES, Position};
use crate::scanner::{Found, Scanner};
use crate::segments::{self, Segment};

/// What comes next in a log.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A record; [`record::Kind::of`](crate::record::Kind::of) says what it holds.
    Record(&'a [u8]),
    /// A place that cannot be read. The reader goes on behind it.
    Corrupt(Corruption),
}

/// What comes next in a log, its records as they are stored.
#[derive(Debug, PartialEq, Eq)]
pub enum Packed<'a> {
    /// A record, to be unpacked with an [`Unpacker`].
    Record {
        /// How it is compressed.
        compression: Compression,
        /// As stored.
        bytes: &'a [u8],
        /// Where it begins.
        position: Position,
    },
    /// A place that cannot be read. The reader goes on behind it.
    Corrupt(Corruption),
}

/// Reads the records of a log, one segment at a time, in bounded memory: 512 KiB and the largest record, compressed and not.
pub struct Reader {
    ahead: VecDeque<Part>,
    current: Option<Current>,
    /// The memory of the scanner before.
    buffer: Option<Vec<u8>>,
    unpacker: Unpacker,
    /// A corruption of the last segment, until it is known what follows.
    held: Option<Corruption>,
    /// A record was found, behind a corruption if one is held.
    found_behind: bool,
    /// Nothing of this segment behind an offset is read.
    until: Option<(PathBuf, u64)>,
}

/// A part of the log that is still to be read.
enum Part {
    Segment {
        segment: Segment,
        from: u64,
        last: bool,
    },
    /// Segments that are missing.
    Gap(Corruption),
}

struct Current {
    scanner: Scanner<File>,
    path: PathBuf,
    number: u64,
    last: bool,
    /// Records that end here or before were read already.
    from: u64,
    /// What lies behind is not read.
    until: u64,
    offset: u64,
    compression: Compression,
}

impl Reader {
    /// Reads the segments in `dir` from number `from` on.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn open(dir: &Path, from: u64) -> io::Result<Self> {
        Self::from_position(dir, Position { segment: from, offset: 0 })
    }

    /// Reads a checkpoint, then the segments in `dir` behind it, and those that it does not replace although their numbers
    /// say so (see [`checkpoint::unhide`](crate::checkpoint::unhide)).
    ///
    /// # Errors
    /// One of the directories cannot be listed.
    pub fn behind_checkpoint(dir: &Path, checkpoint: Option<&Checkpoint>) -> io::Result<Self> {
        let Some(checkpoint) = checkpoint else { return Self::open(dir, 0) };
        let mut reader = Self::open(&checkpoint.dir, 0)?;
        for part in &mut reader.ahead {
            if let Part::Segment { last, .. } = part {
                *last = false;
            }
        }
        let hidden = checkpoint::hidden(&segments::list(dir)?, checkpoint.segment).first().map(|s| s.number);
        let first = hidden.unwrap_or(checkpoint.segment + 1);
        let rest = Self::segments(dir, Position { segment: first, offset: 0 })?;
        reader.ahead.extend(rest);
        Ok(reader)
    }

    /// Leaves out the segments of `dir` behind number `last`; those of a checkpoint stay. For a log that is written
    /// meanwhile.
    pub fn stop_behind(&mut self, last: u64, dir: &Path) {
        self.ahead.retain_mut(|part| match part {
            Part::Segment { segment, last: is_last, .. } => {
                *is_last = false;
                segment.number <= last || segment.path.parent() != Some(dir)
            }
            Part::Gap(corruption) => corruption.position.segment <= last || corruption.path.parent() != Some(dir),
        });
    }

    /// Ends at `until`, where a record of `dir` ends: for a log that is written meanwhile, whose writer knows so much.
    pub fn stop_at(&mut self, until: Position, dir: &Path) {
        self.stop_behind(until.segment, dir);
        self.until = Some((dir.join(segments::segment_name(until.segment)), until.offset));
    }

    /// Reads what follows `from`, where a record ends.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn from_position(dir: &Path, from: Position) -> io::Result<Self> {
        let ahead = Self::segments(dir, from)?;
        let unpacker = Unpacker::default();
        Ok(Self { ahead, current: None, buffer: None, unpacker, held: None, found_behind: false, until: None })
    }

    fn segments(dir: &Path, from: Position) -> io::Result<VecDeque<Part>> {
        let found = segments::list(dir)?;
        let last = found.last().map(|s| s.number);
        let mut parts = VecDeque::new();
        let mut expected = None;
        for segment in found.into_iter().filter(|s| s.number >= from.segment) {
            if let Some(expected) = expected.filter(|e| *e != segment.number) {
                parts.push_back(Part::Gap(Corruption {
                    path: dir.join(segments::segment_name(expected)),
                    position: Position { segment: expected, offset: 0 },
                    why: format!("segments {expected} to {} are missing", segment.number - 1),
                    torn: false,
                }));
            }
            expected = Some(segment.number + 1);
            let from = if segment.number == from.segment { from.offset } else { 0 };
            parts.push_back(Part::Segment { last: last == Some(segment.number), segment, from });
        }
        Ok(parts)
    }

    /// The next record, unpacked, or a place that cannot be read; `None` at the end.
    pub fn read(&mut self) -> Option<Entry<'_>> {
        if !self.advance() {
            return self.held.take().map(Entry::Corrupt);
        }
        if let Some(corruption) = self.held.take() {
            return Some(Entry::Corrupt(corruption));
        }
        self.found_behind = false;
        let current = self.current.as_ref()?;
        match self.unpacker.unpack(current.compression, current.scanner.stored()) {
            Ok(record) => Some(Entry::Record(record)),
            Err(why) => Some(Entry::Corrupt(current.corruption(current.offset, why))),
        }
    }

    /// As [`Self::read`], with where the record that was found last ends.
    pub fn read_at(&mut self) -> Option<(Entry<'_>, Position)> {
        // It does not move between finding a record and giving it.
        if !self.advance() {
            let position = self.position();
            return self.held.take().map(|corruption| (Entry::Corrupt(corruption), position));
        }
        let position = self.position();
        self.read().map(|entry| (entry, position))
    }

    /// The next record as it is stored, or a place that cannot be read; `None` at the end. For those who unpack in
    /// several threads.
    pub fn read_packed(&mut self) -> Option<Packed<'_>> {
        if !self.advance() {
            return self.held.take().map(Packed::Corrupt);
        }
        if let Some(corruption) = self.held.take() {
            return Some(Packed::Corrupt(corruption));
        }
        self.found_behind = false;
        let current = self.current.as_ref()?;
        let position = Position { segment: current.number, offset: current.offset };
        Some(Packed::Record { compression: current.compression, bytes: current.scanner.stored(), position })
    }

    /// Where the last record that was found ends.
    pub fn position(&self) -> Position {
        let current = self.current.as_ref();
        current.map_or(Position::default(), |c| Position { segment: c.number, offset: c.scanner.end().max(c.from) })
    }

    /// Segments not begun yet.
    pub fn segments_ahead(&self) -> usize {
        self.ahead.iter().filter(|p| matches!(p, Part::Segment { .. })).count()
    }

    /// Moves to the next record (`found_behind`), or to a corruption that is to be told now (`held`); whether there is
    /// one of them. At the end a corruption that nothing follows is held.
    fn advance(&mut self) -> bool {
        if self.found_behind {
            return true;
        }
        loop {
            let Some(current) = &mut self.current else {
                match self.ahead.pop_front() {
                    None => return false,
                    Some(Part::Gap(corruption)) => self.held = Some(corruption),
                    Some(Part::Segment { segment, from, last }) => match self.open_segment(segment, from, last) {
                        Ok(()) => continue,
                        Err(corruption) => self.held = Some(corruption),
                    },
                }
                return true;
            };
            let next = current.scanner.next();
            let (end, until) = (current.scanner.end(), current.until);
            match next {
                Ok(Some(Found::Record { .. })) if end > until => return self.end(),
                Ok(Some(Found::Corrupt { offset, .. })) if offset >= until => return self.end(),
                Ok(Some(Found::Record { .. })) if end <= current.from => {}
                Ok(Some(Found::Record { offset, compression })) => {
                    (current.offset, current.compression) = (offset, compression);
                    self.found_behind = true;
                    return true;
                }
                Ok(Some(Found::Corrupt { offset, .. })) if offset < current.from => {}
                Ok(Some(Found::Corrupt { offset, why, .. })) => {
                    let corruption = current.corruption(offset, why);
                    if !current.last {
                        self.held = Some(corruption);
                        return true;
                    }
                    self.held.get_or_insert(corruption);
                }
                Ok(None) => self.close_segment(true),
                Err(e) => {
                    let corruption = current.corruption(current.scanner.end(), format!("it cannot be read: {e}"));
                    self.held.get_or_insert(corruption);
                    self.close_segment(false);
                    return true;
                }
            }
        }
    }

    /// Nothing more is read; false, since there is no further record.
    fn end(&mut self) -> bool {
        self.ahead.clear();
        self.close_segment(false);
        false
    }

    fn open_segment(&mut self, segment: Segment, from: u64, last: bool) -> Result<(), Corruption> {
        let Segment { number, path } = segment;
        let page = from - from % PAGE_BYTES as u64;
        let open = || {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(page))?;
            Ok(file)
        };
        let file = open().map_err(|e: io::Error| Corruption {
            path: path.clone(),
            position: Position { segment: number, offset: from },
            why: format!("it cannot be opened: {e}"),
            torn: false,
        })?;
        let scanner = match self.buffer.take() {
            Some(buffer) => Scanner::reusing(buffer, file, page),
            None => Scanner::new(file, page),
        };
        let until = self.until.as_ref().filter(|(of, _)| *of == path).map_or(u64::MAX, |(_, offset)| *offset);
        let compression = Compression::None;
        self.current = Some(Current { scanner, path, number, last, from, until, offset: from, compression });
        Ok(())
    }

    /// `to_its_end`: all of it was read, so that a corruption that is held was not followed by a record.
    fn close_segment(&mut self, to_its_end: bool) {
        let Some(current) = self.current.take() else { return };
        if let Some(corruption) = &mut self.held {
            corruption.torn = current.last && to_its_end;
        }
        self.buffer = Some(current.scanner.into_buffer());
    }
}

impl Current {
    fn corruption(&self, offset: u64, why: String) -> Corruption {
        let position = Position { segment: self.number, offset };
        Corruption { path: self.path.clone(), position, why, torn: false }
    }
}
