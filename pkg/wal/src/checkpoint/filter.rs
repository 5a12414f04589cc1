//! Which parts of a record a checkpoint keeps.

use std::collections::BTreeMap;

use encoding::Corrupt;
use histogram::{FloatHistogram, Histogram};
use model::MetricType;

use super::Stats;
use crate::record::{
    BucketHistogram, ExemplarReader, ExemplarRow, Histograms, Kind, MetadataReader, MetadataRow, Samples, SeriesReader,
    Tombstones, encode_exemplars, encode_histograms_as, encode_histograms_with_starts, encode_metadata, encode_samples,
    encode_samples_with_starts, encode_tombstones, put_series,
};

/// The newest metadata of a series.
struct Metadata {
    metric_type: MetricType,
    unit: Box<str>,
    help: Box<str>,
}

/// Keeps what is needed of records, one by one.
pub(super) struct Filter<'k> {
    keep: &'k mut dyn FnMut(u64) -> bool,
    min_time_ms: i64,
    deleted_min_ms: i64,
    metadata: BTreeMap<u64, Metadata>,
    samples: Samples,
    histograms: Histograms<Histogram>,
    float_histograms: Histograms<FloatHistogram>,
    tombstones: Tombstones,
    kept: Vec<bool>,
}

/// What to do with a record.
pub(super) enum Verdict {
    /// All of it stays.
    Whole,
    /// What stays was written to the buffer; nothing, if it is empty.
    Part,
}

impl<'k> Filter<'k> {
    pub(super) fn new(keep: &'k mut dyn FnMut(u64) -> bool, (min_time_ms, deleted_min_ms): (i64, i64)) -> Self {
        Self {
            keep,
            min_time_ms,
            deleted_min_ms,
            metadata: BTreeMap::new(),
            samples: Samples::default(),
            histograms: Histograms::default(),
            float_histograms: Histograms::default(),
            tombstones: Tombstones::default(),
            kept: Vec::new(),
        }
    }

    /// What stays of `record`; `out` is empty.
    pub(super) fn record(&mut self, record: &[u8], out: &mut Vec<u8>, stats: &mut Stats) -> Result<Verdict, Corrupt> {
        let Some(kind) = Kind::of(record) else {
            stats.unknown_records += 1;
            return Ok(Verdict::Part);
        };
        let min_time_ms = self.min_time_ms;
        match kind {
            Kind::Series => return self.series(record, out, stats),
            Kind::Samples | Kind::SamplesWithStarts => return self.floats(record, out, stats),
            Kind::Histograms | Kind::CustomHistograms | Kind::HistogramsWithStarts => {
                let rows = histograms(&mut self.histograms, (kind, record), min_time_ms, out, stats)?;
                stats.samples += rows;
            }
            Kind::FloatHistograms | Kind::CustomFloatHistograms | Kind::FloatHistogramsWithStarts => {
                let rows = histograms(&mut self.float_histograms, (kind, record), min_time_ms, out, stats)?;
                stats.samples += rows;
            }
            Kind::Exemplars => exemplars(record, min_time_ms, out, stats)?,
            Kind::Tombstones => self.tombstones(record, out, stats)?,
            Kind::Metadata => self.metadata(record, stats)?,
            // They belong into another log.
            Kind::MmapMarkers => stats.unknown_records += 1,
        }
        Ok(Verdict::Part)
    }

    fn series(&mut self, record: &[u8], out: &mut Vec<u8>, stats: &mut Stats) -> Result<Verdict, Corrupt> {
        self.kept.clear();
        let mut reader = SeriesReader::new(record)?;
        while let Some((series_ref, _)) = reader.read()? {
            self.kept.push((self.keep)(series_ref));
        }
        let kept = self.kept.iter().filter(|k| **k).count();
        stats.series += kept as u64;
        stats.series_dropped += (self.kept.len() - kept) as u64;
        if kept == self.kept.len() {
            return Ok(if kept == 0 { Verdict::Part } else { Verdict::Whole });
        }
        if kept == 0 {
            return Ok(Verdict::Part);
        }
        out.push(Kind::Series as u8);
        let mut reader = SeriesReader::new(record)?;
        let mut kept = self.kept.iter();
        while let (Some((series_ref, labels)), Some(kept)) = (reader.read()?, kept.next()) {
            if *kept {
                put_series(out, series_ref, labels.iter().copied());
            }
        }
        Ok(Verdict::Part)
    }

