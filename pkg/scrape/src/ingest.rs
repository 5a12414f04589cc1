//! A body into an open transaction: all of it, or a failure.

use model::Exemplar;
use storage::append::{Appender, Refusal};
use textparse::{Entry, Format, HistogramEntry, Parser, Sample, Series};

use crate::batch::{Batch, Handed, RefusedRow, Row};
use crate::cache::{Cache, Found, Id, Known};
use crate::failure::Failure;
use crate::families::{Families, FamilyOf};
use crate::histograms::zero;
use crate::ingestion::{Counts, Ingestion};
use crate::naming::series_of;
use crate::options::StartTimes;
use crate::series_labels::series_labels;

type Result<T> = std::result::Result<T, Failure>;

/// A body on its way.
pub(crate) struct Ingest<'a> {
    pub(crate) with: Ingestion<'a>,
    format: Format,
    pub(crate) cache: &'a mut Cache,
    pub(crate) families: &'a mut Families,
    pub(crate) appender: &'a mut dyn Appender,
    batch: Batch,
    counts: Counts,
    /// A limit that is exceeded: the rest is only counted.
    over: Option<Failure>,
    /// Series were found that the store does not know any more.
    has_unknown: bool,
    /// Only series are taken that are not resolved.
    is_second_pass: bool,
    /// The series that the scrape fails for.
    culprit: Option<u128>,
}

/// Tells the parser which series are known.
struct Recognised<'a> {
    cache: &'a mut Cache,
    /// Series are looked up before they are read.
    by_key: bool,
    /// What was asked about last.
    asked: Option<(u128, Found)>,
}

impl textparse::Known for Recognised<'_> {
    #[inline]
    fn expected_bytes(&self) -> usize {
        if self.by_key { self.cache.expected_bytes() } else { 0 }
    }

    #[inline]
    fn is_expected(&mut self, bytes: &[u8]) -> bool {
        let key = self.cache.digest(bytes, 0);
        let is_expected = self.cache.expects(key);
        if is_expected {
            self.asked = Some((key, self.cache.look_up(key)));
        }
        is_expected
    }

    #[inline]
    fn is_known(&mut self, bytes: &[u8]) -> bool {
        if !self.by_key {
            return false;
        }
        let key = self.cache.digest(bytes, 0);
        let found = self.cache.look_up(key);
        self.asked = Some((key, found));
        self.cache.known(found.id) != Known::Unresolved
    }
}

impl<'a> Ingest<'a> {
    pub(crate) fn new(
        with: Ingestion<'a>,
        cache: &'a mut Cache,
        families: &'a mut Families,
        appender: &'a mut dyn Appender,
        format: Format,
    ) -> Self {
        cache.begin(format);
        families.begin();
        let batch = Batch::new(with.start_times == StartTimes::Stored, cache.len());
        Self {
            with,
            format,
            cache,
            families,
            appender,
            batch,
            counts: Counts::default(),
            over: None,
            has_unknown: false,
            is_second_pass: false,
            culprit: None,
        }
    }

    /// Takes a body. What was counted is told in any case.
    pub(crate) fn run(mut self, body: &[u8]) -> (Counts, Result<()>) {
        let format = self.format;
        let mut result = self.pass(body);
        if result.is_ok() && self.has_unknown {
            self.has_unknown = false;
            self.is_second_pass = true;
            result = self.pass(body);
        }
        if result.is_ok()
            && let Some(over) = self.over.take()
        {
            result = Err(over);
        }
        if let (Err(Failure::Refused { series, .. } | Failure::Buckets { series, .. }), Some(key)) =
            (&mut result, self.culprit)
        {
            *series = series_of(body, format, self.with.parser, self.cache, key);
        }
        (self.counts, result)
    }

    fn pass(&mut self, body: &[u8]) -> Result<()> {
        let mut parser = Parser::new(body, self.format, self.with.parser)?;
        // Where names are needed, series are looked up once they are read.
        let by_key = !self.is_second_pass && !self.with.type_and_unit_labels && !self.with.metadata;
        loop {
            let mut known = Recognised { cache: self.cache, by_key, asked: None };
            if !parser.advance_known(&mut known)? {
                break;
            }
            let asked = known.asked;
            match &parser.entry() {
                Entry::Sample(sample) => self.sample(sample, asked)?,
                Entry::Histogram(histogram) => self.histogram(histogram, asked)?,
                Entry::Comment => {}
                metadata => self.families.note(metadata),
            }
        }
        self.counts.unconverted = parser.unconverted().cloned();
        self.hand_over()
    }

