//! The real Prometheus' tools, where they are on the path.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::skip_without;

/// Whether `prometheus` and `promtool` are on the path; says so when they are not.
pub fn have_prometheus(test: &str) -> bool {
    let there = |name: &str| {
        let run = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        run.is_ok_and(|s| s.success())
    };
    let both = there("prometheus") && there("promtool");
    if !both {
        skip_without("prometheus and promtool on the path", test);
    }
    both
}

/// Back-fills `dir` with blocks: `hours` hours of one sample a minute of `series` series from `start_s`.
///
/// # Panics
/// The files cannot be written, or promtool fails.
pub fn backfill(dir: &Path, start_s: i64, hours: i64, series: usize) {
    let mut text = String::from("# TYPE backfilled gauge\n");
    for n in 0..series {
        for minute in 0..hours * 60 {
            let t = start_s + minute * 60;
            text.push_str(&format!("backfilled{{n=\"{n}\"}} {} {t}\n", minute * (n as i64 + 1)));
        }
    }
    text.push_str("# EOF\n");
    let input = dir.join("input.om");
    std::fs::write(&input, text).unwrap();
    let run = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .arg(&input)
        .arg(dir)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(run.success());
    std::fs::remove_file(input).unwrap();
}

/// The block directories in `dir`, sorted.
///
/// # Panics
/// `dir` cannot be read.
pub fn block_dirs(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok())
        .filter(|n| n.len() == 26 && n.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()))
        .collect();
    names.sort();
    names
}
