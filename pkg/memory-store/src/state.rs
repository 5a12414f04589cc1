//! The series of a [`crate::MemoryStore`], and which samples they take.

use std::collections::{BTreeMap, HashMap};

use labels::Labels;
use model::{Exemplar, MetricMetadata};

use storage::append::{HistogramValue, Refusal, SeriesRef, SeriesRefusal};

use crate::inner::MemoryStoreOptions;

/// What a sample holds.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Float(f64),
    Histogram(HistogramValue),
}

impl Value {
    pub fn is_stale(&self) -> bool {
        match self {
            Self::Float(v) => model::is_stale(*v),
            Self::Histogram(h) => h.is_stale(),
        }
    }

    /// Whether it is the same to the bit, NaN included.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Histogram(HistogramValue::Int(a)), Self::Histogram(HistogramValue::Int(b))) => {
                let plain = |h: &histogram::Histogram| histogram::Histogram { sum: 0.0, ..h.clone() };
                a.sum.to_bits() == b.sum.to_bits() && plain(a) == plain(b)
            }
            (Self::Histogram(HistogramValue::Float(a)), Self::Histogram(HistogramValue::Float(b))) => {
                let plain = |h: &histogram::FloatHistogram| histogram::FloatHistogram { sum: 0.0, ..h.clone() };
                a.sum.to_bits() == b.sum.to_bits() && plain(a) == plain(b)
            }
            _ => false,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// 0 = unknown.
    pub start_ms: i64,
    pub value: Value,
}

#[derive(Debug)]
pub(super) struct MemorySeries {
    pub labels: Labels,
    pub samples: BTreeMap<i64, Sample>,
    pub exemplars: Vec<Exemplar>,
    /// By family name.
    pub metadata: Option<(String, MetricMetadata)>,
    /// The samples as chunks, from when they are read to the next sample.
    pub chunks: parking_lot::Mutex<Option<Vec<storage::Chunk>>>,
    /// Open appenders that have resolved it.
    pub users: usize,
}

#[derive(Debug)]
pub(super) struct State {
    by_labels: BTreeMap<Labels, SeriesRef>,
    pub series: HashMap<SeriesRef, MemorySeries>,
    next: u64,
    pub newest_ms: i64,
    pub exemplars: usize,
}

impl Default for State {
    fn default() -> Self {
        Self { by_labels: BTreeMap::new(), series: HashMap::new(), next: 1, newest_ms: i64::MIN, exemplars: 0 }
    }
}

impl State {
    /// The reference of a label set, whose series an appender uses from now on.
    pub fn resolve(&mut self, labels: Labels, series_max: usize) -> Result<SeriesRef, SeriesRefusal> {
        if let Some(known) = self.by_labels.get(&labels) {
            return Ok(*known);
        }
        if self.series.len() >= series_max {
            return Err(SeriesRefusal::TooManySeries { max: series_max });
        }
        let fresh = SeriesRef(self.next);
        self.next += 1;
        self.by_labels.insert(labels.clone(), fresh);
        let series = MemorySeries {
            labels,
            samples: BTreeMap::new(),
            exemplars: Vec::new(),
            metadata: None,
            chunks: Default::default(),
            users: 0,
        };
        self.series.insert(fresh, series);
        Ok(fresh)
    }

    /// One appender less uses the series. A series that nobody uses and that has no samples is forgotten.
    pub fn release(&mut self, series_ref: SeriesRef) {
        let Some(series) = self.series.get_mut(&series_ref) else { return };
        series.users = series.users.saturating_sub(1);
        if series.users == 0 && series.samples.is_empty() {
            self.exemplars -= series.exemplars.len();
            self.by_labels.remove(&series.labels);
            self.series.remove(&series_ref);
        }
    }

    pub fn in_label_order(&self) -> impl Iterator<Item = &MemorySeries> {
        self.by_labels.values().filter_map(|r| self.series.get(r))
    }
}

/// What is known of a series when a sample comes: committed samples and those of the same transaction.
pub(super) struct Known<'a> {
    pub newest_ms: Option<i64>,
    /// At the sample's time.
    pub there: Option<&'a Value>,
    /// Of the whole store.
    pub store_newest_ms: i64,
}

/// Whether a sample is new (`true`), or there already as it is.
pub(super) fn judge(
    options: &MemoryStoreOptions,
    in_order: bool,
    (time_ms, sample): (i64, &Sample),
    known: &Known<'_>,
) -> Result<bool, Refusal> {
    if !options.range.contains(time_ms) {
        return Err(Refusal::OutOfBounds);
    }
    if sample.start_ms != 0 && sample.start_ms >= time_ms {
        return Err(Refusal::StartAfterSample);
    }
    if let Some(there) = known.there {
        return if there.is_same(&sample.value) { Ok(false) } else { Err(Refusal::Duplicate) };
    }
    let Some(newest_ms) = known.newest_ms else {
        return if sample.value.is_stale() { Err(Refusal::NothingToMark) } else { Ok(true) };
    };
    let window_ms = if in_order { 0 } else { options.out_of_order_window_ms };
    if time_ms > newest_ms {
        return Ok(true);
    }
    if window_ms == 0 {
        return Err(Refusal::OutOfOrder { newest_ms });
    }
    let oldest_ms = known.store_newest_ms.saturating_sub(window_ms);
    if time_ms < oldest_ms { Err(Refusal::TooOld { oldest_ms }) } else { Ok(true) }
}
