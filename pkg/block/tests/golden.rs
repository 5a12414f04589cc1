//! Blocks that Prometheus 2.42 wrote, against what an independent decoder read from them.

mod common;

use std::collections::BTreeMap;

use block::{BlockId, BlockMeta, BlockWriter, BlockWriterOptions, IndexHeader, IndexParts, IndexReader, LocalBlock};
use chunkenc::{Column, Encoding, HistogramColumn, decode_floats, decode_histograms};
use common::{copy_block, golden_blocks, golden_dir, lines_of_block, shared_data};
use labels::{MatchType, Matcher};
use model::TimeRange;
use storage::{Ctx, LabelQuery, Select, SeriesSource, collect_series};

#[test]
fn blocks_read_as_the_independent_decoder_reads_them() {
    let expected = std::fs::read_to_string(golden_dir().join("expected.txt")).unwrap();
    let mut got = String::new();
    for dir in golden_blocks() {
        got += &format!("block {}\n", dir.file_name().unwrap().to_str().unwrap());
        got += &lines_of_block(&LocalBlock::open(&dir).unwrap());
    }
    assert_eq!(got, expected);
}

#[test]
fn meta_is_written_as_it_was() {
    for dir in golden_blocks() {
        let json = std::fs::read(dir.join("meta.json")).unwrap();
        assert_eq!(BlockMeta::parse("meta.json", &json).unwrap().to_json(), json);
    }
}

#[test]
fn native_histograms_have_the_values_that_were_sent() {
    let json = std::fs::read(golden_dir().join("native_hist_expected_values.json")).unwrap();
    let expected: Vec<(i64, f64, f64, f64, Vec<f64>, Vec<f64>)> = serde_json::from_slice(&json).unwrap();
    let block = LocalBlock::open(&golden_dir().join("01M7XNEDBRHMVA77T71GPE1DE5")).unwrap();
    let ids = block.index().expand(&[Matcher::equal("__name__", "ih")]).unwrap();
    assert_eq!(ids.len(), 1);
    let mut column = HistogramColumn::default();
    for meta in block.index().series(ids[0]).unwrap().chunks {
        let (encoding, data) = block.chunks().chunk(meta).unwrap();
        assert_eq!(encoding, Encoding::Histogram);
        decode_histograms(encoding, &data, &mut column).unwrap();
    }
    // The times of the file are shifted by a constant.
    let shift = column.times[0] - expected[0].0;
    let got = column.times.iter().zip(&column.values).map(|(t, h)| {
        assert_eq!(h.schema, 3);
        (t - shift, h.count, h.sum, h.zero_count, h.negative_buckets.clone(), h.positive_buckets.clone())
    });
    assert_eq!(got.collect::<Vec<_>>(), expected);
}

/// Every way to select, against a plain scan over all series.
#[test]
fn matchers_agree_with_a_scan() {
    let block = LocalBlock::open(&golden_dir().join("01M7XNEDBRHMVA77T71GPE1DE5")).unwrap();
    let index = block.index();
    let all = index.all_postings().unwrap();
    assert_eq!(all.len(), 411);
    let m = |kind, name: &str, value: &str| Matcher::new(kind, name, value).unwrap();
    use MatchType::{Equal, NotEqual, NotRegex, Regex};
    let single = [
        m(Equal, "job", "self"),
        m(Equal, "job", "nobody"),
        m(Equal, "job", ""),
        m(NotEqual, "job", ""),
        m(NotEqual, "job", "self"),
        m(Equal, "__name__", "up"),
        m(Regex, "__name__", "go_.*"),
        m(Regex, "__name__", "up|fl|nothing"),
        m(NotRegex, "__name__", "go_.*|up"),
        m(Regex, "quantile", ".*"),
        m(Regex, "quantile", ".+"),
        m(NotRegex, "quantile", ".+"),
        m(NotRegex, "quantile", ".*"),
        m(Regex, "quantile", "0|0.5|"),
        m(NotRegex, "quantile", "0|0.5"),
        m(NotRegex, "quantile", "|0.5"),
        m(NotEqual, "no_such_label", "x"),
        m(Regex, "le", "[0-9]+"),
    ];
    let scan = |matchers: &[Matcher]| -> Vec<u32> {
        let matches = |id: &u32| {
            let labels = index.series(*id).unwrap().labels;
            matchers.iter().all(|m| m.matches(labels.value(m.name())))
        };
        all.iter().copied().filter(matches).collect()
    };
    for a in &single {
        assert_eq!(index.expand(std::slice::from_ref(a)).unwrap(), scan(std::slice::from_ref(a)), "{a}");
        for b in &single {
            let both = [a.clone(), b.clone()];
            assert_eq!(index.expand(&both).unwrap(), scan(&both), "{a}, {b}");
        }
    }
}

