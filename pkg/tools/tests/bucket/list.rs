//! Commands that look: ls, inspect.

use crate::place::{BLOCKS, Place, id};

/// Rows of the table that Thanos prints of these blocks.
const TABLE: &str = "\
|            ULID            |         FROM         |        UNTIL         |    RANGE     |  UNTIL-DOWN   | #SERIES | #SAMPLES | #CHUNKS | COMP-LEVEL | COMP-FAILED |        LABELS        | RESOLUTION | SOURCE  |
|----------------------------|----------------------|----------------------|--------------|---------------|---------|----------|---------|------------|-------------|----------------------|------------|---------|
| 01M7XNJ90W1DWS89T9WNHA09R1 | 2026-11-20T16:00:00Z | 2026-11-20T17:14:45Z | 1h14m45.001s | 38h45m14.999s | 6       | 1,600    | 16      | 1          | false       | cluster=eu,replica=a | 0s         | sidecar |
| 01M7XNJCJY6T27ZNK0F58B9K10 | 2026-11-20T22:00:00Z | 2026-11-21T00:00:00Z | 2h0m0s       | 38h0m0s       | 1       | 80       | 1       | 1          | false       | cluster=eu,replica=a | 0s         | sidecar |
| 01M7XNEDBRHMVA77T71GPE1DE5 | 2026-11-20T23:41:35Z | 2026-11-20T23:42:38Z | 1m2.823s     | 39h58m57.177s | 411     | 8,706    | 412     | 1          | false       | cluster=us,replica=a | 0s         | sidecar |
";

fn sorted() -> String {
    let mut ids = BLOCKS;
    ids.sort_unstable();
    ids.map(|id| format!("{id}\n")).concat()
}

#[tokio::test]
async fn ls_prints_each_form() {
    for place in Place::filled().await {
        assert_eq!(place.run(&["ls"]).await, (0, sorted()));
        let (code, wide) = place.run(&["ls", "-o", "wide"]).await;
        let first = "01M7XNEDBRHMVA77T71GPE1DE5 -- 2026-11-20T23:41:35Z - 2026-11-20T23:42:38Z Diff: 1m3s, \
                     Compaction: 1, Downsample: 0, Source: sidecar";
        assert_eq!((code, wide.lines().next()), (0, Some(first)));
        let (_, table) = place.run(&["ls", "-o", "csv"]).await;
        assert!(table.starts_with("ULID,FROM,UNTIL,") && table.contains("\"1,600\""), "{table}");
        let (_, lines) = place.run(&["ls", "-o", "{{.ULID}} {{.Thanos.Labels.cluster}} {{len .Thanos.Files}}"]).await;
        assert!(lines.contains(&format!("{} us 3\n", BLOCKS[2])), "{lines}");
        // three forms of the same JSON
        let (_, stream) = place.run(&["ls", "-o", "json"]).await;
        let (_, lines) = place.run(&["ls", "-o", "jsonl"]).await;
        let (_, array) = place.run(&["ls", "-o", "json-array"]).await;
        let (_, yaml) = place.run(&["ls", "-o", "yaml"]).await;
        let array: serde_json::Value = serde_json::from_str(&array).unwrap();
        let of_lines: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let of_stream: Result<Vec<serde_json::Value>, _> =
            serde_json::Deserializer::from_str(&stream).into_iter().collect();
        let of_yaml: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
        assert_eq!(array, serde_json::Value::Array(of_lines));
        assert_eq!(array, serde_json::Value::Array(of_stream.unwrap()));
        assert_eq!(array, of_yaml);
        assert_eq!(array[0]["stats"]["numSeries"], 411);
        assert!(stream.starts_with("{\n\t\"ulid\": "), "{stream}");
    }
}

#[tokio::test]
async fn ls_leaves_out_what_is_not_asked_for() {
    for place in Place::filled().await {
        place.mark(0).await;
        let two = sorted().replace(&format!("{}\n", BLOCKS[0]), "");
        assert_eq!(place.run(&["ls", "--exclude-delete"]).await, (0, two));
        assert_eq!(place.run(&["ls", "--min-time=2026-11-21T00:30:00Z"]).await, (0, String::new()));
        let late = ["ls", "--max-time=2026-11-20T20:00:00Z"];
        assert_eq!(place.run(&late).await, (0, format!("{}\n", BLOCKS[0])));
        let us = ["ls", "--selector.relabel-config=[{action: keep, source_labels: [cluster], regex: us}]"];
        assert_eq!(place.run(&us).await, (0, format!("{}\n", BLOCKS[2])));
    }
}

#[tokio::test]
async fn inspect_prints_thanos_table() {
    for place in Place::filled().await {
        assert_eq!(place.run(&["inspect"]).await, (0, TABLE.to_owned()));
        let (_, csv) = place.run(&["inspect", "--output=csv", "--sort-by=#SAMPLES"]).await;
        let ids: Vec<&str> = csv.lines().skip(1).filter_map(|l| l.split(',').next()).collect();
        assert_eq!(ids, [BLOCKS[1], BLOCKS[0], BLOCKS[2]]);
        let (_, tsv) = place.run(&["inspect", "--output=tsv", "-l", "cluster=\"us\""]).await;
        assert_eq!(tsv.lines().count(), 2, "{tsv}");
        place.mark(1).await;
        let (_, json) = place.run(&["inspect", "-ojson"]).await;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json[0]["samples"], &json[1]["marks"]), (&"1600".into(), &"deletion".into()));
        assert_eq!(json[2]["state"], "complete");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_told_by_the_exit_code() {
    for place in Place::filled().await {
        let newer = r#"{"ulid":"01M7XNEDBRHMVA77T71GPE1DE6","minTime":0,"maxTime":1,"version":9}"#;
        place.bucket.put("01M7XNEDBRHMVA77T71GPE1DE6/meta.json", newer).await.unwrap();
        assert_eq!(place.run(&["ls"]).await, (1, sorted()));
        assert_eq!(place.run(&["inspect"]).await, (1, TABLE.to_owned()));
        // and nothing is deleted
        place.mark(0).await;
        place.clock.advance(1_000 * 86_400_000);
        let (code, text) = place.run(&["cleanup", "--no-dry-run"]).await;
        assert!(code == 1 && text.contains("nothing is changed; the first is 01M7XNEDBRHMVA77T71GPE1DE6"), "{text}");
        assert!(place.bucket.exists(&format!("{}/meta.json", id(0))).await.unwrap());
    }
}

