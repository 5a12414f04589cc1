//! Rows on their way to the store, as columns.

use labels::Labels;
use model::{Exemplar, MetricMetadata};
use storage::append::{
    Appender, Exemplars, Floats, HistogramValue, Histograms, Metadata, Refusal, Refused, SeriesRef, SeriesRefusal,
};

use crate::cache::{Cache, Id, Known};

/// Rows after which a batch is handed over.
pub(crate) const ROWS_MAX: usize = 4096;
/// Stands for a row that has no entry in the cache: it may be refused without a word.
pub(crate) const NO_ENTRY: Id = Id::MAX;
/// Stands for a reference that is not known yet.
const PENDING: SeriesRef = SeriesRef(u64::MAX);

/// Rows of one kind.
#[derive(Debug)]
pub(crate) struct Rows<V> {
    ids: Vec<Id>,
    series: Vec<SeriesRef>,
    times_ms: Vec<i64>,
    values: Vec<V>,
    starts_ms: Vec<i64>,
}

impl<V> Default for Rows<V> {
    fn default() -> Self {
        Self { ids: Vec::new(), series: Vec::new(), times_ms: Vec::new(), values: Vec::new(), starts_ms: Vec::new() }
    }
}

/// A sample on its way.
#[derive(Debug)]
pub(crate) struct Row<V> {
    pub(crate) id: Id,
    /// `None`: it comes with the batch's pending series.
    pub(crate) series: Option<SeriesRef>,
    pub(crate) time_ms: i64,
    pub(crate) value: V,
    pub(crate) start_ms: i64,
    /// Refusals of this row are not told.
    pub(crate) is_silent: bool,
}

impl<V> Rows<V> {
    #[inline]
    fn push(&mut self, row: Row<V>, stores_starts: bool) {
        self.ids.push(if row.is_silent { NO_ENTRY } else { row.id });
        self.series.push(row.series.unwrap_or(PENDING));
        self.times_ms.push(row.time_ms);
        self.values.push(row.value);
        if stores_starts {
            self.starts_ms.push(row.start_ms);
        }
    }

    fn reserve(&mut self, rows: usize) {
        self.ids.reserve(rows);
        self.series.reserve(rows);
        self.times_ms.reserve(rows);
        self.values.reserve(rows);
    }

    fn clear(&mut self) {
        self.ids.clear();
        self.series.clear();
        self.times_ms.clear();
        self.values.clear();
        self.starts_ms.clear();
    }
}

/// A row that was refused.
#[derive(Debug)]
pub(crate) struct RefusedRow {
    pub(crate) id: Id,
    pub(crate) why: Refusal,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    pub(crate) samples: Vec<RefusedRow>,
    pub(crate) exemplars: Vec<RefusedRow>,
    /// The first series that was not taken.
    pub(crate) series: Option<(Labels, SeriesRefusal)>,
}

#[derive(Debug)]
struct Pending {
    id: Id,
    labels: Labels,
}

#[derive(Debug, Default)]
pub(crate) struct Batch {
    stores_starts: bool,
    floats: Rows<f64>,
    histograms: Rows<HistogramValue>,
    pending: Vec<Pending>,
    /// Entries whose samples have silent rows before them, so that those find the reference, too.
    silent: Vec<(bool, usize, Id)>,
    exemplars: Vec<(Id, Exemplar)>,
    metadata: Vec<(Id, String, MetricMetadata)>,
}

impl Batch {
    /// For about `floats` samples.
    pub(crate) fn new(stores_starts: bool, floats: usize) -> Self {
        let mut batch = Self { stores_starts, ..Self::default() };
        batch.floats.reserve(floats.min(ROWS_MAX));
        batch
    }

    pub(crate) fn is_full(&self) -> bool {
        self.floats.ids.len() + self.histograms.ids.len() >= ROWS_MAX || self.exemplars.len() >= ROWS_MAX
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.floats.ids.is_empty() && self.histograms.ids.is_empty() && self.pending.is_empty()
    }

    /// A series whose reference is not known.
    pub(crate) fn resolve(&mut self, id: Id, labels: Labels) {
        self.pending.push(Pending { id, labels });
    }

    #[inline]
    pub(crate) fn float(&mut self, row: Row<f64>) {
        if row.is_silent && row.series.is_none() {
            self.silent.push((false, self.floats.ids.len(), row.id));
        }
        self.floats.push(row, self.stores_starts);
    }

    pub(crate) fn histogram(&mut self, row: Row<HistogramValue>) {
        if row.is_silent && row.series.is_none() {
            self.silent.push((true, self.histograms.ids.len(), row.id));
        }
        self.histograms.push(row, self.stores_starts);
    }

    pub(crate) fn exemplar(&mut self, id: Id, exemplar: Exemplar) {
        self.exemplars.push((id, exemplar));
    }

