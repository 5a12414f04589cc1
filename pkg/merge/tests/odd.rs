//! Blocks as they should not be, and yet are: repaired and counted. Regressions carry the number of the report.

mod common;

use std::sync::Arc;

use block::{TOMBSTONES_FILE, Tombstones};
use chunkenc::{Encoding, FloatHistogramAppender, HistogramAppender, ResetFlag, TimedChunk};
use common::*;
use histogram::{CUSTOM_BUCKETS_SCHEMA, Histogram, ResetHint, Span};
use labels::{MatchType, Matcher};
use merge::{Deletion, Downsampling, Error, Repairs, Vertical};
use model::TimeRange;
use objstore::Bucket;

const HOUR: i64 = 3_600_000;

struct Place {
    bucket: Bucket,
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { bucket: Bucket::in_memory(), dir: tempfile::tempdir().unwrap() }
    }

    async fn block(&self, n: u64, range: (i64, i64), series: &[RawSeries]) -> Arc<block::BlockMeta> {
        put_block(&self.bucket, n, range, series, Layout::default()).await
    }

    async fn merged(&self, job: &merge::Job) -> (merge::Finished, Samples) {
        merged(&self.bucket, job, &options(self.dir.path()), self.dir.path()).await
    }
}

fn times(samples: &Samples, series: &str) -> Vec<i64> {
    samples.get(series).map(|s| s.keys().copied().collect()).unwrap_or_default()
}

fn float(v: f64) -> String {
    format!("{:016x}", v.to_bits())
}

