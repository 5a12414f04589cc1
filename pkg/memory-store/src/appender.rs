//! One transaction of a [`crate::MemoryStore`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chunkenc::{FloatHistogramAppender, HistogramAppender, ResetFlag};
use futures::future::BoxFuture;
use model::{Exemplar, MetricMetadata};

use storage::append::{
    AppendOptions, Appender, Column, CommitError, Committed, Exemplars, Floats, HistogramValue, Histograms, Metadata,
    Refusal, Refused, SeriesRef, SeriesRefusal, Visible, label_set,
};
use storage::{Ctx, Reservation, Result};

use crate::inner::Inner;
use crate::state::{Known, Sample, State, Value, judge};

/// What a row takes besides its value, about.
const ROW_BYTES: u64 = 96;

#[derive(Debug)]
pub(super) struct MemoryAppender {
    store: Arc<Inner>,
    ctx: Ctx,
    options: AppendOptions,
    held: Option<Reservation>,
    resolved: HashSet<SeriesRef>,
    rows: Vec<Row>,
    /// Rows taken, by series and time.
    taken: HashMap<SeriesRef, BTreeMap<i64, usize>>,
    newest_ms: i64,
    exemplars: Vec<(usize, SeriesRef, Exemplar)>,
    metadata: Vec<(SeriesRef, String, MetricMetadata)>,
    /// Rows of each kind so far.
    counts: [usize; 3],
}

#[derive(Debug)]
struct Row {
    column: Column,
    /// Among all of its kind in this transaction.
    number: usize,
    series: SeriesRef,
    time_ms: i64,
    sample: Sample,
}

impl MemoryAppender {
    pub(super) fn new(store: Arc<Inner>, ctx: Ctx, options: AppendOptions) -> Self {
        Self {
            store,
            ctx,
            options,
            held: None,
            resolved: HashSet::new(),
            rows: Vec::new(),
            taken: HashMap::new(),
            newest_ms: i64::MIN,
            exemplars: Vec::new(),
            metadata: Vec::new(),
            counts: [0; 3],
        }
    }

    /// Takes bytes from the budget before a batch is looked at.
    fn hold(&mut self, bytes: u64) -> Result<()> {
        self.ctx.check()?;
        match &mut self.held {
            Some(held) => held.grow(bytes),
            none => {
                *none = Some(self.ctx.budget.reserve(bytes)?);
                Ok(())
            }
        }
    }

    fn samples(
        &mut self,
        column: Column,
        rows: impl Iterator<Item = (SeriesRef, i64, Sample)>,
        check: impl Fn(i64, &Value) -> std::result::Result<(), Refusal>,
    ) -> Vec<Refused> {
        let store = self.store.clone();
        let state = store.state.read();
        let first = self.counts[column as usize];
        let mut refused = Vec::new();
        for (row, (series, time_ms, sample)) in rows.enumerate() {
            self.counts[column as usize] += 1;
            let judged = check(time_ms, &sample.value).and_then(|()| self.judge(&state, series, time_ms, &sample));
            match judged {
                Err(why) => refused.push(Refused { row, why }),
                Ok(false) => {}
                Ok(true) => {
                    self.newest_ms = self.newest_ms.max(time_ms);
                    self.taken.entry(series).or_default().insert(time_ms, self.rows.len());
                    self.rows.push(Row { column, number: first + row, series, time_ms, sample });
                }
            }
        }
        refused
    }

    fn judge(
        &self,
        state: &State,
        series: SeriesRef,
        time_ms: i64,
        sample: &Sample,
    ) -> std::result::Result<bool, Refusal> {
        let Some(stored) = state.series.get(&series) else { return Err(Refusal::UnknownSeries) };
        let taken = self.taken.get(&series);
        let last = |t: Option<(&i64, &usize)>| t.map(|(t, _)| *t);
        let here = taken.and_then(|t| t.get(&time_ms)).map(|row| &self.rows[*row].sample.value);
        let known = Known {
            newest_ms: stored
                .samples
                .last_key_value()
                .map(|(t, _)| *t)
                .max(last(taken.and_then(BTreeMap::last_key_value))),
            there: here.or_else(|| stored.samples.get(&time_ms).map(|s| &s.value)),
            store_newest_ms: state.newest_ms.max(self.newest_ms),
        };
        judge(&self.store.options, self.options.reject_out_of_order, (time_ms, sample), &known)
    }

