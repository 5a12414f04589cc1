//! Where an answer came from: which source sent how much, at which resolution, of which time.

use std::sync::Arc;

use futures::stream::{self, StreamExt};
use model::{Resolution, TimeRange};

use crate::origin::SourceRead;
use crate::{Chunk, ChunkData, Ctx, HintSink, Origin, SeriesEvent, SeriesStream};

/// What the source `name` answers when it is asked by `select`, noted in the hints of `ctx` if the asker wants them. `kind`
/// tells what a chunk is from; an answer without chunks is from what it says of `None`.
pub fn noted(
    ctx: &Ctx,
    name: &str,
    kind: impl Fn(Option<&Chunk>) -> &'static str + Send + 'static,
    select: impl FnOnce(&Ctx) -> SeriesStream,
) -> SeriesStream {
    let Some(sink) = ctx.hints.clone() else { return select(ctx) };
    // Hints of its own, so that what it tells can be told from what others do.
    let own = Arc::new(HintSink::default());
    let stream = select(&Ctx { hints: Some(own.clone()), ..ctx.clone() });
    let note = Note { sink, own, name: name.into(), kind: Box::new(kind), found: Vec::new(), series: 0, error: None };
    let events = stream::unfold((stream, note), |(mut stream, mut note)| async move {
        match stream.next().await {
            Some(event) => {
                note.event(&event);
                Some((event, (stream, note)))
            }
            None => {
                // Told before the reader sees the end, and may have its answer.
                drop(note);
                None
            }
        }
    });
    events.boxed()
}

/// What is known of one answer; told when it ends.
struct Note {
    sink: Arc<HintSink>,
    /// What the source itself tells.
    own: Arc<HintSink>,
    name: Arc<str>,
    kind: Box<dyn Fn(Option<&Chunk>) -> &'static str + Send>,
    found: Vec<Found>,
    series: u64,
    error: Option<String>,
}

/// Chunks of one kind, raw or not.
struct Found {
    kind: &'static str,
    is_raw: bool,
    /// Windows of downsampled chunks that end on the hour, and others.
    on_hour: [u64; 2],
    range: TimeRange,
    /// The number of the last series with such chunks.
    last: u64,
    series: u64,
    chunks: u64,
    bytes: u64,
}

impl Note {
    fn event(&mut self, event: &crate::Result<SeriesEvent>) {
        match event {
            Ok(SeriesEvent::Batch(batch)) => batch.iter().for_each(|series| self.series(&series.chunks)),
            Ok(_) => {}
            Err(e) => self.error = Some(e.to_string()),
        }
    }

    fn series(&mut self, chunks: &[Chunk]) {
        self.series += 1;
        for chunk in chunks {
            let (kind, is_raw) = ((self.kind)(Some(chunk)), !matches!(chunk.data, ChunkData::Aggr(_)));
            let range = TimeRange::new(chunk.min_time, chunk.max_time);
            let at = self.found.iter().position(|found| found.kind == kind && found.is_raw == is_raw);
            let at = at.unwrap_or_else(|| {
                self.found.push(Found {
                    kind,
                    is_raw,
                    on_hour: [0; 2],
                    range,
                    last: 0,
                    series: 0,
                    chunks: 0,
                    bytes: 0,
                });
                self.found.len() - 1
            });
            let found = &mut self.found[at];
            found.series += u64::from(found.last != self.series);
            found.last = self.series;
            found.chunk(chunk);
        }
    }
}

impl Found {
    fn chunk(&mut self, chunk: &Chunk) {
        self.range.min = self.range.min.min(chunk.min_time);
        self.range.max = self.range.max.max(chunk.max_time);
        self.chunks += 1;
        self.bytes += chunk.size_bytes() as u64;
        // A chunk of one window may be a series' last one, which ends where the series does.
        if !self.is_raw && chunk.min_time < chunk.max_time {
            let ends_on_hour = (chunk.min_time + 1).rem_euclid(Resolution::OneHour.ms()) == 0;
            self.on_hour[usize::from(!ends_on_hour)] += 1;
        }
    }

