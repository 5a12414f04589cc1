//! Corrupt and vanished objects, and a bucket that fails: what is whole is still answered, the rest is said.

use objstore::faults::{Effect, Fault};
use objstore::{ErrorKind, Op};
use storage::{Ctx, PartialResponse, Select, Series};

use crate::common::*;

const HOUR: i64 = 3_600_000;

struct Two {
    f: Fixture,
    bad: String,
    want: Select,
    /// What the other block answers.
    rest: Vec<Series>,
}

async fn two() -> Two {
    let mut f = Fixture::new();
    let bad = f.raw(1, &[("cluster", "bad")], (0, HOUR), fleet("up", 20, 0, 240)).await.to_string();
    f.raw(2, &[("cluster", "good")], (0, HOUR), fleet("up", 5, 0, 240)).await;
    let want = select((0, HOUR), &["__name__=up"]);
    let mut rest = f.right(&want).await;
    rest.retain(|s| s.labels.get("cluster") == Some("good"));
    Two { f, bad, want, rest }
}

impl Two {
    /// Asks a fresh gateway: the good block's series are all there, the warnings name the bad block and `texts`; with
    /// `Abort` it is an error. Gives the bad block's series that came.
    async fn check(&self, texts: &[&str]) -> Vec<Series> {
        std::fs::remove_dir_all(self.f.data_dir()).ok();
        let component = self.f.gateway(|_| {}).await;
        let answer = ask(&component, &self.want).await;
        let (bad, good): (Vec<_>, Vec<_>) =
            answer.value.into_iter().partition(|s| s.labels.get("cluster") == Some("bad"));
        assert_eq!(good, self.rest);
        let warnings = answer.warnings.join("\n");
        assert!(warnings.contains(&format!("block {}", self.bad)), "{warnings}");
        assert!(texts.iter().all(|t| warnings.contains(t)), "{texts:?} not in {warnings}");
        std::fs::remove_dir_all(self.f.data_dir()).ok();
        let component = self.f.gateway(|_| {}).await;
        let want = Select { partial_response: PartialResponse::Abort, ..self.want.clone() };
        let error = ask_with(&component, &Ctx::background(), &want).await.unwrap_err().to_string();
        assert!(error.contains(&self.bad), "{error}");
        assert!(texts.iter().any(|t| error.contains(t)), "{texts:?} not in {error}");
        bad
    }
}

#[tokio::test]
async fn one_bad_chunk_costs_one_series() {
    let t = two().await;
    let path = format!("{}/chunks/000001", t.bad);
    t.f.change(&path, |b| b[5000] ^= 1).await;
    let got = t.check(&["chunks/000001: offset ", "chunk"]).await;
    let right = t.f.right(&t.want).await;
    let missing: usize = right.iter().map(|s| s.chunks.len()).sum::<usize>()
        - got.iter().chain(&t.rest).map(|s| s.chunks.len()).sum::<usize>();
    assert_eq!(missing, 1);
    // What came is right.
    for series in got {
        let whole = right.iter().find(|s| s.labels == series.labels).unwrap();
        assert!(series.chunks.iter().all(|c| whole.chunks.contains(c)));
    }
}

/// No single flipped bit in any object of a block changes an answer unsaid.
#[tokio::test]
async fn every_byte() {
    let mut f = Fixture::new();
    let id = f.raw(1, &[("cluster", "bad")], (0, HOUR), fleet("up", 3, 0, 5)).await;
    let want = select((0, HOUR), &["__name__=~u.*", "job!=job-1"]);
    let right = f.right(&want).await;
    for object in ["index", "chunks/000001"] {
        let path = format!("{id}/{object}");
        let whole = f.plain.get(&path).await.unwrap().to_vec();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            f.plain.put(&path, bytes).await.unwrap();
            let component = f.gateway(|c| c.data_dir = None).await;
            let answer = ask(&component, &want).await;
            if answer.warnings.is_empty() {
                assert_eq!(answer.value, right, "{object}: byte {at}");
            } else {
                assert!(answer.value.iter().all(|s| right.contains(s)), "{object}: byte {at}");
                assert!(answer.warnings[0].starts_with(&format!("block {id}: ")), "{:?}", answer.warnings);
            }
        }
        f.plain.put(&path, whole).await.unwrap();
    }
}

