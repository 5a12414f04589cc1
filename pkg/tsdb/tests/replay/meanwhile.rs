//! What happens while the log is replayed.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn samples_may_be_written_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path(), vec![series(1, "old"), series(70, "other"), samples(&[1, 70], 0..100, 1.0)]);
    let (head, journal, _, replay) = prepare(dir.path(), 2, i64::MIN);
    assert_eq!(append(&head, &[("__name__", "new")], &[(T + 500_000, 3.0)]).await, []);
    assert_eq!(append(&head, &[("__name__", "old")], &[(T + 500_000, 3.0)]).await, []);
    replay.run(&mut |_| {}, &|| false).unwrap();
    let check = |read: Data| {
        assert_eq!((count(&read, "new", 3.0), count(&read, "old", 1.0), count(&read, "old", 3.0)), (1, 100, 1));
        assert_eq!((count(&read, "other", 1.0), read.len()), (100, 202));
    };
    check(data(&head).await);
    journal.close();
    // The numbers of the new series are none of the old ones.
    for _ in 0..2 {
        let node = start(dir.path());
        check(data(&node.head).await);
        assert_eq!(node.replayed.restored.unknown, 0);
        node.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_can_be_cancelled() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path(), vec![series(1, "a"), samples(&[1], 0..50, 1.0)]);
    let (.., replay) = prepare(dir.path(), 2, i64::MIN);
    assert!(matches!(replay.run(&mut |_| {}, &|| true), Err(Error::Cancelled)));
}

/// What it had is in a block, where it may have been deleted since.
#[tokio::test(flavor = "multi_thread")]
async fn series_that_left_and_are_written_to_have_what_is_new_only() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path(), vec![series(1, "left"), samples(&[1], 0..100, 1.0), tombstone(1, i64::MIN, i64::MAX)]);
    let (head, journal, _, replay) = prepare(dir.path(), 2, i64::MIN);
    assert_eq!(append(&head, &[("__name__", "left")], &[(T + 500_000, 3.0)]).await, []);
    replay.run(&mut |_| {}, &|| false).unwrap();
    let check = |read: Data| assert_eq!((count(&read, "left", 3.0), read.len()), (1, 1));
    check(data(&head).await);
    journal.close();
    for _ in 0..2 {
        let node = start(dir.path());
        check(data(&node.head).await);
        node.stop();
    }
}

/// Under the number that it had, the next replay would forget what comes.
#[tokio::test(flavor = "multi_thread")]
async fn series_that_left_and_are_about_to_be_written_to_get_another_number() {
    let dir = tempfile::tempdir().unwrap();
    log(dir.path(), vec![series(1, "left"), samples(&[1], 0..100, 1.0), tombstone(1, i64::MIN, i64::MAX)]);
    let (head, journal, _, replay) = prepare(dir.path(), 2, i64::MIN);
    let appender = || head.appender(&Ctx::background(), AppendOptions::default());
    let (mut before, mut after) = (appender(), appender());
    let left: &[(&str, &str)] = &[("__name__", "left")];
    before.resolve(&[left]).unwrap();
    replay.run(&mut |_| {}, &|| false).unwrap();
    let series = after.resolve(&[left]).unwrap().remove(0).unwrap();
    let floats = Floats { series: &[series], times_ms: &[T + 500_000], values: &[3.0], starts_ms: &[] };
    assert_eq!(after.floats(floats).unwrap(), []);
    after.commit().await.unwrap();
    drop(before);
    journal.close();
    for _ in 0..2 {
        let node = start(dir.path());
        let read = data(&node.head).await;
        assert_eq!((count(&read, "left", 3.0), read.len()), (1, 1));
        node.stop();
    }
}