    #[inline]
    fn sample(&mut self, sample: &Sample<'_>, asked: Option<(u128, Found)>) -> Result<()> {
        let Some((id, time_ms)) = self.take(&sample.series, asked, sample.timestamp_ms, false)? else { return Ok(()) };
        let series = self.reference(id);
        let start_ms = if sample.start_ms < time_ms { sample.start_ms } else { 0 };
        let row = Row { id, series, time_ms, value: sample.value, start_ms, is_silent: false };
        if self.wants_zero(start_ms, series.is_none()) {
            self.batch.float(Row { time_ms: start_ms, value: 0.0, is_silent: true, ..row });
        }
        self.batch.float(row);
        self.exemplars(id, sample.exemplars, time_ms);
        self.hand_over_if_full()
    }

    fn histogram(&mut self, histogram: &HistogramEntry<'_>, asked: Option<(u128, Found)>) -> Result<()> {
        if !self.with.takes_native && !self.with.parser.convert_classic_histograms {
            return Ok(());
        }
        let Some((id, time_ms)) = self.take(&histogram.series, asked, histogram.timestamp_ms, true)? else {
            return Ok(());
        };
        let value = match self.with.histograms.apply(histogram.value) {
            Ok(value) => value,
            Err(over) => {
                if self.over.is_none() {
                    self.culprit = self.cache.key(id);
                    let limit = self.with.histograms.buckets_max;
                    self.over = Some(Failure::Buckets { series: String::new(), buckets: over.0, limit });
                }
                return Ok(());
            }
        };
        let series = self.reference(id);
        let start_ms = if histogram.start_ms < time_ms { histogram.start_ms } else { 0 };
        if self.wants_zero(start_ms, series.is_none()) {
            let value = zero(&value);
            self.batch.histogram(Row { id, series, time_ms: start_ms, value, start_ms, is_silent: true });
        }
        self.batch.histogram(Row { id, series, time_ms, value, start_ms, is_silent: false });
        self.exemplars(id, histogram.exemplars, time_ms);
        self.hand_over_if_full()
    }

    /// What is common to samples of both kinds, up to the row: the entry and the time, or `None` for what is not stored.
    #[inline]
    fn take(
        &mut self,
        series: &Series<'_>,
        asked: Option<(u128, Found)>,
        timestamp_ms: Option<i64>,
        is_histogram: bool,
    ) -> Result<Option<(Id, i64)>> {
        let key = asked.map_or_else(|| self.key(series), |(key, _)| key);
        let found = if self.is_second_pass {
            match self.cache.find(key) {
                Some(id) if self.cache.known(id) == Known::Unresolved => {
                    Found { id, is_new: false, is_repeated: false }
                }
                _ => return Ok(None),
            }
        } else {
            self.counts.scraped += 1;
            asked.map_or_else(|| self.cache.look_up(key), |(_, found)| found)
        };
        let timestamp_ms = timestamp_ms.filter(|_| self.with.honors_timestamps);
        let is_known = match self.cache.known(found.id) {
            Known::Dropped => return Ok(None),
            Known::Series(_) => true,
            // It is on its way already.
            Known::Unresolved if found.is_repeated => {
                self.hand_over()?;
                self.cache.known(found.id) != Known::Dropped
            }
            Known::Unresolved => self.new_series(found, series)?,
        };
        if !is_known {
            return Ok(None);
        }
        if !self.is_second_pass && !self.counted(found, timestamp_ms, key) {
            return Ok(None);
        }
        let time_ms = timestamp_ms.unwrap_or(self.with.time_ms);
        if time_ms > self.with.time_max_ms {
            self.counts.out_of_bounds += 1;
            self.refused(key, || "out of bounds: too far in the future".to_owned());
            return Ok(None);
        }
        self.cache.note(found.id, is_histogram, timestamp_ms.is_none() || self.with.tracks_timestamps);
        if self.with.metadata {
            self.note_metadata(found, series);
        }
        Ok(Some((found.id, time_ms)))
    }

    fn key(&self, series: &Series<'_>) -> u128 {
        let mut context = 0;
        if self.with.type_and_unit_labels
            && let Some(family) = self.families.of(&series.name())
        {
            // With another type or unit it is another series.
            let unit = family.metadata.unit.as_bytes();
            context = xxhash_rust::xxh3::xxh3_64_with_seed(unit, family.metric_type as u64 + 1);
        }
        self.cache.digest(series.key(), context)
    }

    /// Counts a sample that relabelling keeps; false if it is not to be stored.
    fn counted(&mut self, found: Found, timestamp_ms: Option<i64>, key: u128) -> bool {
        self.counts.after_relabelling += 1;
        let (samples, limit) = (self.counts.after_relabelling, self.with.sample_limit);
        if limit > 0 && samples as u64 > limit {
            self.over = Some(Failure::Samples { samples, limit });
        }
        if found.is_repeated && timestamp_ms.is_none() {
            self.counts.duplicates += 1;
            self.refused(key, || "the target exposes it more than once".to_owned());
            return false;
        }
        if self.over.is_some() {
            return false;
        }
        if found.is_new {
            self.cache.keep(found.id);
            self.counts.series_added += 1;
        }
        true
    }