#[tokio::test]
async fn cut_objects() {
    for (object, keep, texts) in [
        ("index", 1500, &["index: offset "][..]),
        ("index", 10, &["index: offset "]),
        ("index", 0, &["index: offset "]),
        ("chunks/000001", 4000, &["chunks/000001: offset "]),
        ("chunks/000001", 0, &["chunks/000001: offset "]),
    ] {
        let t = two().await;
        // Cut before the sync, and after it: then the listing showed another size.
        for late in [false, true] {
            let path = format!("{}/{object}", t.bad);
            let whole = t.f.plain.get(&path).await.unwrap().to_vec();
            if !late {
                t.f.change(&path, |b| b.truncate(keep)).await;
                t.check(texts).await;
            } else {
                let component = t.f.gateway(|c| c.data_dir = None).await;
                t.f.change(&path, |b| b.truncate(keep)).await;
                let answer = ask(&component, &t.want).await;
                let warnings = answer.warnings.join("\n");
                assert!(warnings.contains(&t.bad) && texts.iter().all(|t| warnings.contains(t)), "{warnings}");
                assert!(t.rest.iter().all(|s| answer.value.contains(s)));
            }
            t.f.plain.put(&path, whole).await.unwrap();
        }
    }
}

#[tokio::test]
async fn vanished_objects() {
    for object in ["index", "chunks/000001"] {
        let t = two().await;
        let component = t.f.gateway(|_| {}).await;
        t.f.plain.delete(&format!("{}/{object}", t.bad)).await.unwrap();
        let answer = ask(&component, &t.want).await;
        assert_eq!(answer.value, t.rest);
        assert!(
            answer.warnings[0].contains(&t.bad) && answer.warnings[0].contains("not found"),
            "{:?}",
            answer.warnings
        );
        t.check(&["not found"]).await;
    }
}

#[tokio::test]
async fn a_failing_bucket() {
    for kind in [ErrorKind::Unavailable, ErrorKind::Denied, ErrorKind::Throttled, ErrorKind::Timeout] {
        for object in ["/index", "/chunks/"] {
            let t = two().await;
            let path = format!("{}{object}", t.bad);
            t.f.faults.always("down", Some(Op::GetRange), &path, Effect::Fail(kind));
            let got = t.check(&[&format!("{}{object}", t.bad)]).await;
            assert!(got.is_empty());
            // And when it comes back, so do the series.
            t.f.faults.clear();
            let answer = ask(&t.f.gateway(|_| {}).await, &t.want).await;
            assert_eq!((answer.value, answer.warnings.len()), (t.f.right(&t.want).await, 0));
        }
    }
}

/// Short bodies are read again; a corrupt body too, once.
#[tokio::test]
async fn short_and_corrupt_bodies() {
    let t = two().await;
    let in_parts = [("index", 0), ("index", 1), ("index", 2), ("chunks/000001", 0)].map(|(o, skip)| (0, o, skip));
    let whole = [("index", 0), ("index", 1), ("chunks/000001", 0)].map(|(o, skip)| (4 << 20, o, skip));
    for (whole_index_bytes, object, skip) in in_parts.into_iter().chain(whole) {
        let path = format!("{}/{object}", t.bad);
        std::fs::remove_dir_all(t.f.data_dir()).ok();
        t.f.faults.clear();
        t.f.faults.add(Fault {
            name: "short",
            op: Some(Op::GetRange),
            path_contains: path,
            skip,
            times: 2,
            effect: Effect::Short(100),
        });
        let answer = ask(&t.f.gateway(|c| c.whole_index_bytes = whole_index_bytes).await, &t.want).await;
        assert_eq!((answer.value, answer.warnings), (t.f.right(&t.want).await, vec![]), "{object} {skip}");
        assert_eq!(t.f.faults.hits("short"), 2);
    }
}

/// A store that hangs ends with the request's deadline, and says where.
#[tokio::test]
async fn a_hanging_bucket() {
    let t = two().await;
    t.f.faults.always("hangs", Some(Op::GetRange), &format!("{}/chunks", t.bad), Effect::Hang);
    let component = t.f.gateway(|_| {}).await;
    let deadline = Some(std::time::Instant::now() + std::time::Duration::from_millis(100));
    let ctx = Ctx { deadline, ..Ctx::background() };
    let error = ask_with(&component, &ctx, &t.want).await.unwrap_err();
    assert!(matches!(&error, storage::Error::Timeout(text) if text.contains("chunks/000001")), "{error}");
}

/// A stream that is dropped stops its reads and gives its memory and its place back.
#[tokio::test]
async fn dropped_streams_leave_nothing() {
    use storage::SeriesSource;
    let t = two().await;
    t.f.faults.always("hangs", Some(Op::GetRange), &format!("{}/chunks", t.bad), Effect::Hang);
    let component = t.f.gateway(|c| c.series_concurrency = 1).await;
    let budget = storage::Budget::new("test", "--x", 1 << 30, None);
    let ctx = Ctx { budget: budget.clone(), ..Ctx::background() };
    for _ in 0..3 {
        let mut stream = component.gateway.select(&ctx, t.want.clone());
        let next = futures::StreamExt::next(&mut stream);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(50), next).await.is_err());
    }
    testkit::wait_for("all to be given back", std::time::Duration::from_secs(10), async || budget.used_bytes() == 0)
        .await;
}
