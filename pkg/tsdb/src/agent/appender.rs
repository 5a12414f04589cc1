//! Transactions.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::BoxFuture;
use labels::Labels;
use storage::append::{
    AppendOptions, Appender, Column as ColumnKind, CommitError, Committed, Exemplars, Floats, HistogramValue,
    Histograms, Metadata, Refusal, Refused, SeriesRef, SeriesRefusal, Visible, label_set,
};
use storage::{Ctx, Error, Result};
use wal::record::encode_series;
use xxhash_rust::xxh3::xxh3_64;

use super::store::Inner;
use super::transaction::{Column, Transaction};
use crate::head::{LogBatch, Records};

/// Characters of an exemplar's labels.
const EXEMPLAR_CHARS_MAX: usize = 128;

pub(super) struct AgentAppender {
    inner: Arc<Inner>,
    ctx: Ctx,
    options: AppendOptions,
    rows: Transaction,
    /// Series that it resolved: used until the end.
    used: Vec<u64>,
    /// Those among them whose labels were not in the log yet.
    unlogged: Vec<(u64, Labels)>,
}

impl std::fmt::Debug for AgentAppender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentAppender").field("used", &self.used.len()).finish_non_exhaustive()
    }
}

impl AgentAppender {
    pub fn new(inner: Arc<Inner>, ctx: Ctx, options: AppendOptions) -> Self {
        Self { inner, ctx, options, rows: Transaction::default(), used: Vec::new(), unlogged: Vec::new() }
    }

    fn window_ms(&self) -> i64 {
        if self.options.reject_out_of_order { 0 } else { self.inner.options.out_of_order_ms }
    }

    /// Why a sample of a series is not taken.
    fn judge(&self, series: SeriesRef, time_ms: i64, is_stale: bool) -> Option<Refusal> {
        let window_ms = self.window_ms();
        let judged = self.inner.series.with(series.0, |state| match state.newest_ms {
            i64::MIN if is_stale => Some(Refusal::NothingToMark),
            newest_ms if time_ms <= newest_ms.saturating_sub(window_ms) && newest_ms > i64::MIN => {
                Some(Refusal::OutOfOrder { newest_ms })
            }
            _ => None,
        });
        let refusal = judged.unwrap_or(Some(Refusal::UnknownSeries));
        if matches!(refusal, Some(Refusal::OutOfOrder { .. })) {
            self.inner.metrics.out_of_order.inc();
        }
        refusal
    }
}

/// Judges the rows of a batch; those that are taken are given to `take`.
fn judged(
    given: &mut u32,
    rows: usize,
    judge: impl Fn(usize) -> Option<Refusal>,
    mut take: impl FnMut(usize, u32),
) -> Vec<Refused> {
    let mut refused = Vec::new();
    for row in 0..rows {
        match judge(row) {
            None => take(row, *given + row as u32),
            Some(why) => refused.push(Refused { row, why }),
        }
    }
    *given += rows as u32;
    refused
}

impl Appender for AgentAppender {
    fn resolve(&mut self, series: &[&[(&str, &str)]]) -> Result<Vec<std::result::Result<SeriesRef, SeriesRefusal>>> {
        self.ctx.check()?;
        let mut scratch = Vec::new();
        let max = self.inner.options.series_max;
        let closed = self.inner.closed.read().clone();
        let may_make = |count: usize| closed.is_none() && (max == 0 || count < max);
        let mut out = Vec::with_capacity(series.len());
        for set in series {
            let labels = match label_set(set, &self.options.labels) {
                Ok(labels) => labels,
                Err(refusal) => {
                    out.push(Err(refusal));
                    continue;
                }
            };
            let digest = self.inner.series.digest(labels.iter(), &mut scratch);
            out.push(match self.inner.series.use_or_make(digest, may_make) {
                None => Err(match &closed {
                    Some(why) => SeriesRefusal::NotNow(why.clone()),
                    None => SeriesRefusal::TooManySeries { max },
                }),
                Some((number, logged)) => {
                    self.used.push(number);
                    if !logged {
                        self.unlogged.push((number, labels));
                    }
                    Ok(SeriesRef(number))
                }
            });
        }
        Ok(out)
    }

    fn floats(&mut self, rows: Floats<'_>) -> Result<Vec<Refused>> {
        rows.check()?;
        self.ctx.check()?;
        let mut column = std::mem::take(&mut self.rows.floats);
        let mut given = column.given;
        let refused = judged(
            &mut given,
            rows.series.len(),
            |row| self.judge(rows.series[row], rows.times_ms[row], model::is_stale(rows.values[row])),
            |row, number| {
                let start_ms = rows.starts_ms.get(row).copied().unwrap_or(0);
                column.push(rows.series[row].0, (rows.times_ms[row], start_ms), rows.values[row], number);
            },
        );
        column.given = given;
        self.rows.floats = column;
        Ok(refused)
    }

