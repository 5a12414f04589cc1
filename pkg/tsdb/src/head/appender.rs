//! One transaction.

use std::sync::Arc;

use futures::future::BoxFuture;
use storage::append::{
    AppendOptions, Appender, Column, CommitError, Committed, Exemplars, Floats, HistogramValue, Histograms, Metadata,
    Refusal, Refused, SeriesRef, SeriesRefusal,
};
use storage::{Ctx, Reservation, Result};

use super::bounds::Bounds;
use super::commit::commit;
use super::core::Core;
use super::judge::{Before, Judged, Verdict, judge};
use super::rows::{Batch, ExemplarRow, MetadataRow, Row, Taken};
use super::series::Value;

/// What a row takes besides its value, about.
const ROW_BYTES: u64 = 96;

#[derive(Debug)]
pub(crate) struct Transaction {
    pub core: Arc<Core>,
    pub ctx: Ctx,
    pub bounds: Bounds,
    held: Option<Reservation>,
    options: AppendOptions,
    /// Series that this transaction uses, once for each entry.
    used: Vec<SeriesRef>,
    pub batches: Vec<Batch>,
    pub taken: Taken,
    /// Series whose record is not in the log.
    pub unlogged: Vec<SeriesRef>,
    pub exemplars: Vec<ExemplarRow>,
    pub metadata: Vec<MetadataRow>,
    /// Rows of each kind so far.
    counts: [usize; 3],
}

