//! Response hints: which blocks were asked, and at what cost.
//!
//! As in Thanos the answers about labels always name the blocks, while a Series answer ends with hints only if the request
//! came with some: old queriers do not know that frame.

use proto::hintspb;
use storage::{HintSink, Hints, ItemStats, ReadStats};

use crate::convert::pack;

/// Which hints a Series request asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked {
    pub(crate) blocks: bool,
    pub(crate) stats: bool,
}

/// The last frame of a Series answer.
pub(crate) fn series(asked: Asked, sink: &HintSink) -> prost_types::Any {
    let Hints { blocks, stats } = sink.hints();
    let query_stats = asked.stats.then(|| query_stats(blocks.len() as i64, &stats));
    let hints = hintspb::SeriesResponseHints { queried_blocks: queried(blocks), query_stats };
    pack("SeriesResponseHints", &hints)
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