    /// Puts everything into the store; the lock makes it one step for readers.
    fn apply(&mut self) -> std::result::Result<Committed, CommitError> {
        self.ctx.check().map_err(|error| CommitError { error, visible: Visible::Nothing })?;
        let store = self.store.clone();
        let mut encoded = store.encoded.lock();
        let mut state = store.state.write();
        let mut done = Committed::default();
        for Row { column, number, series, time_ms, sample } in std::mem::take(&mut self.rows) {
            let newest_ms = state.newest_ms;
            let Some(stored) = state.series.get_mut(&series) else {
                done.refused.push((column, Refused { row: number, why: Refusal::UnknownSeries }));
                continue;
            };
            let known = Known {
                newest_ms: stored.samples.last_key_value().map(|(t, _)| *t),
                there: stored.samples.get(&time_ms).map(|s| &s.value),
                store_newest_ms: newest_ms,
            };
            match judge(&store.options, self.options.reject_out_of_order, (time_ms, &sample), &known) {
                Err(why) => done.refused.push((column, Refused { row: number, why })),
                Ok(false) => {}
                Ok(true) => {
                    stored.samples.insert(time_ms, sample);
                    *stored.chunks.get_mut() = None;
                    state.newest_ms = newest_ms.max(time_ms);
                    done.samples += 1;
                }
            }
        }
        for (number, series, exemplar) in std::mem::take(&mut self.exemplars) {
            let full = state.exemplars >= store.options.exemplars_max;
            let Some(stored) = state.series.get_mut(&series) else { continue };
            match exemplar_order(&stored.exemplars, &exemplar).and_then(|new| match (new, full) {
                (true, true) => Err(Refusal::NoRoomForExemplars),
                (new, _) => Ok(new),
            }) {
                Ok(true) => {
                    stored.exemplars.push(exemplar);
                    state.exemplars += 1;
                }
                Ok(false) => {}
                Err(why) => done.refused.push((Column::Exemplars, Refused { row: number, why })),
            }
        }
        for (series, family, metadata) in std::mem::take(&mut self.metadata) {
            if let Some(stored) = state.series.get_mut(&series) {
                stored.metadata = Some((family, metadata));
            }
        }
        *encoded = None;
        Ok(done)
    }
}

/// Whether an exemplar is new; the same as the newest one is no error, an older one is.
fn exemplar_order(before: &[Exemplar], exemplar: &Exemplar) -> std::result::Result<bool, Refusal> {
    match before.last() {
        Some(last) if last == exemplar => Ok(false),
        Some(last) if last.timestamp_ms > exemplar.timestamp_ms => Err(Refusal::ExemplarOutOfOrder),
        _ => Ok(true),
    }
}

/// Whether a chunk can hold the histogram.
fn check_histogram(time_ms: i64, value: &Value) -> std::result::Result<(), Refusal> {
    let outcome = match value {
        Value::Float(_) => return Ok(()),
        Value::Histogram(HistogramValue::Int(h)) => HistogramAppender::new(ResetFlag::Unknown).append(time_ms, h),
        Value::Histogram(HistogramValue::Float(h)) => {
            FloatHistogramAppender::new(ResetFlag::Unknown).append(time_ms, h)
        }
    };
    outcome.map(|_| ()).map_err(|e| Refusal::InvalidHistogram(e.to_string()))
}

fn start(starts_ms: &[i64], row: usize) -> i64 {
    starts_ms.get(row).copied().unwrap_or(0)
}

impl Appender for MemoryAppender {
    fn resolve(&mut self, series: &[&[(&str, &str)]]) -> Result<Vec<std::result::Result<SeriesRef, SeriesRefusal>>> {
        let bytes = |pairs: &&[(&str, &str)]| pairs.iter().map(|(n, v)| (n.len() + v.len()) as u64 + 16).sum::<u64>();
        self.hold(series.iter().map(bytes).sum())?;
        let store = self.store.clone();
        let mut state = store.state.write();
        let one = |pairs: &&[(&str, &str)]| {
            let labels = label_set(pairs, &self.options.labels)?;
            let found = state.resolve(labels, store.options.series_max)?;
            if self.resolved.insert(found)
                && let Some(series) = state.series.get_mut(&found)
            {
                series.users += 1;
            }
            Ok(found)
        };
        Ok(series.iter().map(one).collect())
    }

