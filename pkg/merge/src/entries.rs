//! Series of one input, in label order, with the numbers of the joint symbol table.

use block::series::{entry_len, parse_parts};
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
    /// Whether the input had the labels in another order.
    pub(crate) labels_out_of_order: bool,
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
        }
    }

    fn corrupt(&self, at: u64, what: impl std::fmt::Display) -> Error {
        Error::input(self.block, "index", format!("offset {at}: {what}"))
    }

    /// Reads the next series; false at the end.
    pub(crate) fn next(&mut self, out: &mut Entry) -> Result<bool> {
        let Some(len) = self.next_len()? else { return Ok(false) };
        let at = self.last;
        let bytes = self.window.get(at, len as usize)?;
        parse_parts("index", at, bytes, &mut out.labels, &mut out.chunks)
            .map_err(|e| Error::of_input(self.block, e))?;
        out.id = if self.version == 1 { at } else { at / 16 };
        self.map(&mut out.labels)?;
        self.normalise(out)?;
        Ok(true)
    }

    /// Passes over the next series, unread; false at the end.
    pub(crate) fn skip(&mut self) -> Result<bool> {
        Ok(self.next_len()?.is_some())
    }

    /// Where the series read last begins, or the end.
    pub(crate) fn position(&self) -> u64 {
        self.last
    }

    /// Goes past the next entry and gives its length; [`Self::position`] is then its position. `None` at the end.
    fn next_len(&mut self) -> Result<Option<u64>> {
        if self.version != 1 {
            self.at = self.at.next_multiple_of(16);
        }
        self.last = self.at.min(self.end);
        if self.at >= self.end {
            return Ok(None);
        }
        let at = self.at;
        let len = entry_len(self.window.get(at, 10)?).filter(|len| at + len <= self.end && *len <= ENTRY_BYTES_MAX);
        let Some(len) = len else { return Err(self.corrupt(at, "series entry does not fit")) };
        self.at = at + len;
        Ok(Some(len))
    }

    /// From the index's references to the joint numbers.
    fn map(&mut self, labels: &mut Pairs) -> Result<()> {
        if let Some(numbers) = self.numbers.all() {
            for (name, value) in labels {
                let (Some(a), Some(b)) = (numbers.get(*name as usize), numbers.get(*value as usize)) else {
                    return Err(self.corrupt(self.last, format!("symbol {name} or {value} does not exist")));
                };
                (*name, *value) = (*a, *b);
            }
            return Ok(());
        }
        for (name, value) in labels {
            let (Some(a), Some(b)) = (self.numbers.get(*name)?, self.numbers.get(*value)?) else {
                return Err(self.corrupt(self.last, format!("symbol {name} or {value} does not exist")));
            };
            (*name, *value) = (a, b);
        }
        Ok(())
    }

    /// Labels in order, without empty ones.
    fn normalise(&mut self, entry: &mut Entry) -> Result<()> {
        let labels = &mut entry.labels;
        if let Some(empty) = self.empty {
            labels.retain(|(_, value)| *value != empty);
        }
        entry.labels_out_of_order = !labels.is_sorted_by(|a, b| a.0 < b.0);
        if entry.labels_out_of_order {
            labels.sort_unstable();
            labels.dedup();
            if labels.windows(2).any(|p| p[0].0 == p[1].0) {
                return Err(self.corrupt(self.last, "series has a label twice"));
            }
        }
        Ok(())
    }
}
