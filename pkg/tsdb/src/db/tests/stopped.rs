//! Work that ends at every place where a process may be killed, and a start afterwards.

use std::path::Path;
use std::sync::Arc;

use labels::Matcher;
use model::TimeRange;
use parking_lot::Mutex;
use service::Failpoints;
use tokio_util::sync::CancellationToken;

use super::super::blocks::Blocks;
use super::super::disk::{Disk, RealDisk, Space};
use super::super::files::remove_leftovers;
use super::common::*;

/// Fails at the `at`th change; from then on at each one, as for a process that is dead.
#[derive(Debug)]
struct Dying {
    left: Mutex<usize>,
}

impl Dying {
    fn step(&self) -> std::io::Result<()> {
        let mut left = self.left.lock();
        *left = left.saturating_sub(1);
        if *left == 0 { Err(std::io::Error::other("dead")) } else { Ok(()) }
    }
}

impl Disk for Dying {
    fn create_dir(&self, dir: &Path) -> std::io::Result<()> {
        self.step()?;
        RealDisk.create_dir(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        self.step()?;
        RealDisk.rename(from, to)
    }
    fn remove_dir(&self, dir: &Path) -> std::io::Result<()> {
        self.step()?;
        RealDisk.remove_dir(dir)
    }
    fn write_file(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        self.step()?;
        RealDisk.write_file(path, bytes)
    }
    fn link(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        self.step()?;
        RealDisk.link(from, to)
    }
    fn space(&self, dir: &Path) -> std::io::Result<Space> {
        RealDisk.space(dir)
    }
}

/// Deletes, merges and cleans; ends early where a step fails.
async fn work(blocks: &Blocks) -> super::super::Result<()> {
    {
        let changing = blocks.changing().await;
        let selectors = vec![vec![Matcher::equal("__name__", "a")]];
        blocks.delete(&changing, &selectors, TimeRange::new(70, 75))?;
    }
    merge_all(blocks).await?;
    blocks.clean_tombstones(&blocks.changing().await, 0, &CancellationToken::new()).await
}

fn fill(dir: &Path) {
    for n in 0..5u64 {
        make(dir, n + 1, (n as i64 * 20, n as i64 * 20 + 20), &["a", "bb"], |_| {});
    }
}

/// Every sample that was not deleted is there after a start, and the work can be ended.
async fn recovers(dir: &Path, what: &str) {
    remove_leftovers(&RealDisk, dir);
    let blocks = open(dir, options());
    let is_deleted = |t: i64| (70..=75).contains(&t);
    for round in 0..2 {
        let (samples, warnings) = read(&blocks, everything()).await;
        assert!(warnings.is_empty(), "{what}: {warnings:?}");
        for t in 0..100 {
            for series in ["a", "bb"] {
                let there = samples.get(&(format!("{{__name__=\"{series}\"}}"), t)).copied();
                let want = t as f64 + series.len() as f64 / 10.0;
                match there {
                    Some(value) => assert_eq!(value, want, "{what}: {series} at {t}"),
                    None => assert!(series == "a" && is_deleted(t), "{what}: {series} at {t} is lost"),
                }
                assert!(round == 0 || there.is_some() != (series == "a" && is_deleted(t)), "{what}: {series} at {t}");
            }
        }
        work(&blocks).await.unwrap();
    }
    assert_eq!((ranges(&blocks), rest(dir)), (vec![(0, 60), (60, 80), (80, 100)], vec![]), "{what}");
}

#[tokio::test]
async fn nothing_is_lost_wherever_it_is_killed() {
    let names = Arc::new(Mutex::new(Vec::new()));
    let seen = names.clone();
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let note = Failpoints::hook(move |name| {
        seen.lock().push(name.to_owned());
        false
    });
    work(&Blocks::open(dir.path(), options(), deps(note)).unwrap()).await.unwrap();
    let names = std::mem::take(&mut *names.lock());
    for name in ["tsdb.merge.before_rename", "tsdb.merge.after_rename", "tsdb.delete.after_rename"] {
        assert!(names.iter().any(|n| n == name), "{name}: {names:?}");
    }
    for (at, name) in names.iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path());
        let passed = Arc::new(Mutex::new(0));
        let stop = Failpoints::hook(move |_| {
            let mut passed = passed.lock();
            *passed += 1;
            *passed > at
        });
        let blocks = Blocks::open(dir.path(), options(), deps(stop)).unwrap();
        assert!(work(&blocks).await.is_err(), "{name}");
        drop(blocks);
        recovers(dir.path(), name).await;
    }
}

#[tokio::test]
async fn nothing_is_lost_whichever_change_of_files_fails() {
    for at in 1.. {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path());
        let mut deps = deps(Failpoints::none());
        deps.disk = Arc::new(Dying { left: Mutex::new(at) });
        let blocks = Blocks::open(dir.path(), options(), deps).unwrap();
        let ended = work(&blocks).await;
        drop(blocks);
        recovers(dir.path(), &format!("change {at}")).await;
        if ended.is_ok() {
            assert!(at > 20, "{at} changes only");
            return;
        }
    }
}
