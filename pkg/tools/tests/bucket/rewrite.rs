//! rewrite and retention.

use block::{BlockId, BlockMeta, LocalBlock};
use bucket::download::download_block;
use labels::Labels;

use crate::place::{BLOCKS, Place, id};

/// Labels of all series with the number of their chunks, by the bucket's block.
async fn series(place: &Place, block: BlockId) -> (BlockMeta, Vec<(Labels, usize)>) {
    let dir = tempfile::tempdir().unwrap();
    let meta = download_block(&place.bucket, block, dir.path()).await.unwrap();
    let block = LocalBlock::open(dir.path()).unwrap();
    let index = block.index();
    let entries = index.all_postings().unwrap().into_iter().map(|id| index.series(id).unwrap());
    (meta, entries.map(|e| (e.labels, e.chunks.len())).collect())
}

fn tmp(place: &Place) -> String {
    format!("--tmp.dir={}", place.dir.path().join("tmp").display())
}

/// The block that a rewrite printed.
fn new_block(text: &str) -> BlockId {
    let (_, rest) = text.split_once(": rewritten as ").unwrap_or_else(|| panic!("{text}"));
    BlockId::parse(rest.lines().next().unwrap()).unwrap()
}

#[tokio::test]
async fn nothing_is_rewritten_unless_asked_for() {
    for place in Place::filled().await {
        let before = place.keys().await;
        let config = "--rewrite.to-delete-config=[{matchers: 'fl'}, {matchers: '{__name__=\"ih\"}', intervals: [{mint: 0, maxt: 1795218100000}]}]";
        let (code, text) = place.run(&["rewrite", "--id", BLOCKS[2], config, &tmp(&place)]).await;
        assert_eq!(code, 0, "{text}");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "Deleted {__name__=\"fl\", z=\"1\"} [{1795218095575 1795218145329}]");
        assert!(lines[1].starts_with("Deleted {__name__=\"ih\"") && lines[1].ends_with(" 1795218100000}]"), "{text}");
        assert!(lines[2].contains("of 411 series 0 get other labels, 1 go, 1 lose samples, change log at"), "{text}");
        assert_eq!(place.keys().await, before);
    }
}

#[tokio::test]
async fn series_are_deleted() {
    for place in Place::filled().await {
        let (old, all) = series(&place, id(2)).await;
        let config = "--rewrite.to-delete-config=[{matchers: '{__name__=~\"go_.*\", none!=\"x\"}'}, {matchers: '{__name__=~\"go_.*\",job=~\"s.+\"}', request_id: r7}]";
        let args = ["rewrite", "--no-dry-run", "--delete-blocks", "--id", BLOCKS[2], config, &tmp(&place)];
        let (code, text) = place.run(&args).await;
        assert_eq!(code, 0, "{text}");
        let (meta, left) = series(&place, new_block(&text)).await;
        let wanted: Vec<_> = all.into_iter().filter(|(labels, _)| !labels.metric_name().starts_with("go_")).collect();
        assert!(wanted.len() > 100 && wanted.len() < 411);
        assert_eq!(left, wanted);
        let thanos = meta.thanos.unwrap();
        assert_eq!((meta.compaction.sources, thanos.source.as_str()), (vec![meta.ulid], "bucket.rewrite"));
        assert_eq!(thanos.rewrites[0].sources, old.compaction.sources);
        assert_eq!(thanos.rewrites[0].deletions_applied[1].request_id, "r7");
        // for requests to delete series it is as old as what it was made from
        assert_eq!(thanos.extra["aion_since_ms"], old.ulid.time_ms());
        assert_eq!(thanos.labels, old.thanos.unwrap().labels);
        let mark = place.bucket.get(&format!("{}/deletion-mark.json", BLOCKS[2])).await.unwrap();
        assert!(String::from_utf8_lossy(&mark).contains("block rewritten"));
        let log = std::fs::read_to_string(place.dir.path().join("tmp").join(meta.ulid.to_string()).join("change.log"));
        let log = log.unwrap();
        assert_eq!(log.lines().count(), 411 - wanted.len());
        assert!(log.lines().all(|l| l.starts_with("Deleted {__name__=\"go_")), "{log}");
        assert_eq!(place.run(&["verify", "--depth=full", "-i", "index_known_issues"]).await, (0, String::new()));
    }
}