    fn histograms(&mut self, rows: Histograms<'_>) -> Result<Vec<Refused>> {
        rows.check()?;
        self.ctx.check()?;
        let mut column = std::mem::take(&mut self.rows.histograms);
        let mut given = column.given;
        let invalid = |value: &HistogramValue| match value {
            _ if value.is_stale() => None,
            HistogramValue::Int(h) => h.validate().err(),
            HistogramValue::Float(h) => h.validate().err(),
        };
        let refused = judged(
            &mut given,
            rows.series.len(),
            |row| match invalid(&rows.values[row]) {
                Some(why) => Some(Refusal::InvalidHistogram(why.to_string())),
                None => self.judge(rows.series[row], rows.times_ms[row], rows.values[row].is_stale()),
            },
            |row, number| {
                let start_ms = rows.starts_ms.get(row).copied().unwrap_or(0);
                column.push(rows.series[row].0, (rows.times_ms[row], start_ms), rows.values[row].clone(), number);
            },
        );
        column.given = given;
        self.rows.histograms = column;
        Ok(refused)
    }

    fn exemplars(&mut self, rows: Exemplars<'_>) -> Result<Vec<Refused>> {
        rows.check()?;
        self.ctx.check()?;
        let mut column = std::mem::take(&mut self.rows.exemplars);
        let mut given = column.given;
        let chars = |labels: &Labels| labels.iter().map(|(n, v)| n.chars().count() + v.chars().count()).sum::<usize>();
        let refused = judged(
            &mut given,
            rows.series.len(),
            |row| match &rows.exemplars[row] {
                exemplar if chars(&exemplar.labels) > EXEMPLAR_CHARS_MAX => {
                    Some(Refusal::ExemplarTooLong { max: EXEMPLAR_CHARS_MAX })
                }
                _ if !self.inner.series.has(rows.series[row].0) => Some(Refusal::UnknownSeries),
                _ => None,
            },
            |row, number| {
                let exemplar = &rows.exemplars[row];
                let text = format!("{} {} {}", exemplar.labels, exemplar.value.to_bits(), exemplar.timestamp_ms);
                let digest = xxh3_64(text.as_bytes()).max(1);
                // A target exposes the same one until there is another.
                let is_new = self
                    .inner
                    .series
                    .with(rows.series[row].0, |state| std::mem::replace(&mut state.exemplar, digest) != digest);
                if is_new == Some(true) {
                    let time_ms = exemplar.timestamp_ms;
                    column.push(rows.series[row].0, (time_ms, 0), exemplar.clone(), number);
                }
            },
        );
        column.given = given;
        self.rows.exemplars = column;
        Ok(refused)
    }

    fn metadata(&mut self, rows: Metadata<'_>) -> Result<Vec<Refused>> {
        rows.check()?;
        self.ctx.check()?;
        let mut refused = Vec::new();
        for (row, (series, metadata)) in rows.series.iter().zip(rows.metadata).enumerate() {
            let text = format!("{}\0{}\0{}", metadata.metric_type, metadata.unit, metadata.help);
            let digest = xxh3_64(text.as_bytes()).max(1);
            let is_new = self.inner.series.with(series.0, |state| state.metadata != digest);
            match is_new {
                None => refused.push(Refused { row, why: Refusal::UnknownSeries }),
                Some(true) if self.inner.options.metadata_records => {
                    self.inner.series.with(series.0, |state| state.metadata = digest);
                    self.rows.metadata.push((series.0, metadata.clone()));
                }
                Some(_) => {}
            }
        }
        Ok(refused)
    }

