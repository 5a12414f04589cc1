//! Data directories of a real Prometheus.

use super::*;

/// Data of a real Prometheus 2.42, with a snapshot, late samples and histograms.
#[tokio::test(flavor = "multi_thread")]
async fn heads_of_prometheus() {
    let Some(golden) = testkit::conformance_dir().map(|d| d.join("golden-blocks/head")).filter(|d| d.is_dir()) else {
        return testkit::skip_without("golden-blocks in AION_CONFORMANCE_DIR", "heads_of_prometheus");
    };
    let dir = tempfile::tempdir().unwrap();
    copy_dir(&golden.join("float_ooo_snapshot"), dir.path());
    make_writable(dir.path());
    let node = start(dir.path());
    assert_eq!((node.replayed.snapshot_series, node.replayed.restored.series), (4, 4));
    let read = data(&node.head).await;
    // 80 late samples have the values 0 to 79.
    let late: Vec<_> = read.iter().filter(|((l, _), _)| l.contains("ooo")).collect();
    assert!(late.len() >= 80, "{}", late.len());
    assert_eq!((node.replayed.corruptions, node.replayed.chunk_corruptions, node.replayed.restored.unknown), (0, 0, 0));
    node.stop();
    for gone in ["chunk_snapshot.000000.0000032768", "chunks_head"] {
        std::fs::remove_dir_all(dir.path().join(gone)).unwrap();
        let node = start(dir.path());
        assert_same(&data(&node.head).await, &read, gone);
        node.stop();
    }
    let dir = tempfile::tempdir().unwrap();
    copy_dir(&golden.join("g2"), dir.path());
    make_writable(dir.path());
    let node = start(dir.path());
    let read = data(&node.head).await;
    assert_eq!((node.replayed.restored.series, node.replayed.corruptions, read.len() > 290), (6, 0, true));
}

/// The golden files are not.
fn make_writable(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = if dir.is_dir() { 0o755 } else { 0o644 };
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(mode)).unwrap();
    if dir.is_dir() {
        files(dir).iter().for_each(|path| make_writable(path));
    }
}