    pub(crate) fn metadata(&mut self, id: Id, family: &str, metadata: &MetricMetadata) {
        self.metadata.push((id, family.to_owned(), metadata.clone()));
    }

    /// Hands everything over; the batch is empty then.
    pub(crate) fn hand_over(&mut self, appender: &mut dyn Appender, cache: &mut Cache) -> storage::Result<Handed> {
        let mut handed = Handed::default();
        if !self.pending.is_empty() {
            handed.series = self.resolve_pending(appender, cache)?;
            if handed.series.is_some() {
                self.clear();
                return Ok(handed);
            }
        }
        if !self.floats.ids.is_empty() {
            let refused = appender.floats(Floats {
                series: &self.floats.series,
                times_ms: &self.floats.times_ms,
                values: &self.floats.values,
                starts_ms: &self.floats.starts_ms,
            })?;
            handed.samples.extend(named(refused, &self.floats.ids));
        }
        if !self.histograms.ids.is_empty() {
            let refused = appender.histograms(Histograms {
                series: &self.histograms.series,
                times_ms: &self.histograms.times_ms,
                values: &self.histograms.values,
                starts_ms: &self.histograms.starts_ms,
            })?;
            handed.samples.extend(named(refused, &self.histograms.ids));
        }
        self.hand_over_rest(appender, cache, &mut handed)?;
        self.clear();
        Ok(handed)
    }

    fn hand_over_rest(
        &mut self,
        appender: &mut dyn Appender,
        cache: &Cache,
        handed: &mut Handed,
    ) -> storage::Result<()> {
        if !self.exemplars.is_empty() {
            let known = |id: Id| match cache.known(id) {
                Known::Series(series) => series,
                Known::Unresolved | Known::Dropped => PENDING,
            };
            let (ids, exemplars): (Vec<Id>, Vec<Exemplar>) = self.exemplars.drain(..).unzip();
            let series: Vec<SeriesRef> = ids.iter().map(|id| known(*id)).collect();
            let refused = appender.exemplars(Exemplars { series: &series, exemplars: &exemplars })?;
            handed.exemplars.extend(named(refused, &ids));
        }
        if !self.metadata.is_empty() {
            let mut rows: (Vec<SeriesRef>, Vec<&str>, Vec<MetricMetadata>) = Default::default();
            for (id, family, metadata) in &self.metadata {
                if let Known::Series(series) = cache.known(*id) {
                    rows.0.push(series);
                    rows.1.push(family);
                    rows.2.push(metadata.clone());
                }
            }
            // Metadata of a series that the store has forgotten comes with its next sample.
            appender.metadata(Metadata { series: &rows.0, families: &rows.1, metadata: &rows.2 })?;
        }
        Ok(())
    }

    /// Gives the first series that was not taken.
    fn resolve_pending(
        &mut self,
        appender: &mut dyn Appender,
        cache: &mut Cache,
    ) -> storage::Result<Option<(Labels, SeriesRefusal)>> {
        let pairs: Vec<Vec<(&str, &str)>> = self.pending.iter().map(|series| series.labels.iter().collect()).collect();
        let sets: Vec<&[(&str, &str)]> = pairs.iter().map(Vec::as_slice).collect();
        let resolved = appender.resolve(&sets)?;
        for (pending, resolved) in self.pending.iter().zip(resolved) {
            match resolved {
                Ok(series) => cache.set_series(pending.id, series),
                Err(why) => return Ok(Some((pending.labels.clone(), why))),
            }
        }
        let known = |id: Id| match cache.known(id) {
            Known::Series(series) => Some(series),
            Known::Unresolved | Known::Dropped => None,
        };
        for (is_histogram, row, id) in self.silent.drain(..) {
            let column = if is_histogram { &mut self.histograms.series } else { &mut self.floats.series };
            if let (Some(row), Some(series)) = (column.get_mut(row), known(id)) {
                *row = series;
            }
        }
        for (ids, column) in
            [(&self.floats.ids, &mut self.floats.series), (&self.histograms.ids, &mut self.histograms.series)]
        {
            for (id, row) in ids.iter().zip(column.iter_mut()).filter(|(_, row)| **row == PENDING) {
                if let Some(series) = known(*id) {
                    *row = series;
                }
            }
        }
        Ok(None)
    }

    pub(crate) fn clear(&mut self) {
        self.floats.clear();
        self.histograms.clear();
        self.pending.clear();
        self.silent.clear();
        self.exemplars.clear();
        self.metadata.clear();
    }
}

/// Refusals with the entries of their rows; those of silent rows are left out.
fn named(refused: Vec<Refused>, ids: &[Id]) -> impl Iterator<Item = RefusedRow> {
    let id = |row: usize| ids.get(row).copied().unwrap_or(NO_ENTRY);
    let rows: Vec<RefusedRow> = refused.into_iter().map(|r| RefusedRow { id: id(r.row), why: r.why }).collect();
    rows.into_iter().filter(|row| row.id != NO_ENTRY)
}