#[tokio::test]
async fn wrong_command_lines_have_code_2() {
    let place = Place::directory();
    for (args, text) in [
        (&["ls", "-o", "{{.Nonsense"][..], "--output: template: output:1: unclosed action"),
        (&["ls", "--min-time=2026-01-01T00:00:00Z", "--max-time=2025-01-01T00:00:00Z"], "can't be greater"),
        (&["ls", "--selector.relabel-config=[{action: nonsense}]"], "--selector.relabel-config: line"),
        (&["ls", "--objstore.config-file=x"], "use one"),
        (&["inspect", "--sort-by=NONSENSE"], "is none of ULID"),
        (&["inspect", "-l", "cluster"], "--selector: \"cluster\" is not of the form"),
        (&["inspect", "-l", "cluster=eu"], "has no value in Go's quotes"),
        (&["mark", "--marker=deletion-mark.json", "--details=x"], "required flag --id not provided"),
        (&["mark", "--id=x", "--marker=deletion-mark.json", "--details=x"], "\"x\" is no block id"),
        (&["mark", "--id=01M7XNEDBRHMVA77T71GPE1DE6", "--details=x"], "required flag --marker not provided"),
        (&["mark", "--id=01M7XNEDBRHMVA77T71GPE1DE6", "--marker=no-compact-mark.json"], "--details not provided"),
        (&["replicate", "--single-run"], "a bucket to replicate to is needed"),
        (&["upload-blocks"], "no external labels configured"),
        (&["upload-blocks", "--label=a=\"b\"", "--path=/nonsense"], "is no directory"),
        (&["upload-blocks", "--label=a='bc'"], "--label: \"a='bc'\" has no value in Go's quotes"),
        (&["upload-blocks", "--label=a=bc"], "in a shell: --label='a=\"bc\"'"),
        (&["upload-blocks", "--label=a=\"\""], "no external labels configured"),
    ] {
        let (code, printed) = place.run(args).await;
        assert!(code == 2 && printed.contains(text), "{args:?}: {code} {printed}");
    }
}

#[tokio::test]
async fn errors_in_a_file_name_the_file_and_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let clock = std::sync::Arc::new(model::FakeClock::at(0));
    let write = |name: &str, yaml: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, yaml).unwrap();
        path.display().to_string()
    };
    let good = write("good.yml", "---\ntype: FILESYSTEM\nconfig: {directory: /none}\n---\ntype: S3\n");
    let bad = write("bad.yml", "type: FILESYSTEM\nconfig:\n  folder: x\n");
    let rules = write("rules.yml", "- action: drop\n  regex: x\n- action: nonsense\n");
    let deletions = write("deletions.yml", "- matchers: a\n\n- matchers: '{a='\n");
    let env = write("env.yml", "type: FILESYSTEM\nconfig:\n  directory: $(NONE)\n");
    for (args, file, line) in [
        (["ls", "--objstore.config-file", &bad, "--timeout=1m"].map(str::to_owned).to_vec(), &bad, 3),
        (["ls", "--objstore.config-file", &env].map(str::to_owned).to_vec(), &env, 3),
        (
            ["ls", "--objstore.config-file", &good, "--selector.relabel-config-file", &rules]
                .map(str::to_owned)
                .to_vec(),
            &rules,
            3,
        ),
        (
            ["rewrite", "--objstore.config-file", &good, "--id", BLOCKS[0], "--rewrite.to-relabel-config-file", &rules]
                .map(str::to_owned)
                .to_vec(),
            &rules,
            3,
        ),
        (
            [
                "rewrite",
                "--objstore.config-file",
                &good,
                "--id",
                BLOCKS[0],
                "--rewrite.to-delete-config-file",
                &deletions,
            ]
            .map(str::to_owned)
            .to_vec(),
            &deletions,
            3,
        ),
        (
            ["rewrite", "--objstore.config-file", &good, "--id", BLOCKS[0], "--rewrite.to-delete-config-file", &env]
                .map(str::to_owned)
                .to_vec(),
            &env,
            3,
        ),
        (
            ["replicate", "--objstore.config-file", &good, "--objstore-to.config-file", &bad]
                .map(str::to_owned)
                .to_vec(),
            &bad,
            3,
        ),
    ] {
        let args: Vec<String> = std::iter::once("bucket".to_owned()).chain(args).collect();
        let (code, text) = crate::place::run(args.clone(), clock.clone()).await;
        assert!(code == 2 && text.starts_with(&format!("{file}: line {line}: ")), "{args:?}: {code} {text}");
    }
    // of several documents the first counts
    let args = ["bucket", "ls", "--objstore.config-file", &good].map(str::to_owned).to_vec();
    let (code, text) = crate::place::run(args, clock).await;
    assert!(code == 1 && text.contains("/none"), "{code} {text}");
}
