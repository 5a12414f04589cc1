//! From rows to an appender.

use ingest::{Known, SeriesCache};
use model::{Exemplar, MetricMetadata};
use storage::append::{
    Appender, Column, Committed, Exemplars, Floats, HistogramValue, Histograms, Metadata, Refusal, Refused, SeriesRef,
    SeriesRefusal,
};

use crate::batch::{Batch, NO_POINT, Rows};
use crate::limits::{HELP_BYTES_MAX, METADATA_MAX, RESOLVE_MAX};
use crate::units::metadata_unit;

/// What became of a request's rows.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub floats: u64,
    pub histograms: u64,
    pub exemplars: u64,
    /// Exemplars that came late.
    pub late_exemplars: u64,
    /// Exemplars that are not stored for another reason.
    pub lost_exemplars: u64,
    /// Samples of `target_info` that the store has already, or that came late.
    pub target_info_refused: u64,
    /// A series was collected by the store after it had been found: the request has to be taken once more.
    pub forgotten: bool,
    /// Why there was no room for new series, for now: what is written may come again without harm.
    pub no_room: Option<String>,
}

/// Appends everything that can be taken.
///
/// # Errors
/// Those of the appender; it must not be committed then.
pub(crate) fn take(batch: &mut Batch<'_>, cache: &SeriesCache, appender: &mut dyn Appender) -> storage::Result<Taken> {
    let no_room = resolve(batch, cache, appender)?;
    drop_refused(batch);
    let mut taken = Taken { lost_exemplars: batch.lost_exemplars, no_room, ..Taken::default() };
    let refs = references(batch, &batch.floats.series);
    if !refs.is_empty() {
        let rows = &batch.floats;
        let floats =
            Floats { series: &refs, times_ms: &rows.times_ms, values: &rows.values, starts_ms: &rows.starts_ms };
        taken.floats = refs.len() as u64;
        let refused = appender.floats(floats)?;
        taken.refused(batch, cache, Column::Floats, refused);
    }
    let refs = references(batch, &batch.histograms.series);
    if !refs.is_empty() {
        let rows = &batch.histograms;
        let histograms =
            Histograms { series: &refs, times_ms: &rows.times_ms, values: &rows.values, starts_ms: &rows.starts_ms };
        taken.histograms = refs.len() as u64;
        let refused = appender.histograms(histograms)?;
        taken.refused(batch, cache, Column::Histograms, refused);
    }
    sort_exemplars(batch);
    let refs = references(batch, &batch.exemplars.series);
    if !refs.is_empty() {
        taken.exemplars = refs.len() as u64;
        let refused = appender.exemplars(Exemplars { series: &refs, exemplars: &batch.exemplars.values })?;
        taken.refused(batch, cache, Column::Exemplars, refused);
    }
    metadata(batch, cache, appender)?;
    Ok(taken)
}

/// Gives references to new series. Returns why there was no room for some of them now.
fn resolve(batch: &mut Batch<'_>, cache: &SeriesCache, appender: &mut dyn Appender) -> storage::Result<Option<String>> {
    let unknown: Vec<u32> = (0u32..).zip(&batch.series).filter(|(_, s)| s.known.is_none()).map(|(n, _)| n).collect();
    let (mut refused, mut no_room) = (Vec::new(), None);
    for part in unknown.chunks(RESOLVE_MAX) {
        let sets: Vec<Vec<(&str, &str)>> = part.iter().map(|number| labels(batch, *number)).collect();
        let sets: Vec<&[(&str, &str)]> = sets.iter().map(Vec::as_slice).collect();
        let resolved = appender.resolve(&sets)?;
        for (number, resolved) in part.iter().zip(resolved) {
            match (resolved, batch.series.get_mut(*number as usize)) {
                (Ok(series), Some(entry)) => {
                    entry.known = Some(series);
                    cache.put(entry.digest, Known { series, metadata: 0 });
                }
                (Err(why), _) => {
                    if matches!(why, SeriesRefusal::NotNow(_)) {
                        no_room.get_or_insert_with(|| why.to_string());
                    }
                    refused.push((*number, why.to_string()));
                }
                _ => {}
            }
        }
    }
    if refused.is_empty() {
        return Ok(None);
    }
    refused.sort_unstable_by_key(|(number, _)| *number);
    let rows = |series: &[u32], points: &[u32]| -> Vec<(u32, u32)> {
        series.iter().copied().zip(points.iter().copied()).collect()
    };
    let mut of_points = rows(&batch.floats.series, &batch.floats.points);
    of_points.extend(rows(&batch.histograms.series, &batch.histograms.points));
    for (series, point) in of_points {
        if let Ok(at) = refused.binary_search_by_key(&series, |(number, _)| *number) {
            let metric = batch.metric_of(series);
            batch.rejected.point(point, || format!("{} for metric {metric}", refused[at].1));
        }
    }
    Ok(no_room)
}

