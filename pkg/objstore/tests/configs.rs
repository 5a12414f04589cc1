//! Every configuration either works or is refused with its line: none panics, not even at the first request.

use std::time::Duration;

use futures::StreamExt;
use objstore::{Config, OpenOptions};
use proptest::prelude::*;
use proptest::sample::select;

/// Parts of names and addresses, none of which leads off this machine.
const WORDS: [&str; 30] = [
    "",
    "a",
    "bbb",
    "a b",
    "ü",
    "%41",
    "a/b",
    "..",
    "a_b",
    "-",
    "127.0.0.1",
    "::1",
    "[::1]",
    ":1",
    ":99999",
    ":0",
    ":x",
    "@",
    "u:p@",
    "?",
    "#",
    "\\\\",
    "\\n",
    "\\t",
    "\\0",
    "\\x7f",
    "localhost",
    "{",
    "*",
    "'",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(&["bbb", "127.0.0.1:1", "localhost:1", "[::1]:1"][..]).prop_map(str::to_owned),
        3 => prop::collection::vec(select(&WORDS[..]), 0..3).prop_map(|w| w.concat()),
    ]
}

/// The keys of a type with what they may hold.
fn config(kind: &'static str, keys: &'static [&'static str]) -> impl Strategy<Value = String> {
    let values = prop::collection::vec(prop::option::weighted(0.8, word()), keys.len());
    let lookup = select(&["", "path", "virtual-hosted", "auto"][..]);
    (values, lookup, word()).prop_map(move |(values, lookup, prefix)| {
        let mut yaml = format!("type: {kind}\nconfig:\n  max_retries: 1\n");
        for (key, value) in keys.iter().zip(values) {
            yaml += &value.map(|v| format!("  {key}: \"{v}\"\n")).unwrap_or_default();
        }
        if kind == "S3" {
            yaml += &format!("  insecure: true\n  bucket_lookup_type: \"{lookup}\"\n");
        }
        yaml + &format!("prefix: \"{prefix}\"\n")
    })
}

const S3: &[&str] = &["bucket", "endpoint", "region", "access_key", "secret_key", "session_token"];
const AZURE: &[&str] = &["container", "storage_account", "storage_account_key", "endpoint"];
const GCS: &[&str] = &["bucket"];

/// Opens the bucket and asks it for something.
fn try_out(yaml: &str) {
    let env = |name: &str| (name == "STORAGE_EMULATOR_HOST").then(|| "127.0.0.1:1".to_owned());
    let bucket = match Config::parse(yaml, &env) {
        Ok(config) => config.open(&OpenOptions::default()),
        Err(e) => {
            let text = e.to_string();
            assert!(!text.contains("line 0"), "{text}");
            return;
        }
    };
    let Ok(bucket) = bucket else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // Refused connections end it at once; what is retried instead is no panic either.
        let asked = async {
            let got = bucket.get("a/meta.json").await.is_err();
            let listed = bucket.list_recursive("").next().await.is_none_or(|o| o.is_err());
            assert!(got && listed);
        };
        let _ = tokio::time::timeout(Duration::from_millis(300), asked).await;
    });
    runtime.shutdown_background();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn s3(yaml in config("S3", S3)) {
        try_out(&yaml);
    }

    #[test]
    fn gcs(yaml in config("GCS", GCS)) {
        try_out(&yaml);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn azure(yaml in config("AZURE", AZURE).prop_filter("on this machine", |y| y.contains("endpoint"))) {
        // The account's name stands before the endpoint: only addresses of this machine are asked.
        if Config::parse(&yaml, &|_| None).is_err() {
            try_out(&yaml);
        }
    }
}

#[test]
fn refused_with_the_line_and_the_key() {
    for (yaml, want) in [
        (
            "type: S3\nconfig:\n  bucket: bbb\n  endpoint: 127.0.0.1:1\n  bucket_lookup_type: virtual-hosted\n",
            "line 4: config.endpoint",
        ),
        ("type: S3\nconfig:\n  bucket: a b\n  endpoint: localhost:1\n", "line 3: config.bucket"),
        ("type: S3\nconfig:\n  bucket: bbb\n  endpoint: localhost:99999\n", "line 4: config.endpoint"),
        ("type: S3\nconfig:\n  bucket: bbb\n  endpoint: exa mple:80\n", "line 4: config.endpoint"),
        ("type: S3\nconfig:\n  bucket: bbb\n  endpoint: '{'\n", "line 4: config.endpoint"),
        (
            "type: S3\nconfig:\n  bucket: bbb\n  endpoint: h\n  access_key: a\n  secret_key: \"b\\nc\"\n",
            "line 6: config.secret_key",
        ),
        ("type: AZURE\nconfig:\n  container: a/b\n  storage_account: a\n", "line 3: config.container"),
        ("type: GCS\nconfig:\n  bucket: a?b\n", "line 3: config.bucket"),
        ("type: S3\nconfig:\n  endpoint: h\n", "config.bucket: must be set"),
        ("type: FILESYSTEM\nconfig: {directory: d}\nprefix: a/../b\n", "prefix"),
    ] {
        let error = Config::parse(yaml, &|_| None).unwrap_err().to_string();
        assert!(error.starts_with(want), "{yaml}: {error}");
    }
}
