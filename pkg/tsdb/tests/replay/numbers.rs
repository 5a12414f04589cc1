//! Series that have several numbers in the log, or left it.

use super::*;

/// prometheus#16231: whatever is told of either number reaches the one series.
#[tokio::test(flavor = "multi_thread")]
async fn two_numbers_of_one_series() {
    for threads in [1, 2, 5] {
        let dir = tempfile::tempdir().unwrap();
        let mut metadata = Vec::new();
        let row = MetadataRow { series_ref: 9, metric_type: MetricType::Gauge, unit: "", help: "of both" };
        encode_metadata(&mut metadata, [row]);
        let mut exemplar = Vec::new();
        let labels = [("trace_id", "x")].into_iter();
        encode_exemplars(&mut exemplar, [ExemplarRow { series_ref: 9, time_ms: T + 15_500, value: 2.0, labels }]);
        let records = vec![
            series(1, "both"),
            series(2, "other"),
            samples(&[1, 2], 0..10, 1.0),
            None,
            series(9, "both"),
            samples(&[9, 2], 10..20, 1.0),
            tombstone(9, T + 3_000, T + 4_000),
            tombstone(1, T + 12_000, T + 12_999),
            Some(metadata),
            Some(exemplar),
            samples(&[1], 20..30, 1.0),
        ];
        log(dir.path(), records);
        let node = start_with(dir.path(), threads, i64::MIN);
        let read = data(&node.head).await;
        assert_eq!((count(&read, "both", 1.0), count(&read, "other", 1.0)), (27, 20), "{threads} threads");
        assert_eq!(node.replayed.restored.unknown, 0);
        let query = MetadataQuery { metric: "both".to_owned(), ..MetadataQuery::default() };
        let metadata = node.head.metadata(&Ctx::background(), query).await.unwrap().value;
        let expected = MetricMetadata { metric_type: "gauge".into(), help: "of both".into(), unit: String::new() };
        assert_eq!(metadata.into_values().next().unwrap(), [expected]);
        let all = all_exemplars();
        let exemplars = node.head.exemplars(&Ctx::background(), all).await.unwrap().value;
        assert_eq!(exemplars[0].exemplars[0].timestamp_ms, T + 15_500);
    }
}

/// Both numbers have chunks on disk, and no sample of the first one is in the log.
#[tokio::test(flavor = "multi_thread")]
async fn chunks_of_two_numbers_of_one_series() {
    let chunk = |times: std::ops::Range<i64>| {
        let (min_time, max_time) = (T + times.start * 1000, T + (times.end - 1) * 1000);
        let data = encode_xor(times.map(|t| (T + t * 1000, 1.0))).unwrap();
        TimedChunk { min_time, max_time, encoding: Encoding::Xor, data: data.into() }
    };
    for (threads, with_samples) in [(1, false), (2, true), (2, false)] {
        let dir = tempfile::tempdir().unwrap();
        let chunks = MappedChunks::open(&dir.path().join("chunks_head"), MappedOptions::default()).unwrap();
        chunks.write(1, &chunk(0..10), false).unwrap();
        chunks.write(9, &chunk(10..20), false).unwrap();
        drop(chunks);
        let mut records = vec![series(1, "both"), series(9, "both")];
        if with_samples {
            records.push(samples(&[9], 15..25, 1.0));
        }
        log(dir.path(), records);
        let node = start_with(dir.path(), threads, i64::MIN);
        let expected = if with_samples { 25 } else { 20 };
        assert_eq!(count(&data(&node.head).await, "both", 1.0), expected, "{threads} threads");
    }
}

/// After a restart the series goes on under its first number, whose chunks are then newer than those of the second one.
#[tokio::test(flavor = "multi_thread")]
async fn newer_chunks_of_the_first_number() {
    let dir = tempfile::tempdir().unwrap();
    let chunks = MappedChunks::open(&dir.path().join("chunks_head"), MappedOptions::default()).unwrap();
    for (number, times) in [(1, 0..10), (9, 20..30), (1, 30..40), (9, 10..20), (9, 25..45)] {
        let (min_time, max_time) = (T + times.start * 1000, T + (times.end - 1) * 1000);
        let data = encode_xor(times.map(|t| (T + t * 1000, 1.0))).unwrap().into();
        chunks.write(number, &TimedChunk { min_time, max_time, encoding: Encoding::Xor, data }, false).unwrap();
    }
    drop(chunks);
    log(dir.path(), vec![series(1, "both"), series(9, "both"), samples(&[9], 0..50, 1.0)]);
    let node = start(dir.path());
    // Of the one that overlaps others, what is newer is taken.
    assert_eq!(count(&data(&node.head).await, "both", 1.0), 50);
    assert_eq!(node.replayed.restored.chunks_dropped, 1);
}

/// From 3.10 on: a series that left early is forgotten, and may come again under another number.
#[tokio::test(flavor = "multi_thread")]
async fn series_that_left_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let records = vec![
        series(1, "gone"),
        series(2, "stays"),
        series(3, "back"),
        samples(&[1, 2, 3], 0..10, 1.0),
        tombstone(1, i64::MIN, i64::MAX),
        tombstone(3, i64::MIN, i64::MAX),
        samples(&[2], 10..20, 1.0),
        series(4, "back"),
        series(5, "new"),
        samples(&[2, 4, 5], 20..30, 2.0),
    ];
    log(dir.path(), records);
    for threads in [1, 2, 5] {
        let node = start_with(dir.path(), threads, i64::MIN);
        let read = data(&node.head).await;
        let counts = |name| (count(&read, name, 1.0), count(&read, name, 2.0));
        assert_eq!(counts("gone"), (0, 0));
        assert_eq!(counts("stays"), (20, 10));
        assert_eq!(counts("back"), (0, 10));
        assert_eq!(counts("new"), (0, 10));
        assert_eq!(read.len(), 50);
        node.stop();
    }
}
