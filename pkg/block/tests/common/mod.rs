//! What the block tests share.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use block::LocalBlock;
use chunkenc::{Column, decode_floats, num_samples};

/// Where the golden blocks are.
pub fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/golden-blocks")
}

/// Their directories, by name.
pub fn golden_blocks() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(golden_dir()).unwrap().map(|e| e.unwrap().path());
    let mut dirs: Vec<_> = entries.filter(|p| p.is_dir()).collect();
    dirs.sort();
    dirs
}

/// A folder of the conformance data, which is not part of the project.
pub fn shared_data(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("AION_CONFORMANCE_DIR").map(PathBuf::from);
    let root = root.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
    let path = root.join(path);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is missing", path.display());
    eprintln!("SKIPPED: {} is missing", path.display());
    None
}

/// Copies a block.
pub fn copy_block(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_block(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// One line per chunk: labels, times, encoding, samples, and for floats a checksum over the big-endian samples.
pub fn lines_of_block(block: &LocalBlock) -> String {
    let mut out = String::new();
    for id in block.index().all_postings().unwrap() {
        let entry = block.index().series(id).unwrap();
        let labels: Vec<_> = entry.labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
        for meta in entry.chunks {
            let (encoding, data) = block.chunks().chunk(meta).unwrap();
            let samples = num_samples(encoding, &data).unwrap();
            let sum = if encoding.is_float() {
                let mut column = Column::new();
                decode_floats(encoding, &data, &mut column).unwrap();
                let bytes = column.iter().flat_map(|(t, v)| [t.to_be_bytes(), v.to_be_bytes()]).flatten();
                format!("{:08x}", encoding::crc32c(&bytes.collect::<Vec<u8>>()))
            } else {
                "-".to_owned()
            };
            let (min, max) = (meta.min_time, meta.max_time);
            writeln!(out, "{} {min} {max} {} {samples} {sum}", labels.join(","), encoding as u8).unwrap();
        }
    }
    out
}