#[tokio::test]
async fn labels_are_rewritten_and_deletions_see_the_new_ones() {
    for place in Place::filled().await {
        let (_, all) = series(&place, id(2)).await;
        let relabel = "--rewrite.to-relabel-config=[{action: labeldrop, regex: instance}, {source_labels: [job], regex: self, target_label: job, replacement: other}]";
        let delete = "--rewrite.to-delete-config=[{matchers: '{job=\"other\",__name__=~\"go_.*\"}'}, {matchers: '{job=\"self\"}'}]";
        let args = ["rewrite", "--no-dry-run", "--id", BLOCKS[2], relabel, delete, &tmp(&place)];
        let (code, text) = place.run(&args).await;
        assert_eq!(code, 0, "{text}");
        let (meta, left) = series(&place, new_block(&text)).await;
        let relabelled = |labels: &Labels| {
            let mut builder = labels::Builder::from_labels(labels);
            builder.remove("instance");
            if labels.value("job") == "self" {
                builder.set("job", "other");
            }
            builder.build()
        };
        let mut wanted: Vec<_> = all.into_iter().map(|(labels, chunks)| (relabelled(&labels), chunks)).collect();
        wanted.retain(|(labels, _)| !(labels.value("job") == "other" && labels.metric_name().starts_with("go_")));
        wanted.sort();
        assert_eq!(left, wanted);
        let rewrite = &meta.thanos.unwrap().rewrites[0];
        assert_eq!((rewrite.relabels_applied.len(), rewrite.deletions_applied.len()), (2, 2));
        // nothing of the step between is left
        let blocks: std::collections::BTreeSet<String> =
            place.keys().await.into_iter().filter_map(|key| key.split('/').next().map(str::to_owned)).collect();
        assert_eq!(blocks.len(), 4, "{blocks:?}");
    }
}

#[tokio::test]
async fn blocks_of_prometheus_and_blocks_of_which_nothing_is_left() {
    let place = Place::directory();
    place.add(1).await;
    let path = format!("{}/meta.json", BLOCKS[1]);
    let mut meta = BlockMeta::parse("meta.json", &place.bucket.get(&path).await.unwrap()).unwrap();
    meta.thanos = None;
    place.bucket.put(&path, meta.to_json()).await.unwrap();
    let config = "--rewrite.to-delete-config=[{matchers: '{__name__=~\".+\"}'}]";
    let args = ["rewrite", "--no-dry-run", "--id", BLOCKS[1], config, &tmp(&place)];
    let (code, text) = place.run(&args).await;
    assert!(code == 1 && text.contains("has no external labels: give --prom-blocks"), "{text}");
    let args = [&args[..], &["--prom-blocks"]].concat();
    let (code, text) = place.run(&args).await;
    assert!(code == 0 && text.contains("nothing is left of it"), "{text}");
    assert_eq!(place.keys().await.len(), 3, "{:?}", place.keys().await);
}

#[tokio::test]
async fn retention_marks_what_is_older() {
    for place in Place::filled().await {
        let args = ["retention", "--retention.resolution-raw=12h"];
        // uploaded a moment ago
        assert_eq!(place.run(&args).await, (0, String::new()));
        place.clock.advance(1_801_000);
        assert_eq!(place.run(&["retention", "--no-dry-run"]).await, (0, String::new()));
        let (code, text) = place.run(&args).await;
        assert_eq!((code, text.matches("would be marked for deletion").count()), (0, 3), "{text}");
        assert!(text.contains("NO BLOCK OF THIS TIME STAYS AT A LOWER RESOLUTION"), "{text}");
        assert!(!place.keys().await.iter().any(|key| key.ends_with("deletion-mark.json")));
        let us = "--selector.relabel-config=[{action: keep, source_labels: [cluster], regex: us}]";
        let (code, text) = place.run(&[&args[..], &["--no-dry-run", us]].concat()).await;
        assert!(code == 0 && text.starts_with(&format!("{}: marked for deletion: ", BLOCKS[2])), "{text}");
        let mark = place.bucket.get(&format!("{}/deletion-mark.json", BLOCKS[2])).await.unwrap();
        let wanted = "\"details\":\"block exceeding retention of 12h0m0s\"";
        assert!(String::from_utf8_lossy(&mark).contains(wanted), "{mark:?}");
        let (_, text) = place.run(&[&args[..], &["--no-dry-run"]].concat()).await;
        assert_eq!(text.lines().count(), 2, "{text}");
        assert_eq!(place.run(&[&args[..], &["--no-dry-run"]].concat()).await, (0, String::new()));
    }
}