#[test]
fn the_source_answers_and_cuts_deleted_samples() {
    let block = LocalBlock::open(&golden_dir().join("01M7XNJ90W1DWS89T9WNHA09R1")).unwrap();
    let ctx = Ctx::background();
    let answer =
        futures::executor::block_on(collect_series(block.select(&ctx, Select::new(TimeRange::ALL, [])))).unwrap();
    assert_eq!(answer.warnings, [] as [String; 0]);
    let mut samples = 0;
    for series in &answer.value {
        for chunk in &series.chunks {
            let storage::ChunkData::Raw(raw) = &chunk.data else { panic!("raw") };
            let mut column = Column::new();
            decode_floats(raw.encoding, &raw.data, &mut column).unwrap();
            assert_eq!((column.times[0], *column.times.last().unwrap()), (chunk.min_time, chunk.max_time));
            samples += column.len();
        }
    }
    // 1600 less the 300 under the tombstone.
    assert_eq!(samples, 1300);
    let names =
        futures::executor::block_on(block.label_names(&ctx, LabelQuery::new(TimeRange::ALL, []))).unwrap().value;
    assert!(names.contains(&"__name__".to_owned()) && names.is_sorted());
    for name in &names {
        let all =
            futures::executor::block_on(block.label_values(&ctx, name, LabelQuery::new(TimeRange::ALL, []))).unwrap();
        let any = LabelQuery::new(TimeRange::ALL, [Matcher::new(MatchType::Regex, "__name__", ".*").unwrap()]);
        assert_eq!(futures::executor::block_on(block.label_values(&ctx, name, any)).unwrap(), all, "{name}");
    }
}

fn rewrite(from: &LocalBlock, parent: &std::path::Path, options: BlockWriterOptions) -> BlockMeta {
    let mut writer = BlockWriter::create(parent, from.meta().ulid, options).unwrap();
    for id in from.index().all_postings().unwrap() {
        let entry = from.index().series(id).unwrap();
        let chunks = entry.chunks.iter().map(|meta| {
            let (encoding, data) = from.chunks().chunk(*meta).unwrap();
            chunkenc::TimedChunk { min_time: meta.min_time, max_time: meta.max_time, encoding, data }
        });
        let chunks: Vec<_> = chunks.collect();
        writer.add_series(&entry.labels, &chunks).unwrap();
    }
    let meta = BlockMeta { min_time: from.meta().min_time, max_time: from.meta().max_time, ..BlockMeta::default() };
    writer.finish(meta).unwrap()
}

#[test]
fn written_again_they_are_the_same() {
    for (max_segment_bytes, postings_in_memory) in [(512 << 20, 16 << 20), (2000, 1)] {
        let tmp = tempfile::tempdir().unwrap();
        for dir in golden_blocks() {
            let before = LocalBlock::open(&dir).unwrap();
            let options = BlockWriterOptions { max_segment_bytes, postings_in_memory, tombstones: true };
            let meta = rewrite(&before, tmp.path(), options);
            let after = LocalBlock::open(&tmp.path().join(meta.ulid.to_string())).unwrap();
            assert_eq!(lines_of_block(&after), lines_of_block(&before));
            assert_eq!(meta.stats.num_samples, before.meta().stats.num_samples);
            assert_eq!(meta.stats.num_series, before.meta().stats.num_series);
            assert_eq!(after.meta(), &meta);
            let tables = [&before, &after].map(|b| {
                let table = b.index().postings_table();
                let rows = |n: &str| (n.to_owned(), table.label_values(n).unwrap().join("\n"));
                table.label_names().map(rows).collect::<Vec<_>>()
            });
            assert_eq!(tables[0], tables[1]);
        }
        assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 3, "nothing temporary is left");
    }
}

#[test]
fn promtool_reads_what_we_write() {
    let promtool = std::process::Command::new("promtool").arg("--version").output();
    if promtool.is_err() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "promtool is not on PATH");
        eprintln!("SKIPPED promtool_reads_what_we_write: promtool is not on PATH");
        return;
    }
    let dump = |dir: &std::path::Path| {
        std::fs::create_dir_all(dir.join("wal")).unwrap();
        let out = std::process::Command::new("promtool").args(["tsdb", "dump"]).arg(dir).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let mut lines: Vec<String> = String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    for dir in golden_blocks() {
        let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = dir.file_name().unwrap();
        copy_block(&dir, &theirs.path().join(name));
        let block = LocalBlock::open(&dir).unwrap();
        rewrite(&block, ours.path(), BlockWriterOptions::default());
        // Series ids differ, so deletions do not carry over.
        let empty = block::Tombstones::default().to_bytes();
        std::fs::write(theirs.path().join(name).join("tombstones"), empty).unwrap();
        let (want, got) = (dump(theirs.path()), dump(ours.path()));
        assert!(!want.is_empty());
        assert_eq!(got, want);
    }
}

