//! Snapshots of an orderly end.

use super::*;

/// A snapshot of two series at segment 1, with what the log says before and behind it.
fn with_snapshot(dir: &Path) -> Data {
    let before = [series(1, "a"), series(2, "b"), samples(&[1, 2], 0..50, 1.0)];
    let behind = [samples(&[1], 50..80, 1.0)];
    log(dir, before.into_iter().chain([None]).chain(behind).collect());
    let open = |begin: i64| {
        let rows = (0..50).map(|i| (T + (begin + i) * 1000, 1.0));
        let data = chunkenc::encode_xor(rows).unwrap().into();
        let (min_time, max_time) = (T + begin * 1000, T + (begin + 49) * 1000);
        let chunk = chunkenc::TimedChunk { min_time, max_time, encoding: chunkenc::Encoding::Xor, data };
        OpenChunk { chunk, last: LastSample::Float(1.0) }
    };
    let mut writer = SnapshotWriter::create(dir, Position { segment: 1, offset: 0 }, wal::Options::default()).unwrap();
    for (number, name) in [(1, "a"), (2, "b")] {
        writer.series(number, [("__name__", name)].into_iter(), Some(&open(0))).unwrap();
    }
    writer.tombstones([(2, T, T + 9_000)]).unwrap();
    writer.finish().unwrap();
    let mut all = Data::new();
    for (name, times) in [("a", 0..80), ("b", 10..50)] {
        all.extend(times.map(|i| ((format!("__name__={name:?}"), T + i * 1000), vec![canonical(1.0)])));
    }
    all
}

/// prometheus#18739, prometheus#14079
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_taken_and_a_corrupt_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let all = with_snapshot(dir.path());
    let node = start(dir.path());
    assert_same(&data(&node.head).await, &all, "with a snapshot");
    // The log before it was not read.
    assert_eq!((node.replayed.snapshot_series, node.replayed.records, node.replayed.restored.series), (2, 1, 2));
    node.stop();
    let path = dir.path().join("chunk_snapshot.000001.0000000000/00000000");
    let bytes = std::fs::read(&path).unwrap();
    for at in [0, bytes.len() / 2, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 4;
        std::fs::write(&path, changed).unwrap();
        let node = start(dir.path());
        let read = data(&node.head).await;
        // The log made by hand does not have the deletion.
        assert_eq!((count(&read, "a", 1.0), count(&read, "b", 1.0), read.len()), (80, 50, 130));
        assert_eq!((node.replayed.snapshot_series, node.replayed.records), (0, 4), "byte {at}");
        node.stop();
    }
    // One that the log does not reach is of another log.
    std::fs::write(&path, &bytes).unwrap();
    std::fs::rename(path.parent().unwrap(), dir.path().join("chunk_snapshot.000099.0000000000")).unwrap();
    assert_eq!(start(dir.path()).replayed.snapshot_series, 0);
}
