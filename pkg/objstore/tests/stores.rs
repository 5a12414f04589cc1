//! The conformance suite against each kind of store, and what happens on the wire.

use std::ops::Range;
use std::time::Duration;

use futures::TryStreamExt;
use objstore::{Bucket, ConditionalCreate, Config, Created, ErrorKind, OpenOptions, Settings, conformance};
use rand::SeedableRng;
use testkit::s3::{Fault, FaultKind, Operation, Server};

fn open(yaml: &str) -> Bucket {
    Config::parse(yaml, &|_| None).unwrap().open(&OpenOptions::default()).unwrap()
}

/// Quick retries: `max_retries` of them.
fn open_with_retries(server: &Server, max_retries: u32) -> Bucket {
    open(&format!("{}  max_retries: {max_retries}\n", server.config_yaml()))
}

async fn conforms(bucket: &Bucket, dir: &str, conditional: bool) {
    let local = tempfile::tempdir().unwrap();
    conformance::run(bucket, dir, local.path(), conditional).await;
}

async fn probe(bucket: &Bucket) -> ConditionalCreate {
    let mut rng = rand::rngs::StdRng::seed_from_u64(7);
    bucket.probe_conditional_create(&model::SystemClock, &mut rng).await.unwrap()
}

#[tokio::test]
async fn memory() {
    let bucket = Bucket::in_memory();
    assert_eq!(probe(&bucket).await, ConditionalCreate::Honoured);
    conforms(&bucket, "d", true).await;
}

#[tokio::test]
async fn filesystem() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = open(&format!("type: FILESYSTEM\nconfig:\n  directory: {}/new\n", dir.path().display()));
    // An uploader makes it, a question does not.
    assert!(bucket.exists("x").await.is_err() && !dir.path().join("new").exists());
    bucket.prepare().await.unwrap();
    assert_eq!(probe(&bucket).await, ConditionalCreate::Honoured);
    conforms(&bucket, "d/e", true).await;
    // As Thanos lays it out: keys are paths, and directories go with their last file.
    bucket.put("01ARZ3NDEKTSV4RRFFQ69G5FAV/meta.json", "{}").await.unwrap();
    let on_disk = dir.path().join("new/01ARZ3NDEKTSV4RRFFQ69G5FAV/meta.json");
    assert_eq!(std::fs::read(&on_disk).unwrap(), b"{}");
    bucket.delete("01ARZ3NDEKTSV4RRFFQ69G5FAV/meta.json").await.unwrap();
    // What a killed writer leaves is no object.
    std::fs::create_dir(dir.path().join("new/a")).unwrap();
    std::fs::write(dir.path().join("new/a/x#1"), "half").unwrap();
    assert!(bucket.list_recursive("").try_next().await.unwrap().is_none());
    let left: Vec<_> = bucket.unfinished_uploads().try_collect().await.unwrap();
    assert_eq!(left.iter().map(|u| (u.path.as_str(), u.id.as_str())).collect::<Vec<_>>(), [("a/x", "1")]);
    bucket.abort_unfinished_upload(&left[0]).await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("new")).unwrap().count(), 0);
}

