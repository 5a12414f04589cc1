//! Scripted faults between a bucket and its store.

use std::time::Duration;

use objstore::faults::{Effect, Faults};
use objstore::latency::LatencyHook;
use objstore::{Bucket, ErrorKind, Op};

#[tokio::test]
async fn each_effect_once() {
    let faults = Faults::new();
    let bucket = Bucket::in_memory().decorated(faults.clone());
    bucket.put("a/x", "12345678").await.unwrap();

    faults.once("no get", Op::Get, "a/", Effect::Fail(ErrorKind::Throttled));
    assert_eq!(bucket.get("a/x").await.unwrap_err().kind(), ErrorKind::Throttled);
    assert_eq!(bucket.get("a/x").await.unwrap().len(), 8);
    assert_eq!(faults.hits("no get"), 1);

    faults.once("short", Op::GetRange, "", Effect::Short(3));
    assert_eq!(bucket.get_range("a/x", 0..8).await.unwrap().len(), 8, "read again");
    assert_eq!(faults.hits("short"), 1);
    faults.always("short for ever", Some(Op::Get), "", Effect::Short(3));
    assert_eq!(bucket.get("a/x").await.unwrap_err().kind(), ErrorKind::ShortBody);

    faults.clear();
    faults.once("after", Op::Upload, "b", Effect::FailAfter(ErrorKind::Unavailable));
    assert_eq!(bucket.put("b", "x").await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(&bucket.get("b").await.unwrap()[..], b"x", "it was done all the same");

    faults.once("delete", Op::Delete, "", Effect::Fail(ErrorKind::Denied));
    assert_eq!(bucket.delete("b").await.unwrap_err().kind(), ErrorKind::Denied);
    faults.once("list", Op::Iter, "", Effect::Fail(ErrorKind::Unavailable));
    assert!(bucket.list_dirs("").await.is_err());

    faults.once("hang", Op::Attributes, "", Effect::Hang);
    let mut settings = bucket.settings().clone();
    settings.operation_timeout = Duration::from_millis(20);
    assert_eq!(bucket.with_settings(settings).head("b").await.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn latency() {
    let bucket = Bucket::in_memory().decorated(LatencyHook(Duration::from_secs(2)));
    let began = tokio::time::Instant::now();
    bucket.put("a", "x").await.unwrap();
    bucket.get("a").await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(4));
}
