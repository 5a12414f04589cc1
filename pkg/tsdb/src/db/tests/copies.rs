use std::path::Path;

use service::Failpoints;
use tokio_util::sync::CancellationToken;

use super::super::blocks::Blocks;
use super::super::error::Error;
use super::common::*;

fn block(dir: &Path) -> super::super::Result<()> {
    make(dir, 77, (20, 40), &["a"], |_| {});
    Ok(())
}

#[tokio::test]
async fn a_copy_is_a_database() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), 1, (0, 20), &["a", "bb"], |_| {});
    let blocks = open(dir.path(), options());
    let changing = blocks.changing().await;
    let none = CancellationToken::new();
    let names: Vec<String> = (0..2).map(|_| blocks.copy(&changing, &none, block).unwrap()).collect();
    assert!(names[0] != names[1] && names[0].starts_with("19700101T001640Z-"), "{names:?}");
    let copy = open(&dir.path().join("snapshots").join(&names[0]), options());
    assert_eq!(ranges(&copy), [(0, 20), (20, 40)]);
    assert_eq!(read(&copy, everything()).await.0.len(), 60);
    assert_eq!(ranges(&open(dir.path(), options())), [(0, 20)]);
}

#[tokio::test]
async fn a_copy_that_fails_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), 1, (0, 20), &["a"], |_| {});
    let stop = Failpoints::hook(|name| name == "tsdb.snapshot.before_rename");
    let blocks = Blocks::open(dir.path(), options(), deps(stop)).unwrap();
    let changing = blocks.changing().await;
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    assert!(matches!(blocks.copy(&changing, &cancelled, block), Err(Error::Cancelled)));
    let none = CancellationToken::new();
    assert!(matches!(blocks.copy(&changing, &none, |_| Err(Error::Closed)), Err(Error::Closed)));
    assert!(matches!(blocks.copy(&changing, &none, block), Err(Error::Failpoint(_))));
    assert_eq!(std::fs::read_dir(dir.path().join("snapshots")).unwrap().count(), 0);
}
