//! Every chunk of a block: read once, in the order of the segments, and held against the index.

use ::bucket::BlockObjects;
use block::meta::BlockFile;
use block::series::{RawEntry, entry_offset};
use block::{BlockMeta, ChunkMeta, IndexReader};
use bytes::Bytes;
use chunkenc::{Column, Encoding, HistogramColumn, aggr, decode_floats, decode_histograms, num_samples};
use labels::Labels;
use objstore::Bucket;

use super::finding::{Findings, Severity};
use super::segments::{Record, SegmentStream, read_one};
use crate::Error;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ChunkTotals {
    /// Chunks that the index names.
    pub(super) chunks: u64,
    pub(super) samples: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// Reads all segments of a block.
pub(super) struct ChunkCheck<'a> {
    bucket: &'a Bucket,
    meta: &'a BlockMeta,
    files: &'a [BlockFile],
    /// Names and sizes, in order.
    segments: Vec<(String, u64)>,
    /// The segment that is being read, from 0, and how far.
    current: Option<(usize, SegmentStream)>,
    next: usize,
    found: &'a mut Findings,
    totals: ChunkTotals,
    decoder: Decoder,
}

impl<'a> ChunkCheck<'a> {
    /// A check of the segments that `objects` show.
    pub(super) fn new(
        bucket: &'a Bucket,
        meta: &'a BlockMeta,
        objects: &BlockObjects,
        found: &'a mut Findings,
    ) -> Self {
        let number = |path: &str| path.strip_prefix("chunks/").and_then(|n| n.parse::<u64>().ok());
        let mut segments = Vec::new();
        for (path, object) in objects.objects.iter().filter(|(path, _)| number(path).is_some()) {
            if number(path) != Some(segments.len() as u64 + 1) {
                let what = format!("segment {} is missing", segments.len() + 1);
                found.add(Severity::Damaged, path, None, what);
            }
            segments.push((path.clone(), object.size));
        }
        let files = meta.thanos.as_ref().map(|t| t.files.as_slice()).unwrap_or_default();
        let totals = ChunkTotals { bytes: segments.iter().map(|(_, size)| size).sum(), ..ChunkTotals::default() };
        let decoder = Decoder::default();
        Self { bucket, meta, files, segments, current: None, next: 0, found, totals, decoder }
    }

    pub(super) async fn run(mut self, index: &IndexReader) -> Result<ChunkTotals, Error> {
        // A corrupt index was reported by its own check.
        let ids = index.all_postings().unwrap_or_default();
        let mut raw = RawEntry::default();
        for id in ids {
            if index.raw_series(id, &mut raw).is_err() {
                continue;
            }
            let place = Place { index, id };
            for chunk in &raw.chunks {
                self.totals.chunks += 1;
                self.chunk(*chunk, &place).await?;
            }
        }
        while self.open_next().await? {}
        Ok(self.totals)
    }

    /// Checks the chunk that `chunk` points to.
    async fn chunk(&mut self, chunk: ChunkMeta, place: &Place<'_>) -> Result<(), Error> {
        let (segment, offset) = (chunk.segment() as usize, u64::from(chunk.offset()));
        let Some((file, size)) = self.segments.get(segment).cloned() else {
            let what = format!(
                "series {}: segment {} is named, there are {}",
                place.labels(),
                segment + 1,
                self.segments.len()
            );
            self.found.add(Severity::Damaged, "index", Some(place.offset()), what);
            return Ok(());
        };
        if offset < 8 || offset >= size {
            let what = format!("series {}: chunk at {offset} of {file}, which has {size} bytes", place.labels());
            self.found.add(Severity::Damaged, "index", Some(place.offset()), what);
            return Ok(());
        }
        while self.current.as_ref().is_none_or(|(at, _)| *at < segment) && self.open_next().await? {}
        let content = match self.take(segment, offset).await? {
            Some(content) => content,
            None => {
                let path = format!("{}/{file}", self.meta.ulid);
                let guess = self.meta.thanos.as_ref().map_or(0, |t| t.index_stats.chunk_max_size).clamp(4096, 1 << 20);
                read_one(self.bucket, &path, &file, offset, guess).await?
            }
        };
        match content {
            Ok((encoding, data)) => match self.decoder.check(chunk, encoding, &data) {
                Ok(samples) => self.totals.samples += samples,
                Err(what) => {
                    let what = format!("series {}: {what}", place.labels());
                    self.found.add(Severity::Damaged, &file, Some(offset), what);
                }
            },
            Err(e) => self.corrupt(&file, offset, e, Some(place)),
        }
        Ok(())
    }

    /// The record at `offset` if the stream is not past it. Records before it that nobody names are checked too.
    async fn take(
        &mut self,
        segment: usize,
        offset: u64,
    ) -> Result<Option<Result<(Encoding, Bytes), block::Error>>, Error> {
        loop {
            let Some((at, stream)) =
                self.current.as_mut().filter(|(at, stream)| *at == segment && stream.at() <= offset)
            else {
                return Ok(None);
            };
            debug_assert_eq!(*at, segment);
            let Some(record) = stream.next().await? else { return Ok(None) };
            let next_is_known = record.next_is_known;
            if !next_is_known {
                // the index knows where the next record is
                stream.skip_to(offset.max(record.offset + 1)).await?;
            }
            self.totals.records += 1;
            if record.offset == offset {
                return Ok(Some(record.chunk));
            }
            self.unnamed(segment, record);
        }
    }