    fn floats(&mut self, record: &[u8], out: &mut Vec<u8>, stats: &mut Stats) -> Result<Verdict, Corrupt> {
        let samples = &mut self.samples;
        samples.clear();
        samples.decode(record)?;
        let all = samples.len();
        let with_starts = !samples.starts_ms.is_empty();
        let mut kept = 0;
        for at in 0..all {
            if samples.times_ms[at] >= self.min_time_ms {
                samples.refs[kept] = samples.refs[at];
                samples.times_ms[kept] = samples.times_ms[at];
                samples.values[kept] = samples.values[at];
                if with_starts {
                    samples.starts_ms[kept] = samples.starts_ms[at];
                }
                kept += 1;
            }
        }
        stats.samples += kept as u64;
        stats.samples_dropped += (all - kept) as u64;
        if kept == all && kept > 0 {
            return Ok(Verdict::Whole);
        }
        let (refs, times_ms, values) = (&samples.refs[..kept], &samples.times_ms[..kept], &samples.values[..kept]);
        match kept {
            0 => {}
            _ if with_starts => encode_samples_with_starts(out, refs, times_ms, &samples.starts_ms[..kept], values),
            _ => encode_samples(out, refs, times_ms, values),
        }
        Ok(Verdict::Part)
    }

    /// Intervals stay if their series and a part of their time do.
    fn tombstones(&mut self, record: &[u8], out: &mut Vec<u8>, stats: &mut Stats) -> Result<(), Corrupt> {
        self.tombstones.clear();
        self.tombstones.decode(record)?;
        let Tombstones { refs, mins_ms, maxs_ms } = &self.tombstones;
        let rows = refs.iter().zip(mins_ms).zip(maxs_ms).map(|((r, min), max)| (*r, *min, *max));
        let kept: Vec<_> =
            rows.filter(|(series_ref, _, max)| *max >= self.deleted_min_ms && (self.keep)(*series_ref)).collect();
        stats.tombstones += kept.len() as u64;
        stats.tombstones_dropped += (refs.len() - kept.len()) as u64;
        if !kept.is_empty() {
            encode_tombstones(out, kept);
        }
        Ok(())
    }

    fn metadata(&mut self, record: &[u8], stats: &mut Stats) -> Result<(), Corrupt> {
        let mut reader = MetadataReader::new(record)?;
        while let Some(row) = reader.read()? {
            if !(self.keep)(row.series_ref) {
                stats.metadata_dropped += 1;
                continue;
            }
            let metadata = Metadata { metric_type: row.metric_type, unit: row.unit.into(), help: row.help.into() };
            if self.metadata.insert(row.series_ref, metadata).is_some() {
                stats.metadata_dropped += 1;
            }
        }
        Ok(())
    }

    /// The newest metadata of each series, as the last record of the checkpoint.
    pub(super) fn finish(self, out: &mut Vec<u8>, stats: &mut Stats) {
        stats.metadata += self.metadata.len() as u64;
        if !self.metadata.is_empty() {
            let rows = self.metadata.iter().map(|(series_ref, metadata)| MetadataRow {
                series_ref: *series_ref,
                metric_type: metadata.metric_type,
                unit: &metadata.unit,
                help: &metadata.help,
            });
            encode_metadata(out, rows);
        }
    }
}

/// Writes the histograms from `min_time_ms` on; returns how many.
fn histograms<H: BucketHistogram>(
    columns: &mut Histograms<H>,
    (kind, record): (Kind, &[u8]),
    min_time_ms: i64,
    out: &mut Vec<u8>,
    stats: &mut Stats,
) -> Result<u64, Corrupt> {
    columns.clear();
    stats.invalid_histograms += columns.decode(record)?.len() as u64;
    let kept = || (0..columns.len()).filter(|at| columns.times_ms[*at] >= min_time_ms);
    let rows = kept().count();
    stats.samples_dropped += (columns.len() - rows) as u64;
    if rows == 0 {
        return Ok(0);
    }
    if columns.starts_ms.is_empty() {
        let rows = kept().map(|at| (columns.refs[at], columns.times_ms[at], &columns.values[at]));
        encode_histograms_as(out, kind, rows);
    } else {
        let row = |at: usize| (columns.refs[at], columns.times_ms[at], columns.starts_ms[at], &columns.values[at]);
        encode_histograms_with_starts(out, kept().map(row));
    }
    Ok(rows as u64)
}

fn exemplars(record: &[u8], min_time_ms: i64, out: &mut Vec<u8>, stats: &mut Stats) -> Result<(), Corrupt> {
    let mut reader = ExemplarReader::new(record)?;
    let mut kept = Vec::new();
    while let Some(row) = reader.read()? {
        if row.time_ms >= min_time_ms {
            kept.push((row.series_ref, row.time_ms, row.value, row.labels.to_vec()));
        } else {
            stats.exemplars_dropped += 1;
        }
    }
    stats.exemplars += kept.len() as u64;
    if !kept.is_empty() {
        let rows = kept.iter().map(|(series_ref, time_ms, value, labels)| ExemplarRow {
            series_ref: *series_ref,
            time_ms: *time_ms,
            value: *value,
            labels: labels.iter().copied(),
        });
        encode_exemplars(out, rows);
    }
    Ok(())
}
