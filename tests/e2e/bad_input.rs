//! A compactor beside corrupt blocks: each is named with a reason and a hint, all others go on, nothing of it is deleted,
//! and once it is put right its group goes on by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde_json::Value as Json;
use tests::blocks::{BLOCK_MS, START_MS, Samples, World, difference, samples, visible};

use crate::waiting::{Compactor, folder, is_done};

/// What is done to the third block of a group, and what the status then says of it.
type Fault = (&'static str, fn(&Path) -> anyhow::Result<()>, &'static str);

const FAULTS: [Fault; 14] = [
    ("index-gone", |dir| Ok(fs::remove_file(dir.join("index"))?), "index is missing"),
    ("index-empty", |dir| cut(&dir.join("index"), 0), "index has 0 bytes"),
    ("index-unsized", |dir| cut(&dir.join("index"), 0), "0 bytes are no index"),
    ("index-flipped", |dir| flip(&dir.join("index"), 3), "checksum"),
    ("chunks-gone", |dir| Ok(fs::remove_file(dir.join("chunks/000001"))?), "chunks/000001 is missing"),
    ("chunks-cut", |dir| cut(&dir.join("chunks/000001"), 900), "chunks/000001 has 900 bytes"),
    ("chunks-unsized", |dir| cut(&dir.join("chunks/000001"), 900), "chunks/000001"),
    ("chunks-flipped", |dir| flip(&dir.join("chunks/000001"), 2), "checksum"),
    ("meta-empty", |dir| cut(&dir.join("meta.json"), 0), "no block meta"),
    ("meta-garbage", |dir| Ok(fs::write(dir.join("meta.json"), "garbage")?), "no block meta"),
    ("meta-version", |dir| edit(dir, |meta| meta["version"] = 2.into()), "version 2 is not supported"),
    ("meta-other", |dir| edit(dir, |meta| meta["ulid"] = "01ARZ3NDEKTSV4RRFFQ69G5FAV".into()), "is of block"),
    ("meta-backwards", |dir| edit(dir, |meta| meta["maxTime"] = 5.into()), "is before minTime"),
    ("mark-version", future_mark, "version 7"),
];

/// What looks bad and harms nothing.
const HARMLESS: [(&str, fn(&Path) -> anyhow::Result<()>); 5] = [
    ("mark-garbage", |dir| Ok(fs::write(dir.join("deletion-mark.json"), "garbage")?)),
    ("mark-empty", |dir| Ok(fs::write(dir.join("no-compact-mark.json"), "")?)),
    ("meta-more", |dir| edit(dir, |meta| meta["thanos"]["more"] = serde_json::json!({"a": [1]}))),
    ("meta-less", |dir| edit(dir, |meta| drop(meta["compaction"].as_object_mut().map(|c| c.remove("sources"))))),
    ("stray-files", |dir| Ok(fs::write(dir.join("chunks/notes.txt"), "mine")?)),
];

