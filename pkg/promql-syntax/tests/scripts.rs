//! Prometheus' own test scripts parse, with the number of commands found in them by a plain text search.

use std::path::PathBuf;

use promql_syntax::testlang::{Command, EvalTime, parse_script};

fn scripts() -> Option<Vec<PathBuf>> {
    let root = std::env::var_os("AION_CONFORMANCE_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let Ok(dir) = std::fs::read_dir(root.join("promqltest")) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "no conformance data in {}", root.display());
        eprintln!("SKIPPED: no conformance data in {}; set AION_CONFORMANCE_DIR", root.display());
        return None;
    };
    let mut files: Vec<_> = dir.filter_map(|e| Some(e.ok()?.path())).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "test"));
    files.sort();
    Some(files)
}

#[test]
fn reference_scripts_parse() {
    let Some(files) = scripts() else { return };
    let (mut loads, mut instants, mut ranges) = (0, 0, 0);
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        for command in parse_script(&text, 100_000).unwrap_or_else(|e| panic!("{}: {e}", file.display())) {
            match command {
                Command::Clear { .. } => {}
                Command::Load(_) => loads += 1,
                Command::Eval(e) if matches!(e.time, EvalTime::Instant { .. }) => instants += 1,
                Command::Eval(_) => ranges += 1,
            }
        }
    }
    assert_eq!((files.len(), loads, instants, ranges), (21, 310, 1885, 329));
}
