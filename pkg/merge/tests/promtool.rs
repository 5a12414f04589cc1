//! Prometheus' own tool reads what the merge writes.

mod common;

use std::process::Command;

use common::*;
use objstore::Bucket;

const HOUR: i64 = 3_600_000;

fn promtool(args: &[&str], dir: &std::path::Path) -> Option<String> {
    let output = match Command::new("promtool").args(args).arg(dir).output() {
        Ok(output) => output,
        Err(e) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "promtool: {e}");
            eprintln!("SKIPPED: no promtool: {e}");
            return None;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{args:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    Some(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_lists_analyzes_and_dumps() {
    let (bucket, dir) = (Bucket::in_memory(), tempfile::tempdir().unwrap());
    let mut metas = Vec::new();
    for b in 0..3i64 {
        let one = |s: i64| {
            let start = b * HOUR + s;
            raw(&[("__name__", "m"), ("s", &format!("{s:03}"))], ramp(start, 10_000, 300, s as f64))
        };
        let list: Vec<_> = (0..30).map(one).collect();
        metas.push(put_block(&bucket, b as u64, (b * HOUR, (b + 1) * HOUR), &list, Layout::default()).await);
    }
    let options =
        merge::Options { limits: merge::Limits { segment_bytes: 20_000, shards: 2, ..small() }, ..options(dir.path()) };
    let (finished, want) = merged(&bucket, &job(&metas), &options, dir.path()).await;
    let id = finished.outputs[0].meta.ulid.to_string();
    std::fs::create_dir_all(dir.path().join("wal")).unwrap();
    let Some(list) = promtool(&["tsdb", "list"], dir.path()) else { return };
    assert!(list.contains(&id) && list.contains("27000"), "{list}");
    let analysis = promtool(&["tsdb", "analyze"], dir.path()).unwrap_or_default();
    assert!(analysis.contains("\nSeries: 30\n"), "{analysis}");
    let dump = promtool(&["tsdb", "dump"], dir.path()).unwrap_or_default();
    assert_eq!(dump.lines().count(), 27_000);
    let mut lines: Vec<String> = Vec::new();
    for (series, samples) in &want {
        for (time, bits) in samples {
            let value = f64::from_bits(u64::from_str_radix(bits, 16).unwrap());
            lines.push(format!("{series} {value} {time}"));
        }
    }
    let mut found: Vec<&str> = dump.lines().collect();
    found.sort_unstable();
    lines.sort_unstable();
    assert_eq!(found, lines);
}