#[tokio::test(flavor = "multi_thread")]
async fn r_tsdb347_series_out_of_order_and_twice() {
    let place = Place::new();
    let series = [
        raw(&[("a", "3")], ramp(0, 1000, 5, 0.0)),
        raw(&[("a", "1")], ramp(0, 1000, 5, 0.0)),
        // Its own labels are out of order.
        raw(&[("b", "1"), ("a", "2")], ramp(0, 1000, 5, 0.0)),
        raw(&[("a", "1")], ramp(10_000, 1000, 5, 0.0)),
        // A label without a value is none.
        raw(&[("a", "0"), ("z", "")], ramp(0, 1000, 5, 0.0)),
    ];
    let metas = [
        place.block(1, (0, HOUR), &series).await,
        place.block(2, (HOUR, 2 * HOUR), &[raw(&[("a", "0")], ramp(HOUR, 1000, 5, 0.0))]).await,
    ];
    let (finished, found) = place.merged(&job(&metas)).await;
    let keys = [r#"{a="0"}"#, r#"{a="1"}"#, r#"{a="2", b="1"}"#, r#"{a="3"}"#];
    assert_eq!(found.keys().collect::<Vec<_>>(), keys);
    assert_eq!((found[keys[0]].len(), found[keys[1]].len()), (10, 10));
    assert_eq!(finished.repairs, Repairs { labels_out_of_order: 4, series_twice: 1, ..Repairs::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn r6664_a_label_twice_is_refused() {
    let place = Place::new();
    let series = [raw(&[("a", "1"), ("a", "2")], ramp(0, 1000, 5, 0.0))];
    let metas = [place.block(1, (0, HOUR), &series).await];
    let error = run(&place.bucket, &job(&metas), &options(place.dir.path())).await.unwrap_err();
    let want = format!("block {}: index: offset ", id(1));
    assert!(error.to_string().starts_with(&want) && error.to_string().ends_with("has a label twice"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_out_of_order_twice_and_overlapping() {
    let place = Place::new();
    let at = |start: i64| xor(&[(start, start as f64), (start + 10, 1.0)]);
    let chunks = vec![at(300), at(100), at(100), at(200), xor(&[(205, 7.0), (210, 8.0), (215, 9.0)])];
    let metas = [place.block(1, (0, HOUR), &[raw(&[("a", "1")], chunks)]).await];
    let (finished, found) = place.merged(&job(&metas)).await;
    let series = &found[r#"{a="1"}"#];
    assert_eq!(times(&found, r#"{a="1"}"#), [100, 110, 200, 205, 210, 215, 300, 310]);
    assert_eq!(series[&205], float(7.0));
    assert_eq!(finished.repairs, Repairs { chunks_out_of_order: 1, chunks_twice: 1, ..Repairs::default() });
    assert_eq!(finished.counts.chunks_rewritten, 1, "only what overlaps is rewritten");
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_outside_of_the_block_are_left_out_as_readers_leave_them_out() {
    let place = Place::new();
    let chunks = vec![
        xor(&[(-20, 0.0), (-10, 0.0)]),
        xor(&[(-5, 1.0), (0, 2.0), (5, 3.0)]),
        xor(&[(HOUR - 1, 4.0), (HOUR, 5.0)]),
        xor(&[(HOUR + 1, 6.0)]),
    ];
    let metas = [place.block(1, (0, HOUR), &[raw(&[("a", "1")], chunks)]).await];
    let (finished, found) = place.merged(&job(&metas)).await;
    assert_eq!(times(&found, r#"{a="1"}"#), [0, 5, HOUR - 1]);
    assert_eq!(finished.repairs, Repairs { samples_outside: 5, ..Repairs::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_out_of_order_in_chunks_that_are_decoded() {
    let place = Place::new();
    let a = xor(&[(100, 1.0), (300, 3.0), (200, 2.0), (200, 2.5), (400, 4.0)]);
    let metas = [
        place.block(1, (0, HOUR), &[raw(&[("a", "1")], vec![a])]).await,
        place.block(2, (0, HOUR), &[raw(&[("a", "1")], vec![xor(&[(150, 9.0), (400, 8.0)])])]).await,
    ];
    let (finished, found) = place.merged(&job(&metas)).await;
    let series = &found[r#"{a="1"}"#];
    assert_eq!(times(&found, r#"{a="1"}"#), [100, 150, 200, 300, 400]);
    assert_eq!(series[&400], float(8.0), "the later input's");
    assert!(finished.repairs.samples_out_of_order >= 2, "{:?}", finished.repairs);
}

/// Version 1 refers to symbols by offset, in whatever order they lie.
#[tokio::test(flavor = "multi_thread")]
async fn version_1_indexes_are_read() {
    let place = Place::new();
    let series =
        |start: i64| ["x", "y"].map(|v| raw(&[("__name__", "up"), ("instance", v)], ramp(start, 1000, 130, 0.0)));
    let old = Layout { version: 1, ..Layout::default() };
    for second in [old, Layout::default()] {
        let bucket = Bucket::in_memory();
        let metas = [
            put_block(&bucket, 1, (0, HOUR), &series(0), old).await,
            put_block(&bucket, 2, (HOUR, 2 * HOUR), &series(HOUR), second).await,
        ];
        let (_, found) = merged(&bucket, &job(&metas), &options(place.dir.path()), place.dir.path()).await;
        assert_eq!(found.len(), 2);
        assert!(found.values().all(|s| s.len() == 260));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_take_series_and_ranges() {
    let place = Place::new();
    let label = |v: &str| raw(&[("__name__", "m"), ("user", v)], ramp(0, 1000, 300, 0.0));
    let metas = [place.block(1, (0, HOUR), &["ann", "bob", "eve"].map(label)).await];
    let all = |matchers: Vec<Matcher>, ranges: Vec<TimeRange>| Deletion { matchers, ranges };
    let mut job = job(&metas);
    job.deletions = vec![
        all(vec![Matcher::equal("user", "eve"), Matcher::equal("cluster", "eu")], vec![]),
        all(
            vec![Matcher::new(MatchType::Regex, "user", "a.*|none").unwrap(), Matcher::equal("missing", "")],
            vec![TimeRange::new(0, 99_000), TimeRange::new(150_000, 150_000)],
        ),
        // Neither the cluster nor the label is so.
        all(vec![Matcher::equal("user", "bob"), Matcher::equal("cluster", "us")], vec![]),
        all(vec![Matcher::not_equal("user", "bob"), Matcher::not_equal("missing", "")], vec![]),
    ];
    let (finished, found) = place.merged(&job).await;
    assert_eq!(found.keys().collect::<Vec<_>>(), [r#"{__name__="m", user="ann"}"#, r#"{__name__="m", user="bob"}"#]);
    let ann = times(&found, r#"{__name__="m", user="ann"}"#);
    assert_eq!((ann.len(), ann[0]), (199, 100_000));
    assert!(!ann.contains(&150_000));
    assert_eq!(found[r#"{__name__="m", user="bob"}"#].len(), 300);
    assert_eq!(finished.counts.samples_deleted, 300 + 101);
    let index = place.bucket.get(&format!("{}/index", finished.outputs[0].meta.ulid)).await.unwrap();
    assert!(!index.windows(3).any(|w| w == b"eve"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tombstones_are_applied_where_asked() {
    let place = Place::new();
    let label = |v: &str| raw(&[("a", v)], ramp(0, 1000, 300, 0.0));
    let metas = [place.block(1, (0, HOUR), &["1", "2"].map(label)).await];
    let local = download(&place.bucket, id(1), place.dir.path()).await;
    let ids = block::LocalBlock::open(&local).unwrap().index().all_postings().unwrap();
    let mut tombstones = Tombstones::default();
    tombstones.add(u64::from(ids[1]), TimeRange::new(0, 9_000));
    place.bucket.put(&format!("{}/{TOMBSTONES_FILE}", id(1)), tombstones.to_bytes()).await.unwrap();
    let mut job = job(&metas);
    for (apply, want) in [(true, 290), (false, 300)] {
        job.tombstones = apply;
        job.meta.ulid = id(50 + want as u64);
        let (_, found) = place.merged(&job).await;
        assert_eq!((found[r#"{a="1"}"#].len(), found[r#"{a="2"}"#].len()), (300, want));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn relabelled_series_fall_together() {
    let place = Place::new();
    let label =
        |pod: &str, v: &str, start| raw(&[("__name__", "m"), ("pod", pod), ("v", v)], ramp(start, 1000, 10, 0.0));
    let metas = [
        place
            .block(1, (0, HOUR), &[label("a", "1", 0), label("b", "1", 5_500), label("c", "2", 0), label("d", "x", 0)])
            .await,
        place.block(2, (HOUR, 2 * HOUR), &[label("e", "1", HOUR)]).await,
    ];
    let mut job = job(&metas);
    job.relabel = relabel::parse_rules(
        "[{action: drop, source_labels: [v], regex: x}, {action: labeldrop, regex: pod}, \
         {source_labels: [v], target_label: new, regex: '2', replacement: 'zzz-$0'}]",
    )
    .unwrap();
    job.deletions =
        vec![Deletion { matchers: vec![Matcher::equal("pod", "b")], ranges: vec![TimeRange::new(0, 6_000)] }];
    let (finished, found) = place.merged(&job).await;
    let keys = [r#"{__name__="m", new="zzz-2", v="2"}"#, r#"{__name__="m", v="1"}"#];
    assert_eq!(found.keys().collect::<Vec<_>>(), keys);
    let mut want: Vec<i64> = (0..10).map(|i| i * 1000).chain((1..10).map(|i| 5_500 + i * 1000)).collect();
    want.extend((0..10).map(|i| HOUR + i * 1000));
    want.sort_unstable();
    assert_eq!(times(&found, keys[1]), want);
    assert_eq!((finished.repairs.series_twice, finished.counts.samples_deleted), (1, 1));
}

fn integer(count: u64, schema: i32, gauge: bool) -> Histogram {
    Histogram {
        reset_hint: if gauge { ResetHint::Gauge } else { ResetHint::Unknown },
        schema,
        zero_threshold: if schema == CUSTOM_BUCKETS_SCHEMA { 0.0 } else { 0.001 },
        zero_count: if schema == CUSTOM_BUCKETS_SCHEMA { 0 } else { count },
        count: if schema == CUSTOM_BUCKETS_SCHEMA { 3 * count } else { 4 * count },
        sum: count as f64 * 1.5,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_deltas: vec![count as i64, count as i64],
        custom_values: if schema == CUSTOM_BUCKETS_SCHEMA { vec![0.5, 1.0] } else { vec![] },
        ..Histogram::default()
    }
}

fn histograms(start: i64, count: usize, schema: i32, gauge: bool, float: bool) -> TimedChunk {
    let time = |i: usize| start + i as i64 * 1000;
    let data = if float {
        let mut appender = FloatHistogramAppender::new(ResetFlag::Unknown);
        (0..count)
            .for_each(|i| _ = appender.append(time(i), &integer(i as u64 + 1, schema, gauge).to_float()).unwrap());
        appender.to_vec()
    } else {
        let mut appender = HistogramAppender::new(ResetFlag::Unknown);
        (0..count).for_each(|i| _ = appender.append(time(i), &integer(i as u64 + 1, schema, gauge)).unwrap());
        appender.to_vec()
    };
    let encoding = if float { Encoding::FloatHistogram } else { Encoding::Histogram };
    TimedChunk { min_time: start, max_time: time(count - 1), encoding, data: data.into() }
}

/// r19145: what is cut stays of its kind.
#[tokio::test(flavor = "multi_thread")]
async fn r19145_histograms_stay_what_they_are() {
    let place = Place::new();
    let kinds = [(3, false, false), (3, true, false), (3, false, true), (CUSTOM_BUCKETS_SCHEMA, false, false)];
    let mut want = Samples::new();
    let mut list = Vec::new();
    for (n, (schema, gauge, float)) in kinds.into_iter().enumerate() {
        let chunk = histograms(0, 50, schema, gauge, float);
        let kept = samples_of(chunk.encoding, &chunk.data).into_iter().filter(|(t, _)| *t >= 10_000);
        want.insert(format!(r#"{{a="{n}"}}"#), kept.collect());
        list.push(raw(&[("a", &n.to_string())], vec![chunk]));
    }
    let metas = [place.block(1, (0, HOUR), &list).await];
    let mut job = job(&metas);
    let matchers = vec![Matcher::not_equal("a", "")];
    job.deletions = vec![Deletion { matchers, ranges: vec![TimeRange::new(0, 9_999)] }];
    let (finished, found) = place.merged(&job).await;
    assert_eq!(found, want);
    assert_eq!(finished.outputs[0].meta.stats.num_histogram_samples, 160);
    let local = place.dir.path().join(finished.outputs[0].meta.ulid.to_string());
    let block = block::LocalBlock::open(&local).unwrap();
    let encodings: Vec<Encoding> = block
        .index()
        .all_postings()
        .unwrap()
        .into_iter()
        .map(|id| block.chunks().chunk(block.index().series(id).unwrap().chunks[0]).unwrap().0)
        .collect();
    let [int, float] = [Encoding::Histogram, Encoding::FloatHistogram];
    assert_eq!(encodings, [int, int, float, int]);
}

const WITH_STARTS: [Encoding; 3] = [Encoding::Xor2, Encoding::HistogramSt, Encoding::FloatHistogramSt];

/// A chunk of samples whose values, or counts, are their numbers: start, time, number.
fn with_starts(encoding: Encoding, samples: &[(i64, i64, u64)]) -> TimedChunk {
    let mut int = HistogramAppender::with_starts(ResetFlag::Unknown);
    let mut float = FloatHistogramAppender::with_starts(ResetFlag::Unknown);
    for (start, time, n) in samples {
        let histogram = Histogram { count: *n, zero_count: *n, ..Histogram::default() };
        int.append_from(*start, *time, &histogram).unwrap();
        float.append_from(*start, *time, &histogram.to_float()).unwrap();
    }
    let data = match encoding {
        Encoding::HistogramSt => int.to_vec(),
        Encoding::FloatHistogramSt => float.to_vec(),
        _ => chunkenc::encode_xor2(samples.iter().map(|(start, time, n)| (*start, *time, *n as f64))).unwrap(),
    };
    TimedChunk { min_time: samples[0].1, max_time: samples[samples.len() - 1].1, encoding, data: data.into() }
}

fn read_with_starts(encoding: Encoding, data: &[u8]) -> Vec<(i64, i64, u64)> {
    if encoding == Encoding::Xor2 {
        return chunkenc::decode_xor2(data)
            .unwrap()
            .into_iter()
            .map(|(start, time, v)| (start, time, v as u64))
            .collect();
    }
    let (mut column, mut starts) = (Default::default(), Vec::new());
    chunkenc::decode_histograms_with_starts(encoding, data, &mut column, &mut starts).unwrap();
    let counts = column.values.iter().map(|h| h.count as u64);
    starts.into_iter().zip(column.times).zip(counts).map(|((start, time), n)| (start, time, n)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn start_timestamps_outlive_deletions_and_merges() {
    let place = Place::new();
    let of = |offset: i64| (0..50).map(|n| (n / 10 + 1, offset + n * 1000, n as u64)).collect::<Vec<_>>();
    let series = |samples: &[(i64, i64, u64)]| {
        let one =
            |(n, encoding): (usize, Encoding)| raw(&[("a", &n.to_string())], vec![with_starts(encoding, samples)]);
        WITH_STARTS.into_iter().enumerate().map(one).collect::<Vec<_>>()
    };
    let metas = [place.block(1, (0, HOUR), &series(&of(0))).await, place.block(2, (0, HOUR), &series(&of(500))).await];
    let mut want: Vec<_> = [of(0), of(500)].concat().into_iter().filter(|s| s.1 >= 10_000).collect();
    want.sort_by_key(|s| s.1);
    let mut job = job(&metas);
    let matchers = vec![Matcher::not_equal("a", "")];
    job.deletions = vec![Deletion { matchers, ranges: vec![TimeRange::new(0, 9_999)] }];
    let (finished, _) = place.merged(&job).await;
    let local = place.dir.path().join(finished.outputs[0].meta.ulid.to_string());
    let block = block::LocalBlock::open(&local).unwrap();
    let postings = block.index().all_postings().unwrap();
    assert_eq!(postings.len(), WITH_STARTS.len());
    for (id, wanted) in postings.into_iter().zip(WITH_STARTS) {
        let series = block.index().series(id).unwrap();
        let chunks = series.chunks.iter().map(|chunk| block.chunks().chunk(*chunk).unwrap());
        let samples = chunks.flat_map(|(encoding, data)| {
            assert_eq!(encoding, wanted);
            read_with_starts(encoding, &data)
        });
        assert_eq!(samples.collect::<Vec<_>>(), want, "{wanted:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_merged_or_one_is_followed() {
    let place = Place::new();
    let replica = |start: i64| [raw(&[("a", "1")], ramp(start, 10_000, 300, 0.0))];
    let metas = [place.block(1, (0, HOUR), &replica(0)).await, place.block(2, (0, HOUR), &replica(3_000)).await];
    let mut job = job(&metas);
    let (_, all) = place.merged(&job).await;
    assert_eq!(all[r#"{a="1"}"#].len(), 600);
    job.vertical = Vertical::Penalty;
    job.meta.ulid = id(99);
    let (_, one) = place.merged(&job).await;
    assert!((300..=301).contains(&one[r#"{a="1"}"#].len()), "{}", one[r#"{a="1"}"#].len());
}

#[tokio::test(flavor = "multi_thread")]
async fn downsampled_while_merged() {
    let place = Place::new();
    let list = |start: i64| {
        [raw(&[("a", "1")], ramp(start, 15_000, 480, 0.0)), raw(&[("a", "2")], ramp(start, 60_000, 2, 5.0))]
    };
    let metas =
        [place.block(1, (0, 2 * HOUR), &list(0)).await, place.block(2, (2 * HOUR, 4 * HOUR), &list(2 * HOUR)).await];
    let mut job = job(&metas);
    job.downsampling = Some(Downsampling { from_ms: 0, to_ms: 300_000 });
    job.meta.thanos.as_mut().unwrap().downsample.resolution = 300_000;
    let (finished, _) = place.merged(&job).await;
    let meta = &finished.outputs[0].meta;
    assert_eq!((meta.stats.num_series, meta.stats.num_samples, meta.stats.num_float_samples), (2, 48 + 2, 0));
    assert!(finished.counts.chunks_copied == 0 && finished.counts.chunks_rewritten >= 2);
    // And on to an hour, from the block that came out.
    let mut second = common::job(&[Arc::new(meta.clone())]);
    second.downsampling = Some(Downsampling { from_ms: 300_000, to_ms: HOUR });
    second.meta.ulid = id(77);
    second.meta.thanos.as_mut().unwrap().downsample.resolution = HOUR;
    let (finished, _) = place.merged(&second).await;
    assert_eq!(finished.outputs[0].meta.stats.num_samples, 4 + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_inputs_is_refused() {
    let place = Place::new();
    let error = run(&place.bucket, &job(&[]), &options(place.dir.path())).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error}");
}
