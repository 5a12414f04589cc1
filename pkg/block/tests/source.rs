//! A block as a source: external labels, replicas, resolutions, aggregates, limits.

mod common;

use block::{BlockId, BlockMeta, BlockWriter, BlockWriterOptions, IndexReader, LocalBlock, ThanosMeta};
use chunkenc::{CounterReader, Encoding, aggr, encode_xor};
use common::shared_data;
use labels::{Labels, MatchType, Matcher};
use model::TimeRange;
use storage::{Aggregate, Aggregates, ChunkData, Ctx, LabelQuery, Select, SeriesSource, collect_series};

fn raw(min: i64, max: i64) -> chunkenc::TimedChunk {
    let data = encode_xor([(min, 1.0), (max, 2.0)]).unwrap().into();
    chunkenc::TimedChunk { min_time: min, max_time: max, encoding: Encoding::Xor, data }
}

fn block(
    parent: &std::path::Path,
    external: &[(&str, &str)],
    resolution: i64,
    series: &[(&[(&str, &str)], Vec<chunkenc::TimedChunk>)],
) -> LocalBlock {
    let id = BlockId::new(1, 1);
    let mut writer = BlockWriter::create(parent, id, BlockWriterOptions::default()).unwrap();
    for (labels, chunks) in series {
        writer.add_series(&Labels::from_pairs(labels.iter().copied()), chunks).unwrap();
    }
    let labels = external.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let downsample = block::meta::Downsample { resolution };
    let thanos = ThanosMeta { labels, downsample, ..ThanosMeta::default() };
    writer.finish(BlockMeta { thanos: Some(thanos), ..BlockMeta::default() }).unwrap();
    LocalBlock::open(&parent.join(id.to_string())).unwrap()
}

fn select(block: &LocalBlock, want: Select) -> Vec<storage::Series> {
    let answer = futures::executor::block_on(collect_series(block.select(&Ctx::background(), want))).unwrap();
    assert_eq!(answer.warnings, [] as [String; 0]);
    answer.value
}

fn texts(series: &[storage::Series]) -> Vec<String> {
    series.iter().map(|s| s.labels.to_string()).collect()
}

#[test]
fn external_labels_take_part_in_matching_and_order() {
    let tmp = tempfile::tempdir().unwrap();
    let series: [(&[(&str, &str)], _); 4] = [
        (&[("a", "1")], vec![raw(0, 9), raw(20, 29)]),
        (&[("a", "1"), ("b", "2")], vec![raw(0, 9)]),
        (&[("a", "1"), ("m", "own")], vec![raw(10, 19)]),
        (&[("a", "2"), ("z", "1")], vec![raw(0, 9)]),
    ];
    let block = block(tmp.path(), &[("m", "x"), ("replica", "0")], 0, &series);
    let all = select(&block, Select::new(TimeRange::ALL, []));
    // Two series differ only in a label that the external one covers: they come as one.
    let want = [
        r#"{a="1", b="2", m="x", replica="0"}"#,
        r#"{a="1", m="x", replica="0"}"#,
        r#"{a="2", m="x", replica="0", z="1"}"#,
    ];
    assert_eq!(texts(&all), want);
    assert_eq!(all[1].chunks.len(), 3);
    for (matchers, found) in [
        (vec![Matcher::equal("m", "x")], 3),
        (vec![Matcher::equal("m", "own")], 0),
        (vec![Matcher::not_equal("replica", "0")], 0),
        (vec![Matcher::equal("replica", "0"), Matcher::equal("b", "")], 2),
        (vec![Matcher::new(MatchType::Regex, "z", ".+").unwrap()], 1),
    ] {
        assert_eq!(select(&block, Select::new(TimeRange::ALL, matchers.clone())).len(), found, "{matchers:?}");
    }
    let in_time = |min, max| texts(&select(&block, Select::new(TimeRange::new(min, max), []))).len();
    assert_eq!((in_time(10, 19), in_time(29, 29), in_time(30, 99)), (1, 1, 0));
    let without = Select { without_replica_labels: ["replica".to_owned()].into(), ..Select::new(TimeRange::ALL, []) };
    let stripped = select(&block, without);
    assert_eq!(texts(&stripped)[0], r#"{a="1", b="2", m="x"}"#);
    assert!(stripped.iter().flat_map(|s| &s.chunks).all(|c| c.replica != 0));
    let limited = select(&block, Select { limit: 2, skip_chunks: true, ..Select::new(TimeRange::ALL, []) });
    assert!(limited.len() <= 2 && limited.iter().all(|s| s.chunks.is_empty()));
    let ctx = Ctx::background();
    let names = |want| futures::executor::block_on(block.label_names(&ctx, want)).unwrap().value;
    assert_eq!(names(LabelQuery::new(TimeRange::ALL, [])), ["a", "b", "m", "replica", "z"]);
    assert_eq!(names(LabelQuery::new(TimeRange::new(10, 15), [])), ["a", "m", "replica"]);
    let values = |name, want| futures::executor::block_on(block.label_values(&ctx, name, want)).unwrap().value;
    assert_eq!(values("m", LabelQuery::new(TimeRange::ALL, [])), ["x"]);
    assert_eq!(values("a", LabelQuery::new(TimeRange::ALL, [])), ["1", "2"]);
    // Only values of series with a chunk in the range, as `label_names` above.
    assert_eq!(values("a", LabelQuery::new(TimeRange::new(10, 15), [])).len(), 1);
    assert_eq!(values("z", LabelQuery::new(TimeRange::new(10, 15), [])), Vec::<String>::new());
    assert_eq!(values("a", LabelQuery::new(TimeRange::new(50, 99), [])), Vec::<String>::new());
    assert_eq!(values("a", LabelQuery { limit: 1, ..LabelQuery::new(TimeRange::new(0, 25), []) }).len(), 1);
}

#[test]
fn aggregates_are_sent_as_asked_and_only_where_that_is_fine_enough() {
    let tmp = tempfile::tempdir().unwrap();
    let part = |values: &[(i64, f64)]| encode_xor(values.iter().copied()).unwrap();
    let (count, counter) = (part(&[(10, 5.0), (20, 5.0)]), part(&[(1, 3.0), (10, 7.0), (20, 9.0), (20, 2.0)]));
    let data = aggr::encode([
        Some((Encoding::Xor, &count)),
        None,
        Some((Encoding::Xor, &count)),
        None,
        Some((Encoding::Xor, &counter)),
    ]);
    let chunk = chunkenc::TimedChunk { min_time: 1, max_time: 20, encoding: Encoding::Aggregates, data: data.into() };
    let block = block(tmp.path(), &[], 300_000, &[(&[("a", "1")], vec![chunk.clone()])]);
    assert_eq!(block.meta().stats.num_samples, 2);
    let want = |max_resolution_ms, list: &[Aggregate]| {
        let aggregates = Aggregates::of(list);
        select(&block, Select { max_resolution_ms, aggregates, ..Select::new(TimeRange::ALL, []) })
    };
    assert_eq!(want(0, &[Aggregate::Count]).len(), 0);
    let got = want(300_000, &[Aggregate::Counter, Aggregate::Sum]);
    let ChunkData::Aggr(parts) = &got[0].chunks[0].data else { panic!("aggregates") };
    assert_eq!(parts.parts.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, false, false, true]);
    let mut column = chunkenc::Column::new();
    let part = parts.get(Aggregate::Counter).unwrap();
    CounterReader::new().read(part.encoding, &part.data, &mut column).unwrap();
    assert_eq!(column.iter().collect::<Vec<_>>(), [(1, 3.0), (10, 7.0), (20, 9.0)]);
    // And back to a chunk that can be written.
    assert_eq!(chunkenc::TimedChunk::try_from(&want(3_600_000, &[])[0].chunks[0]).unwrap(), chunk);
}

