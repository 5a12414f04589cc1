//! Series of one input, in label order, with the numbers of the joint symbol table.

use block::series::{entry_len, parse_labels, parse_parts};
use block::{BlockId, ChunkMeta};

use crate::error::{Error, Result};
use crate::input::OpenInput;
use crate::local::Window;
use crate::sort::SortedEntries;
use crate::symbols::{NumberMap, Numbers};

/// The longest series entry, bytes.
const ENTRY_BYTES_MAX: u64 = 256 << 20;

/// Labels as pairs of symbol numbers, ascending by name. Compares as the labels do.
pub(crate) type Pairs = Vec<(u32, u32)>;

/// One series of an input.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Entry {
    pub(crate) labels: Pairs,
    pub(crate) chunks: Vec<ChunkMeta>,
    /// What the input's postings and tombstones call it.
    pub(crate) id: u64,
}

/// Where an input's series come from.
pub(crate) enum Entries {
    /// Straight from the index.
    Index(Box<IndexEntries>),
    /// Sorted beforehand.
    Sorted(SortedEntries),
}

impl Entries {
    /// Reads the next series; false at the end.
    pub(crate) fn next(&mut self, out: &mut Entry) -> Result<bool> {
        match self {
            Self::Index(entries) => entries.next(out),
            Self::Sorted(entries) => entries.next(out),
        }
    }

    /// What [`Self::seek`] takes to come back to the series read last, or the end.
    pub(crate) fn position(&self) -> u64 {
        match self {
            Self::Index(entries) => entries.position(),
            Self::Sorted(entries) => entries.position(),
        }
    }

    /// Goes forward, so that the series at `position` is the next one.
    pub(crate) fn seek(&mut self, position: u64) -> Result<()> {
        match self {
            Self::Index(entries) => {
                entries.at = position;
                Ok(())
            }
            Self::Sorted(entries) => entries.seek(position),
        }
    }
}

/// Reads a series section front to back; every checksum is checked.
pub(crate) struct IndexEntries {
    block: BlockId,
    version: u8,
    window: Window,
    numbers: Numbers,
    /// The number of the empty text: labels with it as value are none.
    empty: Option<u32>,
    at: u64,
    end: u64,
    /// Where the entry read last began.
    last: u64,
    /// Entries whose labels were not in order.
    pub(crate) labels_out_of_order: u64,
}

impl IndexEntries {
    pub(crate) fn new(input: &OpenInput, numbers: &NumberMap, empty: Option<u32>) -> Self {
        Self {
            block: input.meta.ulid,
            version: input.version,
            window: input.index.window(256 << 10),
            numbers: numbers.reader(),
            empty,
            at: input.series.start,
            end: input.series.end,
            last: input.series.start,
            labels_out_of_order: 0,
        }
    }

    fn damaged(&self, at: u64, what: impl std::fmt::Display) -> Error {
        Error::input(self.block, "index", format!("offset {at}: {what}"))
    }

    /// Reads the next series; false at the end.
    pub(crate) fn next(&mut self, out: &mut Entry) -> Result<bool> {
        if !self.read(out, true)? {
            return Ok(false);
        }
        self.map(&mut out.labels)?;
        self.normalise(&mut out.labels, self.empty)?;
        Ok(true)
    }

    /// Where the series read last begins, or the end.
    pub(crate) fn position(&self) -> u64 {
        self.last
    }

    /// Reads the next series without its chunks, and without looking its symbols up where that makes no difference to
    /// the order: in version 2 both numbers ascend alike. [`Self::map`] looks them up.
    pub(crate) fn next_in_order(&mut self, out: &mut Entry) -> Result<bool> {
        if self.version == 1 {
            return self.next(out);
        }
        if !self.read(out, false)? {
            return Ok(false);
        }
        let bound = self.numbers.bound();
        if let Some((name, value)) = out.labels.iter().find(|(n, v)| *n >= bound || *v >= bound) {
            return Err(self.damaged(self.last, format!("symbol {name} or {value} does not exist")));
        }
        let empty = match self.empty {
            Some(empty) if self.numbers.get(0)? == Some(empty) => Some(0),
            _ => None,
        };
        self.normalise(&mut out.labels, empty)?;
        Ok(true)
    }

    /// Whether [`Self::next_in_order`] gives the index's own numbers.
    pub(crate) fn is_unmapped(&self) -> bool {
        self.version != 1
    }

    fn read(&mut self, out: &mut Entry, chunks: bool) -> Result<bool> {
        if self.version != 1 {
            self.at = self.at.next_multiple_of(16);
        }
        self.last = self.at;
        if self.at >= self.end {
            self.last = self.end;
            return Ok(false);
        }
        let at = self.at;
        let len = entry_len(self.window.get(at, 10)?).filter(|len| at + len <= self.end && *len <= ENTRY_BYTES_MAX);
        let Some(len) = len else { return Err(self.damaged(at, "series entry does not fit")) };
        let bytes = self.window.get(at, len as usize)?;
        let parsed = match chunks {
            true => parse_parts("index", at, bytes, &mut out.labels, &mut out.chunks),
            false => parse_labels("index", at, bytes, &mut out.labels),
        };
        parsed.map_err(|e| Error::of_input(self.block, e))?;
        self.at = at + len;
        out.id = if self.version == 1 { at } else { at / 16 };
        Ok(true)
    }

    /// From the index's references to the joint numbers.
    pub(crate) fn map(&mut self, labels: &mut Pairs) -> Result<()> {
        if let Some(numbers) = self.numbers.all() {
            for (name, value) in labels {
                let (Some(a), Some(b)) = (numbers.get(*name as usize), numbers.get(*value as usize)) else {
                    return Err(self.damaged(self.last, format!("symbol {name} or {value} does not exist")));
                };
                (*name, *value) = (*a, *b);
            }
            return Ok(());
        }
        for (name, value) in labels {
            let (Some(a), Some(b)) = (self.numbers.get(*name)?, self.numbers.get(*value)?) else {
                return Err(self.damaged(self.last, format!("symbol {name} or {value} does not exist")));
            };
            (*name, *value) = (a, b);
        }
        Ok(())
    }

    /// Labels in order, without empty ones.
    fn normalise(&mut self, labels: &mut Pairs, empty: Option<u32>) -> Result<()> {
        if let Some(empty) = empty {
            labels.retain(|(_, value)| *value != empty);
        }
        if !labels.is_sorted_by(|a, b| a.0 < b.0) {
            self.labels_out_of_order += 1;
            labels.sort_unstable();
            labels.dedup();
            if labels.windows(2).any(|p| p[0].0 == p[1].0) {
                return Err(self.damaged(self.last, "series has a label twice"));
            }
        }
        Ok(())
    }
}
