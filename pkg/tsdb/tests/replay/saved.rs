//! Open chunks that were saved while the head was written to.

use super::*;
use tsdb::open_chunks::SavedWriter;
use wal::LocalDisk;

fn path(dir: &Path) -> PathBuf {
    log_dir(dir, Log::Wal).join("open_chunks")
}

impl Node {
    /// Saves the open chunks as they are, with all that was logged so far.
    fn save(&self, dir: &Path) {
        let position = *self.journal.written().borrow();
        assert!(self.head.is_applied(self.head.commits()), "nobody writes");
        let wal_dir = log_dir(dir, Log::Wal);
        let mut writer = SavedWriter::create(&wal_dir, &LocalDisk, position, self.head.next_number()).unwrap().unwrap();
        self.head.save_open_chunks(&mut writer).unwrap();
        writer.finish().unwrap();
    }
}

/// Floats, histograms and late samples, some of it before open chunks were saved and some behind; what all of it is.
async fn write_and_save(dir: &Path, parts: i64, saved_behind: i64) -> Data {
    let node = start(dir);
    for part in 0..parts {
        let begin = part * 70;
        node.journal.cut(Log::Wal).await.unwrap();
        for n in 0..30 {
            let number = n.to_string();
            // Some series end, some begin later.
            if (n % 10 == 7 && part > 1) || (n % 10 == 8 && part < 3) {
                continue;
            }
            let samples: Vec<_> = (begin..begin + 70).map(|i| (T + i * 1000, (i * (n + 1)) as f64 * 0.1)).collect();
            assert_eq!(append(&node.head, &[("__name__", "floats"), ("n", &number)], &samples).await, []);
        }
        append_histograms(&node.head, &[("__name__", "hist")], begin as u64 + 1, 70).await;
        let late: Vec<_> = (begin..begin + 70).step_by(9).map(|i| (T + i * 1000 - 500, -1.0)).collect();
        assert_eq!(append(&node.head, &[("__name__", "floats"), ("n", "3")], &late).await, []);
        if part % 2 == 1 {
            node.head.map_full_chunks(&*node.chunks).await.unwrap();
        }
        if part == saved_behind {
            node.save(dir);
        }
    }
    let all = data(&node.head).await;
    node.stop();
    all
}

/// Whatever stands before and behind, in files and in memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_takes_them_and_the_log_behind() {
    for (parts, saved_behind) in [(2, 0), (5, 1), (9, 4), (9, 7), (9, 8)] {
        let dir = tempfile::tempdir().unwrap();
        let all = write_and_save(dir.path(), parts, saved_behind).await;
        let copy = tempfile::tempdir().unwrap();
        copy_dir(dir.path(), copy.path());
        std::fs::remove_file(path(copy.path())).unwrap();
        let plain = start(copy.path());
        assert_same(&data(&plain.head).await, &all, "without them");
        for threads in [1, 3] {
            let node = start_with(dir.path(), threads, i64::MIN);
            assert_same(&data(&node.head).await, &all, &format!("{parts} parts, saved behind {saved_behind}"));
            let Replayed { restored, saved_chunks, corruptions, .. } = &node.replayed;
            assert!((20..60).contains(saved_chunks), "{saved_chunks}");
            assert_eq!((restored.unknown, restored.chunks_dropped, *corruptions), (0, 0, 0));
            assert_eq!(restored.series, plain.replayed.restored.series);
            assert!(node.head.next_number() >= plain.head.next_number(), "numbers are new");
            // Chunks go on and are cut where they would have been.
            assert_eq!(node.head.chunks(), plain.head.chunks());
            // The samples before were not looked at.
            assert!(restored.skipped < plain.replayed.restored.skipped || saved_behind == 0, "{restored:?}");
            let labels = [("__name__", "floats"), ("n", "4")];
            let last = T + (parts * 70 - 1) * 1000;
            assert_eq!(append(&node.head, &labels, &[(last, ((parts * 70 - 1) * 5) as f64 * 0.1)]).await, []);
            node.stop();
        }
        plain.stop();
    }
}

