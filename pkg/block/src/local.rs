//! A block in a local directory as a source of series.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chunkenc::{Encoding, aggr};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use labels::{Labels, Matcher};
use model::TimeRange;
use storage::{
    AggrChunk, Aggregate, Answer, Chunk, Ctx, EncodedChunk, LabelQuery, PartialResponse, Reservation, Select, Series,
    SeriesEvent, SeriesSource, SeriesStream, SourceInfo,
};

use crate::series::RawEntry;
use crate::{
    BlockMeta, ChunkMeta, ChunkReader, Error, IndexReader, LabelsReader, META_FILE, Result, SeriesEntry,
    TOMBSTONES_FILE, Tombstones, cut,
};

/// Series per batch.
const BATCH: usize = 256;

/// One block, its files mapped. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LocalBlock {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    meta: BlockMeta,
    index: IndexReader,
    chunks: ChunkReader,
    tombstones: Tombstones,
    external: Labels,
}

/// A series of the answer.
struct Ordered {
    id: u32,
    /// Labels and replica where they had to be read to sort; else they come with the chunks.
    labels: Option<(Labels, u64)>,
}

/// Reads the entries of one batch, in the index's order.
struct Entries<'a> {
    raw: RawEntry,
    labels: LabelsReader<'a>,
}

/// External labels and matchers on them.
enum Narrowed {
    /// An external label does not match.
    Nothing,
    /// What is left for the index.
    Matchers(Vec<Matcher>),
}

impl LocalBlock {
    /// Opens the block in `dir`. The external labels of its `thanos` section are put over each series' own.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`] or [`Error::Version`], naming the file.
    pub fn open(dir: &Path) -> Result<Self> {
        let meta_path = dir.join(META_FILE);
        let json = std::fs::read(&meta_path).map_err(Error::io("read", &meta_path))?;
        let meta = BlockMeta::parse(&meta_path.display().to_string(), &json)?;
        let external = Labels::from_pairs(meta.thanos.iter().flat_map(|t| &t.labels));
        Self::open_with(dir, meta, external)
    }

    /// Opens the block in `dir` with a meta and external labels known already.
    ///
    /// # Errors
    /// The same as those of [`LocalBlock::open`].
    pub fn open_with(dir: &Path, meta: BlockMeta, external: Labels) -> Result<Self> {
        let index = IndexReader::open_file(&dir.join("index"))?;
        let chunks = ChunkReader::open_dir(&dir.join("chunks"))?;
        let path = dir.join(TOMBSTONES_FILE);
        let tombstones = match std::fs::read(&path) {
            Ok(bytes) => Tombstones::parse(&path.display().to_string(), &bytes)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Tombstones::default(),
            Err(e) => return Err(Error::io("read", &path)(e)),
        };
        Ok(Self { parts: Arc::new(Parts { meta, index, chunks, tombstones, external }) })
    }

    /// The block's `meta.json`, as it was opened.
    pub fn meta(&self) -> &BlockMeta {
        &self.parts.meta
    }

    /// The reader of the index file.
    pub fn index(&self) -> &IndexReader {
        &self.parts.index
    }

    /// The reader of the chunk segments.
    pub fn chunks(&self) -> &ChunkReader {
        &self.parts.chunks
    }

    /// The intervals that are deleted, by series.
    pub fn tombstones(&self) -> &Tombstones {
        &self.parts.tombstones
    }
}

impl Parts {
    fn range(&self) -> TimeRange {
        TimeRange::new(self.meta.min_time, self.meta.max_time.saturating_sub(1))
    }

    fn narrow(&self, matchers: &[Matcher]) -> Narrowed {
        let mut left = Vec::with_capacity(matchers.len());
        for matcher in matchers {
            match self.external.get(matcher.name()) {
                Some(value) if !matcher.matches(value) => return Narrowed::Nothing,
                Some(_) => {}
                None => left.push(matcher.clone()),
            }
        }
        Narrowed::Matchers(left)
    }

    fn find(&self, range: TimeRange, matchers: &[Matcher]) -> Result<Vec<u32>> {
        if !range.overlaps(self.range()) {
            return Ok(Vec::new());
        }
        match self.narrow(matchers) {
            Narrowed::Nothing => Ok(Vec::new()),
            Narrowed::Matchers(matchers) => self.index.expand(&matchers),
        }
    }

    fn entry(&self, id: u32) -> Result<SeriesEntry> {
        let entry = self.index.series(id)?;
        Ok(SeriesEntry { labels: entry.labels.overlay(&self.external), ..entry })
    }

