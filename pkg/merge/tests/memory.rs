//! Memory follows the budget, not the block.

mod common;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use block::{BlockWriter, BlockWriterOptions};
use common::*;
use labels::Labels;
use objstore::{Bucket, Config, OpenOptions};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HOUR: i64 = 3_600_000;
const DIR: &str = "AION_MERGE_TEST_DIR";
/// Set to read as from a store far away.
const FAR: &str = "AION_MERGE_TEST_FAR";

fn bucket(dir: &Path) -> Bucket {
    let yaml = format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", dir.join("bucket").display());
    let bucket = Config::parse(&yaml, &|_| None).unwrap().open(&OpenOptions::default()).unwrap();
    assert!(bucket.settings().is_local);
    read_as(bucket, std::env::var_os(FAR).is_none())
}

fn write(dir: &Path, series: usize) {
    for b in 0..2i64 {
        let base = b * HOUR;
        let chunks = ramp(base, 1_700, 2_000, 0.0);
        let mut writer = BlockWriter::create(&dir.join("bucket"), id(b as u64), BlockWriterOptions::default()).unwrap();
        for s in 0..series {
            let (value, other) = (format!("value-of-a-label-{s:08}"), format!("{}", s % 10));
            writer.add_series(&Labels::from_pairs([("a", &*value), ("b", &other), ("c", "same")]), &chunks).unwrap();
        }
        writer.finish(meta_of(id(b as u64), base, base + HOUR, &[])).unwrap();
    }
}

/// Run by the test below in a process of its own; prints its peak.
#[test]
#[ignore = "part of another test"]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let (dir, runtime) = (Path::new(&dir), tokio::runtime::Runtime::new().unwrap());
    let bucket = bucket(dir);
    runtime.block_on(async {
        let mut metas = Vec::new();
        for b in 0..2 {
            let json = bucket.get(&format!("{}/meta.json", id(b))).await.unwrap();
            metas.push(Arc::new(block::BlockMeta::parse("meta.json", &json).unwrap()));
        }
        let options = merge::Options { limits: merge::Limits { memory_bytes: 8 << 20, ..small() }, ..options(dir) };
        let finished = run(&bucket, &job(&metas), &options).await.unwrap();
        let report = merge::verify_files(&bucket, &finished.outputs[0].meta, merge::Depth::Index).await.unwrap();
        assert!(report.is_sound(), "{report:?}");
    });
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    println!("{}", status.lines().find(|l| l.starts_with("VmHWM:")).unwrap());
}

#[test]
fn ten_times_the_input_in_the_same_memory() {
    let peak = |series: usize, is_far: bool| {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), series);
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--ignored", "--nocapture"])
            .env(DIR, dir.path())
            .envs(is_far.then_some((FAR, "1")))
            .env("MIMALLOC_PURGE_DELAY", "0")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        let peak = text.split("VmHWM:").nth(1).and_then(|t| t.split_whitespace().next()).unwrap().to_owned();
        peak.parse::<u64>().unwrap()
    };
    // The smaller one fills the buffers already.
    for is_far in [false, true] {
        let (small, large) = (peak(3_500, is_far), peak(35_000, is_far));
        println!("{small} and {large} KiB");
        assert!(large < small + (12 << 10), "{small} KiB, with ten times the input {large} KiB");
        assert!(large < 100 << 10, "{large} KiB");
    }
}
