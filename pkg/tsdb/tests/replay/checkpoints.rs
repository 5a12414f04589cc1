//! Checkpoints, which stand for the begin of the log.

use super::*;

/// prometheus#16060, prometheus#17029: after a checkpoint nothing is unknown.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let written = write(dir.path()).await;
    let wal_dir = log_dir(dir.path(), Log::Wal);
    let segments = wal::list_segments(&wal_dir).unwrap();
    let segment = segments[segments.len() * 2 / 3].number;
    let min_time_ms = T + 700_000;
    let keep = &mut |_: u64| true;
    let request = wal::checkpoint::Request {
        segment,
        min_time_ms,
        deleted_min_ms: min_time_ms,
        keep,
        options: wal::Options::default(),
    };
    let (_, stats) = wal::checkpoint::write(&wal_dir, request).unwrap().unwrap();
    assert!(stats.samples_dropped > 10_000 && stats.series == 41, "{stats:?}");
    wal::remove_below(&wal_dir, segment + 1).unwrap();
    let node = start(dir.path());
    assert_same(&data(&node.head).await, &written, "with chunks");
    assert_eq!((node.replayed.restored.unknown, node.progress[0].min), (0, segment + 1));
    node.stop();
    std::fs::remove_dir_all(dir.path().join("chunks_head")).unwrap();
    std::fs::remove_dir_all(dir.path().join("wbl")).unwrap();
    let node = start(dir.path());
    let left = data(&node.head).await;
    let wanted = written.iter().filter(|((_, t), _)| *t >= min_time_ms && (t - T) % 1000 == 0);
    assert!(wanted.clone().count() > 40_000);
    assert!(wanted.into_iter().all(|(key, value)| left.get(key) == Some(value)));
    assert_eq!(node.replayed.restored.unknown, 0);
}

/// A checkpoint whose number is beyond the last segment hides nothing, now and at later starts.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_beyond_the_last_segment_hides_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let written = write(dir.path()).await;
    let wal_dir = log_dir(dir.path(), Log::Wal);
    let segment = wal::list_segments(&wal_dir).unwrap()[2].number;
    let mut keep = |_: u64| true;
    let request = wal::checkpoint::Request {
        segment,
        min_time_ms: i64::MIN,
        deleted_min_ms: i64::MIN,
        keep: &mut keep,
        options: wal::Options::default(),
    };
    wal::checkpoint::write(&wal_dir, request).unwrap().unwrap();
    wal::remove_below(&wal_dir, segment + 1).unwrap();
    std::fs::rename(wal_dir.join(format!("checkpoint.{segment:08}")), wal_dir.join("checkpoint.00000900")).unwrap();
    let mut expected = written;
    for restart in 0..3 {
        let node = start(dir.path());
        assert_same(&data(&node.head).await, &expected, &format!("restart {restart}"));
        assert_eq!(node.replayed.restored.unknown, 0);
        let new = format!("after_{restart}");
        append(&node.head, &[("__name__", &new)], &[(T + 86_000_000, 1.0)]).await;
        expected = data(&node.head).await;
        assert_eq!(count(&expected, &new, 1.0), 1);
        node.stop();
    }
}