    /// Reads the labels of a series; false if relabelling drops it.
    #[cold]
    fn new_series(&mut self, found: Found, series: &Series<'_>) -> Result<bool> {
        let family = match self.with.type_and_unit_labels {
            true => self.families.of(&series.name()),
            false => None,
        };
        let extra = family.map(type_and_unit).unwrap_or_default();
        match series_labels(series, &extra, self.with.labels)? {
            None => {
                self.cache.set_dropped(found.id);
                Ok(false)
            }
            Some(labels) => {
                // Over the limit nothing is made.
                if self.over.is_none() {
                    self.batch.resolve(found.id, labels);
                }
                Ok(true)
            }
        }
    }

    fn note_metadata(&mut self, found: Found, series: &Series<'_>) {
        let is_known = matches!(self.cache.known(found.id), Known::Series(_));
        if let Some(family) = self.families.of(&series.name()).filter(|family| !is_known || family.is_changed) {
            self.batch.metadata(found.id, family.name, family.metadata);
        }
    }

    #[inline]
    fn reference(&self, id: Id) -> Option<storage::append::SeriesRef> {
        match self.cache.known(id) {
            Known::Series(series) => Some(series),
            Known::Unresolved | Known::Dropped => None,
        }
    }

    fn wants_zero(&self, start_ms: i64, is_new: bool) -> bool {
        self.with.start_times == StartTimes::ZeroSamples && start_ms > 0 && (is_new || start_ms > self.with.previous_ms)
    }

    fn exemplars(&mut self, id: Id, exemplars: &[textparse::Exemplar], time_ms: i64) {
        if exemplars.is_empty() {
            return;
        }
        let mut sorted: Vec<Exemplar> = exemplars
            .iter()
            .map(|e| Exemplar {
                labels: e.labels.clone(),
                value: e.value,
                timestamp_ms: e.timestamp_ms.unwrap_or(time_ms),
            })
            .collect();
        sorted.sort_by(|a, b| {
            (a.timestamp_ms, a.value).partial_cmp(&(b.timestamp_ms, b.value)).unwrap_or(std::cmp::Ordering::Equal)
        });
        for exemplar in sorted {
            self.batch.exemplar(id, exemplar);
        }
    }

    fn hand_over_if_full(&mut self) -> Result<()> {
        if self.batch.is_full() { self.hand_over() } else { Ok(()) }
    }

    fn hand_over(&mut self) -> Result<()> {
        if self.over.is_some() {
            self.batch.clear();
        }
        if self.batch.is_empty() {
            return Ok(());
        }
        let Handed { samples, exemplars, series } = self.batch.hand_over(self.appender, self.cache)?;
        if let Some((labels, why)) = series {
            return Err(Failure::Refused { series: labels.to_string(), why: why.to_string() });
        }
        for row in samples {
            self.judge(row)?;
        }
        let late = exemplars.iter().filter(|row| row.why == Refusal::ExemplarOutOfOrder).count();
        self.counts.exemplars_out_of_order += late as u64;
        Ok(())
    }

    fn judge(&mut self, RefusedRow { id, why }: RefusedRow) -> Result<()> {
        let key = self.cache.key(id).unwrap_or_default();
        match &why {
            Refusal::UnknownSeries if !self.is_second_pass => {
                self.cache.forget_series(id);
                self.has_unknown = true;
                return Ok(());
            }
            Refusal::OutOfOrder { .. } => self.counts.out_of_order += 1,
            Refusal::Duplicate => self.counts.duplicates += 1,
            Refusal::OutOfBounds | Refusal::TooOld { .. } => self.counts.out_of_bounds += 1,
            Refusal::NothingToMark => return Ok(()),
            _ => {
                self.culprit = Some(key);
                return Err(Failure::Refused { series: String::new(), why: why.to_string() });
            }
        }
        self.refused(key, || why.to_string());
        Ok(())
    }

    fn refused(&mut self, key: u128, why: impl FnOnce() -> String) {
        if self.counts.first_refused.is_none() {
            self.counts.first_refused = Some((key, why()));
        }
    }
}

fn type_and_unit(family: FamilyOf<'_>) -> Vec<(&str, &str)> {
    let mut extra = Vec::new();
    if family.metric_type != model::MetricType::Unknown {
        extra.push(("__type__", family.metric_type.as_str()));
    }
    if !family.metadata.unit.is_empty() {
        extra.push(("__unit__", family.metadata.unit.as_str()));
    }
    extra
}
