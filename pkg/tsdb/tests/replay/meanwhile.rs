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