fn header_of(bytes: &bytes::Bytes) -> Vec<u8> {
    let size = bytes.len() as u64;
    let read = |r: &std::ops::Range<u64>| bytes.slice(r.start as usize..r.end as usize);
    let [head, toc] = IndexParts::probe("index", size).unwrap();
    let parts = IndexParts::parse("index", size, &read(&head), &read(&toc)).unwrap();
    parts.build("index", &read(&parts.symbols), &read(&parts.tail)).unwrap()
}

fn check_header(index: &IndexReader, bytes: &bytes::Bytes) {
    let header = IndexHeader::open("index-header", header_of(bytes).into()).unwrap();
    assert_eq!((header.index_version(), header.source_toc()), (index.version(), index.toc()));
    assert!(header.symbols().iter().eq(index.symbols().iter()));
    let (ours, theirs) = (header.postings_table(), index.postings_table());
    assert!(ours.label_names().eq(theirs.label_names()));
    for name in ours.label_names().chain([""]) {
        for value in ours.label_values(name).unwrap() {
            let range = ours.lookup(name, value).unwrap().unwrap();
            assert_eq!(theirs.lookup(name, value).unwrap(), Some(range.clone()));
            let ids = index.postings(range.clone()).unwrap();
            // What a ranged read gets is enough.
            let part = bytes.slice(range.start as usize..range.end as usize);
            assert_eq!(block::postings::decode("index", range.start, &part).unwrap(), ids);
            for id in ids {
                let entry = index.series(id).unwrap();
                assert!(name.is_empty() || entry.labels.value(name) == value);
                let mut raw = block::series::RawEntry::default();
                index.raw_series(id, &mut raw).unwrap();
                assert_eq!(block::series::resolve("index", 0, &raw, header.symbols()).unwrap(), entry.labels);
            }
        }
        assert_eq!(ours.lookup(name, "no such value \u{10ffff}").unwrap(), None);
    }
}

#[test]
fn index_headers_find_the_same() {
    for dir in golden_blocks() {
        let bytes = block::map_file(&dir.join("index")).unwrap();
        check_header(&IndexReader::open("index", bytes.clone()).unwrap(), &bytes);
    }
}

#[test]
fn version_1() {
    let Some(dir) = shared_data("prometheus/tsdb/testdata/index_format_v1") else { return };
    let bytes = block::map_file(&dir.join("index")).unwrap();
    let index = IndexReader::open("index", bytes.clone()).unwrap();
    assert_eq!(index.version(), 1);
    check_header(&index, &bytes);
    let block = LocalBlock::open(&dir).unwrap();
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for id in index.all_postings().unwrap() {
        let entry = index.series(id).unwrap();
        *names.entry(entry.labels.to_string()).or_default() += 1;
        for meta in entry.chunks {
            let (encoding, data) = block.chunks().chunk(meta).unwrap();
            let mut column = Column::new();
            decode_floats(encoding, &data, &mut column).unwrap();
            assert_eq!((column.times[0], *column.times.last().unwrap()), (meta.min_time, meta.max_time));
        }
    }
    assert_eq!(names.len() as u64, block.meta().stats.num_series);
}

#[test]
fn the_writer_refuses_what_the_format_does_not_allow() {
    let tmp = tempfile::tempdir().unwrap();
    let id = BlockId::new(1, 2);
    let chunk = |min: i64, max: i64| chunkenc::TimedChunk {
        min_time: min,
        max_time: max,
        encoding: Encoding::Xor,
        data: chunkenc::encode_xor([(min, 1.0), (max, 2.0)]).unwrap().into(),
    };
    let labels = |v: &str| labels::Labels::from_pairs([("a", v)]);
    let mut writer = BlockWriter::create(tmp.path(), id, BlockWriterOptions::default()).unwrap();
    writer.add_series(&labels("b"), &[chunk(1, 5), chunk(6, 9)]).unwrap();
    for (l, chunks, want) in [
        (labels("b"), vec![chunk(1, 2)], "does not come after"),
        (labels("a"), vec![chunk(1, 2)], "does not come after"),
        (labels("c"), vec![chunk(1, 5), chunk(5, 9)], "overlaps one that ends at 5"),
    ] {
        let error = writer.add_series(&l, &chunks).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
    let meta = BlockMeta { min_time: 1, max_time: 9, ..BlockMeta::default() };
    let error = writer.finish(meta).unwrap_err().to_string();
    assert!(error.contains("samples from 1 to 9, range [1, 9)"), "{error}");
    assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 0, "an unfinished block leaves nothing");
}

#[test]
fn an_empty_block() {
    let tmp = tempfile::tempdir().unwrap();
    let id = BlockId::new(1, 2);
    let writer = BlockWriter::create(tmp.path(), id, BlockWriterOptions::default()).unwrap();
    writer.finish(BlockMeta::default()).unwrap();
    let block = LocalBlock::open(&tmp.path().join(id.to_string())).unwrap();
    assert_eq!(block.index().all_postings().unwrap(), [] as [u32; 0]);
    assert_eq!(lines_of_block(&block), "");
}