    /// A record that no series names.
    fn unnamed(&mut self, segment: usize, record: Record) {
        if let Err(e) = record.chunk {
            let file = self.segments[segment].0.clone();
            self.corrupt(&file, record.offset, e, None);
        }
    }

    fn corrupt(&mut self, file: &str, offset: u64, error: block::Error, place: Option<&Place<'_>>) {
        let what = match error {
            block::Error::Corrupt { what, .. } => what,
            other => other.to_string(),
        };
        let what = match place {
            Some(place) => format!("series {}: {what}", place.labels()),
            None => format!("{what} (of no series)"),
        };
        self.found.add(Severity::Damaged, file, Some(offset), what);
    }

    /// Reads the rest of the segment at hand and opens the next one; false at the end.
    async fn open_next(&mut self) -> Result<bool, Error> {
        if let Some((segment, mut stream)) = self.current.take() {
            while let Some(record) = stream.next().await? {
                self.totals.records += 1;
                let goes_on = record.next_is_known;
                self.unnamed(segment, record);
                if !goes_on {
                    break;
                }
            }
            self.compare_hash(&stream.file.clone(), stream).await?;
        }
        let Some((file, size)) = self.segments.get(self.next).cloned() else { return Ok(false) };
        let (stream, wrong) = SegmentStream::open(self.bucket, &self.meta.ulid.to_string(), &file, size).await?;
        if let Some(e) = wrong {
            self.found.add_error(&file, e);
        }
        self.current = Some((self.next, stream));
        self.next += 1;
        Ok(true)
    }

    async fn compare_hash(&mut self, file: &str, stream: SegmentStream) -> Result<(), Error> {
        let noted = self.files.iter().find(|f| f.rel_path == file).and_then(|f| f.hash.as_ref());
        let Some(noted) = noted.filter(|h| h.hash_func == "SHA256") else { return Ok(()) };
        let digest = stream.digest().await?;
        if digest != noted.value {
            let what = format!("SHA-256 is {digest}, meta.json says {}", noted.value);
            self.found.add(Severity::Damaged, file, None, what);
        }
        Ok(())
    }
}

/// The series that a chunk belongs to; its labels are looked up when they are reported.
struct Place<'a> {
    index: &'a IndexReader,
    id: u32,
}

impl Place<'_> {
    fn labels(&self) -> Labels {
        self.index.series(self.id).map(|s| s.labels).unwrap_or_default()
    }

    fn offset(&self) -> u64 {
        entry_offset(self.index.version(), self.id)
    }
}

/// Decodes chunks, with memory that is used again.
#[derive(Default)]
struct Decoder {
    floats: Column,
    histograms: HistogramColumn,
}

impl Decoder {
    /// Decodes a chunk and holds it against what the index says; gives its samples.
    fn check(&mut self, meta: ChunkMeta, encoding: Encoding, data: &Bytes) -> Result<u64, String> {
        if encoding != Encoding::Aggregates {
            let samples = num_samples(encoding, data).map_err(|e| e.to_string())?;
            let times = self.times(encoding, data)?;
            if times.len() != samples {
                return Err(format!("{} samples, {samples} are promised", times.len()));
            }
            if let Some(at) = times.windows(2).position(|t| t[0] >= t[1]) {
                return Err(format!("sample {} at {} is not after {}", at + 1, times[at + 1], times[at]));
            }
            return match (times.first(), times.last()) {
                (Some(first), Some(last)) if (*first, *last) == (meta.min_time, meta.max_time) => Ok(samples as u64),
                (Some(first), Some(last)) => Err(format!(
                    "chunk from {first} to {last}, the index says from {} to {}",
                    meta.min_time, meta.max_time
                )),
                _ => Err("chunk without samples".to_owned()),
            };
        }
        let parts = aggr::decode(data).map_err(|e| e.to_string())?;
        let mut samples = 0;
        for (place, part) in parts.into_iter().enumerate() {
            let Some((encoding, data)) = part else { continue };
            let times = self.times(encoding, &data).map_err(|e| format!("aggregate {place}: {e}"))?;
            // the counter's last sample stands there twice, and its first may come before the others
            let is_counter = place == 4;
            let is_wrong = |t: &[i64]| if is_counter { t[0] > t[1] } else { t[0] >= t[1] };
            if let Some(at) = times.windows(2).position(is_wrong) {
                let (before, time) = (times[at], times[at + 1]);
                return Err(format!("aggregate {place}: sample {} at {time} is not after {before}", at + 1));
            }
            let range = meta.min_time..=meta.max_time;
            if let Some(time) = times.iter().find(|t| !is_counter && !range.contains(*t)) {
                return Err(format!("aggregate {place}: sample at {time} outside of the chunk's {range:?}"));
            }
            if place == 0 {
                samples = times.len() as u64;
            }
        }
        Ok(samples)
    }

    fn times(&mut self, encoding: Encoding, data: &[u8]) -> Result<&[i64], String> {
        if encoding.is_float() {
            self.floats.clear();
            decode_floats(encoding, data, &mut self.floats).map_err(|e| e.to_string())?;
            return Ok(&self.floats.times);
        }
        self.histograms.times.clear();
        self.histograms.values.clear();
        decode_histograms(encoding, data, &mut self.histograms).map_err(|e| e.to_string())?;
        Ok(&self.histograms.times)
    }
}