/// The labels of a series that is new.
fn labels<'b>(batch: &'b Batch<'_>, number: u32) -> Vec<(&'b str, &'b str)> {
    let Some(series) = batch.series.get(number as usize) else { return Vec::new() };
    let pairs =
        |range: &std::ops::Range<u32>| batch.pairs.get(range.start as usize..range.end as usize).unwrap_or_default();
    let text = |pair: &(crate::batch::Text, crate::batch::Text)| (batch.str(pair.0), batch.str(pair.1));
    let own: Vec<_> = pairs(&series.own).iter().map(text).collect();
    let mut all: Vec<_> =
        pairs(&series.common).iter().map(text).filter(|(name, _)| !own.iter().any(|(o, _)| o == name)).collect();
    all.extend(own);
    all
}

fn drop_refused(batch: &mut Batch<'_>) {
    if batch.series.iter().all(|s| s.known.is_some()) {
        return;
    }
    let Batch { series, floats, histograms, exemplars, lost_exemplars, .. } = batch;
    let keep = |number: u32| series.get(number as usize).is_some_and(|s| s.known.is_some());
    let before = exemplars.series.len();
    floats.retain(keep);
    histograms.retain(keep);
    exemplars.retain(keep);
    *lost_exemplars += (before - exemplars.series.len()) as u64;
}

/// The references of rows whose series are all known.
fn references(batch: &Batch<'_>, series: &[u32]) -> Vec<SeriesRef> {
    series.iter().filter_map(|s| batch.series.get(*s as usize)?.known).collect()
}

/// Those of a series by ascending time.
fn sort_exemplars(batch: &mut Batch<'_>) {
    let Batch { series, exemplars, .. } = batch;
    if exemplars.series.len() < 2 {
        return;
    }
    let Rows { series: numbers, values, .. } = std::mem::take(exemplars);
    let mut rows: Vec<(u32, Exemplar)> = numbers.into_iter().zip(values).collect();
    rows.sort_by_key(|(n, e)| (series.get(*n as usize).and_then(|s| s.known), e.timestamp_ms));
    for (number, exemplar) in rows {
        exemplars.push(number, NO_POINT, (exemplar.timestamp_ms, 0), exemplar);
    }
}

/// Notes metadata that differs from what was noted before.
fn metadata(batch: &Batch<'_>, cache: &SeriesCache, appender: &mut dyn Appender) -> storage::Result<()> {
    let news = batch.series.iter().filter_map(|series| {
        let family = batch.families.get(series.family as usize)?;
        (series.metadata != family.metadata).then_some((series, family, series.known?))
    });
    let news: Vec<_> = news.collect();
    for part in news.chunks(METADATA_MAX) {
        let (mut refs, mut names, mut metadata) = (Vec::new(), Vec::new(), Vec::new());
        for (_, family, reference) in part {
            let name = match &family.built {
                Some(Ok(name)) => batch.str(*name),
                _ => continue,
            };
            let help = family.description;
            refs.push(*reference);
            names.push(name);
            metadata.push(MetricMetadata {
                metric_type: family.metric_type.as_str().to_owned(),
                help: help.get(..help.floor_char_boundary(HELP_BYTES_MAX)).unwrap_or_default().to_owned(),
                unit: metadata_unit(family.unit),
            });
        }
        // A refusal costs no sample, and comes again with the next request.
        appender.metadata(Metadata { series: &refs, families: &names, metadata: &metadata })?;
        for (series, family, reference) in part {
            cache.put(series.digest, Known { series: *reference, metadata: family.metadata });
        }
    }
    Ok(())
}

impl Taken {
    /// Notes rows that were refused, by the appender or at the commit.
    pub fn refused(&mut self, batch: &mut Batch<'_>, cache: &SeriesCache, column: Column, refused: Vec<Refused>) {
        for Refused { row, why } in refused {
            let (series, point, time_ms) = match column {
                Column::Floats => place(&batch.floats, row),
                Column::Histograms => place::<HistogramValue>(&batch.histograms, row),
                Column::Exemplars => place::<Exemplar>(&batch.exemplars, row),
            };
            if why == Refusal::UnknownSeries {
                self.forgotten = true;
                if let Some(series) = batch.series.get(series as usize) {
                    cache.remove(series.digest);
                }
                continue;
            }
            let written = match column {
                Column::Floats => &mut self.floats,
                Column::Histograms => &mut self.histograms,
                Column::Exemplars => &mut self.exemplars,
            };
            *written = written.saturating_sub(1);
            match (column, &why) {
                (Column::Exemplars, Refusal::ExemplarOutOfOrder) => self.late_exemplars += 1,
                (Column::Exemplars, _) => self.lost_exemplars += 1,
                // There is nothing that the marker could end: nothing is lost.
                (_, Refusal::NothingToMark) => {}
                _ if point == NO_POINT => self.target_info_refused += 1,
                _ => {
                    let metric = batch.metric_of(series);
                    batch.rejected.point(point, || format!("{why} for metric {metric} at {time_ms}"));
                }
            }
        }
    }

    /// Notes the rows that were refused at the commit.
    pub fn committed(&mut self, batch: &mut Batch<'_>, cache: &SeriesCache, committed: Committed) {
        for (column, refused) in committed.refused {
            self.refused(batch, cache, column, vec![refused]);
        }
    }
}

/// Series, data point and time of a row.
fn place<T>(rows: &Rows<T>, row: usize) -> (u32, u32, i64) {
    let at = |column: &[u32]| column.get(row).copied().unwrap_or(NO_POINT);
    (at(&rows.series), at(&rows.points), rows.times_ms.get(row).copied().unwrap_or_default())
}