    fn resolution_ms(&self) -> i64 {
        match (self.is_raw, self.on_hour) {
            (true, _) => 0,
            // The first window of a block of 5 minutes ends five minutes after the hour.
            (false, [on_hour, others]) if on_hour > others => Resolution::OneHour.ms(),
            (false, _) => Resolution::FiveMinutes.ms(),
        }
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let (name, mut error) = (self.name.clone(), self.error.take());
        let hints = self.own.hints();
        let mut read = SourceRead::of(&hints);
        self.sink.add(hints);
        let mut requests = 1;
        for found in self.found.drain(..) {
            let Found { range, series, chunks, bytes, .. } = found;
            let origin = Origin::new(found.kind.into(), name.clone(), found.resolution_ms());
            let (read, error, range) = (read.take(), error.take(), Some(range));
            self.sink.add_origin(Origin { range, requests, series, chunks, bytes, read, error, ..origin });
            // Counted once, whatever came of it.
            requests = 0;
        }
        if requests > 0 {
            let origin = Origin::new((self.kind)(None).into(), name, 0);
            self.sink.add_origin(Origin { requests, series: self.series, read, error, ..origin });
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chunkenc::Encoding;
    use labels::Labels;

    use super::*;
    use crate::{AggrChunk, Error, ItemStats, ReadStats, Series};

    const HOUR_MS: i64 = 3_600_000;

    fn raw(from: i64, to: i64) -> Chunk {
        Chunk::raw(from, to, Encoding::Xor, Bytes::from_static(b"12345"))
    }

    fn aggr(from: i64, to: i64) -> Chunk {
        Chunk::aggr(from, to, AggrChunk::default())
    }

    fn series(chunks: Vec<Chunk>) -> Series {
        Series { labels: Labels::from_pairs([("a", "b")]), chunks }
    }

    /// A source that reads 100 bytes of two blocks for each request, 40 of them from the bucket.
    fn told(ctx: &Ctx, answer: Vec<crate::Result<SeriesEvent>>) -> SeriesStream {
        let hints = ctx.hints.as_ref().unwrap();
        hints.add_blocks(["a".to_owned(), "b".to_owned()]);
        let chunks = ItemStats { touched_bytes: 100, fetches: 3, ..ItemStats::default() };
        hints.set_stats(ReadStats { chunks, downloaded_bytes: 40, ..ReadStats::default() });
        stream::iter(answer).boxed()
    }

    async fn origins(answers: Vec<Vec<crate::Result<SeriesEvent>>>) -> Vec<Origin> {
        let sink = Arc::new(HintSink::default());
        let ctx = Ctx { hints: Some(sink.clone()), ..Ctx::background() };
        for answer in answers {
            let kind = |chunk: Option<&Chunk>| if chunk.is_some_and(|c| c.min_time >= 100) { "head" } else { "block" };
            let events: Vec<_> = noted(&ctx, "x", kind, |ctx| told(ctx, answer)).collect().await;
            drop(events);
        }
        sink.hints().origins
    }

    #[tokio::test]
    async fn what_came_from_where() {
        let batch = vec![series(vec![raw(1, 50), raw(60, 99), raw(100, 200)]), series(vec![raw(5, 10)])];
        let found =
            origins(vec![vec![Ok(SeriesEvent::Batch(batch.clone()))], vec![Ok(SeriesEvent::Batch(batch))]]).await;
        let told: Vec<_> = found.iter().map(|o| (&*o.kind, o.requests, o.series, o.chunks, o.range)).collect();
        let range = |a, b| Some(TimeRange::new(a, b));
        assert_eq!(told, [("block", 2, 4, 6, range(1, 99)), ("head", 0, 2, 2, range(100, 200))]);
        let read = SourceRead { blocks: 2, bytes: 200, bucket_bytes: 80, bucket_requests: 6 };
        assert_eq!((found[0].read, found[1].read), (Some(read), None));
        assert!(found.iter().all(|o| o.bytes > 0 && o.error.is_none() && o.resolution_ms == 0));
    }

    #[tokio::test]
    async fn resolutions_by_where_windows_end() {
        let of = |first: i64| vec![vec![Ok(SeriesEvent::Batch(vec![series(vec![aggr(first, first + 10 * HOUR_MS)])]))]];
        assert_eq!(origins(of(HOUR_MS - 1)).await[0].resolution_ms, HOUR_MS);
        assert_eq!(origins(of(300_000 - 1)).await[0].resolution_ms, 300_000);
    }

    #[tokio::test]
    async fn answers_without_samples_and_failures() {
        let found = origins(vec![vec![], vec![Err(Error::Unavailable("gone".to_owned()))]]).await;
        assert_eq!((found.len(), found[0].requests, found[0].range), (1, 2, None));
        assert!(found[0].error.as_deref().unwrap().contains("gone"));
    }
}
