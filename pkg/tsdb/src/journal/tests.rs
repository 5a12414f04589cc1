use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wal::{Entry, LocalDisk, Reader, SegmentFile};

use super::*;

/// A batch of one record for each log that is named.
fn batch(wal: &str, wbl: &str) -> LogBatch {
    let mut batch = LogBatch::default();
    batch.wal.push(|out| out.extend_from_slice(wal.as_bytes()));
    batch.wbl.push(|out| out.extend_from_slice(wbl.as_bytes()));
    batch
}

fn read(data: &Path, log: Log) -> Vec<String> {
    let mut reader = Reader::open(&log_dir(data, log), 0).unwrap();
    let mut found = Vec::new();
    while let Some(entry) = reader.read() {
        match entry {
            Entry::Record(record) => found.push(String::from_utf8(record.to_vec()).unwrap()),
            Entry::Corrupt(corruption) => panic!("{corruption}"),
        }
    }
    found
}

fn open(data: &Path, options: JournalOptions) -> LogJournal {
    LogJournal::open(data, options, &Metrics::new()).unwrap()
}

#[tokio::test]
async fn batches_are_logged_in_the_order_of_the_calls() {
    logs_in_order().await;
}

/// Here most of them are written at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_logged_in_the_order_of_the_calls_by_their_writers() {
    logs_in_order().await;
}

/// Whoever writes a batch, at once or for others: each writer's batches are all there, in their order.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn many_writers_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let wal = wal::Options { segment_bytes: 256 << 10, ..wal::Options::default() };
    let journal = Arc::new(open(dir.path(), JournalOptions { wal, sync_interval: Duration::from_millis(1) }));
    let tasks: Vec<_> = (0..6)
        .map(|writer| {
            let journal = journal.clone();
            tokio::spawn(async move {
                for n in 0..200 {
                    // Some go through the queue: they are large, or have late samples.
                    let tail = "x".repeat(if n % 50 == 7 { 100_000 } else { n });
                    let late = if n % 9 == 0 { format!("{writer} {n}") } else { String::new() };
                    journal.log(batch(&format!("{writer} {n} {tail}"), &late)).await.unwrap();
                    if n % 70 == 0 {
                        journal.cut(Log::Wal).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    journal.close();
    for (log, count) in [(Log::Wal, 200), (Log::Wbl, 23)] {
        let all = read(dir.path(), log);
        assert_eq!(all.len(), 6 * count);
        for writer in 0..6 {
            let own = all.iter().filter_map(|text| text.strip_prefix(&format!("{writer} ")));
            let numbers: Vec<u32> = own.map(|text| text.split(' ').next().unwrap().parse().unwrap()).collect();
            assert!(numbers.is_sorted() && numbers.len() == count, "{numbers:?}");
        }
    }
}

async fn logs_in_order() {
    for sync_interval in [Duration::ZERO, Duration::from_millis(1)] {
        let dir = tempfile::tempdir().unwrap();
        let journal = open(dir.path(), JournalOptions { sync_interval, ..JournalOptions::default() });
        assert_eq!(journal.before(), Before::default());
        // The futures are awaited in another order than they were asked for.
        let mut waiting: Vec<_> =
            (0..200).map(|n| journal.log(batch(&format!("a{n}"), if n % 7 == 0 { "late" } else { "" }))).collect();
        assert_eq!(journal.cut(Log::Wal).await.unwrap(), Some(1));
        waiting.reverse();
        for one in waiting {
            one.await.unwrap();
        }
        journal.log(batch("last", "")).await.unwrap();
        journal.sync().await.unwrap();
        let want: Vec<String> = (0..200).map(|n| format!("a{n}")).chain(["last".to_owned()]).collect();
        assert_eq!(read(dir.path(), Log::Wal), want);
        assert_eq!(read(dir.path(), Log::Wbl).len(), 29);
        journal.close();
        let refused = journal.log(batch("x", "")).await.unwrap_err();
        assert!(refused.nothing_written && refused.message.contains("closed"));
        let again = open(dir.path(), JournalOptions::default());
        assert_eq!(again.before(), Before { wal: Some(1), wbl: Some(0), unhidden: false });
        assert_eq!(read(dir.path(), Log::Wal), want);
    }
}

#[tokio::test]
async fn without_late_samples_there_is_no_second_log() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path(), JournalOptions::default());
    journal.log(batch("a", "")).await.unwrap();
    journal.log(LogBatch::default()).await.unwrap();
    assert_eq!(journal.cut(Log::Wbl).await.unwrap(), None);
    assert!(!log_dir(dir.path(), Log::Wbl).exists());
}

/// A disk that is full at times.
#[derive(Debug, Default)]
struct FullAtTimes(Arc<AtomicBool>);

struct FullFile(Box<dyn SegmentFile>, Arc<AtomicBool>);

impl wal::Disk for FullAtTimes {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(FullFile(LocalDisk.create(path)?, self.0.clone())))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(FullFile(LocalDisk.open(path)?, self.0.clone())))
    }
}

impl SegmentFile for FullFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        if !self.1.load(Ordering::SeqCst) {
            return self.0.write_at(bytes, offset);
        }
        // A part still fits.
        match bytes.len() / 2 {
            0 => Err(io::ErrorKind::StorageFull.into()),
            half if offset.is_multiple_of(2) => self.0.write_at(&bytes[..half], offset),
            _ => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        if self.1.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { self.0.sync() }
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_heals() {
    let dir = tempfile::tempdir().unwrap();
    let full = Arc::new(AtomicBool::new(false));
    let disk = Arc::new(FullAtTimes(full.clone()));
    let options = JournalOptions {
        wal: wal::Options { disk, ..wal::Options::default() },
        sync_interval: Duration::from_millis(1),
    };
    let journal = open(dir.path(), options);
    let mut acknowledged = Vec::new();
    let mut refusals = HashMap::new();
    for n in 0..60 {
        full.store((20..40).contains(&n), Ordering::SeqCst);
        let text = format!("record {n}");
        match journal.log(batch(&text, "")).await {
            Ok(()) => acknowledged.push(text),
            Err(e) => _ = refusals.insert(n, e),
        }
    }
    assert!(!refusals.is_empty() && refusals.keys().all(|n| (20..40).contains(n)), "{refusals:?}");
    assert!(refusals.values().all(|e| e.nothing_written && e.message.contains("the disk is full")), "{refusals:?}");
    journal.close();
    assert_eq!(read(dir.path(), Log::Wal), acknowledged);
}
