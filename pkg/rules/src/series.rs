//! The series that a rule writes: known by their references, ended with stale markers.

use std::collections::HashMap;
use std::sync::Arc;

use histogram::FloatHistogram;
use labels::Labels;
use model::stale_nan;
use storage::Ctx;
use storage::append::{
    AppendOptions, Appendable, Appender, Column, Floats, HistogramValue, Histograms, Refusal, SeriesRef,
};

/// The result of a rule, a row a series.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub labels: Vec<Labels>,
    pub values: Vec<RowValue>,
}

#[derive(Debug, Clone)]
pub(crate) enum RowValue {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl Rows {
    pub fn push(&mut self, labels: Labels, value: RowValue) {
        self.labels.push(labels);
        self.values.push(value);
    }

    pub fn len(&self) -> usize {
        self.labels.len()
    }
}

/// Rows that were not taken, by reason.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    pub out_of_order: usize,
    pub too_old: usize,
    pub duplicate: usize,
    pub other: usize,
    /// The first of them: its labels and why.
    pub first: Option<String>,
}

impl Dropped {
    pub fn count(&self) -> usize {
        self.out_of_order + self.too_old + self.duplicate + self.other
    }

    fn add(&mut self, labels: &Labels, why: &Refusal) {
        match why {
            Refusal::OutOfOrder { .. } => self.out_of_order += 1,
            Refusal::TooOld { .. } => self.too_old += 1,
            Refusal::Duplicate => self.duplicate += 1,
            _ => self.other += 1,
        }
        self.note(labels, &why.to_string());
    }

