//! Blocks whose `meta.json` cannot be used, and listings that fail: nothing is missing from an answer unsaid, and a running
//! store keeps what it serves.

use block::{BlockId, BlockMeta};
use bucket::marks::{DeletionMark, MARK_VERSION};
use model::TimeRange;
use objstore::faults::Effect;
use objstore::{ErrorKind, Op};
use storage::{Ctx, LabelQuery, PartialResponse, Select, Series, SeriesSource};
use store_gateway::Store;

use crate::common::*;
use crate::crafted::{self, Crafted};

const HOUR: i64 = 3_600_000;

fn id(n: u128) -> BlockId {
    BlockId::new(1_700_000_000_000, n)
}

fn in_hour(n: i64) -> Vec<Series> {
    fleet("up", 2, n * HOUR, 240)
}

/// Block 1 of the first hour, block 2 of the second.
async fn two() -> (Fixture, BlockMeta) {
    let f = Fixture::new();
    let of = |n: i64| in_hour(n).iter().map(Crafted::from).collect::<Vec<_>>();
    let meta = crafted::put(&f.plain, id(1), "bad", (0, HOUR), &of(0), false).await;
    crafted::put(&f.plain, id(2), "good", (HOUR, 2 * HOUR), &of(1), false).await;
    (f, meta)
}

fn right(cluster: &str, n: i64) -> Vec<Series> {
    let external = labels::Labels::from_pairs([("cluster", cluster)]);
    in_hour(n).into_iter().map(|s| Series { labels: s.labels.overlay(&external), ..s }).collect()
}

async fn started(f: &Fixture) -> Store {
    let component = f.gateway(|c| c.data_dir = None).await;
    component.syncer.prepare(2).await;
    component
}

fn meta_path() -> String {
    format!("{}/meta.json", id(1))
}

/// All kinds of answers for `range` carry `text`, and are errors where parts must not be missing; others would ask.
async fn check_told(component: &Store, range: (i64, i64), text: &str) {
    let told = |warnings: Vec<String>| {
        let warnings = warnings.join("\n");
        assert!(warnings.contains(text), "{text:?} not in {warnings:?}");
    };
    let (ctx, want) = (Ctx::background(), select(range, &["__name__=up"]));
    told(ask(component, &want).await.warnings);
    let abort = Select { partial_response: PartialResponse::Abort, ..want };
    assert!(ask_with(component, &ctx, &abort).await.is_err());
    for matchers in [vec![], vec![m("__name__=up")]] {
        let query = LabelQuery::new(TimeRange::new(range.0, range.1), matchers);
        told(component.gateway.label_names(&ctx, query.clone()).await.unwrap().warnings);
        told(component.gateway.label_values(&ctx, "instance", query.clone()).await.unwrap().warnings);
        let abort = LabelQuery { partial_response: PartialResponse::Abort, ..query };
        assert!(component.gateway.label_names(&ctx, abort.clone()).await.is_err());
        assert!(component.gateway.label_values(&ctx, "instance", abort).await.is_err());
    }
    check_asked(component, range);
}

/// A querier that goes by the Info service asks for `range`.
fn check_asked(component: &Store, range: (i64, i64)) {
    let info = component.gateway.endpoint_info().unwrap();
    let range = TimeRange::new(range.0, range.1);
    assert!(info.source.range.overlaps(range), "{:?}", info.source.range);
    assert!(info.sets.iter().any(|s| s.range.overlaps(range)), "{:?}", info.sets);
}

/// All that is right, without a warning.
async fn check_whole(component: &Store) {
    let answer = ask(component, &select((0, 2 * HOUR), &["__name__=up"])).await;
    assert_eq!((answer.value, answer.warnings), ([right("bad", 0), right("good", 1)].concat(), vec![]));
}

fn damages(meta: &BlockMeta) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let json = String::from_utf8(meta.to_json()).unwrap();
    let with = |from: &str, to: &str| {
        assert!(json.contains(from), "{from}");
        json.replacen(from, to, 1).into_bytes()
    };
    let other = BlockMeta { ulid: id(2), ..meta.clone() }.to_json();
    vec![
        ("empty", Vec::new(), "its meta.json is corrupt"),
        ("cut", json.as_bytes()[..json.len() / 2].to_vec(), "its meta.json is corrupt"),
        ("no JSON", b"<html>".to_vec(), "its meta.json is corrupt"),
        ("no text", vec![0xff; 100], "its meta.json is corrupt"),
        ("another's", other, "is of block"),
        ("ends before it begins", with("\"minTime\": 0", "\"minTime\": 3600001"), "is before minTime"),
        ("too large a number", with("3600000", "36000000000000000000"), "its meta.json is corrupt"),
        ("a fraction", with("3600000", "3600000.5"), "its meta.json is corrupt"),
        ("a text", with("3600000", "\"3600000\""), "its meta.json is corrupt"),
        ("a negative count", with("\"numSeries\": 2", "\"numSeries\": -2"), "its meta.json is corrupt"),
        ("a key twice", with("\"minTime\": 0", "\"minTime\": 0, \"minTime\": 1"), "its meta.json is corrupt"),
        ("a label twice", with("\"cluster\"", "\"cluster\": \"x\", \"cluster\""), "its meta.json is corrupt"),
        ("a key changed", with("\"thanos\"", "\"thanoz\""), "\"thanos\" is missing"),
        ("a later version", with("\"version\": 1,\n\t\"thanos\"", "\"version\": 3,\n\t\"thanos\""), "version 3"),
        ("a later section", with("{\n\t\t\"version\": 1", "{\n\t\t\"version\": 9"), "version 9"),
        ("a strange resolution", with("\"resolution\": 0", "\"resolution\": 7"), "resolution, 7 ms"),
        ("a negative resolution", with("\"resolution\": 0", "\"resolution\": -1"), "resolution, -1 ms"),
    ]
}