/// A mark as a later version may write it.
fn future_mark(dir: &Path) -> anyhow::Result<()> {
    let id = dir.file_name().unwrap_or_default().to_string_lossy();
    let mark = format!(r#"{{"id":"{id}","version":7,"details":"","deletion_time":1700000000}}"#);
    Ok(fs::write(dir.join("deletion-mark.json"), mark)?)
}

fn cut(file: &Path, bytes: u64) -> anyhow::Result<()> {
    let file = fs::File::options().write(true).open(file)?;
    ensure!(bytes < file.metadata()?.len(), "it has no {bytes} bytes");
    Ok(file.set_len(bytes)?)
}

/// Flips a bit at one `nth` of the file.
fn flip(file: &Path, nth: usize) -> anyhow::Result<()> {
    let mut bytes = fs::read(file)?;
    let at = bytes.len() / nth;
    bytes[at] ^= 4;
    Ok(fs::write(file, bytes)?)
}

fn edit(dir: &Path, change: impl Fn(&mut Json)) -> anyhow::Result<()> {
    let path = dir.join("meta.json");
    let mut meta = serde_json::from_slice(&fs::read(&path)?)?;
    change(&mut meta);
    Ok(fs::write(&path, serde_json::to_vec(&meta)?)?)
}

/// Sizes to compare with, which blocks of old uploaders lack.
fn note_files(dir: &Path) -> anyhow::Result<()> {
    let mut files = Vec::new();
    for name in ["chunks/000001", "index"] {
        files.push(serde_json::json!({"rel_path": name, "size_bytes": fs::metadata(dir.join(name))?.len()}));
    }
    files.push(serde_json::json!({"rel_path": "meta.json"}));
    edit(dir, |meta| meta["thanos"]["files"] = files.clone().into())
}

/// The third block of a group, and its files.
struct Third {
    dir: PathBuf,
    id: String,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Third {
    fn find(bucket: &Path, cluster: &str) -> anyhow::Result<Self> {
        let wanted = |m: &block::BlockMeta| {
            m.min_time == START_MS + 2 * BLOCK_MS && m.thanos.as_ref().is_some_and(|t| t.labels["cluster"] == cluster)
        };
        let found = visible(bucket)?.into_iter().find(|f| wanted(&f.meta)).context("there is a third block")?;
        let mut files = BTreeMap::new();
        for name in ["index", "meta.json", "chunks/000001"] {
            files.insert(found.dir.join(name), fs::read(found.dir.join(name))?);
        }
        Ok(Self { id: found.meta.ulid.to_string(), dir: found.dir, files })
    }

    /// Puts all as it was.
    fn repair(&self) -> anyhow::Result<()> {
        for mark in ["deletion-mark.json", "no-compact-mark.json"] {
            let _ = fs::remove_file(self.dir.join(mark));
        }
        for (path, bytes) in &self.files {
            fs::write(path, bytes)?;
        }
        Ok(())
    }

    /// What the status says of it.
    fn said(&self, status: &Json) -> Option<(String, String)> {
        let lists = [&status["broken"], &status["unreadable"], &status["quarantine"]["blocks"]];
        let mut cases = lists.into_iter().flat_map(|l| l.as_array().into_iter().flatten());
        let case = cases.find(|case| case["block"] == *self.id || case["what"] == *self.id)?;
        Some((case["reason"].as_str()?.to_owned(), case["hint"].as_str()?.to_owned()))
    }
}

fn of_clusters(all: &Samples, keep: impl Fn(&str) -> bool) -> Samples {
    let kept = all.iter().filter(|(labels, _)| keep(labels.get("cluster").unwrap_or_default()));
    kept.map(|(labels, values)| (labels.clone(), values.clone())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corrupt_blocks_hold_nobody_up_and_come_back() -> anyhow::Result<()> {
    let temp = tempfile::tempdir()?;
    let (bucket, data) = (temp.path().join("bucket"), temp.path().join("data"));
    fs::create_dir_all(&bucket)?;
    let names = FAULTS.iter().map(|(name, ..)| *name).chain(HARMLESS.iter().map(|(name, _)| *name));
    let world = World { clusters: names.chain(["sound"]).collect(), replicas: vec![("a", 123)], blocks: 6 };
    let wanted = world.write(&bucket)?;
    let mut faulty = Vec::new();
    for (name, spoil, says) in FAULTS {
        if !name.ends_with("-unsized") {
            note_files(&Third::find(&bucket, name)?.dir)?;
        }
        let third = Third::find(&bucket, name)?;
        faulty.push((name, third, spoil, says));
    }
    for (name, spoil) in HARMLESS {
        spoil(&Third::find(&bucket, name)?.dir).context(name)?;
    }
    for (name, third, spoil, _) in &faulty {
        spoil(&third.dir).context(*name)?;
    }
    let corrupt: BTreeSet<&str> = FAULTS.iter().map(|(name, ..)| *name).collect();
    let mut compactor = Compactor::start(&folder(&bucket), &data, "")?;

    // all is told, and all that can be done is done
    let told = |status: &Json| {
        for (name, third, _, says) in &faulty {
            let (reason, hint) = third.said(status).ok_or(format!("nothing is said of {name}"))?;
            if !reason.contains(says) || hint.is_empty() {
                return Err(format!("{name}: {reason:?}, hint {hint:?}"));
            }
        }
        is_done(status, &corrupt)
    };
    compactor.until("damage is told", told).await?;
    ensure!(compactor.api.metric("thanos_compact_halted", "").await? == 0.0, "it halted");
    let here: BTreeMap<_, _> = fs::read_dir(&bucket)?.flatten().map(|e| (e.file_name(), ())).collect();
    for (name, third, ..) in &faulty {
        ensure!(here.contains_key(third.dir.file_name().context("a block")?), "{name}: the corrupt block was deleted");
    }
    // the rest of their groups is merged too: the first block of each is no longer what it was
    let settle = |status: &Json| {
        let groups = status["groups"].as_array().into_iter().flatten();
        let mut raw = groups.filter(|g| g["resolution"] == "raw");
        raw.find(|g| g["plan"].is_array() && g["state"] == "planned").map_or(Ok(()), |g| Err(format!("{g}")))
    };
    compactor.until("the others of their groups are merged", settle).await?;

    // each is put right: it goes on without a restart
    for (_, third, ..) in &faulty {
        third.repair()?;
    }
    let healed = |status: &Json| {
        for (name, third, ..) in &faulty {
            if let Some((reason, _)) = third.said(status) {
                return Err(format!("{name}: still {reason}"));
            }
        }
        is_done(status, &BTreeSet::new())
    };
    compactor.until("repaired blocks are merged", healed).await?;
    drop(compactor);
    let found = visible(&bucket)?;
    let got = samples(&found)?;
    if let Some(difference) = difference(&wanted, &got) {
        bail!("{difference}");
    }
    for (name, third, ..) in &faulty {
        let raw = found.iter().filter(|f| f.meta.resolution_ms() == 0 && !f.marked);
        let mine = |f: &&tests::blocks::Found| f.meta.thanos.as_ref().is_some_and(|t| t.labels["cluster"] == *name);
        let left = raw.filter(mine).find(|f| f.meta.ulid.to_string() == third.id);
        ensure!(left.is_none(), "{name}: the repaired block was not merged");
        ensure!(!of_clusters(&got, |c| c == *name).is_empty(), "{name}: nothing is left");
    }
    Ok(())
}