/// They are of one process only as far as the log goes on.
#[tokio::test(flavor = "multi_thread")]
async fn later_starts_and_later_samples() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = write_and_save(dir.path(), 6, 3).await;
    for round in 0..4i64 {
        let node = start(dir.path());
        assert_same(&data(&node.head).await, &all, &format!("start {round}"));
        assert!(node.replayed.saved_chunks > 0);
        let new = format!("new_{round}");
        let rows: Vec<_> = (0..600).map(|i| (T + (500 + round * 600 + i) * 1000, i as f64 * 0.1)).collect();
        for name in [&new, "floats"] {
            assert_eq!(append(&node.head, &[("__name__", name), ("n", "4")], &rows).await, []);
        }
        node.head.map_full_chunks(&*node.chunks).await.unwrap();
        if round == 2 {
            node.save(dir.path());
        }
        all = data(&node.head).await;
        node.stop();
    }
}

/// Where chunks on disk are missing or corrupt, the log has what they had.
#[tokio::test(flavor = "multi_thread")]
async fn without_all_chunks_on_disk_they_are_ignored() {
    let whole = tempfile::tempdir().unwrap();
    let all = write_and_save(whole.path(), 9, 6).await;
    let names: Vec<_> = files(&whole.path().join("chunks_head"));
    assert!(names.len() > 2, "{names:?}");
    for (n, name) in names.iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(whole.path(), dir.path());
        let file = dir.path().join("chunks_head").join(name.file_name().unwrap());
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let node = start(dir.path());
        assert_eq!((node.replayed.saved_chunks, node.replayed.chunk_corruptions), (0, 1));
        assert_same(&data(&node.head).await, &all, &format!("file {n} corrupt"));
        node.stop();
    }
    let dir = tempfile::tempdir().unwrap();
    copy_dir(whole.path(), dir.path());
    std::fs::remove_dir_all(dir.path().join("chunks_head")).unwrap();
    let node = start(dir.path());
    assert_same(&data(&node.head).await, &all, "all chunks removed");
    assert_eq!(node.replayed.saved_chunks, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn corrupt_ones_are_ignored() {
    let whole = tempfile::tempdir().unwrap();
    let all = write_and_save(whole.path(), 5, 2).await;
    let bytes = std::fs::read(path(whole.path())).unwrap();
    for step in 0..9 {
        let at = step * (bytes.len() - 1) / 8;
        for change in [&|bytes: &mut Vec<u8>| bytes[at] ^= 4, &|bytes: &mut Vec<u8>| bytes.truncate(at)]
            as [&dyn Fn(&mut Vec<u8>); 2]
        {
            let dir = tempfile::tempdir().unwrap();
            copy_dir(whole.path(), dir.path());
            let mut changed = bytes.clone();
            change(&mut changed);
            std::fs::write(path(dir.path()), changed).unwrap();
            let node = start(dir.path());
            assert_eq!(node.replayed.saved_chunks, 0, "byte {at}");
            assert_same(&data(&node.head).await, &all, "as the log has it");
            node.stop();
        }
    }
}

/// A corrupt page before costs nothing but what is no sample, and is told all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_log_before_them_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let all = write_and_save(dir.path(), 9, 8).await;
    let segments = wal::list_segments(&log_dir(dir.path(), Log::Wal)).unwrap();
    let file = &segments[segments.len() / 2].path;
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
    let node = start(dir.path());
    assert_eq!(node.replayed.corruptions, 1);
    assert_same(&data(&node.head).await, &all, "the samples were saved");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_blocks_is_not_taken_again() {
    let dir = tempfile::tempdir().unwrap();
    let all = write_and_save(dir.path(), 6, 4).await;
    // Series that end in the second part have nothing behind this.
    let min_valid_ms = T + 300_000;
    let node = start_with(dir.path(), 2, min_valid_ms);
    assert!(node.replayed.saved_chunks > 0);
    let read = data(&node.head).await;
    let is_due = |(labels, t): &(String, i64)| *t >= min_valid_ms && !labels.contains("n=\"7\"");
    assert!(all.iter().filter(|(key, _)| is_due(key)).all(|(key, value)| read.get(key) == Some(value)));
    assert!(
        !read.keys().any(|(labels, _)| ["\"7\"", "\"17\""].iter().any(|n| labels.contains(n))),
        "they are in blocks"
    );
}

/// Behind a checkpoint that replaces the place they belong to, they are ignored; else not.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_checkpoint_and_before() {
    for (saved_behind, is_used) in [(1, false), (8, true)] {
        let dir = tempfile::tempdir().unwrap();
        let all = write_and_save(dir.path(), 9, saved_behind).await;
        let wal_dir = log_dir(dir.path(), Log::Wal);
        let segments = wal::list_segments(&wal_dir).unwrap();
        let segment = segments[segments.len() * 2 / 3].number;
        let keep = &mut |_: u64| true;
        let request = wal::checkpoint::Request {
            segment,
            min_time_ms: T,
            deleted_min_ms: T,
            keep,
            options: wal::Options::default(),
        };
        wal::checkpoint::write(&wal_dir, request).unwrap().unwrap();
        wal::remove_below(&wal_dir, segment + 1).unwrap();
        let node = start(dir.path());
        assert_eq!(node.replayed.saved_chunks > 0, is_used);
        assert_same(&data(&node.head).await, &all, &format!("saved behind {saved_behind}"));
        node.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_may_be_written_before_they_are_restored() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = write_and_save(dir.path(), 5, 3).await;
    let (head, journal, _, replay) = prepare(dir.path(), 2, i64::MIN);
    // Behind all, amid an open chunk, and before it.
    for (n, at_ms) in [("1", T + 900_000), ("2", T + 300_000), ("4", T + 100), ("99", T + 900_000)] {
        assert_eq!(append(&head, &[("__name__", "floats"), ("n", n)], &[(at_ms, 7.0)]).await, []);
        let labels = format!("__name__=\"floats\",n=\"{n}\"");
        all.retain(|(of, t), _| *of != labels || *t < at_ms);
        all.insert((labels, at_ms), vec![canonical(7.0)]);
    }
    assert!(replay.run(&mut |_| {}, &|| false).unwrap().saved_chunks > 0);
    let read = data(&head).await;
    // What comes behind a sample that came first is late.
    assert!(all.iter().all(|(key, value)| read.get(key) == Some(value)));
    journal.close();
}

/// A series that left the head after its chunk was saved is forgotten, and its number is another one's or nobody's.
#[tokio::test(flavor = "multi_thread")]
async fn series_that_left_behind_them() {
    let dir = tempfile::tempdir().unwrap();
    let all = write_and_save(dir.path(), 5, 4).await;
    let node = start(dir.path());
    node.stop();
    log(dir.path(), vec![tombstone(3, i64::MIN, i64::MAX), series(90_000, "again"), samples(&[90_000], 0..9, 1.0)]);
    let node = start(dir.path());
    assert!(node.replayed.saved_chunks > 0);
    let read = data(&node.head).await;
    assert_eq!((count(&read, "again", 1.0), node.replayed.restored.unknown), (9, 0));
    assert!(node.head.next_number() > 90_000);
    let left: Vec<_> = all.keys().filter(|key| !read.contains_key(*key)).map(|(labels, _)| labels).collect();
    assert!(!left.is_empty() && left.iter().all(|labels| *labels == left[0]), "one series left");
}

/// A series without an open chunk has nothing to be saved, but its chunks on disk have to be there all the same.
#[tokio::test(flavor = "multi_thread")]
async fn chunks_of_series_without_an_open_one_are_missed_too() {
    let dir = tempfile::tempdir().unwrap();
    let chunks_dir = dir.path().join("chunks_head");
    let chunks = MappedChunks::open(&chunks_dir, MappedOptions::default()).unwrap();
    let xor = encode_xor((0..10).map(|t| (T + t * 1000, 1.0))).unwrap().into();
    let chunk = TimedChunk { min_time: T, max_time: T + 9_000, encoding: Encoding::Xor, data: xor };
    chunks.write(1, &chunk, false).unwrap();
    drop(chunks);
    log(dir.path(), vec![series(1, "on_disk"), samples(&[1], 0..10, 1.0)]);
    let node = start(dir.path());
    let rows: Vec<_> = (0..600).map(|i| (T + i * 1000, i as f64 * 0.1)).collect();
    assert_eq!(append(&node.head, &[("__name__", "open")], &rows).await, []);
    node.save(dir.path());
    let all = data(&node.head).await;
    node.stop();
    let node = start(dir.path());
    assert!(node.replayed.saved_chunks > 0);
    assert_same(&data(&node.head).await, &all, "with its chunk");
    node.stop();
    std::fs::remove_dir_all(&chunks_dir).unwrap();
    let node = start(dir.path());
    assert_same(&data(&node.head).await, &all, "without its chunk");
    assert_eq!(node.replayed.saved_chunks, 0);
    node.stop();
    // Nobody misses what is in blocks: its files are removed.
    let node = start_with(dir.path(), 2, T + 10_000);
    assert!(node.replayed.saved_chunks > 0);
    let is_due = |key: &(String, i64)| key.1 >= T + 10_000;
    let read = data(&node.head).await;
    assert!(all.iter().filter(|(key, _)| is_due(key)).all(|(key, value)| read.get(key) == Some(value)));
}

/// What the log says of series is done once: one that left before a series of the same labels came is not forgotten again.
#[tokio::test(flavor = "multi_thread")]
async fn chunks_of_series_that_the_log_does_not_name_cost_no_other_series() {
    let dir = tempfile::tempdir().unwrap();
    let chunks = MappedChunks::open(&dir.path().join("chunks_head"), MappedOptions::default()).unwrap();
    let chunk = |times: std::ops::Range<i64>| {
        let (min_time, max_time) = (T + times.start * 1000, T + (times.end - 1) * 1000);
        let data = encode_xor(times.map(|t| (T + t * 1000, 2.0))).unwrap().into();
        TimedChunk { min_time, max_time, encoding: Encoding::Xor, data }
    };
    let behind = chunks.write(2, &chunk(10..20), false).unwrap();
    drop(chunks);
    let records = vec![
        series(3, "other"),
        samples(&[3], 0..3000, 1.0),
        series(1, "again"),
        samples(&[1], 0..10, 1.0),
        tombstone(1, i64::MIN, i64::MAX),
        series(2, "again"),
        samples(&[2], 20..40, 2.0),
    ];
    log(dir.path(), records);
    let wal_dir = log_dir(dir.path(), Log::Wal);
    let mut ends = wal::list_segments(&wal_dir).unwrap().into_iter().map(|segment| {
        let offset = std::fs::metadata(&segment.path).unwrap().len();
        Position { segment: segment.number, offset }
    });
    // A start goes on in a new segment.
    let position = ends.rfind(|end| end.offset > 0).unwrap();
    let mut writer = SavedWriter::create(&wal_dir, &LocalDisk, position, 100).unwrap().unwrap();
    writer.chunk((2, behind), &chunk(20..30));
    writer.chunk((77, 0), &chunk(0..10));
    writer.finish().unwrap();
    for threads in [1, 3] {
        let node = start_with(dir.path(), threads, i64::MIN);
        let read = data(&node.head).await;
        assert_eq!((count(&read, "again", 1.0), count(&read, "again", 2.0)), (0, 30), "{threads} threads");
        assert_eq!(node.replayed.saved_chunks, 0);
        node.stop();
    }
}