/// Prometheus once left out the series without the label.
#[test]
fn r3575_a_matcher_that_accepts_the_empty_value_keeps_series_without_the_label() {
    let tmp = tempfile::tempdir().unwrap();
    let series: [(&[(&str, &str)], _); 3] = [
        (&[("a", "1")], vec![raw(0, 9)]),
        (&[("a", "1"), ("b", "2")], vec![raw(0, 9)]),
        (&[("a", "1"), ("b", "3")], vec![raw(0, 9)]),
    ];
    let block = block(tmp.path(), &[], 0, &series);
    let want = Matcher::new(MatchType::Regex, "b", "2|").unwrap();
    assert_eq!(texts(&select(&block, Select::new(TimeRange::ALL, [want]))), [r#"{a="1"}"#, r#"{a="1", b="2"}"#]);
}

/// Thanos took what a cut response had and went on with what the buffer held before.
#[test]
fn r3795_a_chunk_cut_by_a_short_response_is_an_error() {
    let tmp = tempfile::tempdir().unwrap();
    block(tmp.path(), &[], 0, &[(&[("a", "1")], vec![raw(0, 9)])]);
    let path = tmp.path().join(BlockId::new(1, 1).to_string()).join("chunks/000001");
    let record = block::map_file(&path).unwrap().slice(8..);
    assert_eq!(block::chunk_reader::record_len(&record), Some(record.len() as u64));
    assert_eq!(block::chunk_reader::parse("000001", 8, &record).unwrap().2, record.len());
    for len in 0..record.len() {
        let error = block::chunk_reader::parse("000001", 8, &record.slice(..len)).unwrap_err();
        assert!(error.to_string().starts_with("000001: offset "), "{error}");
    }
}

/// Chunks that overlap are no damage of the index: repair tools must be able to read them.
#[test]
fn an_index_with_chunks_out_of_order_can_be_read() {
    let Some(dir) = shared_data("thanos/pkg/block/testdata/out_of_order_chunks") else { return };
    let index = IndexReader::open_file(&dir.join("index")).unwrap();
    let mut disordered = 0;
    for id in index.all_postings().unwrap() {
        let chunks = index.series(id).unwrap().chunks;
        disordered += chunks.windows(2).filter(|p| p[1].min_time <= p[0].max_time).count();
    }
    assert!(disordered > 0);
}
