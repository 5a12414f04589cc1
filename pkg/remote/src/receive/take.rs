//! From columns to an appender: series are found, or resolved by their labels, then rows are appended.

use model::MetricType;
use storage::append::{Appender, Column, Committed, Refusal, SeriesRef, SeriesRefusal};

use super::batch::{Batch, LabelsAt, NoRoom, NotTaken, Refusals, Said, What};
use super::limits::{LABELS_MAX, METADATA_MAX, RESOLVE_LABELS_MAX, RESOLVE_MAX};
use super::rows::{MetadataRows, Rows};
use super::{v1, v2};
use ingest::{Known, SeriesCache};

/// How the exemplars that were not taken are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExemplarFaults {
    /// Only counted; version 1.
    Counted,
    /// The sender is told of those that are out of order; version 2.
    Told,
}

/// What became of a request's rows.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Everything that was refused and that the sender is told of.
    pub refused: Refusals,
    pub floats: Written,
    pub histograms: Written,
    pub exemplars: Written,
    /// Samples of series whose labels are refused.
    pub of_refused_series: u64,
    /// Exemplars that are not stored and that the sender is not told of.
    pub lost_exemplars: u64,
    /// A series was collected after it had been found: rows of it are not written, and nobody was told.
    pub forgotten: bool,
}

/// Rows of one kind.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub rows: u64,
    /// Rows that were appended a second time, under another reference.
    again: Vec<usize>,
}

/// A request on its way into an appender.
pub(super) struct Taking<'a> {
    pub plain: &'a [u8],
    pub batch: &'a mut Batch,
    pub cache: &'a SeriesCache,
    pub appender: &'a mut dyn Appender,
    pub refs: &'a mut Vec<SeriesRef>,
    pub faults: ExemplarFaults,
    /// Bytes that the labels of new series may take yet: series of version 2 may share a long symbol.
    pub new_labels_room: usize,
    pub taken: Taken,
}

type Pairs<'a> = Vec<(&'a str, &'a str)>;