#[tokio::test]
async fn a_corrupt_meta_at_the_start_is_told() {
    let (f, meta) = two().await;
    for (what, bytes, text) in damages(&meta) {
        f.plain.put(&meta_path(), bytes).await.unwrap();
        let component = started(&f).await;
        check_told(&component, (0, HOUR - 1), &format!("block {}: ", id(1))).await;
        check_told(&component, (0, 2 * HOUR), text).await;
        let answer = ask(&component, &select((HOUR, 2 * HOUR), &["__name__=up"])).await;
        assert_eq!(answer.value, right("good", 1), "{what}");
        let seen = component.syncer.seen();
        assert!(!seen.unread[&id(1)].is_known && seen.unread.len() == 1, "{what}: {seen:?}");
        // Put right, all is well at the next sync.
        f.plain.put(&meta_path(), meta.to_json()).await.unwrap();
        component.syncer.sync().await.unwrap();
        check_whole(&component).await;
        assert!(component.syncer.seen().unread.is_empty());
    }
    assert!(f.metrics.encode().contains(r#"thanos_blocks_meta_synced{state="corrupted-meta-json"} 0"#));
}

#[tokio::test]
async fn a_running_store_keeps_what_it_served() {
    let (f, meta) = two().await;
    for (what, bytes, text) in damages(&meta) {
        let component = started(&f).await;
        f.plain.put(&meta_path(), bytes).await.unwrap();
        for _ in 0..2 {
            component.syncer.sync().await.unwrap();
            check_whole(&component).await;
        }
        let seen = component.syncer.seen();
        assert!(seen.unread[&id(1)].is_known && seen.unread[&id(1)].why.contains(text), "{what}: {seen:?}");
        f.plain.put(&meta_path(), meta.to_json()).await.unwrap();
    }
    for kind in [ErrorKind::Denied, ErrorKind::NotFound, ErrorKind::Unavailable, ErrorKind::Timeout] {
        let component = started(&f).await;
        // written again, so that it is read again
        f.plain.put(&meta_path(), meta.to_json()).await.unwrap();
        f.faults.always("meta", Some(Op::Get), &meta_path(), Effect::Fail(kind));
        component.syncer.sync().await.unwrap();
        assert!(f.faults.hits("meta") > 0);
        check_whole(&component).await;
        assert!(f.metrics.encode().contains(r#"thanos_blocks_meta_synced{state="failed"} 1"#), "{kind:?}");
        f.faults.clear();
    }
    // Only meta.json is lost: nothing else is.
    let component = started(&f).await;
    f.plain.delete(&meta_path()).await.unwrap();
    component.syncer.sync().await.unwrap();
    check_whole(&component).await;
    assert!(component.syncer.seen().unread[&id(1)].why.contains("its meta.json is gone"));
    // It is being deleted.
    let mark = DeletionMark { id: id(1), version: MARK_VERSION, details: String::new(), deletion_time: 5 };
    f.plain.put(&format!("{}/deletion-mark.json", id(1)), serde_json::to_vec(&mark).unwrap()).await.unwrap();
    component.syncer.sync().await.unwrap();
    let answer = ask(&component, &select((0, 2 * HOUR), &["__name__=up"])).await;
    assert_eq!((answer.value, answer.warnings), (right("good", 1), vec![]));
}

#[tokio::test]
async fn a_block_that_is_deleted_goes_whatever_its_meta_was() {
    for marked in [false, true] {
        let (f, _) = two().await;
        let component = started(&f).await;
        f.change(&meta_path(), |b| b.truncate(100)).await;
        component.syncer.sync().await.unwrap();
        check_whole(&component).await;
        if marked {
            let mark = DeletionMark { id: id(1), version: MARK_VERSION, details: String::new(), deletion_time: 5 };
            bucket::marks::write(&f.plain, &mark).await.unwrap();
        } else {
            bucket::delete::delete_block(&f.plain, id(1), &service::Failpoints::none()).await.unwrap();
        }
        component.syncer.sync().await.unwrap();
        let answer = ask(&component, &select((0, 2 * HOUR), &["__name__=up"])).await;
        assert_eq!((answer.value, answer.warnings), (right("good", 1), vec![]), "marked: {marked}");
        // nor is it missed by a store that starts now
        let answer = ask(&started(&f).await, &select((0, 2 * HOUR), &["__name__=up"])).await;
        assert_eq!((answer.value, answer.warnings), (right("good", 1), vec![]), "marked: {marked}");
    }
}

/// The data of a source are in what was made of it, and a partial upload has none.
#[tokio::test]
async fn what_is_not_missing() {
    let (f, meta) = two().await;
    let merged = BlockMeta {
        compaction: block::meta::Compaction { level: 2, sources: vec![id(1), id(3)], ..Default::default() },
        ulid: id(9),
        ..meta
    };
    for file in ["index", "chunks/000001"] {
        let bytes = f.plain.get(&format!("{}/{file}", id(1))).await.unwrap();
        f.plain.put(&format!("{}/{file}", id(9)), bytes).await.unwrap();
    }
    f.plain.put(&format!("{}/meta.json", id(9)), merged.to_json()).await.unwrap();
    f.change(&meta_path(), |b| b.truncate(100)).await;
    f.plain.put(&format!("{}/index", id(5)), "half").await.unwrap();
    let component = started(&f).await;
    check_whole(&component).await;
    assert_eq!(component.syncer.seen().unread.keys().collect::<Vec<_>>(), [&id(1)]);
}

#[tokio::test]
async fn a_meta_that_cannot_be_read_at_the_start_is_told() {
    let (f, _) = two().await;
    for kind in [
        ErrorKind::Denied,
        ErrorKind::NotFound,
        ErrorKind::Unavailable,
        ErrorKind::Throttled,
        ErrorKind::Timeout,
        ErrorKind::Other,
    ] {
        f.faults.always("meta", Some(Op::Get), &meta_path(), Effect::Fail(kind));
        let component = started(&f).await;
        check_told(&component, (0, HOUR - 1), &format!("block {}: its meta.json cannot be read", id(1))).await;
        check_told(&component, (HOUR, 2 * HOUR), &id(1).to_string()).await;
        assert!(component.syncer.seen().is_incomplete);
        f.faults.clear();
        component.syncer.sync().await.unwrap();
        check_whole(&component).await;
    }
}

#[tokio::test]
async fn a_listing_that_fails_is_told_and_drops_nothing() {
    let (f, _) = two().await;
    let component = f.component(|c| c.data_dir = None);
    f.faults.always("listing", Some(Op::Iter), "", Effect::Fail(ErrorKind::Other));
    assert!(component.syncer.sync().await.is_err());
    assert!(component.gateway.endpoint_info().is_none(), "ready without a view");
    f.faults.clear();
    component.syncer.sync().await.unwrap();
    check_whole(&component).await;
    f.faults.always("listing", Some(Op::Iter), "", Effect::Fail(ErrorKind::Other));
    assert!(component.syncer.sync().await.is_err());
    let want = select((0, 2 * HOUR), &["__name__=up"]);
    assert_eq!(ask(&component, &want).await.value, [right("bad", 0), right("good", 1)].concat());
    check_told(&component, (0, HOUR), "the bucket could not be listed").await;
    check_told(&component, (50 * HOUR, 60 * HOUR), "the bucket could not be listed").await;
    assert!(f.metrics.encode().contains("thanos_blocks_meta_sync_failures_total 2\n"));
    f.faults.clear();
    component.syncer.sync().await.unwrap();
    check_whole(&component).await;
}

/// Whatever byte of `meta.json` is changed, and wherever it is cut: the answer is right, or it is told.
#[tokio::test]
async fn every_byte_of_meta() {
    let (f, meta) = two().await;
    let whole = meta.to_json();
    let answers = [((0, 2 * HOUR), [right("bad", 0), right("good", 1)].concat()), ((0, HOUR - 1), right("bad", 0))];
    let mut silent = 0;
    for at in 0..whole.len() {
        let changed = [whole[at] ^ 1, whole[at] ^ (1 << (at % 7)), b'0' + (at % 10) as u8, b' '];
        let mut tries: Vec<Vec<u8>> = changed.iter().map(|byte| with_byte(&whole, at, *byte)).collect();
        tries.push(whole[..at].to_vec());
        for bytes in tries.into_iter().filter(|bytes| *bytes != whole) {
            // External labels are told by nothing else: others are others.
            if BlockMeta::parse("", &bytes).is_ok_and(|m| m.thanos.unwrap_or_default().labels != labels_of(&meta)) {
                silent += 1;
                continue;
            }
            f.plain.put(&meta_path(), bytes.clone()).await.unwrap();
            let component = started(&f).await;
            for (range, right) in &answers {
                let answer = ask(&component, &select(*range, &["__name__=up"])).await;
                check_asked(&component, *range);
                let shown = String::from_utf8_lossy(&bytes[at.saturating_sub(20)..(at + 20).min(bytes.len())]);
                assert!(answer.value == *right || !answer.warnings.is_empty(), "byte {at}: {shown:?}, {range:?}");
            }
        }
    }
    assert!(silent < 100, "{silent} changes are taken for other external labels");
}

fn with_byte(whole: &[u8], at: usize, byte: u8) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    bytes[at] = byte;
    bytes
}

fn labels_of(meta: &BlockMeta) -> std::collections::BTreeMap<String, String> {
    meta.thanos.clone().unwrap_or_default().labels
}
