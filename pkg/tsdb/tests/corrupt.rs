//! Bytes that the disk gives back otherwise than they were written. The database starts, answers no sample that nobody
//! wrote, and says so where one is missing.

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::*;
use model::{FakeClock, TimeRange};
use storage::{ChunkData, Ctx, Select, SeriesSource, collect_series};
use tsdb::db::{Tsdb, TsdbOptions};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const START: i64 = 1_699_980_000_000 - 1_699_980_000_000 % (18 * HOUR);

fn late_options() -> TsdbOptions {
    let mut options = options();
    options.head.out_of_order_window_ms = 24 * HOUR;
    options.journal.wal.segment_bytes = 8 << 10;
    options
}

async fn open_late(dir: &Path) -> Arc<Tsdb> {
    let clock = Arc::new(FakeClock::at(START + 9 * HOUR));
    let tsdb = Tsdb::open(dir, late_options(), deps(&clock)).await.unwrap();
    tsdb.replayed().await;
    tsdb
}

/// Blocks, a checkpoint, segments, chunks of the head, late samples.
async fn fill(dir: &Path) -> Data {
    let tsdb = open_late(dir).await;
    for hour in 0..8 {
        for n in 0..12 {
            let n_text = n.to_string();
            let labels = [("__name__", "corrupt"), ("n", n_text.as_str())];
            let rows: Vec<_> = (0..60)
                .map(|m| (START + hour * HOUR + m * MINUTE, ((hour * 60 + m) * (n + 1)) as f64 * 0.37))
                .collect();
            assert!(append(&*tsdb, &labels, &rows).await.is_empty());
            let late: Vec<_> = (0..40).map(|m| (START + (hour - 1) * HOUR + m * MINUTE + 500, m as f64)).collect();
            if n < 3 {
                assert!(append(&*tsdb, &labels, &late).await.is_empty());
            }
        }
        if hour == 5 {
            tsdb.maintain().await.unwrap();
        }
    }
    let want = data(&*tsdb).await;
    tsdb.close().await.unwrap();
    want
}

fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        // A meta.json has no checksum.
        match path.is_dir() {
            true => files(&path, out),
            false if path.file_name().is_some_and(|n| n == "meta.json" || n == "lock") => {}
            false => out.push(path),
        }
    }
}

/// What can be read, and whether something is said of it.
async fn read(tsdb: &Tsdb) -> (Data, Vec<String>) {
    let want = Select::new(TimeRange::new(i64::MIN, i64::MAX), vec![all_series()]);
    let answer = collect_series(tsdb.select(&Ctx::background(), want)).await.unwrap();
    let mut found = Data::new();
    for series in &answer.value {
        let labels: Vec<String> = series.labels.iter().map(|(n, v)| format!("{n}=\"{v}\"")).collect();
        for chunk in &series.chunks {
            let ChunkData::Raw(raw) = &chunk.data else { panic!("{chunk:?}") };
            let mut column = chunkenc::Column::new();
            chunkenc::decode_floats(raw.encoding, &raw.data, &mut column).unwrap();
            found.extend(column.iter().map(|(t, v)| ((labels.join(","), t), vec![canonical(v)])));
        }
    }
    (found, answer.warnings)
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_right_or_say_what_they_lack() {
    let dir = tempfile::tempdir().unwrap();
    let origin = dir.path().join("origin");
    let want = fill(&origin).await;
    let mut all = Vec::new();
    files(&origin, &mut all);
    all.sort();
    let kinds = ["wal", "wbl", "chunks_head", "checkpoint", "index", "chunks/", "tombstones"];
    for kind in kinds {
        assert!(all.iter().any(|path| path.display().to_string().contains(kind)), "no {kind}: {all:?}");
    }
    let mut seed = 7u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below.max(1)
    };
    let (mut whole, mut flagged) = (0, 0);
    for round in 0..48 {
        let copy = dir.path().join("copy");
        copy_dir(&origin, &copy);
        let path = &all[round % all.len()];
        let target = copy.join(path.strip_prefix(&origin).unwrap());
        let mut bytes = std::fs::read(&target).unwrap();
        if bytes.is_empty() {
            continue;
        }
        let at = random(bytes.len() as u64) as usize;
        let how = random(4);
        // The end of a log looks like one that a crash cut short, which is no corruption.
        let next = all.get(round % all.len() + 1);
        let is_log = |path: &Path| path.parent().is_some_and(|dir| dir.ends_with("wal") || dir.ends_with("wbl"));
        let is_last = is_log(path) && next.and_then(|next| next.parent()) != path.parent();
        let is_torn = is_last && (how <= 1 || at + 2048 > bytes.len());
        match how {
            0 => bytes.truncate(at),
            1 => bytes[at..].iter_mut().take(600).for_each(|b| *b = 0),
            _ => bytes[at] ^= 1 << random(8),
        }
        std::fs::write(&target, bytes).unwrap();
        let what = format!("round {round}, {} at {at}", path.strip_prefix(&origin).unwrap().display());
        let tsdb = open_late(&copy).await;
        let (got, warnings) = read(&tsdb).await;
        let invented: Vec<_> = got.iter().filter(|(key, value)| want.get(*key) != Some(*value)).take(3).collect();
        assert!(invented.is_empty(), "{what}: {invented:?}");
        if got.len() == want.len() {
            whole += 1;
        } else if !is_torn {
            assert!(!warnings.is_empty(), "{what}: {} of {} samples, and no word of it", got.len(), want.len());
            flagged += 1;
        }
        tsdb.close().await.unwrap();
        std::fs::remove_dir_all(&copy).unwrap();
    }
    assert!(whole > 8 && flagged > 8, "{whole} answers were whole, {flagged} said what they lacked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_that_changed_at_the_end_of_the_log_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(FakeClock::at(START));
    let tsdb = open(dir.path(), &clock).await;
    for n in 0..3 {
        assert!(append(&*tsdb, &[("__name__", "a")], &[(START + n * MINUTE, n as f64)]).await.is_empty());
    }
    let killed = dir.path().join("killed");
    copy_dir(&dir.path().join("wal"), &killed.join("wal"));
    drop(tsdb);
    let segment = killed.join("wal/00000000");
    let bytes = std::fs::read(&segment).unwrap();
    for (at, cut, told) in [(1, 0, true), (0, 1, false)] {
        let mut changed = bytes[..bytes.len() - cut].to_vec();
        let last = changed.len();
        changed[last - at.max(1)] ^= if at > 0 { 1 } else { 0 };
        std::fs::write(&segment, changed).unwrap();
        let metrics = telemetry::Metrics::new();
        let mut deps = deps(&clock);
        deps.metrics = metrics.clone();
        let tsdb = Tsdb::open(&killed, options(), deps).await.unwrap();
        tsdb.replayed().await;
        let (samples, warnings) = read(&tsdb).await;
        assert_eq!((samples.len(), warnings.len()), (2, usize::from(told)), "{warnings:?}");
        assert_eq!(tsdb.lost().is_some(), told);
        let counted = format!("prometheus_tsdb_wal_corruptions_total {}\n", u8::from(told));
        assert!(metrics.encode().contains(&counted), "{}", metrics.encode());
        tsdb.close().await.unwrap();
        std::fs::remove_dir_all(killed.join("wal")).unwrap();
        std::fs::create_dir_all(killed.join("wal")).unwrap();
    }
}
