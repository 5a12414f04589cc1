//! A store that notes what is written to it.

use std::sync::Arc;

use futures::future::{BoxFuture, ready};
use labels::Labels;
use parking_lot::Mutex;
use storage::append::{
    AppendOptions, Appendable, Appender, CommitError, Committed, Exemplars, Floats, HistogramValue, Histograms,
    Metadata, Refusal, Refused, SeriesRef, SeriesRefusal, Visible, label_set,
};
use storage::{Ctx, Error, Result};

/// What was committed, as text: `labels value @time start`.
#[derive(Debug, Default, Clone)]
pub struct Recorder(pub Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
pub struct Notes {
    series: Vec<Labels>,
    pub samples: Vec<String>,
    pub histograms: Vec<(String, HistogramValue)>,
    pub exemplars: Vec<String>,
    pub metadata: Vec<String>,
    /// Samples before this are refused as late, ms.
    pub oldest_ms: i64,
    /// So many commits fail yet, with what is visible then.
    pub failures: u32,
    /// References below this are forgotten.
    pub forgotten: u64,
    pub resolved: usize,
    /// No new series are taken.
    pub is_full: bool,
}

#[derive(Debug)]
struct RecorderAppender {
    to: Recorder,
    options: AppendOptions,
    pending: Notes,
}

impl Appendable for Recorder {
    fn appender(&self, _: &Ctx, options: AppendOptions) -> Box<dyn Appender> {
        Box::new(RecorderAppender { to: self.clone(), options, pending: Notes::default() })
    }
}

impl RecorderAppender {
    fn refused(&self, series: &[SeriesRef], times_ms: &[i64]) -> Vec<Refused> {
        let notes = self.to.0.lock();
        let why = |row: usize| match () {
            () if series[row].0 < notes.forgotten => Some(Refusal::UnknownSeries),
            () if times_ms[row] < notes.oldest_ms => Some(Refusal::TooOld { oldest_ms: notes.oldest_ms }),
            () => None,
        };
        (0..series.len()).filter_map(|row| why(row).map(|why| Refused { row, why })).collect()
    }

    fn shown(&self, series: SeriesRef) -> String {
        self.to.0.lock().series[series.0 as usize].to_string()
    }
}

impl Appender for RecorderAppender {
    fn resolve(&mut self, series: &[&[(&str, &str)]]) -> Result<Vec<std::result::Result<SeriesRef, SeriesRefusal>>> {
        let mut notes = self.to.0.lock();
        notes.resolved += series.len();
        let resolve = |set: &&[(&str, &str)]| {
            let labels = label_set(set, &self.options.labels)?;
            if notes.is_full {
                return Err(SeriesRefusal::NotNow("memory is short".to_owned()));
            }
            notes.series.push(labels);
            Ok(SeriesRef(notes.series.len() as u64 - 1))
        };
        Ok(series.iter().map(resolve).collect())
    }

    fn floats(&mut self, rows: Floats<'_>) -> Result<Vec<Refused>> {
        rows.check()?;
        let refused = self.refused(rows.series, rows.times_ms);
        for row in (0..rows.series.len()).filter(|row| !refused.iter().any(|r| r.row == *row)) {
            let value = if model::is_stale(rows.values[row]) { "stale".into() } else { rows.values[row].to_string() };
            let start = if rows.starts_ms[row] == 0 { String::new() } else { format!(" {}", rows.starts_ms[row]) };
            let text = format!("{} {value} @{}{start}", self.shown(rows.series[row]), rows.times_ms[row]);
            self.pending.samples.push(text);
        }
        Ok(refused)
    }

    fn histograms(&mut self, rows: Histograms<'_>) -> Result<Vec<Refused>> {
        rows.check()?;
        let refused = self.refused(rows.series, rows.times_ms);
        for row in (0..rows.series.len()).filter(|row| !refused.iter().any(|r| r.row == *row)) {
            let text = format!("{} @{} {}", self.shown(rows.series[row]), rows.times_ms[row], rows.starts_ms[row]);
            self.pending.histograms.push((text, rows.values[row].clone()));
        }
        Ok(refused)
    }

    fn exemplars(&mut self, rows: Exemplars<'_>) -> Result<Vec<Refused>> {
        rows.check()?;
        for (series, e) in rows.series.iter().zip(rows.exemplars) {
            let text = format!("{} # {} {} @{}", self.shown(*series), e.labels, e.value, e.timestamp_ms);
            self.pending.exemplars.push(text);
        }
        Ok(Vec::new())
    }

    fn metadata(&mut self, rows: Metadata<'_>) -> Result<Vec<Refused>> {
        rows.check()?;
        for (family, m) in rows.families.iter().zip(rows.metadata) {
            self.pending.metadata.push(format!("{family} {} {:?} {:?}", m.metric_type, m.unit, m.help));
        }
        Ok(Vec::new())
    }

    fn commit(self: Box<Self>) -> BoxFuture<'static, std::result::Result<Committed, CommitError>> {
        let Self { to, pending, .. } = *self;
        let mut notes = to.0.lock();
        if notes.failures > 0 {
            notes.failures -= 1;
            let error = Error::Unavailable("the disk is full".to_owned());
            return Box::pin(ready(Err(CommitError { error, visible: Visible::Nothing })));
        }
        let samples = pending.samples.len() + pending.histograms.len();
        notes.samples.extend(pending.samples);
        notes.histograms.extend(pending.histograms);
        notes.exemplars.extend(pending.exemplars);
        notes.metadata.extend(pending.metadata);
        Box::pin(ready(Ok(Committed { samples, refused: Vec::new() })))
    }

    fn rollback(self: Box<Self>) {}
}