    /// What is left of a chunk's time after tombstones: whether anything is, and whether it must be cut.
    fn read_chunk(&self, id: u32, meta: ChunkMeta, want: &Select) -> Result<Option<Chunk>> {
        let deleted: Vec<TimeRange> = self
            .tombstones
            .of(u64::from(id))
            .iter()
            .copied()
            .filter(|d| d.overlaps(TimeRange::new(meta.min_time, meta.max_time)))
            .collect();
        if deleted.iter().any(|d| d.min <= meta.min_time && meta.max_time <= d.max) {
            return Ok(None);
        }
        let (encoding, data) = self.chunks.chunk(meta)?;
        let place = |e: chunkenc::Error| {
            let file = format!("block {} chunks/{:06}", self.meta.ulid, u64::from(meta.segment()) + 1);
            Error::corrupt(file, u64::from(meta.offset()), e.to_string())
        };
        if encoding != Encoding::Aggregates {
            if deleted.is_empty() {
                return Ok(Some(Chunk::raw(meta.min_time, meta.max_time, encoding, data)));
            }
            let cut = cut::without(encoding, &data, &deleted).map_err(place)?;
            return Ok(cut.map(|c| Chunk::raw(c.min_time, c.max_time, c.encoding, c.data)));
        }
        let mut parts = AggrChunk::default();
        for (aggregate, part) in Aggregate::ALL.into_iter().zip(aggr::decode(&data).map_err(place)?) {
            let Some((encoding, data)) = part.filter(|_| want.aggregates.is_empty() || want.aggregates.has(aggregate))
            else {
                continue;
            };
            parts.parts[aggregate as usize] = cut_part(encoding, data, &deleted).map_err(place)?;
        }
        if !deleted.is_empty() && parts.parts.iter().all(Option::is_none) {
            return Ok(None);
        }
        Ok(Some(Chunk::aggr(meta.min_time, meta.max_time, parts)))
    }

    fn series(
        &self,
        Ordered { id, labels }: Ordered,
        want: &Select,
        entries: &mut Entries<'_>,
        warnings: &mut Vec<String>,
    ) -> storage::Result<Option<Series>> {
        let Entries { raw, labels: reader } = entries;
        let (labels, replica) = match labels {
            Some(known) => {
                self.index.raw_series(id, raw)?;
                known
            }
            // With external labels to be put over its own it would be known.
            None => (self.index.read_series(id, raw, reader)?, 0),
        };
        let in_range = |m: &&ChunkMeta| want.range.overlaps(TimeRange::new(m.min_time, m.max_time));
        let count = if want.skip_chunks { 0 } else { raw.chunks.iter().filter(in_range).count() };
        let mut chunks = Vec::with_capacity(count);
        let mut any = false;
        for meta in raw.chunks.iter().filter(in_range) {
            if want.skip_chunks && self.tombstones.is_empty() {
                any = true;
                break;
            }
            match self.read_chunk(id, *meta, want) {
                Ok(Some(chunk)) => {
                    any = true;
                    if want.range.overlaps(TimeRange::new(chunk.min_time, chunk.max_time)) {
                        chunks.push(Chunk { replica, ..chunk });
                    }
                }
                Ok(None) => {}
                Err(e) if want.partial_response == PartialResponse::Warn => {
                    warnings.push(format!("block {}: {e}", self.meta.ulid));
                }
                Err(e) => return Err(storage::Error::from(e).within(format!("block {}", self.meta.ulid))),
            }
        }
        any &= want.skip_chunks || !chunks.is_empty();
        if want.skip_chunks {
            chunks.clear();
        }
        Ok(any.then_some(Series { labels, chunks }))
    }

    /// Ids in the order of the answer; with labels where those had to be read to sort.
    fn ordered(&self, ctx: &Ctx, want: &Select) -> storage::Result<(Vec<Ordered>, Reservation)> {
        let mut held = ctx.budget.reserve(0)?;
        if self.meta.resolution_ms() > want.max_resolution_ms {
            return Ok((Vec::new(), held));
        }
        let ids = self.find(want.range, &want.matchers)?;
        // The index is sorted by the series' own labels; adding or taking some may change the order.
        if self.external.is_empty() && want.without_replica_labels.is_empty() && want.shard.is_none() {
            return Ok((ids.into_iter().map(|id| Ordered { id, labels: None }).collect(), held));
        }
        let mut out = Vec::with_capacity(ids.len());
        for (n, id) in ids.into_iter().enumerate() {
            if n % 1024 == 0 {
                ctx.check()?;
            }
            let full = self.entry(id)?.labels;
            let replica = storage::replica_id(&full, &want.without_replica_labels);
            let labels = full.without(&want.without_replica_labels);
            if want.shard.as_ref().is_some_and(|s| !s.matches(&labels)) {
                continue;
            }
            held.grow(labels.size_bytes() as u64)?;
            out.push(Ordered { id, labels: Some((labels, replica)) });
        }
        out.sort_by(|a, b| a.labels.cmp(&b.labels).then(a.id.cmp(&b.id)));
        Ok((out, held))
    }

