//! After a kill: the files as they were, without some, or with bytes that changed.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let written = write(dir.path()).await;
    assert_same(&written, &expected(), "after the last restart");
    for threads in [1, 3] {
        let node = start_with(dir.path(), threads, i64::MIN);
        assert_same(&data(&node.head).await, &written, "threads");
        let Replayed { restored, corruptions, late_corruptions, chunk_corruptions, .. } = &node.replayed;
        assert_eq!((restored.series, restored.unknown, restored.chunks_dropped), (41, 0, 0));
        assert_eq!((*corruptions, *late_corruptions, *chunk_corruptions), (0, 0, 0));
        assert!(node.replayed.chunks > 100, "{:?}", node.replayed);
        // Each segment was told, in order.
        let told: Vec<_> = node.progress.iter().map(|p| p.current).collect();
        assert!(told.is_sorted() && told.last().unwrap() - told[0] > 3, "{told:?}");
        assert!(node.progress.iter().all(|p| p.min <= p.current && p.current <= p.max && !p.done));
        // Series go on where they were.
        let labels = [("__name__", "floats"), ("n", "7")];
        assert_eq!(append(&node.head, &labels, &[(T + 1_799_000, 1799.0 * 8.0 * 0.1)]).await, []);
        node.stop();
    }
}

/// prometheus#12127: what the log of late samples has counts where its chunks are gone.
#[tokio::test(flavor = "multi_thread")]
async fn without_chunks_on_disk_the_logs_have_it_all() {
    let dir = tempfile::tempdir().unwrap();
    let written = write(dir.path()).await;
    std::fs::remove_dir_all(dir.path().join("chunks_head")).unwrap();
    let node = start(dir.path());
    assert_eq!(node.replayed.chunks, 0);
    assert_same(&data(&node.head).await, &written, "chunks removed");
}

/// Corrupt chunks are refilled from the logs, wherever they lie.
#[tokio::test(flavor = "multi_thread")]
async fn corrupt_chunks_are_refilled() {
    let whole = tempfile::tempdir().unwrap();
    let written = write(whole.path()).await;
    for shift in [0, 3000, 7000, 11_000] {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(whole.path(), dir.path());
        let paths = files(&dir.path().join("chunks_head"));
        assert!(paths.len() > 5);
        for (n, path) in paths.iter().enumerate() {
            let mut bytes = std::fs::read(path).unwrap();
            let at = (n * 4999 + shift + 100) % bytes.len();
            bytes[at] ^= 0x55;
            std::fs::write(path, bytes).unwrap();
        }
        let node = start(dir.path());
        assert_eq!(node.replayed.chunk_corruptions as usize, paths.len());
        assert_same(&data(&node.head).await, &written, "chunks corrupt");
        node.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_segment_costs_only_what_was_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let written = write(dir.path()).await;
    std::fs::remove_dir_all(dir.path().join("chunks_head")).unwrap();
    let segments = wal::list_segments(&log_dir(dir.path(), Log::Wal)).unwrap();
    let path = &segments[segments.len() / 2].path;
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
    let node = start(dir.path());
    assert_eq!(node.replayed.corruptions, 1);
    let read = data(&node.head).await;
    assert!(read.iter().all(|(key, value)| written.get(key) == Some(value)), "nothing is invented");
    // A record has 150 samples of one series.
    let missing = written.len() - read.len();
    assert!((1..=150).contains(&missing), "{missing} samples are missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_in_blocks_are_not_taken_again() {
    let dir = tempfile::tempdir().unwrap();
    let written = write(dir.path()).await;
    std::fs::remove_dir_all(dir.path().join("chunks_head")).unwrap();
    std::fs::remove_dir_all(dir.path().join("wbl")).unwrap();
    let min_valid_ms = T + 1_000_000;
    let node = start_with(dir.path(), 2, min_valid_ms);
    let wanted = written.iter().filter(|((_, t), _)| *t >= min_valid_ms && (t - T) % 1000 == 0);
    assert_same(
        &data(&node.head).await,
        &wanted.map(|(k, v)| (k.clone(), v.clone())).collect(),
        "from a block's end on",
    );
}
