//! What a request holds, in columns.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use histogram::Histogram;
use ingest::wire::Malformed;
use model::{Exemplar, MetricType};
use storage::append::{HistogramValue, SeriesRef};
use storage::{Budget, Reservation};

use crate::limits::{NAME_SHOWN_MAX, SHOWN_MAX};
use crate::names::Kind;

/// The point of rows that belong to no data point: `target_info`.
pub(crate) const NO_POINT: u32 = u32::MAX;

/// A stretch of [`Batch::text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Text {
    begin: u32,
    end: u32,
}

/// A label of a series.
pub(crate) type Pair = (Text, Text);

/// A series of the request. Rows name it by its place in [`Batch::series`].
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// Of what names it in the request.
    pub digest: u128,
    /// Its reference, once it is known.
    pub known: Option<SeriesRef>,
    /// Digest of the metadata that the store has of it; 0 = none.
    pub metadata: u64,
    /// Place in [`Batch::families`].
    pub family: u32,
    /// Labels in [`Batch::pairs`], only of series that are new: those of the data point, and its own, which count where a
    /// name comes in both.
    pub common: Range<u32>,
    pub own: Range<u32>,
}

/// A metric of the request.
#[derive(Debug)]
pub(crate) struct Family<'a> {
    pub name: &'a str,
    pub unit: &'a str,
    pub description: &'a str,
    pub kind: Kind,
    pub metric_type: MetricType,
    /// Of type, unit and description; never 0.
    pub metadata: u64,
    /// Its name in the store; `None` = it was not needed yet.
    pub built: Option<Result<Text, String>>,
}

/// Rows of one kind.
#[derive(Debug)]
pub(crate) struct Rows<T> {
    pub series: Vec<u32>,
    /// Which data point of the request a row is of.
    pub points: Vec<u32>,
    pub times_ms: Vec<i64>,
    pub values: Vec<T>,
    pub starts_ms: Vec<i64>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { series: vec![], points: vec![], times_ms: vec![], values: vec![], starts_ms: vec![] }
    }
}

impl<T> Rows<T> {
    #[inline]
    pub fn push(&mut self, series: u32, point: u32, (time_ms, start_ms): (i64, i64), value: T) {
        self.series.push(series);
        self.points.push(point);
        self.times_ms.push(time_ms);
        self.values.push(value);
        self.starts_ms.push(start_ms);
    }

    /// Drops the rows that `keep` is false for.
    pub fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        fn column<C>(column: &mut Vec<C>, series: &[u32], keep: impl Fn(u32) -> bool) {
            let mut rows = series.iter();
            column.retain(|_| rows.next().is_some_and(|s| keep(*s)));
        }
        column(&mut self.points, &self.series, &keep);
        column(&mut self.times_ms, &self.series, &keep);
        column(&mut self.values, &self.series, &keep);
        column(&mut self.starts_ms, &self.series, &keep);
        self.series.retain(|s| keep(*s));
    }
}

/// Why a request is not taken at all.
#[derive(Debug)]
pub(crate) enum Stop {
    Malformed(Malformed),
    /// It would take more memory than one request may.
    TooLarge(u64),
    /// There is no memory for it now.
    Busy(storage::Error),
}

impl From<Malformed> for Stop {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error)
    }
}

/// Memory that the columns may take. It is reserved step by step.
#[derive(Debug)]
pub(crate) struct Room {
    held: Reservation,
    left: u64,
    bytes_max: u64,
}

const STEP_BYTES: u64 = 1 << 20;

impl Room {
    pub fn new(budget: &std::sync::Arc<Budget>, bytes_max: u64) -> storage::Result<Self> {
        Ok(Self { held: budget.reserve(0)?, left: 0, bytes_max })
    }

    /// Takes memory before it is used.
    #[inline]
    pub fn take(&mut self, bytes: usize) -> Result<(), Stop> {
        match self.left.checked_sub(bytes as u64) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => self.grow(bytes as u64),
        }
    }

    #[cold]
    fn grow(&mut self, bytes: u64) -> Result<(), Stop> {
        let step = bytes.max(STEP_BYTES);
        if self.held.bytes().saturating_add(step) > self.bytes_max {
            return Err(Stop::TooLarge(self.bytes_max));
        }
        self.held.grow(step).map_err(Stop::Busy)?;
        self.left = self.left + step - bytes;
        Ok(())
    }

    /// Whether so much can be taken without more being reserved than one request may.
    pub fn has(&self, bytes: u64) -> bool {
        self.held.bytes().saturating_sub(self.left).saturating_add(bytes) <= self.bytes_max / 2
    }
}

