//! What a request holds, in columns that are used again for the next request. Labels stay where they are in the request.

use std::ops::Range;

use model::{Exemplar, MetricType};
use storage::append::SeriesRef;

use super::limits::SHOWN_MAX;
use super::rows::{ExemplarRows, FLOAT_BYTES, FloatRows, HistogramRows};
use super::wire::{Malformed, Reader};

/// A `TimeSeries` of a request. Rows name it by its place in [`Batch::series`].
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Of its labels.
    pub digest: u128,
    pub labels: LabelsAt,
    /// Its reference, once it is known. `None` in the end = it was refused, with all its rows.
    pub known: Option<SeriesRef>,
    /// Digest of the metadata that the store has of it.
    pub metadata: u64,
    /// Refused while it was read.
    pub refused: bool,
}

/// Where the labels of a series are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LabelsAt {
    /// Label messages of version 1, in the request.
    Request(Span),
    /// The same, put together in [`Batch::joined`] since they were scattered.
    Joined(Span),
    /// Numbers of symbols, in [`Batch::refs`].
    Symbols(Span),
}

/// A range that takes half the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    begin: u32,
    end: u32,
}

impl Span {
    /// Requests are smaller than 4 GiB, which the limit on their size sees to.
    pub fn new(begin: usize, end: usize) -> Self {
        Self { begin: begin as u32, end: end as u32 }
    }

    pub fn is_empty(self) -> bool {
        self.begin == self.end
    }

    pub fn range(self) -> Range<usize> {
        self.begin as usize..self.end as usize
    }
}

/// Something of a request that is not taken.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NotTaken {
    /// Its series.
    pub series: usize,
    pub what: What,
    /// When, for samples.
    pub time_ms: Option<i64>,
    pub why: String,
}

/// What is not taken of a request: how much, and the first of it. A request may be full of mistakes.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    pub shown: Vec<NotTaken>,
    pub count: u64,
    /// How many of them are samples.
    pub samples: u64,
    /// There was no room for some of them: the sender may come again.
    pub no_room: Option<NoRoom>,
}

/// What there was no room for. The greater one decides the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NoRoom {
    /// New series beyond a limit that somebody set.
    Series,
    /// New series while memory is short.
    Memory,
}

impl Refusals {
    pub fn push(&mut self, one: NotTaken) {
        self.count += 1;
        self.samples += u64::from(matches!(one.what, What::Float | What::Histogram));
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(one);
        }
    }
}

/// A kind of thing that a request holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// The series, with everything it has in the request.
    Series,
    Float,
    Histogram,
    Exemplar,
}

/// What a series says of its metric.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said {
    pub series: u32,
    /// Of type, help and unit; never 0.
    pub digest: u64,
    /// The type, and the numbers of the symbols of help and unit.
    pub refs: [u64; 3],
}

/// The type and unit that become labels of a series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Typed {
    pub series: u32,
    pub kind: MetricType,
    /// The number of a symbol.
    pub unit: u64,
}

/// All columns. Clear it between requests.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub series: Vec<Entry>,
    pub floats: FloatRows,
    pub histograms: HistogramRows,
    pub exemplars: ExemplarRows,
    /// Version 2: what series say of their metrics.
    pub said: Vec<Said>,
    /// Whether series of version 2 get labels of their metric's type and unit.
    pub labels_types: bool,
    /// The types and units of those that do, in the order of series.
    pub typed: Vec<Typed>,
    /// Refused while it was read.
    pub refused: Refusals,
    /// Bytes that the columns may still take.
    pub room: usize,
    /// Version 2: where each symbol is in the request.
    pub symbols: Vec<Span>,
    /// Version 2: a digest of each symbol.
    pub symbol_digests: Vec<u128>,
    /// Version 2: numbers of symbols, of all series and exemplars one after the other.
    pub refs: Vec<u32>,
    pub joined: Vec<u8>,
    /// For digests.
    pub scratch: Vec<u8>,
    /// Exemplars that could not be read, which version 1 does not tell the sender of.
    pub bad_exemplars: u64,
    /// Float and histogram samples of series that have no metadata in the request.
    pub without_metadata: u64,
}

impl Batch {
    /// Takes what a part of a request needs in the columns, before it is put there: parts of a few bytes may need a
    /// hundred times as many.
    ///
    /// # Errors
    /// There is no more room.
    #[inline]
    pub fn take_room(&mut self, bytes: usize, at: &Reader<'_>) -> Result<(), Malformed> {
        match self.room.checked_sub(bytes) {
            Some(room) => {
                self.room = room;
                Ok(())
            }
            None => Err(at.malformed("more series and samples than a request of this size may have")),
        }
    }

    /// Refuses a series, with everything that it has in the request.
    pub fn refuse_series(&mut self, series: usize, why: String) {
        self.refused.push(NotTaken { series, what: What::Series, time_ms: None, why });
    }

    pub fn clear(&mut self) {
        self.series.clear();
        for column in [&mut self.floats.series, &mut self.histograms.series, &mut self.exemplars.series] {
            column.clear();
        }
        for column in [
            &mut self.floats.times_ms,
            &mut self.floats.starts_ms,
            &mut self.histograms.times_ms,
            &mut self.histograms.starts_ms,
        ] {
            column.clear();
        }
        self.floats.values.clear();
        self.histograms.values.clear();
        self.exemplars.exemplars.clear();
        self.said.clear();
        self.typed.clear();
        self.refused = Refusals::default();
        self.symbols.clear();
        self.symbol_digests.clear();
        self.refs.clear();
        self.joined.clear();
        self.scratch.clear();
        self.bad_exemplars = 0;
        self.without_metadata = 0;
    }

    /// Bytes that the columns have room for, about.
    pub fn capacity_bytes(&self) -> usize {
        self.series.capacity() * size_of::<Entry>()
            + self.floats.series.capacity() * FLOAT_BYTES
            + self.histograms.series.capacity() * 44
            + self.exemplars.series.capacity() * size_of::<Exemplar>()
            + self.symbols.capacity() * 24
            + self.refs.capacity() * 4
            + self.typed.capacity() * size_of::<Typed>()
            + self.joined.capacity()
            + self.scratch.capacity()
    }
}