    fn floats(&mut self, rows: Floats<'_>) -> Result<Vec<Refused>> {
        rows.check()?;
        self.hold(rows.series.len() as u64 * ROW_BYTES)?;
        let sample = |row: usize| {
            let sample = Sample { start_ms: start(rows.starts_ms, row), value: Value::Float(rows.values[row]) };
            (rows.series[row], rows.times_ms[row], sample)
        };
        Ok(self.samples(Column::Floats, (0..rows.series.len()).map(sample), |_, _| Ok(())))
    }

    fn histograms(&mut self, rows: Histograms<'_>) -> Result<Vec<Refused>> {
        rows.check()?;
        self.hold(rows.values.iter().map(|h| h.size_bytes() as u64 + ROW_BYTES).sum())?;
        let sample = |row: usize| {
            let value = Value::Histogram(rows.values[row].clone());
            (rows.series[row], rows.times_ms[row], Sample { start_ms: start(rows.starts_ms, row), value })
        };
        Ok(self.samples(Column::Histograms, (0..rows.series.len()).map(sample), check_histogram))
    }

    fn exemplars(&mut self, rows: Exemplars<'_>) -> Result<Vec<Refused>> {
        rows.check()?;
        self.hold(rows.exemplars.iter().map(|e| e.labels.size_bytes() as u64 + ROW_BYTES).sum())?;
        let store = self.store.clone();
        let state = store.state.read();
        let max = store.options.exemplar_chars_max;
        let mut refused = Vec::new();
        for (row, (series, exemplar)) in rows.series.iter().zip(rows.exemplars).enumerate() {
            let number = self.counts[Column::Exemplars as usize];
            self.counts[Column::Exemplars as usize] += 1;
            let chars: usize = exemplar.labels.iter().map(|(n, v)| n.chars().count() + v.chars().count()).sum();
            let before = self.exemplars.iter().rev().find(|(_, s, _)| s == series).map(|(_, _, e)| e);
            let judged = match (state.series.get(series), before) {
                (None, _) => Err(Refusal::UnknownSeries),
                _ if chars > max => Err(Refusal::ExemplarTooLong { max }),
                _ if state.exemplars + self.exemplars.len() >= store.options.exemplars_max => {
                    Err(Refusal::NoRoomForExemplars)
                }
                (_, Some(before)) => exemplar_order(std::slice::from_ref(before), exemplar),
                (Some(stored), None) => exemplar_order(&stored.exemplars, exemplar),
            };
            match judged {
                Ok(true) => self.exemplars.push((number, *series, exemplar.clone())),
                Ok(false) => {}
                Err(why) => refused.push(Refused { row, why }),
            }
        }
        Ok(refused)
    }

    fn metadata(&mut self, rows: Metadata<'_>) -> Result<Vec<Refused>> {
        rows.check()?;
        let bytes = |m: &MetricMetadata| (m.help.len() + m.unit.len()) as u64 + ROW_BYTES;
        self.hold(rows.metadata.iter().map(bytes).sum())?;
        let store = self.store.clone();
        let state = store.state.read();
        let mut refused = Vec::new();
        for (row, series) in rows.series.iter().enumerate() {
            if state.series.contains_key(series) {
                self.metadata.push((*series, rows.families[row].to_owned(), rows.metadata[row].clone()));
            } else {
                refused.push(Refused { row, why: Refusal::UnknownSeries });
            }
        }
        Ok(refused)
    }

    fn commit(mut self: Box<Self>) -> BoxFuture<'static, std::result::Result<Committed, CommitError>> {
        Box::pin(async move { self.apply() })
    }

    fn rollback(self: Box<Self>) {}
}

impl Drop for MemoryAppender {
    fn drop(&mut self) {
        let mut state = self.store.state.write();
        for series in self.resolved.drain() {
            state.release(series);
        }
    }
}
