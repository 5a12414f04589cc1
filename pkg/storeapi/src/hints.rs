//! Response hints: which blocks were asked, and at what cost.
//!
//! As in Thanos the answers about labels always name the blocks, while a Series answer ends with hints only if the request
//! came with some: old queriers do not know that frame.

use bytes::Bytes;
use prost::Message;
use proto::hintspb;
use storage::{HintSink, Hints, ItemStats, ReadStats};

use crate::convert::{pack, unpack};

/// Which hints a Series request asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked {
    pub(crate) blocks: bool,
    pub(crate) stats: bool,
}

/// The last frame of a Series answer.
pub(crate) fn series(asked: Asked, sink: &HintSink) -> prost_types::Any {
    let Hints { blocks, stats, .. } = sink.hints();
    let query_stats = asked.stats.then(|| query_stats(blocks.len() as i64, &stats));
    let hints = hintspb::SeriesResponseHints { queried_blocks: queried(blocks), query_stats };
    pack("SeriesResponseHints", &hints)
}

/// What the last frame of a Series answer tells; nothing where it is of another kind, as an answer is whole without it.
pub(crate) fn told(frame: &Bytes) -> Hints {
    let any = prost_types::Any::decode(&**frame).ok();
    let hints = any.and_then(|any| unpack::<hintspb::SeriesResponseHints>("SeriesResponseHints", &any).ok());
    let Some(hintspb::SeriesResponseHints { queried_blocks, query_stats }) = hints else { return Hints::default() };
    let blocks = queried_blocks.into_iter().map(|block| block.id).collect();
    Hints { blocks, stats: query_stats.map(|stats| read_stats(&stats)).unwrap_or_default(), origins: Vec::new() }
}

fn read_stats(s: &hintspb::QueryStats) -> ReadStats {
    let n = |count: i64| u64::try_from(count).unwrap_or(0);
    let items = |touched: (i64, i64), fetched: (i64, i64, i64)| ItemStats {
        touched: n(touched.0),
        touched_bytes: n(touched.1),
        fetched: n(fetched.0),
        fetched_bytes: n(fetched.1),
        fetches: n(fetched.2),
    };
    let duration = |d: Option<prost_types::Duration>| d.and_then(|d| d.try_into().ok()).unwrap_or_default();
    ReadStats {
        postings: items(
            (s.postings_touched, s.postings_touched_size_sum),
            (s.postings_fetched, s.postings_fetched_size_sum, s.postings_fetch_count),
        ),
        series: items(
            (s.series_touched, s.series_touched_size_sum),
            (s.series_fetched, s.series_fetched_size_sum, s.series_fetch_count),
        ),
        chunks: items(
            (s.chunks_touched, s.chunks_touched_size_sum),
            (s.chunks_fetched, s.chunks_fetched_size_sum, s.chunks_fetch_count),
        ),
        downloaded_bytes: n(s.data_downloaded_size_sum),
        merged_series: n(s.merged_series_count),
        merged_chunks: n(s.merged_chunks_count),
        get_all: duration(s.get_all_duration),
        merge: duration(s.merge_duration),
    }
}

/// For a LabelNames answer; `None` from a source without blocks.
pub(crate) fn label_names(sink: &HintSink) -> Option<prost_types::Any> {
    let queried_blocks = queried(sink.hints().blocks);
    (!queried_blocks.is_empty())
        .then(|| pack("LabelNamesResponseHints", &hintspb::LabelNamesResponseHints { queried_blocks }))
}

/// For a LabelValues answer; `None` from a source without blocks.
pub(crate) fn label_values(sink: &HintSink) -> Option<prost_types::Any> {
    let queried_blocks = queried(sink.hints().blocks);
    (!queried_blocks.is_empty())
        .then(|| pack("LabelValuesResponseHints", &hintspb::LabelValuesResponseHints { queried_blocks }))
}

fn queried(blocks: Vec<String>) -> Vec<hintspb::Block> {
    blocks.into_iter().map(|id| hintspb::Block { id }).collect()
}

fn query_stats(blocks_queried: i64, stats: &ReadStats) -> hintspb::QueryStats {
    let n = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let duration = |d: std::time::Duration| prost_types::Duration {
        seconds: n(d.as_secs()),
        nanos: i32::try_from(d.subsec_nanos()).unwrap_or(0),
    };
    let ReadStats { postings, series, chunks, .. } = *stats;
    let touched = |d: ItemStats| (n(d.touched), n(d.touched_bytes));
    let fetched = |d: ItemStats| (n(d.fetched), n(d.fetched_bytes), n(d.fetches));
    let (postings_touched, postings_touched_size_sum) = touched(postings);
    let (postings_fetched, postings_fetched_size_sum, postings_fetch_count) = fetched(postings);
    let (series_touched, series_touched_size_sum) = touched(series);
    let (series_fetched, series_fetched_size_sum, series_fetch_count) = fetched(series);
    let (chunks_touched, chunks_touched_size_sum) = touched(chunks);
    let (chunks_fetched, chunks_fetched_size_sum, chunks_fetch_count) = fetched(chunks);
    hintspb::QueryStats {
        blocks_queried,
        merged_series_count: n(stats.merged_series),
        merged_chunks_count: n(stats.merged_chunks),
        postings_touched,
        postings_touched_size_sum,
        postings_to_fetch: postings_fetched,
        postings_fetched,
        postings_fetched_size_sum,
        postings_fetch_count,
        series_touched,
        series_touched_size_sum,
        series_fetched,
        series_fetched_size_sum,
        series_fetch_count,
        chunks_touched,
        chunks_touched_size_sum,
        chunks_fetched,
        chunks_fetched_size_sum,
        chunks_fetch_count,
        data_downloaded_size_sum: n(stats.downloaded_bytes),
        get_all_duration: Some(duration(stats.get_all)),
        merge_duration: Some(duration(stats.merge)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_told_arrives() {
        let of = |n: u64| ItemStats {
            touched: n,
            touched_bytes: n + 1,
            fetched: n + 2,
            fetched_bytes: n + 3,
            fetches: n + 4,
        };
        let stats = ReadStats {
            postings: of(10),
            series: of(20),
            chunks: of(30),
            downloaded_bytes: 40,
            merged_series: 41,
            merged_chunks: 42,
            get_all: Duration::from_millis(1500),
            merge: Duration::from_nanos(7),
        };
        let sink = HintSink::default();
        sink.add_blocks(["a".to_owned()]);
        sink.set_stats(stats);
        let frame = Bytes::from(series(Asked { blocks: true, stats: true }, &sink).encode_to_vec());
        assert_eq!(told(&frame), Hints { blocks: vec!["a".to_owned()], stats, origins: Vec::new() });
        let stranger = pack("LabelNamesResponseHints", &hintspb::LabelNamesResponseHints::default()).encode_to_vec();
        for odd in [Bytes::from(stranger), Bytes::from_static(b"\xff\xff"), frame.slice(..frame.len() - 3)] {
            assert_eq!(told(&odd), Hints::default());
        }
        let negative = hintspb::QueryStats { chunks_fetch_count: -5, ..hintspb::QueryStats::default() };
        assert_eq!(read_stats(&negative), ReadStats::default());
    }
}
