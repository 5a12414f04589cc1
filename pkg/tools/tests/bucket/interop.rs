//! Our commands and those of a real Thanos over the same bucket: `AION_THANOS_BIN`.

use std::path::PathBuf;
use std::process::Command;

use crate::place::{BLOCKS, Place};

fn thanos(test: &str) -> Option<PathBuf> {
    let found = std::env::var_os("AION_THANOS_BIN").map(PathBuf::from);
    if found.is_none() {
        eprintln!("=== SKIPPED {test}: set AION_THANOS_BIN to run it ===");
    }
    found
}

/// Thanos' output and log.
fn run(program: &std::path::Path, place: &Place, args: &[&str]) -> (String, String) {
    let config = format!("--objstore.config={}", place.config);
    let output =
        Command::new(program).args(["tools", "bucket"]).args(args).arg(config).env("TZ", "UTC").output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {log}");
    (String::from_utf8_lossy(&output.stdout).into_owned(), log)
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listings_are_the_same() {
    let Some(thanos) = thanos("listings_are_the_same") else { return };
    for place in Place::filled().await {
        // in the past by the machine's clock, which Thanos goes by
        place.clock.set(1_795_220_000_000);
        place.mark(1).await;
        for args in [
            &["ls"][..],
            &["ls", "-o", "wide"],
            &["ls", "--exclude-delete"],
            &["ls", "-o", "{{.ULID}} {{.Thanos.Labels}} {{.Compaction.Sources}} {{.Stats.NumSamples}}"],
            &["ls", "--min-time=2026-11-20T20:00:00Z"],
            &["ls", "--selector.relabel-config=[{action: drop, source_labels: [cluster], regex: us}]"],
        ] {
            let (theirs, _) = run(&thanos, &place, args);
            let (code, ours) = place.run(args).await;
            assert_eq!((code, sorted(&ours)), (0, sorted(&theirs)), "{args:?}");
        }
        for args in [
            &["inspect"][..],
            &["inspect", "--output=csv"],
            &["inspect", "--output=tsv", "--sort-by=#SAMPLES"],
            &["inspect", "--sort-by=RANGE", "--sort-by=ULID", "-l", "cluster=\"eu\""],
        ] {
            let (theirs, _) = run(&thanos, &place, args);
            assert_eq!(place.run(args).await, (0, theirs), "{args:?}");
        }
        let documents = |text: &str| -> Vec<serde_json::Value> {
            let mut all: Vec<serde_json::Value> =
                serde_json::Deserializer::from_str(text).into_iter().collect::<Result<_, _>>().unwrap();
            all.sort_by_key(|value| value["ulid"].to_string());
            all
        };
        let (theirs, _) = run(&thanos, &place, &["ls", "-o", "json"]);
        let (_, ours) = place.run(&["ls", "-o", "json"]).await;
        assert_eq!(documents(&ours), documents(&theirs));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thanos_reads_what_we_write() {
    let Some(thanos) = thanos("thanos_reads_what_we_write") else { return };
    let (from, place) = (Place::s3().await, Place::directory());
    for n in 0..3 {
        from.add(n).await;
    }
    place.clock.set(1_795_220_000_000);
    let target = format!("--objstore-to.config={}", place.config);
    assert_eq!(from.run(&["replicate", "--single-run", &target]).await.0, 0);
    let tmp = format!("--tmp.dir={}", place.dir.path().join("tmp").display());
    let relabel = "--rewrite.to-relabel-config=[{action: labeldrop, regex: instance}]";
    let delete = "--rewrite.to-delete-config=[{matchers: '{__name__=~\"go_.*\"}'}, {matchers: fl, intervals: [{mint: 0, maxt: 1795218100000}]}]";
    let args = ["rewrite", "--no-dry-run", "--delete-blocks", "--id", BLOCKS[2], delete, relabel, &tmp];
    let (code, text) = place.run(&args).await;
    assert_eq!(code, 0, "{text}");
    place.clock.advance(50 * 86_400_000);
    let dir = format!("--data-dir={}", place.dir.path().join("data").display());
    let (code, text) = place.run(&["downsample", "--single-run", &dir]).await;
    assert_eq!((code, text.lines().count()), (0, 6), "{text}");
    // thanos finds the mark
    let (ids, _) = run(&thanos, &place, &["ls", "--exclude-delete"]);
    assert!(ids.lines().count() == 9 && !ids.contains(BLOCKS[2]), "{ids}");
    let (_, log) = run(&thanos, &place, &["verify"]);
    assert!(!log.contains("level=warn") && !log.contains("level=error"), "{log}");
    let (theirs, _) = run(&thanos, &place, &["inspect"]);
    assert_eq!(place.run(&["inspect"]).await, (0, theirs));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_logs_are_the_same() {
    let Some(thanos) = thanos("change_logs_are_the_same") else { return };
    let place = Place::directory();
    place.add(2).await;
    let relabel = "--rewrite.to-relabel-config=[{action: labeldrop, regex: instance}, {action: drop, source_labels: [__name__], regex: scrape_.*}]";
    let delete = "--rewrite.to-delete-config=[{matchers: '{__name__=~\"go_.*\"}'}, {matchers: fl, intervals: [{mint: 0, maxt: 1795218100000}, {mint: 1795218130000, maxt: 1795218140000}]}]";
    let log_of = |dir: PathBuf| {
        let found =
            std::fs::read_dir(&dir).unwrap().flatten().map(|e| e.path().join("change.log")).find(|p| p.exists());
        std::fs::read_to_string(found.unwrap()).unwrap()
    };
    let (theirs, ours) = (place.dir.path().join("theirs"), place.dir.path().join("ours"));
    let tmp = format!("--tmp.dir={}", theirs.display());
    run(&thanos, &place, &["rewrite", "--id", BLOCKS[2], delete, relabel, &tmp]);
    let tmp = format!("--tmp.dir={}", ours.display());
    assert_eq!(place.run(&["rewrite", "--id", BLOCKS[2], delete, relabel, &tmp]).await.0, 0);
    let (theirs, ours) = (log_of(theirs), log_of(ours));
    assert!(theirs.lines().count() > 50);
    assert_eq!(sorted(&ours), sorted(&theirs));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thanos_sees_the_faults_that_we_see() {
    let Some(thanos) = thanos("thanos_sees_the_faults_that_we_see") else { return };
    let (place, backup) = (Place::directory(), Place::directory());
    let id = crate::faulty::upload(&place, |chunks| chunks.swap(1, 2)).await.to_string();
    let (_, log) = run(&thanos, &place, &["verify"]);
    assert!(log.contains("detected issue") && log.contains(&id) && log.contains("out-of-order chunks"), "{log}");
    let target = format!("--objstore-backup.config={}", backup.config);
    assert_eq!(place.run(&["verify", "--repair", "-i", "index_known_issues", &target]).await.0, 0);
    let (_, log) = run(&thanos, &place, &["verify"]);
    assert!(!log.contains("level=warn"), "{log}");
}