impl Taking<'_> {
    /// Appends everything that can be taken.
    ///
    /// # Errors
    /// Those of the appender; it must not be committed then.
    pub fn run(mut self) -> storage::Result<Taken> {
        self.taken.refused = std::mem::take(&mut self.batch.refused);
        self.taken.lost_exemplars = self.batch.bad_exemplars;
        let unknown = self.find();
        self.resolve(&unknown)?;
        self.drop_refused();
        let mut floats = std::mem::take(&mut self.batch.floats);
        self.taken.floats = self.append(&mut floats, What::Float)?;
        self.batch.floats = floats;
        let mut histograms = std::mem::take(&mut self.batch.histograms);
        self.taken.histograms = self.append(&mut histograms, What::Histogram)?;
        self.batch.histograms = histograms;
        let mut exemplars = std::mem::take(&mut self.batch.exemplars);
        self.taken.exemplars = self.append(&mut exemplars, What::Exemplar)?;
        self.batch.exemplars = exemplars;
        self.metadata()?;
        Ok(self.taken)
    }

    /// Looks all series up. Those that are not known and may be resolved.
    fn find(&mut self) -> Vec<u32> {
        let mut unknown = Vec::new();
        for (number, entry) in (0u32..).zip(&mut self.batch.series).filter(|(_, entry)| !entry.refused) {
            match self.cache.get(entry.digest) {
                Some(known) => (entry.known, entry.metadata) = (Some(known.series), known.metadata),
                None => unknown.push(number),
            }
        }
        unknown
    }

    /// Resolves series by their labels and notes them.
    fn resolve(&mut self, series: &[u32]) -> storage::Result<()> {
        let mut left = series.iter();
        while !left.as_slice().is_empty() {
            let (mut pairs, mut ends, mut numbers) = (Pairs::new(), Vec::new(), Vec::new());
            while ends.len() < RESOLVE_MAX
                && pairs.len() < RESOLVE_LABELS_MAX
                && let Some(number) = left.next()
            {
                let begin = pairs.len();
                let read = labels_of(self.batch, *number as usize, self.plain, &mut pairs);
                match read.and_then(|()| check(&pairs[begin..], &mut self.new_labels_room)) {
                    Ok(()) => {
                        ends.push(pairs.len());
                        numbers.push(*number);
                    }
                    Err(why) => {
                        pairs.truncate(begin);
                        self.taken.refuse_series(*number, why);
                    }
                }
            }
            let mut begin = 0;
            let sets: Vec<&[(&str, &str)]> = ends
                .iter()
                .map(|end| {
                    let set = &pairs[begin..*end];
                    begin = *end;
                    set
                })
                .collect();
            let resolved = self.appender.resolve(&sets)?;
            for (number, resolved) in numbers.into_iter().zip(resolved) {
                let Some(entry) = self.batch.series.get_mut(number as usize) else { continue };
                match resolved {
                    Ok(series) => {
                        entry.known = Some(series);
                        self.cache.put(entry.digest, Known { series, metadata: 0 });
                    }
                    Err(why) => {
                        let no_room = &mut self.taken.refused.no_room;
                        *no_room = (*no_room).max(no_room_for(&why));
                        self.taken.refuse_series(number, why.to_string());
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes the rows of refused series out.
    fn drop_refused(&mut self) {
        if self.batch.series.iter().all(|e| e.known.is_some()) {
            return;
        }
        let Batch { series, floats, histograms, exemplars, said, .. } = &mut *self.batch;
        let keep = |number: u32| series.get(number as usize).is_some_and(|e| e.known.is_some());
        let before = floats.series.len() + histograms.series.len();
        floats.retain(keep);
        histograms.retain(keep);
        exemplars.retain(keep);
        said.retain(|s| keep(s.series));
        self.taken.of_refused_series += (before - floats.series.len() - histograms.series.len()) as u64;
    }

    /// Appends the rows of one kind; those whose series the store has forgotten a second time.
    fn append<R: Rows>(&mut self, rows: &mut R, what: What) -> storage::Result<Written> {
        if rows.series().iter().any(|s| self.reference(*s).is_none()) {
            rows.retain(|s| self.reference(s).is_some());
        }
        if rows.series().is_empty() {
            return Ok(Written::default());
        }
        let mut written = Written { rows: rows.series().len() as u64, again: Vec::new() };
        self.fill_refs(rows.series());
        for refused in rows.append(self.refs, self.appender)? {
            match refused.why {
                Refusal::UnknownSeries => written.again.push(refused.row),
                why => self.refuse(rows, refused.row, what, &why, &mut written),
            }
        }
        if written.again.is_empty() {
            return Ok(written);
        }
        self.resolve_again(rows, &written.again)?;
        let unresolved =
            written.again.extract_if(.., |row| rows.series().get(*row).is_none_or(|s| self.reference(*s).is_none()));
        written.rows -= unresolved.count() as u64;
        let picked = rows.picked(&written.again);
        self.fill_refs(picked.series());
        for refused in picked.append(self.refs, self.appender)? {
            if let Some(row) = written.again.get(refused.row).copied() {
                self.refuse(rows, row, what, &refused.why, &mut written);
            }
        }
        Ok(written)
    }

    fn resolve_again<R: Rows>(&mut self, rows: &R, again: &[usize]) -> storage::Result<()> {
        let mut series: Vec<u32> = again.iter().filter_map(|row| rows.series().get(*row).copied()).collect();
        series.sort_unstable();
        series.dedup();
        for number in &series {
            if let Some(entry) = self.batch.series.get_mut(*number as usize) {
                self.cache.remove(entry.digest);
                (entry.known, entry.metadata) = (None, 0);
            }
        }
        self.resolve(&series)
    }

    fn reference(&self, series: u32) -> Option<SeriesRef> {
        self.batch.series.get(series as usize)?.known
    }

    /// The references of rows whose series are all known.
    fn fill_refs(&mut self, series: &[u32]) {
        self.refs.clear();
        let entries = &self.batch.series;
        self.refs.extend(series.iter().filter_map(|s| entries.get(*s as usize)?.known));
    }

    fn refuse<R: Rows>(&mut self, rows: &R, row: usize, what: What, why: &Refusal, written: &mut Written) {
        let Some(series) = rows.series().get(row) else { return };
        let refused = NotTaken { series: *series as usize, what, time_ms: rows.time_ms(row), why: why.to_string() };
        if *why == Refusal::UnknownSeries {
            // It was resolved a moment ago: the request has to be taken once more.
            self.taken.forgotten = true;
        } else if self.taken.note(refused, why, self.faults) {
            written.rows = written.rows.saturating_sub(1);
        }
    }

    /// Notes metadata that differs from what was noted before.
    fn metadata(&mut self) -> storage::Result<()> {
        let said = std::mem::take(&mut self.batch.said);
        let news = |said: &Said| self.batch.series.get(said.series as usize).is_some_and(|e| e.metadata != said.digest);
        let news: Vec<_> = said.iter().filter(|said| news(said)).copied().collect();
        self.batch.said = said;
        news.chunks(METADATA_MAX).try_for_each(|part| self.append_metadata(part))
    }

    fn append_metadata(&mut self, news: &[Said]) -> storage::Result<()> {
        let mut rows = MetadataRows::default();
        for said in news {
            let Some(entry) = self.batch.series.get(said.series as usize) else { continue };
            if entry.known.is_none() {
                continue;
            }
            let mut pairs = Pairs::new();
            let (kind, metadata) = v2::metadata(said.refs, &self.batch.symbols, self.plain);
            if labels_of(self.batch, said.series as usize, self.plain, &mut pairs).is_err() {
                continue;
            }
            let name = pairs.iter().find(|(name, _)| *name == labels::METRIC_NAME).map_or("", |(_, value)| value);
            rows.series.push(said.series);
            rows.families.push(family(name, kind).to_owned());
            rows.metadata.push(metadata);
            rows.digests.push(said.digest);
        }
        // A refusal costs no sample, and comes again with the next request.
        self.append(&mut rows, What::Series)?;
        for (series, digest) in rows.series.iter().zip(&rows.digests) {
            if let Some(entry) = self.batch.series.get(*series as usize)
                && let Some(series) = entry.known
            {
                self.cache.put(entry.digest, Known { series, metadata: *digest });
            }
        }
        Ok(())
    }
}

impl Taken {
    fn refuse_series(&mut self, series: u32, why: String) {
        self.refused.push(NotTaken { series: series as usize, what: What::Series, time_ms: None, why });
    }

    /// Notes a row that was refused. True if it counts as not written.
    fn note(&mut self, refused: NotTaken, why: &Refusal, faults: ExemplarFaults) -> bool {
        match (refused.what, why) {
            // There is nothing that the marker could end: nothing is lost.
            (_, Refusal::NothingToMark) | (What::Series, _) => return false,
            (What::Exemplar, Refusal::ExemplarOutOfOrder) if faults == ExemplarFaults::Told => {
                self.refused.push(refused);
            }
            (What::Exemplar, _) => self.lost_exemplars += 1,
            _ => self.refused.push(refused),
        }
        true
    }

    /// Notes the rows that were refused at the commit.
    pub fn committed(&mut self, committed: Committed, batch: &Batch, cache: &SeriesCache, faults: ExemplarFaults) {
        for (column, refused) in committed.refused {
            let (what, written) = match column {
                Column::Floats => (What::Float, &mut self.floats),
                Column::Histograms => (What::Histogram, &mut self.histograms),
                Column::Exemplars => (What::Exemplar, &mut self.exemplars),
            };
            let found = match column {
                Column::Floats => written.place(refused.row, &batch.floats),
                Column::Histograms => written.place(refused.row, &batch.histograms),
                Column::Exemplars => written.place(refused.row, &batch.exemplars),
            };
            let Some((series, time_ms)) = found else { continue };
            if refused.why == Refusal::UnknownSeries {
                self.forgotten = true;
                if let Some(entry) = batch.series.get(series) {
                    cache.remove(entry.digest);
                }
                continue;
            }
            let not_taken = NotTaken { series, what, time_ms, why: refused.why.to_string() };
            if self.note(not_taken, &refused.why, faults) {
                let written = match column {
                    Column::Floats => &mut self.floats,
                    Column::Histograms => &mut self.histograms,
                    Column::Exemplars => &mut self.exemplars,
                };
                written.rows = written.rows.saturating_sub(1);
            }
        }
    }
}

impl Written {
    /// Series and time of a row as the appender counts them: those that were appended again come behind all others.
    fn place<R: Rows>(&self, row: usize, rows: &R) -> Option<(usize, Option<i64>)> {
        let row = match row.checked_sub(rows.series().len()) {
            None => row,
            Some(again) => *self.again.get(again)?,
        };
        Some((*rows.series().get(row)? as usize, rows.time_ms(row)))
    }
}

/// Adds the labels of a series of the request to `out`.
///
/// # Errors
/// Why they cannot be read.
pub(super) fn labels_of<'a>(
    batch: &'a Batch,
    series: usize,
    plain: &'a [u8],
    out: &mut Vec<(&'a str, &'a str)>,
) -> Result<(), String> {
    let at = batch.series.get(series).map(|e| e.labels);
    let bytes = match at {
        Some(LabelsAt::Symbols(span)) => {
            let refs = batch.refs.get(span.range()).unwrap_or_default();
            let own = out.len();
            v2::pairs(refs, &batch.symbols, plain, out)?;
            let typed = batch.typed.binary_search_by_key(&(series as u32), |typed| typed.series);
            if let Some(typed) = typed.ok().and_then(|at| batch.typed.get(at)) {
                let mut labels = out.split_off(own);
                v2::label_type(*typed, &batch.symbols, plain, &mut labels);
                out.append(&mut labels);
            }
            return Ok(());
        }
        Some(LabelsAt::Request(span)) => plain.get(span.range()),
        Some(LabelsAt::Joined(span)) => batch.joined.get(span.range()),
        None => None,
    };
    match v1::pairs(bytes.unwrap_or_default(), out) {
        true => Ok(()),
        false => Err("invalid metric name or labels: a name or value is not UTF-8 or cannot be read".to_owned()),
    }
}

/// Whether the series may be taken another time.
fn no_room_for(why: &SeriesRefusal) -> Option<NoRoom> {
    match why {
        SeriesRefusal::NotNow(_) => Some(NoRoom::Memory),
        SeriesRefusal::TooManySeries { .. } | SeriesRefusal::TooManySeriesOf { .. } => Some(NoRoom::Series),
        _ => None,
    }
}

/// What every series must have, and that all new ones together are not too long. Names that come twice are for the store
/// to refuse.
fn check(pairs: &[(&str, &str)], room: &mut usize) -> Result<(), String> {
    let bytes = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
    *room = room.checked_sub(bytes).ok_or("the labels of new series of one request together are too long")?;
    if pairs.len() > LABELS_MAX {
        return Err(format!("{} labels, more than {LABELS_MAX}", pairs.len()));
    }
    let named = pairs.iter().any(|(name, value)| *name == labels::METRIC_NAME && !value.is_empty());
    match named && pairs.iter().all(|(name, _)| !name.is_empty()) {
        true => Ok(()),
        false => Err("invalid metric name or labels".to_owned()),
    }
}

/// The family of a series' name: that of histograms and summaries has no suffix.
fn family(name: &str, kind: MetricType) -> &str {
    let suffixes: &[&str] = match kind {
        MetricType::Histogram | MetricType::GaugeHistogram => &["_bucket", "_count", "_sum", "_gcount", "_gsum"],
        MetricType::Summary => &["_count", "_sum"],
        _ => &[],
    };
    suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}