    fn commit(mut self: Box<Self>) -> BoxFuture<'static, std::result::Result<Committed, CommitError>> {
        Box::pin(async move {
            let (undo, committed, labelled, logged) = self.hand_over();
            match logged.await {
                Ok(()) => {
                    let metrics = &self.inner.metrics;
                    let times_ms = self.rows.floats.times_ms.iter().chain(&self.rows.histograms.times_ms);
                    if let Some(newest_ms) = times_ms.max() {
                        self.inner.newest_ms.fetch_max(*newest_ms, Ordering::Relaxed);
                    }
                    metrics.floats.inc_by(self.rows.floats.numbers.len() as u64);
                    metrics.histograms.inc_by(self.rows.histograms.numbers.len() as u64);
                    metrics.exemplars.inc_by(self.rows.exemplars.numbers.len() as u64);
                    Ok(committed)
                }
                Err(e) => {
                    for (number, newest_ms, before_ms) in undo.into_iter().rev() {
                        self.inner.series.with(number, |state| {
                            if state.newest_ms == newest_ms {
                                state.newest_ms = before_ms;
                            }
                        });
                    }
                    for number in labelled {
                        self.inner.series.with(number, |state| state.logged = false);
                    }
                    let visible = if e.nothing_written { Visible::Nothing } else { Visible::Unknown };
                    Err(CommitError { error: Error::Unavailable(e.message), visible })
                }
            }
        })
    }

    fn rollback(self: Box<Self>) {}
}

/// Number, newest sample, and the newest before it.
type Undo = Vec<(u64, i64, i64)>;
type Logged = BoxFuture<'static, std::result::Result<(), crate::head::JournalError>>;

impl AgentAppender {
    /// Judges all rows once more and hands what is left to the log. Returns what to undo if it fails, what was refused, and
    /// the series whose labels it logs.
    fn hand_over(&mut self) -> (Undo, Committed, Vec<u64>, Logged) {
        let _order = self.inner.order.lock();
        let (mut undo, mut committed) = (Undo::new(), Committed::default());
        let mut labels = Records::default();
        let mut labelled = Vec::new();
        let new: Vec<&(u64, Labels)> = self
            .unlogged
            .iter()
            .filter(|(number, _)| {
                let was_logged = self.inner.series.with(*number, |state| std::mem::replace(&mut state.logged, true));
                was_logged == Some(false)
            })
            .collect();
        if !new.is_empty() {
            labelled.extend(new.iter().map(|(number, _)| *number));
            labels.push(|out| encode_series(out, new.iter().map(|(number, labels)| (*number, labels.iter()))));
        }
        let window_ms = self.window_ms();
        let inner = &self.inner;
        let mut late = |column: ColumnKind, numbers: &[u64], times_ms: &[i64], rows: &[u32]| -> Vec<usize> {
            let mut dropped = Vec::new();
            for (at, (number, time_ms)) in numbers.iter().zip(times_ms).enumerate() {
                let why = inner.series.with(*number, |state| {
                    if !state.logged {
                        // Its labels could not be logged before, and are not known here.
                        return Some(Refusal::UnknownSeries);
                    }
                    let newest_ms = state.newest_ms;
                    if newest_ms > i64::MIN && *time_ms <= newest_ms.saturating_sub(window_ms) {
                        return Some(Refusal::OutOfOrder { newest_ms });
                    }
                    if *time_ms > newest_ms {
                        undo.push((*number, *time_ms, newest_ms));
                        state.newest_ms = *time_ms;
                    }
                    None
                });
                if let Some(why) = why.unwrap_or(Some(Refusal::UnknownSeries)) {
                    dropped.push(at);
                    committed.refused.push((column, Refused { row: rows[at] as usize, why }));
                }
            }
            dropped
        };
        let floats: &mut Column<f64> = &mut self.rows.floats;
        let dropped = late(ColumnKind::Floats, &floats.numbers, &floats.times_ms, &floats.rows);
        floats.drop_rows(&dropped);
        let histograms = &mut self.rows.histograms;
        let dropped = late(ColumnKind::Histograms, &histograms.numbers, &histograms.times_ms, &histograms.rows);
        histograms.drop_rows(&dropped);
        let numbers = self.rows.exemplars.numbers.iter().enumerate();
        let gone: Vec<usize> =
            numbers.filter(|(_, n)| inner.series.with(**n, |s| s.logged) != Some(true)).map(|(at, _)| at).collect();
        self.rows.exemplars.drop_rows(&gone);
        committed.samples = self.rows.floats.numbers.len() + self.rows.histograms.numbers.len();
        self.rows.put(self.inner.options.start_timestamps, &mut labels);
        let logged = crate::head::Journal::log(&self.inner.journal, LogBatch { wal: labels, ..LogBatch::default() });
        (undo, committed, labelled, logged)
    }
}

impl Drop for AgentAppender {
    fn drop(&mut self) {
        for number in &self.used {
            self.inner.series.with(*number, |state| state.users = state.users.saturating_sub(1));
        }
        let unlogged: Vec<u64> = self.unlogged.iter().map(|(number, _)| *number).collect();
        self.inner.series.forget_unlogged(&unlogged);
        self.inner.metrics.series.set(self.inner.series.len() as f64);
    }
}