/// Data points that were not written, and why.
#[derive(Debug, Default)]
pub(crate) struct Rejected {
    points: HashSet<u32>,
    /// Data points that were not even read, such as those of a metric that cannot be taken.
    unread: u64,
    pub shown: Vec<String>,
    /// Reasons, those that are not shown included.
    pub reasons: u64,
}

impl Rejected {
    /// A data point that is not written, or only in part.
    pub fn point(&mut self, point: u32, why: impl FnOnce() -> String) {
        if point != NO_POINT && self.points.insert(point) {
            self.reason(why);
        }
    }

    /// All `points` data points of a metric.
    pub fn metric(&mut self, points: u64, why: impl FnOnce() -> String) {
        self.unread += points;
        self.reason(why);
    }

    fn reason(&mut self, why: impl FnOnce() -> String) {
        self.reasons += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(why());
        }
    }

    /// How many data points were rejected.
    pub fn points(&self) -> u64 {
        self.points.len() as u64 + self.unread
    }
}

/// What a request holds.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    pub series: Vec<Series>,
    pub floats: Rows<f64>,
    pub histograms: Rows<HistogramValue>,
    pub exemplars: Rows<Exemplar>,
    pub families: Vec<Family<'a>>,
    pub text: String,
    pub pairs: Vec<Pair>,
    /// Data points by now.
    pub points: u32,
    pub rejected: Rejected,
    /// What was odd, by category; as Prometheus counts it.
    pub warnings: BTreeMap<&'static str, u64>,
    /// The first of each category.
    pub warned: BTreeMap<&'static str, String>,
    /// Exemplars that could not be taken, which the sender is not told.
    pub lost_exemplars: u64,
    pub room: Room,
}

/// What a row takes.
pub(crate) const FLOAT_BYTES: usize = 32;
pub(crate) const HISTOGRAM_BYTES: usize = 40 + size_of::<Histogram>();
pub(crate) const EXEMPLAR_BYTES: usize = 24 + size_of::<Exemplar>();
const SERIES_BYTES: usize = size_of::<Series>();

impl<'a> Batch<'a> {
    pub fn new(room: Room) -> Self {
        Self {
            series: Vec::new(),
            floats: Rows::default(),
            histograms: Rows::default(),
            exemplars: Rows::default(),
            families: Vec::new(),
            text: String::new(),
            pairs: Vec::new(),
            points: 0,
            rejected: Rejected::default(),
            warnings: BTreeMap::new(),
            warned: BTreeMap::new(),
            lost_exemplars: 0,
            room,
        }
    }

    /// Adds a series; its place.
    pub fn push_series(&mut self, series: Series) -> Result<u32, Stop> {
        self.room.take(SERIES_BYTES)?;
        self.series.push(series);
        Ok(self.series.len() as u32 - 1)
    }

    /// Adds text that `write` writes.
    ///
    /// # Errors
    /// Those of `write`, and no room.
    pub fn add_text<E: From<Stop>>(&mut self, write: impl FnOnce(&mut String) -> Result<(), E>) -> Result<Text, E> {
        let begin = self.text.len();
        write(&mut self.text)?;
        self.room.take(self.text.len() - begin)?;
        // The room of a request is far below 4 GiB.
        Ok(Text { begin: begin as u32, end: self.text.len() as u32 })
    }

    pub fn add_str(&mut self, text: &str) -> Result<Text, Stop> {
        self.add_text(|out| {
            out.push_str(text);
            Ok(())
        })
    }

    #[inline]
    pub fn str(&self, text: Text) -> &str {
        self.text.get(text.begin as usize..text.end as usize).unwrap_or_default()
    }

    /// Adds labels of a series; their place.
    pub fn add_pairs(&mut self, pairs: impl IntoIterator<Item = Pair>) -> Result<Range<u32>, Stop> {
        let begin = self.pairs.len();
        self.pairs.extend(pairs);
        self.room.take((self.pairs.len() - begin) * size_of::<Pair>())?;
        Ok(begin as u32..self.pairs.len() as u32)
    }

    pub fn warn(&mut self, category: &'static str, what: impl FnOnce() -> String) {
        *self.warnings.entry(category).or_default() += 1;
        self.warned.entry(category).or_insert_with(what);
    }

    /// The name of a series' metric as the sender has it, for messages.
    pub fn metric_of(&self, series: u32) -> String {
        let family = self.series.get(series as usize).and_then(|s| self.families.get(s.family as usize));
        shown(family.map_or("", |f| f.name))
    }
}

/// A name for a message.
pub(crate) fn shown(name: &str) -> String {
    let cut: String = name.chars().take(NAME_SHOWN_MAX).collect();
    format!("{cut:?}")
}