impl Transaction {
    pub fn new(core: Arc<Core>, ctx: Ctx, options: AppendOptions) -> Self {
        let mut bounds = core.begin();
        if options.reject_out_of_order {
            bounds.window_ms = 0;
        }
        core.metrics.active_appenders.inc();
        Self {
            core,
            ctx,
            bounds,
            held: None,
            options,
            used: Vec::new(),
            batches: vec![Batch::default()],
            taken: Taken::default(),
            unlogged: Vec::new(),
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

    /// Judges one sample and takes it, if it is new.
    fn sample(&mut self, column: Column, series: SeriesRef, time: (i64, i64), value: Value) -> Option<Refusal> {
        let row = self.counts[column as usize];
        self.counts[column as usize] += 1;
        let core = self.core.clone();
        let Some(known) = core.slab.find(series) else {
            core.metrics.series_not_found.inc();
            return Some(Refusal::UnknownSeries);
        };
        let (time_ms, start_ms) = time;
        let value = match (value, known.last_histogram()) {
            // The end of a series is told as a float, whatever the series is of.
            (Value::Float(v), Some(last)) if model::is_stale(v) => Value::Histogram(stale_like(last)),
            (value, _) => value,
        };
        let newest = self.taken.newest.get(&series).map(|n| (n.time_ms, n.value.clone()));
        let before = Before {
            newest: newest.as_ref().map(|(time, value)| (*time, value)),
            taken_newest_ms: self.taken.newest_ms,
        };
        let sample = Judged { time_ms, start_ms, value: &value };
        let (taken, batches) = (&mut self.taken, &self.batches);
        match judge(&self.bounds, &known, &before, sample, || taken.find(series, time_ms, batches)) {
            Err(why) => return Some(why),
            Ok(Verdict::Same) => return None,
            Ok(Verdict::InOrder | Verdict::Late) => {}
        }
        if !known.logged && newest.is_none() {
            self.unlogged.push(series);
        }
        let number = known.reference;
        drop(known);
        let row = Row { series, number, time_ms, start_ms, value: (), row };
        self.take(row, value);
        None
    }

    fn take(&mut self, row: Row<()>, value: Value) {
        let histogram = matches!(value, Value::Histogram(_));
        // Within a batch floats come before histograms: a series that changes its kind goes on in the next.
        let last = self.batches.len() - 1;
        let changes = self.taken.newest.get(&row.series);
        if changes.is_some_and(|n| n.batch as usize == last && n.histogram != histogram) {
            self.batches.push(Batch::default());
        }
        let last = self.batches.len() - 1;
        self.taken.add(row.series, row.time_ms, value.clone(), last as u32);
        match value {
            Value::Float(value) => self.batches[last].floats.push(row.with(value)),
            Value::Histogram(value) => self.batches[last].histograms.push(row.with(value)),
        }
    }
}

fn stale_like(last: &HistogramValue) -> HistogramValue {
    let sum = model::stale_nan();
    match last {
        HistogramValue::Int(_) => HistogramValue::Int(histogram::Histogram { sum, ..Default::default() }.into()),
        HistogramValue::Float(_) => {
            HistogramValue::Float(histogram::FloatHistogram { sum, ..Default::default() }.into())
        }
    }
}

fn validate(value: &HistogramValue) -> std::result::Result<(), Refusal> {
    let valid = match value {
        HistogramValue::Int(h) if !model::is_stale(h.sum) => h.validate(),
        HistogramValue::Float(h) if !model::is_stale(h.sum) => h.validate(),
        _ => Ok(()),
    };
    valid.map_err(|e| Refusal::InvalidHistogram(e.to_string()))
}

impl Appender for Transaction {
    fn resolve(&mut self, series: &[&[(&str, &str)]]) -> Result<Vec<std::result::Result<SeriesRef, SeriesRefusal>>> {
        let bytes = |pairs: &&[(&str, &str)]| pairs.iter().map(|(n, v)| (n.len() + v.len()) as u64 + 16).sum::<u64>();
        self.hold(series.iter().map(bytes).sum())?;
        let found = self.core.resolve(series, &self.options.labels);
        self.used.extend(found.iter().filter_map(|r| r.as_ref().ok()));
        Ok(found)
    }

    fn floats(&mut self, rows: Floats<'_>) -> Result<Vec<Refused>> {
        rows.check()?;
        self.hold(rows.series.len() as u64 * ROW_BYTES)?;
        let mut refused = Vec::new();
        if let Some(batch) = self.batches.last_mut() {
            batch.floats.reserve(rows.series.len());
        }
        self.taken.newest.reserve(rows.series.len());
        for (row, ((series, time_ms), value)) in rows.series.iter().zip(rows.times_ms).zip(rows.values).enumerate() {
            let start_ms = rows.starts_ms.get(row).copied().unwrap_or(0);
            let why = self.sample(Column::Floats, *series, (*time_ms, start_ms), Value::Float(*value));
            refused.extend(why.map(|why| Refused { row, why }));
        }
        self.core.count_refused("float", &refused);
        Ok(refused)
    }

    fn histograms(&mut self, rows: Histograms<'_>) -> Result<Vec<Refused>> {
        rows.check()?;
        self.hold(rows.values.iter().map(|h| h.size_bytes() as u64 + ROW_BYTES).sum())?;
        let mut refused = Vec::new();
        for (row, ((series, time_ms), value)) in rows.series.iter().zip(rows.times_ms).zip(rows.values).enumerate() {
            let start_ms = rows.starts_ms.get(row).copied().unwrap_or(0);
            let why = match validate(value) {
                Ok(()) => {
                    let value = Value::Histogram(value.clone());
                    self.sample(Column::Histograms, *series, (*time_ms, start_ms), value)
                }
                Err(why) => {
                    self.counts[Column::Histograms as usize] += 1;
                    Some(why)
                }
            };
            refused.extend(why.map(|why| Refused { row, why }));
        }
        self.core.count_refused("histogram", &refused);
        Ok(refused)
    }

    fn exemplars(&mut self, rows: Exemplars<'_>) -> Result<Vec<Refused>> {
        rows.check()?;
        self.hold(rows.exemplars.iter().map(|e| e.labels.size_bytes() as u64 + ROW_BYTES).sum())?;
        let mut refused = Vec::new();
        for (row, (series, exemplar)) in rows.series.iter().zip(rows.exemplars).enumerate() {
            let number = self.counts[Column::Exemplars as usize];
            self.counts[Column::Exemplars as usize] += 1;
            let before = self.exemplars.iter().rev().find(|e| e.series == *series).map(|e| &e.exemplar);
            match self.core.judge_exemplar(*series, exemplar, before) {
                Ok(Some(reference)) => self.exemplars.push(ExemplarRow {
                    series: *series,
                    number: reference,
                    exemplar: exemplar.clone(),
                    row: number,
                }),
                Ok(None) => {}
                Err(why) => refused.push(Refused { row, why }),
            }
        }
        Ok(refused)
    }

    fn metadata(&mut self, rows: Metadata<'_>) -> Result<Vec<Refused>> {
        rows.check()?;
        let bytes = |m: &model::MetricMetadata| (m.help.len() + m.unit.len()) as u64 + ROW_BYTES;
        self.hold(rows.metadata.iter().map(bytes).sum())?;
        let mut refused = Vec::new();
        for (row, series) in rows.series.iter().enumerate() {
            let Some(number) = self.core.slab.find(*series).map(|series| series.reference) else {
                refused.push(Refused { row, why: Refusal::UnknownSeries });
                continue;
            };
            self.metadata.push(MetadataRow {
                series: *series,
                number,
                family: rows.families[row].to_owned(),
                metadata: rows.metadata[row].clone(),
            });
        }
        Ok(refused)
    }

    fn commit(self: Box<Self>) -> BoxFuture<'static, std::result::Result<Committed, CommitError>> {
        Box::pin(commit(self))
    }

    fn rollback(self: Box<Self>) {}
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.core.metrics.active_appenders.dec();
        self.core.end(&self.bounds);
        self.core.release(&self.used);
    }
}
