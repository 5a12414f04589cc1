//! Thanos itself on a bucket of ours: set `AION_THANOS_BIN` to its binary.

mod common;

use std::process::Command;

use bucket::marks::{self, DeletionMark, NoCompactMark};
use common::*;
use testkit::s3::Server;

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_marks_our_blocks() {
    let Some(thanos) = std::env::var_os("AION_THANOS_BIN") else {
        return testkit::skip_without_service("AION_THANOS_BIN", "lists_and_marks_our_blocks");
    };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start().await;
    let bucket = open(&server);
    let local = write_block(dir.path(), id(1));
    bucket::upload::upload_block(&bucket, &local, meta(id(1)), &Default::default()).await.unwrap();
    let config = dir.path().join("bucket.yml");
    std::fs::write(&config, server.config_yaml()).unwrap();
    let run = |args: &[&str]| {
        let config = format!("--objstore.config-file={}", config.display());
        let output = Command::new(&thanos).args(["tools", "bucket"]).args(args).arg(config).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(output.status.success(), "{args:?}: {text}");
        text
    };
    assert!(run(&["ls"]).contains(&id(1).to_string()));
    let block = format!("--id={}", id(1));
    run(&["mark", &block, "--marker=deletion-mark.json", "--details=a"]);
    run(&["mark", &block, "--marker=no-compact-mark.json", "--details=b"]);
    let deletion = marks::read::<DeletionMark>(&bucket, id(1)).await.unwrap().unwrap();
    let no_compact = marks::read::<NoCompactMark>(&bucket, id(1)).await.unwrap().unwrap();
    assert_eq!(
        (deletion.details.as_str(), no_compact.details.as_str(), no_compact.reason.as_str()),
        ("a", "b", "manual")
    );
    // byte for byte what we would write
    let theirs = bucket.get(&marks::path::<NoCompactMark>(id(1))).await.unwrap();
    assert_eq!(theirs, serde_json::to_vec(&no_compact).unwrap());
    let theirs = bucket.get(&marks::path::<DeletionMark>(id(1))).await.unwrap();
    assert_eq!(theirs, serde_json::to_vec(&deletion).unwrap());
}
