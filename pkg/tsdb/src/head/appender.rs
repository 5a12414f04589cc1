//! One transaction.

use std::sync::Arc;

use futures::future::BoxFuture;
use hashbrown::HashMap;
use storage::append::{
    AppendOptions, Appender, Column, CommitError, Committed, Exemplars, Floats, HistogramValue, Histograms, Metadata,
    Refusal, Refused, SeriesRef, SeriesRefusal,
};
use storage::{Ctx, Reservation, Result};

use super::bounds::Bounds;
use super::commit::commit;
use super::core::Core;
use super::judge::{Before, Judged, Verdict, judge};
use super::newest::Newest;
use super::parts::Value;
use super::rows::{Batch, ExemplarRow, MetadataRow, Row, RowNumber, Taken};
use super::series::Series;

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
    /// The last exemplar of each series.
    newest_exemplar: HashMap<SeriesRef, usize>,
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
            newest_exemplar: HashMap::new(),
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

    /// Takes a float of a series that comes behind all series so far, if it is plainly newer than what the series has. Does
    /// nothing otherwise; false then.
    #[inline]
    fn next_float(&mut self, series: SeriesRef, time_ms: i64, value: f64) -> bool {
        let Self { core, bounds, taken, batches, unlogged, .. } = self;
        let Some(batch) = batches.last_mut() else { return false };
        if !taken.newest.ascends(series) || model::is_stale(value) {
            return false;
        }
        let Some(mut known) = core.slab.find(series) else { return false };
        if time_ms <= known.last_time || time_ms < bounds.floor_ms {
            return false;
        }
        core.part_from_log(&mut known);
        let (number, logged) = (known.reference, known.logged);
        drop(known);
        if !logged {
            unlogged.push(series);
        }
        (taken.newest_ms, taken.oldest_ms) = (taken.newest_ms.max(time_ms), taken.oldest_ms.min(time_ms));
        let newest = || Newest { time_ms, value: Value::Float(value), batch: 0, histogram: false };
        taken.newest.push(series, newest);
        let count = &mut self.counts[Column::Floats as usize];
        let row = RowNumber::new(Column::Floats, *count);
        *count += 1;
        batch.floats.push(Row { series, number, time_ms, start_ms: 0, value, row });
        true
    }

    /// Judges one sample and takes it, if it is new.
    fn sample(&mut self, column: Column, series: SeriesRef, time: (i64, i64), value: Value) -> Option<Refusal> {
        let row = self.counts[column as usize];
        self.counts[column as usize] += 1;
        let Self { core, bounds, taken, batches, unlogged, .. } = self;
        let Some(mut known) = core.slab.find(series) else {
            core.metrics.series_not_found.inc();
            return Some(Refusal::UnknownSeries);
        };
        let (time_ms, start_ms) = time;
        let place = taken.newest.find(series, batches);
        let newest = place.and_then(|place| taken.newest.at(place));
        let value = end_of_histograms(value, newest, &known);
        let before =
            Before { newest: newest.map(|newest| (newest.time_ms, &newest.value)), taken_newest_ms: taken.newest_ms };
        let sample = Judged { time_ms, start_ms, value: &value };
        let (all, rows) = (&mut taken.all, &*batches);
        let there = move || newest.and_then(move |_| all.find(series, time_ms, rows));
        match judge(bounds, &known, &before, sample, there) {
            Err(why) => return Some(why),
            Ok(Verdict::Same) => return None,
            Ok(Verdict::InOrder | Verdict::Late) => {}
        }
        core.part_from_log(&mut known);
        if !known.logged && newest.is_none() {
            unlogged.push(series);
        }
        let number = known.reference;
        drop(known);
        let histogram = matches!(value, Value::Histogram(_));
        // Within a batch floats come before histograms: a series that changes its kind goes on in the next.
        if newest.is_some_and(|n| n.batch as usize + 1 == batches.len() && n.histogram != histogram) {
            batches.push(Batch::default());
        }
        let batch = batches.len() as u32 - 1;
        (taken.newest_ms, taken.oldest_ms) = (taken.newest_ms.max(time_ms), taken.oldest_ms.min(time_ms));
        taken.all.add(series, time_ms, &value);
        let this = || Newest { time_ms, value: value.clone(), batch, histogram };
        match place.and_then(|place| taken.newest.at_mut(place)) {
            None => taken.newest.push(series, this),
            Some(newest) if newest.time_ms < time_ms => *newest = this(),
            Some(newest) => (newest.batch, newest.histogram) = (batch, histogram),
        }
        let row = Row { series, number, time_ms, start_ms, value: (), row: RowNumber::new(column, row) };
        if let Some(batch) = batches.last_mut() {
            match value {
                Value::Float(value) => batch.floats.push(row.with(value)),
                Value::Histogram(value) => batch.histograms.push(row.with(value)),
            }
        }
        None
    }
}

/// The end of a series is told as a float, whatever the series is of.
fn end_of_histograms(value: Value, newest: Option<&Newest>, known: &Series) -> Value {
    let Value::Float(v) = value else { return value };
    if !model::is_stale(v) {
        return value;
    }
    let last = match newest.map(|newest| &newest.value) {
        Some(Value::Histogram(last)) => Some(last),
        Some(Value::Float(_)) => None,
        None => known.last_histogram(),
    };
    last.map_or(value, |last| Value::Histogram(stale_like(last)))
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
        for (row, ((series, time_ms), value)) in rows.series.iter().zip(rows.times_ms).zip(rows.values).enumerate() {
            let start_ms = rows.starts_ms.get(row).copied().unwrap_or(0);
            if start_ms == 0 && self.next_float(*series, *time_ms, *value) {
                continue;
            }
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
            let before = self.newest_exemplar.get(series).and_then(|at| self.exemplars.get(*at)).map(|e| &e.exemplar);
            match self.core.judge_exemplar(*series, exemplar, before) {
                Ok(Some(reference)) => {
                    if before.is_none_or(|before| before.timestamp_ms <= exemplar.timestamp_ms) {
                        self.newest_exemplar.insert(*series, self.exemplars.len());
                    }
                    self.exemplars.push(ExemplarRow {
                        series: *series,
                        number: reference,
                        exemplar: exemplar.clone(),
                        row: number,
                    });
                }
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