    fn batch(
        &self,
        ctx: &Ctx,
        want: &Select,
        ids: &mut std::vec::IntoIter<Ordered>,
        left: &mut usize,
    ) -> storage::Result<Vec<SeriesEvent>> {
        ctx.check()?;
        let (mut series, mut warnings): (Vec<Series>, Vec<String>) = (Vec::new(), Vec::new());
        let none = Labels::empty();
        let mut entries = Entries { raw: RawEntry::default(), labels: LabelsReader::new(self.index.symbols(), &none) };
        let mut read = 0;
        while let Some(next) = ids.as_slice().first() {
            // Series that the removal of labels made one share an entry.
            let joins = series.last().is_some_and(|last| next.labels.as_ref().is_some_and(|(l, _)| *l == last.labels));
            if !joins && (read >= BATCH || *left == 0) {
                break;
            }
            let Some(next) = ids.next() else { break };
            read += 1;
            match self.series(next, want, &mut entries, &mut warnings) {
                Ok(Some(s)) => match series.last_mut() {
                    Some(last) if joins => last.chunks.extend(s.chunks),
                    _ => {
                        series.push(s);
                        *left -= 1;
                    }
                },
                Ok(None) => {}
                Err(storage::Error::Corrupt(e)) if want.partial_response == PartialResponse::Warn => {
                    warnings.push(format!("block {}: {e}", self.meta.ulid));
                }
                Err(e) => return Err(e),
            }
        }
        for joined in series.iter_mut().filter(|s| !s.chunks.is_sorted_by_key(|c| c.min_time)) {
            joined.chunks.sort_by_key(|c| (c.min_time, c.max_time));
        }
        let mut events: Vec<_> = warnings.into_iter().map(SeriesEvent::Warning).collect();
        if !series.is_empty() {
            events.push(SeriesEvent::Batch(series));
        }
        Ok(events)
    }

    /// Label sets of matching series, for queries with matchers or a time range inside the block.
    fn each_label_set(&self, ctx: &Ctx, want: &LabelQuery, mut sink: impl FnMut(&Labels)) -> storage::Result<()> {
        for (n, id) in self.find(want.range, &want.matchers)?.into_iter().enumerate() {
            if n % 1024 == 0 {
                ctx.check()?;
            }
            let entry = self.entry(id)?;
            let inside = |c: &ChunkMeta| want.range.overlaps(TimeRange::new(c.min_time, c.max_time));
            if entry.chunks.iter().any(inside) {
                sink(&entry.labels);
            }
        }
        Ok(())
    }

    /// Whether every series counts, so that the table alone can answer.
    fn covers_all(&self, want: &LabelQuery) -> bool {
        let block = self.range();
        want.matchers.is_empty() && want.range.min <= block.min && block.max <= want.range.max
    }

    fn label_names(&self, ctx: &Ctx, want: &LabelQuery) -> storage::Result<Vec<String>> {
        let mut names = std::collections::BTreeSet::new();
        if self.covers_all(want) {
            names.extend(self.index.postings_table().label_names().map(str::to_owned));
            names.extend(self.external.iter().map(|(n, _)| n.to_owned()));
        } else {
            self.each_label_set(ctx, want, |labels| {
                for (name, _) in labels.iter() {
                    if !names.contains(name) {
                        names.insert(name.to_owned());
                    }
                }
            })?;
        }
        names.retain(|n| !want.without_replica_labels.contains(n));
        Ok(names.into_iter().take(limit(want.limit)).collect())
    }