#[tokio::test]
async fn unfinished_uploads_by_pages() {
    let server = Server::start().await;
    let now = std::time::SystemTime::now();
    let put = |key: &str| server.backend().insert_upload(Server::BUCKET, key, now, "part", now);
    let keys = ["p/a b", "p/a+b", "p/c", "p/c", "p/c", "p/d%2F", "other", "z"];
    keys.into_iter().for_each(put);
    let bucket = open(&format!("{}prefix: p\n", server.config_yaml()));
    for max in 1..=7 {
        server.backend().set_uploads_page_max(max);
        let all: Vec<_> = bucket.unfinished_uploads().try_collect().await.unwrap();
        assert_eq!(all.iter().map(|u| u.path.as_str()).collect::<Vec<_>>(), ["a b", "a+b", "c", "c", "c", "d%2F"]);
        assert!(all.iter().all(|u| u.begun_ms > 1_500_000_000_000), "{all:?}");
    }
    for (status, kind) in [
        (403, ErrorKind::Denied),
        (501, ErrorKind::Unsupported),
        (405, ErrorKind::Unsupported),
        (404, ErrorKind::NotFound),
    ] {
        server.clear_faults();
        server.fault(Fault::next(1, Operation::ListUploads, "", FaultKind::Status(status)));
        let error = bucket.unfinished_uploads().try_next().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    server.fault(Fault::next(2, Operation::ListUploads, "", FaultKind::Status(503)));
    assert!(bucket.unfinished_uploads().try_next().await.unwrap().is_some());
}

/// As some stores answer: 501 Not Implemented.
#[tokio::test]
async fn embedded_s3_that_refuses_conditions() {
    let server = Server::start().await;
    server.backend().refuse_conditions(true);
    let bucket = open_with_retries(&server, 1);
    assert_eq!(probe(&bucket).await, ConditionalCreate::Ignored);
    for (body, want) in [("a", Created::Created), ("b", Created::AlreadyExists), ("a", Created::Created)] {
        assert_eq!(bucket.put_if_absent("mark", body).await.unwrap(), want, "{body}");
    }
}

#[tokio::test]
async fn embedded_s3() {
    let server = Server::start().await;
    let bucket = open(&server.config_yaml());
    assert_eq!(probe(&bucket).await, ConditionalCreate::Honoured);
    conforms(&bucket, "d", true).await;
    let bucket = open(&format!("{}prefix: some/where\n", server.config_yaml()));
    bucket.put("x", "y").await.unwrap();
    assert_eq!(bucket.head("x").await.unwrap().path, "x");
    assert_eq!(bucket.list_dirs("").await.unwrap(), Vec::<String>::new());
    assert_eq!(server.backend().keys(Server::BUCKET), ["some/where/x"]);
    for prefix in ["team~a", "a b%25c", "größe/[1]*+#?", "a&b=c"] {
        let bucket = open(&format!("{}prefix: \"{prefix}\"\n", server.config_yaml()));
        bucket.put("x/y", "z").await.unwrap();
        assert!(server.backend().keys(Server::BUCKET).contains(&format!("{prefix}/x/y")), "{prefix}");
        assert_eq!(bucket.get("x/y").await.unwrap(), "z", "{prefix}");
        assert_eq!(bucket.list_dirs("").await.unwrap(), ["x"], "{prefix}");
        let listed: Vec<_> = bucket.list_recursive("").try_collect().await.unwrap();
        assert_eq!(listed.into_iter().map(|o| o.path).collect::<Vec<_>>(), ["x/y"], "{prefix}");
    }
    assert_eq!(server.backend().uploads_open(), 0);
    assert!(server.requests(Operation::Delete) > 0, "deletes in a form that every store knows");
    assert_eq!(server.requests(Operation::Other), 0);
    server.backend().ignore_conditions(true);
    assert_eq!(probe(&bucket).await, ConditionalCreate::Ignored);
}

#[tokio::test]
async fn external_s3() {
    let var = |name: &str| std::env::var(name).ok();
    let Some(endpoint) = var("TEST_S3_ENDPOINT") else {
        return testkit::skip_without("TEST_S3_ENDPOINT", "external_s3");
    };
    let (insecure, host) = match endpoint.split_once("://") {
        Some((scheme, host)) => (scheme == "http", host.to_owned()),
        None => (false, endpoint),
    };
    let bucket = open(&format!(
        "type: S3\nconfig:\n  bucket: {}\n  endpoint: {host}\n  region: {}\n  access_key: {}\n  secret_key: {}\n  \
         insecure: {insecure}\n",
        var("TEST_S3_BUCKET").unwrap(),
        var("TEST_S3_REGION").unwrap_or_else(|| "us-east-1".into()),
        var("TEST_S3_ACCESS_KEY").unwrap(),
        var("TEST_S3_SECRET_KEY").unwrap()
    ));
    let honoured = probe(&bucket).await == ConditionalCreate::Honoured;
    conforms(&bucket, &format!("conformance-{}", std::process::id()), honoured).await;
}

#[tokio::test]
async fn external_azure() {
    let Ok(connection) = std::env::var("TEST_AZURE_CONNECTION_STRING") else {
        return testkit::skip_without("TEST_AZURE_CONNECTION_STRING", "external_azure");
    };
    let container = std::env::var("TEST_AZURE_CONTAINER").unwrap();
    let bucket = open(&format!(
        "type: AZURE\nconfig:\n  storage_connection_string: \"{connection}\"\n  container: {container}\n"
    ));
    conforms(&bucket, &format!("conformance-{}", std::process::id()), true).await;
}

#[tokio::test]
async fn external_gcs() {
    let Ok(host) = std::env::var("TEST_GCS_EMULATOR_HOST") else {
        return testkit::skip_without("TEST_GCS_EMULATOR_HOST", "external_gcs");
    };
    let yaml = format!("type: GCS\nconfig:\n  bucket: {}\n", std::env::var("TEST_GCS_BUCKET").unwrap());
    let env = |name: &str| (name == "STORAGE_EMULATOR_HOST").then(|| host.clone());
    let bucket = Config::parse(&yaml, &env).unwrap().open(&OpenOptions::default()).unwrap();
    conforms(&bucket, &format!("conformance-{}", std::process::id()), true).await;
}

#[tokio::test]
async fn retries_503_but_not_403() {
    let server = Server::start().await;
    let bucket = open_with_retries(&server, 3);
    bucket.put("a", "body").await.unwrap();

    server.fault(Fault::next(2, Operation::Get, "/a", FaultKind::Status(503)));
    assert_eq!(&bucket.get("a").await.unwrap()[..], b"body");
    assert_eq!(server.requests(Operation::Get), 3);

    server.clear_faults();
    server.fault(Fault::next(u64::MAX, Operation::Head, "/a", FaultKind::Status(503)));
    assert_eq!(bucket.head("a").await.unwrap_err().kind(), ErrorKind::Throttled);
    assert_eq!(server.requests(Operation::Head), 1 + 3);

    server.clear_faults();
    server.fault(Fault::next(u64::MAX, Operation::Put, "", FaultKind::Status(403)));
    let before = server.requests(Operation::Put);
    assert_eq!(bucket.put("b", "x").await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(server.requests(Operation::Put), before + 1);
    server.fault(Fault::next(u64::MAX, Operation::List, "", FaultKind::Status(403)));
    assert_eq!(bucket.list_dirs("").await.unwrap_err().kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn no_server_at_all() {
    let port = testkit::free_port().unwrap();
    let yaml = format!(
        "type: S3\nconfig: {{bucket: b, endpoint: '127.0.0.1:{port}', insecure: true, access_key: k, secret_key: s, \
         max_retries: 1}}\n"
    );
    let error = open(&yaml).get("a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().starts_with("get b/a: store unavailable: "), "{error}");
}

#[tokio::test]
async fn hangs_end_at_the_deadline() {
    let server = Server::start().await;
    let bucket = open(&server.config_yaml())
        .with_settings(Settings { operation_timeout: Duration::from_millis(50), ..Settings::default() });
    server.fault(Fault::next(u64::MAX, Operation::Get, "", FaultKind::Latency(Duration::from_secs(60))));
    assert_eq!(bucket.get("a").await.unwrap_err().kind(), ErrorKind::Timeout);
}

/// A body that ends early is an error or is fetched again, never data (also r3193, r4877, r5003).
#[tokio::test]
async fn r3795_short_bodies() {
    let server = Server::start().await;
    let bucket = open_with_retries(&server, 2);
    let body: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    bucket.put("a", body.clone()).await.unwrap();
    for len in [0, 1, 5000, 9996, 9999] {
        // Honest about its shorter length: the range asked for is known.
        server.fault(Fault::next(1, Operation::Get, "", FaultKind::Short(len)));
        assert_eq!(bucket.get_range("a", 0..10_000).await.unwrap(), body, "short {len}");
        // The connection breaks: the length announced is known.
        server.clear_faults();
        server.fault(Fault::next(1, Operation::Get, "", FaultKind::Cut(len)));
        assert_eq!(bucket.get("a").await.unwrap(), body, "cut {len}");
        server.clear_faults();
        // For ever.
        server.fault(Fault::next(u64::MAX, Operation::Get, "", FaultKind::Short(len)));
        let error = bucket.get_range("a", 0..10_000).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ShortBody, "{error}");
        server.clear_faults();
    }
}

/// A body that is taken piece by piece goes on where it ended, and is an error where it ends early each time.
#[tokio::test]
async fn bodies_taken_by_pieces_go_on() {
    let server = Server::start().await;
    let bucket = open_with_retries(&server, 2);
    let body: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    bucket.put("a", body.clone()).await.unwrap();
    let read = async |range: Range<u64>| {
        let mut all = Vec::new();
        let mut open = bucket.stream_range("a", range).await?;
        while let Some(piece) = open.next().await? {
            all.extend_from_slice(&piece);
        }
        Ok::<_, objstore::Error>(all)
    };
    for len in [0, 1, 5000, 9999] {
        for kind in [FaultKind::Short(len), FaultKind::Cut(len)] {
            server.fault(Fault::next(1, Operation::Get, "", kind));
            assert_eq!(read(0..12_000).await.unwrap(), body, "{kind:?}");
            server.clear_faults();
        }
    }
    server.fault(Fault::next(u64::MAX, Operation::Get, "", FaultKind::Short(10)));
    assert_eq!(read(0..10_000).await.unwrap_err().kind(), ErrorKind::ShortBody);
}

/// A long range of a file is read window by window, not as one.
#[tokio::test]
async fn files_are_read_in_windows() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", dir.path().display());
    let metrics = telemetry::Metrics::new();
    let options = OpenOptions { metrics: Some(metrics.clone()), ..OpenOptions::default() };
    let bucket = Config::parse(&yaml, &|_| None).unwrap().open(&options).unwrap();
    let body: Vec<u8> = (0..=255).cycle().take(1_000_003).collect();
    bucket.put("a", body.clone()).await.unwrap();
    let mut open = bucket.stream_range("a", 5..2_000_000).await.unwrap();
    let mut all = Vec::new();
    while open.at() < open.end() {
        let piece = open.next().await.unwrap().unwrap();
        assert!(piece.len() <= 256 << 10, "{}", piece.len());
        all.extend_from_slice(&piece);
    }
    assert_eq!(all, body[5..]);
    // Counted when the last byte was read, as one operation.
    let text = metrics.encode();
    let count = |name: &str, operation: &str| {
        let line =
            format!("thanos_objstore_bucket_{name}{{bucket=\"{}\",operation=\"{operation}\"}} ", dir.path().display());
        let found = text.lines().find_map(|l| l.strip_prefix(&line)).unwrap_or_else(|| panic!("{line} in {text}"));
        found.parse::<f64>().unwrap()
    };
    assert_eq!(count("operations_total", "get_range"), 1.0);
    assert_eq!(count("operation_fetched_bytes_total", "get_range"), (body.len() - 5) as f64);
}

/// A page that says there is more, without saying where, is a failed listing and not its end.
#[tokio::test]
async fn r4374_truncated_listing_without_token() {
    let server = Server::start().await;
    for n in 0..1500 {
        let now = std::time::SystemTime::now();
        server.backend().insert(Server::BUCKET, &format!("k{n:04}"), "x", now);
    }
    let bucket = open_with_retries(&server, 1);
    let all: Vec<_> = bucket.list_recursive("").try_collect().await.unwrap();
    assert_eq!(all.len(), 1500);
    server.fault(Fault::next(1, Operation::List, "", FaultKind::TruncatedWithoutToken));
    let outcome: Result<Vec<_>, _> = bucket.list_recursive("").try_collect().await;
    assert!(outcome.is_err(), "{} of 1500 taken for all", outcome.unwrap().len());
}

/// What is no listing, or only a part of one, is never taken for an empty bucket.
#[tokio::test]
async fn a_body_that_is_no_listing_is_a_failure() {
    let server = Server::start().await;
    let bucket = open_with_retries(&server, 1);
    bucket.put("a/b", "x").await.unwrap();
    let whole = bucket.list_recursive("").try_collect::<Vec<_>>().await.unwrap().len();
    for kind in [
        FaultKind::Body("<html><body>Please log in</body></html>"),
        FaultKind::Body("<ListBucketResult/>"),
        FaultKind::Body("<ListBucketResult><Name>b</Name><KeyCount>0</KeyCount></ListBucketResult>"),
        FaultKind::Body("{}"),
        FaultKind::Body(""),
        FaultKind::Short(120),
        FaultKind::Short(250),
    ] {
        for dirs in [false, true] {
            server.clear_faults();
            server.fault(Fault::next(u64::MAX, Operation::List, "", kind));
            let count = match dirs {
                false => bucket.list_recursive("").try_collect::<Vec<_>>().await.map(|found| found.len()),
                true => bucket.list_dirs("").await.map(|found| found.len()),
            };
            assert!(count.is_err(), "{kind:?}: {count:?} of {whole}");
        }
    }
    server.clear_faults();
    assert_eq!(bucket.list_dirs("").await.unwrap(), ["a"]);
}

/// A directory that is gone is no empty bucket; nothing is written in its place. Once it is back, all is as before.
#[tokio::test]
async fn a_directory_that_is_gone_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let (root, away) = (dir.path().join("bucket"), dir.path().join("away"));
    let bucket = open(&format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", root.display()));
    let list = async || bucket.list_recursive("").try_collect::<Vec<_>>().await;
    // Who reads makes nothing; the first write does.
    assert!(list().await.is_err() && bucket.list_dirs("").await.is_err() && bucket.get("a/b").await.is_err());
    assert!(!bucket.get("a/b").await.unwrap_err().is_not_found() && !root.exists());
    bucket.put("a/b", "x").await.unwrap();
    assert_eq!(list().await.unwrap().len(), 1);
    std::fs::rename(&root, &away).unwrap();
    for is_file in [false, true] {
        if is_file {
            std::fs::write(&root, "").unwrap();
        }
        let error = list().await.unwrap_err();
        assert!(error.to_string().contains(root.to_str().unwrap()) && !error.is_not_found(), "{error}");
        assert!(bucket.list_dirs("").await.is_err());
        assert!(bucket.put("a/c", "x").await.is_err());
        assert!(bucket.put_if_absent("a/c", "x").await.is_err());
    }
    std::fs::remove_file(&root).unwrap();
    std::fs::rename(&away, &root).unwrap();
    assert_eq!(list().await.unwrap().len(), 1);
    // One that was emptied is an empty bucket.
    bucket.delete("a/b").await.unwrap();
    assert_eq!(list().await.unwrap().len(), 0);
}

/// The answer to a create was lost: the object found on the second try is our own.
#[tokio::test]
async fn r3626_create_retried_after_commit() {
    let server = Server::start().await;
    let bucket = open_with_retries(&server, 2);
    server.fault(Fault::next(1, Operation::Put, "", FaultKind::StatusAfter(500)));
    assert_eq!(bucket.put_if_absent("a", "mine").await.unwrap(), Created::Created);
    assert_eq!(bucket.put_if_absent("a", "other").await.unwrap(), Created::AlreadyExists);
}

/// A part that fails for good fails the file, and leaves no parts behind.
#[tokio::test]
async fn failed_part_fails_the_file() {
    let server = Server::start().await;
    let mut settings = Settings::default();
    (settings.part_bytes, settings.multipart_above_bytes) = (5 << 20, 5 << 20);
    let bucket = open_with_retries(&server, 1).with_settings(settings);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f");
    std::fs::write(&file, vec![7; 11 << 20]).unwrap();
    let fault = Fault { skip: 1, ..Fault::next(u64::MAX, Operation::UploadPart, "", FaultKind::Status(500)) };
    server.fault(fault);
    assert_eq!(bucket.put_file("f", &file).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(!bucket.exists("f").await.unwrap());
    assert_eq!(server.backend().uploads_open(), 0);
}

#[tokio::test]
async fn metrics_as_thanos_counts() {
    let dir = tempfile::tempdir().unwrap();
    let metrics = telemetry::Metrics::new();
    let clock = std::sync::Arc::new(model::FakeClock::at(1_700_000_000_500));
    let options = OpenOptions { metrics: Some(metrics.clone()), clock, concurrency_max: 2 };
    let yaml = format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", dir.path().display());
    let bucket = Config::parse(&yaml, &|_| None).unwrap().open(&options).unwrap();
    bucket.put("a", "12345").await.unwrap();
    assert_eq!(bucket.get("a").await.unwrap().len(), 5);
    bucket.get_range("a", 1..3).await.unwrap();
    assert!(bucket.get("b").await.is_err());
    assert!(!bucket.exists("b").await.unwrap());
    let text = metrics.encode();
    let at = |name: &str, op: &str| {
        let key = format!("thanos_objstore_bucket_{name}{{bucket=\"{}\",operation=\"{op}\"}} ", dir.path().display());
        let found = text.lines().find_map(|l| l.strip_prefix(&key));
        found.unwrap_or_else(|| panic!("no {key} in\n{text}")).parse::<f64>().unwrap()
    };
    assert_eq!((at("operations_total", "get"), at("operations_total", "exists")), (2.0, 1.0));
    assert_eq!(at("operation_failures_total", "get"), 0.0);
    assert_eq!(
        (at("operation_fetched_bytes_total", "get"), at("operation_fetched_bytes_total", "get_range")),
        (5.0, 2.0)
    );
    assert_eq!(at("operation_transferred_bytes_count", "upload"), 1.0);
    assert_eq!((at("operation_duration_seconds_count", "get"), at("operations_total", "iter")), (1.0, 0.0));
    assert!(text.contains("last_successful_upload_time{") && text.contains("} 1700000000.5\n"), "{text}");
}

/// Keys below a prefix are what Thanos writes: as they stand, whatever the prefix holds.
#[tokio::test]
async fn prefixes_are_not_escaped() {
    for prefix in [
        "team~a",
        "a b",
        "a%25b",
        "50%",
        "a[1]*?",
        "a\\\\b",
        "a^b|c{d}<e>",
        "größe",
        "a#b",
        "a/b~c/d",
        "a&b=c+d;e,f@g:h!i$j'k",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let yaml = format!("type: FILESYSTEM\nconfig:\n  directory: {}\nprefix: \"{prefix}\"\n", dir.path().display());
        let (bucket, plain) = (open(&yaml), prefix.replace("\\\\", "\\"));
        bucket.put("x/meta.json", "1").await.unwrap();
        assert!(dir.path().join(&plain).join("x/meta.json").is_file(), "{prefix}");
        std::fs::write(dir.path().join(&plain).join("x/index"), "22").unwrap();
        assert_eq!(bucket.get("x/index").await.unwrap(), "22");
        let listed: Vec<_> = bucket.list_recursive("").try_collect().await.unwrap();
        let mut paths: Vec<_> = listed.into_iter().map(|o| o.path).collect();
        paths.sort();
        assert_eq!(paths, ["x/index", "x/meta.json"], "{prefix}");
        assert_eq!(bucket.list_dirs("").await.unwrap(), ["x"]);
    }
}
