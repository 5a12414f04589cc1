use labels::Matcher;
use model::TimeRange;
use tokio_util::sync::CancellationToken;

use super::common::*;

fn named(name: &str) -> Vec<Vec<Matcher>> {
    vec![vec![Matcher::equal("__name__", name)]]
}

#[tokio::test]
async fn deleted_samples_stay_deleted() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), 1, (0, 20), &["a", "bb"], |_| {});
    make(dir.path(), 2, (20, 40), &["a", "bb"], |_| {});
    make(dir.path(), 3, (40, 60), &["a"], |_| {});
    let blocks = open(dir.path(), options());
    let (mut want, _) = read(&blocks, everything()).await;
    {
        let changing = blocks.changing().await;
        for _ in 0..3 {
            blocks.delete(&changing, &named("a"), TimeRange::new(10, 29)).unwrap();
        }
        blocks.delete(&changing, &named("none"), everything()).unwrap();
    }
    want.retain(|(series, t), _| !(series == r#"{__name__="a"}"# && (10..30).contains(t)));
    assert_eq!(read(&blocks, everything()).await, (want.clone(), vec![]));
    let tombstones: Vec<u64> = blocks.views.current().metas().iter().map(|m| m.stats.num_tombstones).collect();
    assert_eq!(tombstones, [1, 1, 0], "the same deletion again adds nothing");
    let again = open(dir.path(), options());
    assert_eq!(read(&again, everything()).await, (want.clone(), vec![]));

    let changing = blocks.changing().await;
    blocks.clean_tombstones(&changing, 0, &CancellationToken::new()).await.unwrap();
    assert_eq!(read(&blocks, everything()).await, (want.clone(), vec![]));
    assert!(blocks.views.current().metas().iter().all(|m| m.stats.num_tombstones == 0));
    assert_eq!((ranges(&blocks), rest(dir.path())), (vec![(0, 20), (20, 40), (40, 60)], vec![]));

    blocks.delete(&changing, &named("a"), everything()).unwrap();
    blocks.clean_tombstones(&changing, 0, &CancellationToken::new()).await.unwrap();
    want.retain(|(series, _), _| series != r#"{__name__="a"}"#);
    assert_eq!(read(&blocks, everything()).await, (want.clone(), vec![]));
    assert_eq!(ranges(&blocks), [(0, 20), (20, 40)], "a block without samples goes");
    drop(changing);
    let again = open(dir.path(), options());
    assert_eq!(read(&again, everything()).await, (want, vec![]));
}

#[tokio::test]
async fn merging_drops_deleted_samples() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..4u64 {
        make(dir.path(), n + 1, (n as i64 * 20, n as i64 * 20 + 20), &["a", "bb"], |_| {});
    }
    let blocks = open(dir.path(), options());
    blocks.delete(&blocks.changing().await, &named("a"), TimeRange::new(15, 44)).unwrap();
    let want = read(&blocks, everything()).await;
    merge_all(&blocks).await.unwrap();
    assert_eq!(ranges(&blocks), [(0, 60), (60, 80)]);
    assert_eq!(read(&blocks, everything()).await, want);
    assert_eq!(blocks.views.current().metas()[0].stats.num_samples, 60 + 30);
}