/// As beside a compactor: both under the same leases, so nothing is there twice in the end.
#[tokio::test]
async fn two_that_downsample_at_a_time() {
    for place in Place::filled().await {
        place.clock.advance(50 * 86_400_000);
        let dirs = ["a", "b"].map(|name| format!("--data-dir={}", place.dir.path().join(name).display()));
        let args =
            dirs.each_ref().map(|dir| ["downsample", "--single-run", "--downsample.concurrency=2", dir.as_str()]);
        let ((first, one), (second, other)) = tokio::join!(place.run(&args[0]), place.run(&args[1]));
        assert_eq!((first, second), (0, 0), "{one}{other}");
        // what the one left to the other
        assert_eq!(place.run(&args[0]).await.0, 0);
        let (_, table) = place.run(&["ls", "-o", "{{.Thanos.Downsample.Resolution}} {{.Compaction.Sources}}"]).await;
        let resolutions = |n: &str| table.lines().filter(|l| l.starts_with(n)).count();
        assert_eq!((resolutions("0 "), resolutions("300000 "), resolutions("3600000 ")), (3, 3, 3), "{table}");
        assert_eq!(place.run(&["verify"]).await, (0, String::new()));
    }
}

#[tokio::test]
async fn old_blocks_are_downsampled_twice_and_once_only() {
    for place in Place::filled().await {
        let dir = format!("--data-dir={}", place.dir.path().join("data").display());
        let args = ["downsample", "--single-run", "--downsample.concurrency=2", &dir];
        // too small, and too young
        assert_eq!(place.run(&args).await, (0, String::new()));
        let marked = format!("{}/no-downsample-mark.json", BLOCKS[1]);
        let mark = format!(r#"{{"id":"{}","version":1,"no_downsample_time":1,"reason":"manual"}}"#, BLOCKS[1]);
        place.bucket.put(&marked, mark).await.unwrap();
        place.clock.advance(50 * 86_400_000);
        let (code, text) = place.run(&args).await;
        let count = |what: &str| text.matches(what).count();
        assert_eq!(
            (code, count(": downsampled to 5m0s as "), count(": downsampled to 1h0m0s as ")),
            (0, 2, 2),
            "{text}"
        );
        assert_eq!(place.run(&args).await, (0, String::new()));
        let (code, table) = place.run(&["ls", "-o", "{{.Thanos.Downsample.Resolution}} {{.Compaction.Sources}}"]).await;
        let resolutions = |n: &str| table.lines().filter(|l| l.starts_with(n)).count();
        assert_eq!((code, resolutions("0 "), resolutions("300000 "), resolutions("3600000 ")), (0, 3, 2, 2), "{table}");
        assert_eq!(table.matches(&format!("[{}]", BLOCKS[0])).count(), 3, "{table}");
        assert_eq!(place.run(&["verify"]).await, (0, String::new()));
    }
}

#[tokio::test]
async fn a_matcher_on_an_external_label_deletes_nothing_unless_asked_to() {
    for place in Place::filled().await {
        let (_, all) = series(&place, id(2)).await;
        // `replica` is external; no series has it
        let config = "--rewrite.to-delete-config=[{matchers: '{replica=\"a\"}'}, {matchers: '{__name__=~\"go_.*\",cluster=~\".+\"}'}, {matchers: fl}]";
        let (config, tmp) = (config, tmp(&place));
        let asked = "--rewrite.match-external-labels";
        let (code, text) = place.run(&["rewrite", "--id", BLOCKS[2], config, &tmp]).await;
        assert!(code == 0 && text.contains("of 411 series 0 get other labels, 1 go, 0 lose samples"), "{text}");
        let (code, text) = place.run(&["rewrite", "--id", BLOCKS[2], config, &tmp, asked]).await;
        assert!(code == 0 && text.contains("of 411 series 0 get other labels, 411 go, 0 lose samples"), "{text}");
        // as said, so done
        let (code, text) = place.run(&["rewrite", "--no-dry-run", "--id", BLOCKS[2], config, &tmp]).await;
        assert_eq!(code, 0, "{text}");
        let (meta, left) = series(&place, new_block(&text)).await;
        let wanted: Vec<_> = all.into_iter().filter(|(labels, _)| labels.metric_name() != "fl").collect();
        assert_eq!((left.len(), left), (410, wanted));
        assert_eq!(meta.thanos.unwrap().labels["replica"], "a", "the block keeps its external labels");
        let (code, text) = place.run(&["rewrite", "--no-dry-run", "--id", BLOCKS[2], config, &tmp, asked]).await;
        assert!(code == 0 && text.contains("nothing is left of it"), "{text}");
    }
}