    fn note(&mut self, labels: &Labels, why: &str) {
        if self.first.is_none() {
            self.first = Some(format!("{labels}: {why}"));
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Known {
    series: SeriesRef,
    /// The evaluation that wrote it last.
    round: u64,
}

/// The series of the evaluation before.
#[derive(Debug, Default)]
pub(crate) struct Series {
    known: HashMap<Labels, Known>,
    round: u64,
}

/// Rows of one kind on their way into an appender.
#[derive(Default)]
struct Batch {
    rows: Vec<usize>,
    series: Vec<SeriesRef>,
}

impl Series {
    /// How many were there at the last evaluation.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// The labels of all series that were there at the last evaluation.
    pub fn take_labels(&mut self) -> Vec<Labels> {
        std::mem::take(&mut self.known).into_keys().collect()
    }

    /// Writes the result of an evaluation at `time_ms`, and stale markers for the series that were there before and are
    /// not any more.
    ///
    /// # Errors
    /// Nothing was written.
    pub async fn write(
        &mut self,
        appendable: &dyn Appendable,
        ctx: &Ctx,
        rows: &Rows,
        time_ms: i64,
    ) -> Result<Dropped, String> {
        self.round += 1;
        let options = AppendOptions { reject_out_of_order: true, ..AppendOptions::default() };
        let mut appender = appendable.appender(ctx, options);
        let mut dropped = Dropped::default();
        let mut refs = self.resolve(&mut *appender, rows, &mut dropped)?;
        let again = self.append(&mut *appender, rows, &refs, time_ms, &mut dropped)?;
        if !again.is_empty() {
            // Series that were collected since: their labels are resolved again.
            for row in &again {
                self.known.remove(&rows.labels[*row]);
            }
            let mut missing = vec![None; rows.len()];
            let resolved = self.resolve(&mut *appender, rows, &mut dropped)?;
            for row in again {
                missing[row] = resolved[row];
                refs[row] = resolved[row];
            }
            for row in self.append(&mut *appender, rows, &missing, time_ms, &mut dropped)? {
                dropped.add(&rows.labels[row], &Refusal::UnknownSeries);
            }
        }
        self.mark_stale(&mut *appender, time_ms)?;
        let committed = appender.commit().await.map_err(|e| e.to_string())?;
        for (column, refused) in committed.refused {
            if column == Column::Floats && !matches!(refused.why, Refusal::NothingToMark) {
                dropped.other += 1;
                dropped.first.get_or_insert_with(|| refused.why.to_string());
            }
        }
        let round = self.round;
        self.known.retain(|_, known| known.round == round);
        Ok(dropped)
    }

    /// References of all rows; `None` where the store takes no such series.
    fn resolve(
        &mut self,
        appender: &mut dyn Appender,
        rows: &Rows,
        dropped: &mut Dropped,
    ) -> Result<Vec<Option<SeriesRef>>, String> {
        let mut refs: Vec<Option<SeriesRef>> =
            rows.labels.iter().map(|labels| self.known.get(labels).map(|known| known.series)).collect();
        let new: Vec<usize> = (0..rows.len()).filter(|row| refs[*row].is_none()).collect();
        if new.is_empty() {
            return Ok(refs);
        }
        let pairs: Vec<Vec<(&str, &str)>> = new.iter().map(|row| rows.labels[*row].iter().collect()).collect();
        let pairs: Vec<&[(&str, &str)]> = pairs.iter().map(Vec::as_slice).collect();
        let resolved = appender.resolve(&pairs).map_err(|e| e.to_string())?;
        for (row, resolved) in new.into_iter().zip(resolved) {
            match resolved {
                Ok(series) => {
                    refs[row] = Some(series);
                    // Written in no evaluation yet.
                    self.known.insert(rows.labels[row].clone(), Known { series, round: 0 });
                }
                Err(why) => {
                    dropped.other += 1;
                    dropped.note(&rows.labels[row], &why.to_string());
                }
            }
        }
        Ok(refs)
    }

    /// Appends rows that have a reference. Gives those whose reference is not valid any more.
    fn append(
        &mut self,
        appender: &mut dyn Appender,
        rows: &Rows,
        refs: &[Option<SeriesRef>],
        time_ms: i64,
        dropped: &mut Dropped,
    ) -> Result<Vec<usize>, String> {
        let (mut floats, mut histograms) = (Batch::default(), Batch::default());
        let (mut numbers, mut buckets) = (Vec::new(), Vec::new());
        for (row, series) in refs.iter().enumerate() {
            let Some(series) = *series else { continue };
            let batch = match &rows.values[row] {
                RowValue::Float(value) => {
                    numbers.push(*value);
                    &mut floats
                }
                RowValue::Histogram(value) => {
                    buckets.push(HistogramValue::Float(value.clone()));
                    &mut histograms
                }
            };
            batch.rows.push(row);
            batch.series.push(series);
        }
        let mut again = Vec::new();
        let times_ms = vec![time_ms; floats.rows.len().max(histograms.rows.len())];
        for (batch, is_float) in [(floats, true), (histograms, false)] {
            if batch.rows.is_empty() {
                continue;
            }
            let (series, times_ms) = (&batch.series, &times_ms[..batch.rows.len()]);
            let refused = match is_float {
                true => appender.floats(Floats { series, times_ms, values: &numbers, starts_ms: &[] }),
                false => appender.histograms(Histograms { series, times_ms, values: &buckets, starts_ms: &[] }),
            };
            let mut taken = vec![true; batch.rows.len()];
            for refused in refused.map_err(|e| e.to_string())? {
                let Some(row) = batch.rows.get(refused.row).copied() else { continue };
                taken[refused.row] = false;
                match refused.why {
                    Refusal::UnknownSeries => again.push(row),
                    why => dropped.add(&rows.labels[row], &why),
                }
            }
            for (row, _) in batch.rows.iter().zip(taken).filter(|(_, taken)| *taken) {
                if let Some(known) = self.known.get_mut(&rows.labels[*row]) {
                    known.round = self.round;
                }
            }
        }
        Ok(again)
    }

    /// Marks what was written before and not in this round. Series that another rule writes by now refuse it.
    fn mark_stale(&self, appender: &mut dyn Appender, time_ms: i64) -> Result<(), String> {
        let gone = self.known.values().filter(|known| known.round != self.round && known.round != 0);
        let series: Vec<SeriesRef> = gone.map(|known| known.series).collect();
        stale(appender, &series, time_ms)
    }
}

fn stale(appender: &mut dyn Appender, series: &[SeriesRef], time_ms: i64) -> Result<(), String> {
    if series.is_empty() {
        return Ok(());
    }
    let (times_ms, values) = (vec![time_ms; series.len()], vec![stale_nan(); series.len()]);
    let floats = Floats { series, times_ms: &times_ms, values: &values, starts_ms: &[] };
    appender.floats(floats).map(|_| ()).map_err(|e| e.to_string())
}

/// Ends series of rules that are gone.
///
/// # Errors
/// Nothing was written.
pub(crate) async fn end(appendable: &dyn Appendable, ctx: &Ctx, series: &[Labels], time_ms: i64) -> Result<(), String> {
    if series.is_empty() {
        return Ok(());
    }
    let options = AppendOptions { reject_out_of_order: true, ..AppendOptions::default() };
    let mut appender = appendable.appender(ctx, options);
    let pairs: Vec<Vec<(&str, &str)>> = series.iter().map(|labels| labels.iter().collect()).collect();
    let pairs: Vec<&[(&str, &str)]> = pairs.iter().map(Vec::as_slice).collect();
    let resolved = appender.resolve(&pairs).map_err(|e| e.to_string())?;
    let refs: Vec<SeriesRef> = resolved.into_iter().filter_map(Result::ok).collect();
    stale(&mut *appender, &refs, time_ms)?;
    appender.commit().await.map(|_| ()).map_err(|e| e.to_string())
}