    /// The values that a series with a chunk in the range has: of each value no series is read behind the first such one.
    fn label_values_inside(&self, ctx: &Ctx, name: &str, want: &LabelQuery) -> storage::Result<Vec<String>> {
        let (mut found, mut entry) = (Vec::new(), RawEntry::default());
        if !want.range.overlaps(self.range()) {
            return Ok(found);
        }
        let table = self.index.postings_table();
        for value in table.label_values(name)?.into_iter().filter(|value| !value.is_empty()) {
            if found.len() == limit(want.limit) {
                break;
            }
            ctx.check()?;
            let Some(list) = table.lookup(name, value)? else { continue };
            for (n, id) in self.index.postings(list)?.into_iter().enumerate() {
                if n % 1024 == 1023 {
                    ctx.check()?;
                }
                self.index.raw_series(id, &mut entry)?;
                let inside = |c: &ChunkMeta| want.range.overlaps(TimeRange::new(c.min_time, c.max_time));
                if entry.chunks.iter().any(inside) {
                    found.push(value.to_owned());
                    break;
                }
            }
        }
        Ok(found)
    }

    fn label_values(&self, ctx: &Ctx, name: &str, want: &LabelQuery) -> storage::Result<Vec<String>> {
        if want.without_replica_labels.iter().any(|n| n == name) {
            return Ok(Vec::new());
        }
        if self.covers_all(want) && self.external.get(name).is_none() {
            let values = self.index.postings_table().label_values(name)?;
            return Ok(values
                .into_iter()
                .filter(|v| !v.is_empty())
                .take(limit(want.limit))
                .map(str::to_owned)
                .collect());
        }
        if want.matchers.is_empty() && self.external.get(name).is_none() {
            return self.label_values_inside(ctx, name, want);
        }
        let mut values = std::collections::BTreeSet::new();
        self.each_label_set(ctx, want, |labels| {
            if let Some(value) = labels.get(name).filter(|v| !values.contains(*v)) {
                values.insert(value.to_owned());
            }
        })?;
        Ok(values.into_iter().take(limit(want.limit)).collect())
    }
}

fn limit(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}

fn cut_part(
    encoding: Encoding,
    data: Bytes,
    deleted: &[TimeRange],
) -> std::result::Result<Option<EncodedChunk>, chunkenc::Error> {
    if deleted.is_empty() {
        return Ok(Some(EncodedChunk { encoding, data }));
    }
    Ok(cut::without(encoding, &data, deleted)?.map(|c| EncodedChunk { encoding: c.encoding, data: c.data }))
}

impl SeriesSource for LocalBlock {
    fn info(&self) -> SourceInfo {
        let external = &self.parts.external;
        SourceInfo {
            label_sets: if external.is_empty() { vec![] } else { vec![external.clone()] },
            range: self.parts.range(),
            supports_sharding: true,
            supports_without_replica_labels: true,
        }
    }

    fn select(&self, ctx: &Ctx, want: Select) -> SeriesStream {
        enum State {
            Begin,
            /// What is left, how many may still be sent, and the memory of the labels held.
            Reading(std::vec::IntoIter<Ordered>, usize, Reservation),
            Done,
        }
        let (parts, ctx) = (self.parts.clone(), ctx.clone());
        let step = move |state: State| -> storage::Result<Option<(Vec<SeriesEvent>, State)>> {
            let (mut ids, mut left, held) = match state {
                State::Begin => {
                    let (ids, held) = parts.ordered(&ctx, &want)?;
                    (ids.into_iter(), limit(want.limit), held)
                }
                State::Reading(ids, left, held) => (ids, left, held),
                State::Done => return Ok(None),
            };
            if ids.len() == 0 || left == 0 {
                return Ok(None);
            }
            let events = parts.batch(&ctx, &want, &mut ids, &mut left)?;
            Ok(Some((events, State::Reading(ids, left, held))))
        };
        let id = self.parts.meta.ulid;
        stream::unfold((State::Begin, step), move |(state, step)| {
            let next = match step(state) {
                Ok(None) => None,
                Ok(Some((events, state))) => {
                    Some((stream::iter(events.into_iter().map(Ok).collect::<Vec<_>>()), (state, step)))
                }
                Err(e) => {
                    let e = match e {
                        storage::Error::Corrupt(_) => e.within(format!("block {id}")),
                        other => other,
                    };
                    Some((stream::iter(vec![Err(e)]), (State::Done, step)))
                }
            };
            std::future::ready(next)
        })
        .flatten()
        .boxed()
    }

    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        let (parts, ctx) = (self.parts.clone(), ctx.clone());
        Box::pin(async move { parts.label_names(&ctx, &want).map(Answer::from) })
    }

    fn label_values(
        &self,
        ctx: &Ctx,
        name: &str,
        want: LabelQuery,
    ) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        let (parts, ctx, name) = (self.parts.clone(), ctx.clone(), name.to_owned());
        Box::pin(async move { parts.label_values(&ctx, &name, &want).map(Answer::from) })
    }
}
