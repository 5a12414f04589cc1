//! Label names and values over several blocks.

use std::sync::Arc;

use model::TimeRange;
use storage::{Ctx, Error, LabelQuery, SeriesSource};

use crate::common::*;

const HOUR: i64 = 3_600_000;

#[tokio::test]
async fn names_and_values() {
    let mut f = Fixture::new();
    f.raw(1, &[("cluster", "a"), ("replica", "0")], (0, HOUR), fleet("up", 20, 0, 10)).await;
    f.raw(2, &[("cluster", "b"), ("replica", "1")], (HOUR, 2 * HOUR), fleet("down", 3, HOUR, 10)).await;
    let component = f.gateway(|_| {}).await;
    let gateway = &component.gateway;
    let ctx = Ctx::background();
    let query = |range: (i64, i64), matchers: &[&str]| {
        LabelQuery::new(TimeRange::new(range.0, range.1), matchers.iter().map(|t| m(t)).collect::<Vec<_>>())
    };
    let all = (0, 2 * HOUR);
    for (range, matchers, want) in [
        (all, &[][..], "__name__ cluster instance job replica"),
        ((3 * HOUR, 4 * HOUR), &[], ""),
        (all, &["cluster=a"], "__name__ cluster instance job replica"),
        (all, &["cluster=c"], ""),
        (all, &["job=job-5"], "__name__ cluster instance job replica"),
        (all, &["job=nothing"], ""),
    ] {
        let got = gateway.label_names(&ctx, query(range, matchers)).await.unwrap();
        assert_eq!((got.value.join(" ").as_str(), got.warnings.len()), (want, 0), "{range:?} {matchers:?}");
    }
    for (name, range, matchers, want) in [
        ("__name__", all, &[][..], "down up"),
        ("__name__", (0, HOUR / 2), &[], "up"),
        ("__name__", all, &["cluster=b"], "down"),
        ("__name__", all, &["job=job-4"], "up"),
        ("job", all, &["__name__=down"], "job-0 job-1 job-2"),
        ("cluster", all, &[], "a b"),
        ("cluster", all, &["__name__=up"], "a"),
        ("cluster", all, &["cluster!=a"], "b"),
        ("cluster", all, &["__name__=nothing"], ""),
        ("nothing", all, &[], ""),
        ("", all, &["x=y"], "!"),
    ] {
        let got = gateway.label_values(&ctx, name, query(range, matchers)).await;
        match got {
            Ok(got) => assert_eq!(got.value.join(" "), want, "{name} {range:?} {matchers:?}"),
            Err(Error::Invalid(_)) => assert_eq!(want, "!"),
            Err(e) => panic!("{e}"),
        }
    }
    let limited = LabelQuery { limit: 2, ..query(all, &[]) };
    assert_eq!(gateway.label_names(&ctx, limited.clone()).await.unwrap().value, ["__name__", "cluster"]);
    assert_eq!(gateway.label_values(&ctx, "job", limited).await.unwrap().value, ["job-0", "job-1"]);
    let without: Arc<[String]> = Arc::from(["cluster".to_owned(), "__name__".to_owned()]);
    let without = LabelQuery { without_replica_labels: without, limit: 2, ..query(all, &[]) };
    assert_eq!(gateway.label_names(&ctx, without.clone()).await.unwrap().value, ["instance", "job"]);
    assert!(gateway.label_values(&ctx, "cluster", without).await.unwrap().value.is_empty());
    let blocks = LabelQuery { block_matchers: vec![m("cluster=b")].into(), ..query(all, &[]) };
    assert_eq!(gateway.label_values(&ctx, "__name__", blocks).await.unwrap().value, ["down"]);
}

/// Without matchers the header answers.
#[tokio::test]
async fn no_postings_for_plain_questions() {
    let mut f = Fixture::new();
    f.raw(1, &[("cluster", "a")], (0, HOUR), fleet("up", 20, 0, 10)).await;
    let component = f.gateway(|_| {}).await;
    let query = LabelQuery::new(TimeRange::new(0, HOUR), vec![]);
    for want in [(1, 0, 0), (0, 0, 0)] {
        component.gateway.label_names(&Ctx::background(), query.clone()).await.unwrap();
        component.gateway.label_values(&Ctx::background(), "job", query.clone()).await.unwrap();
        assert_eq!(f.log.take(), want);
    }
}

/// With matchers, lists of values are read where they are shorter than the series.
#[tokio::test]
async fn values_by_lists() {
    let mut f = Fixture::new();
    f.raw(1, &[("cluster", "a")], (0, HOUR), fleet("up", 500, 0, 2)).await;
    let ctx = Ctx::background();
    let query = LabelQuery::new(TimeRange::new(0, HOUR), vec![m("__name__=up")]);
    // Header, and the rest of a small index at once.
    let component = f.gateway(|_| {}).await;
    assert_eq!(component.gateway.label_values(&ctx, "job", query.clone()).await.unwrap().value.len(), 7);
    assert_eq!(f.log.take(), (2, 0, 0));
    std::fs::remove_dir_all(f.data_dir()).unwrap();
    let component = f.gateway(|c| c.whole_index_bytes = 0).await;
    let got = component.gateway.label_values(&ctx, "job", query.clone()).await.unwrap().value;
    assert_eq!(got.len(), 7);
    // Header, postings of the matcher, lists of the values; no series.
    assert_eq!(f.log.take(), (3, 0, 0));
    assert!(f.metrics.encode().contains("cache_requests_total{item_type=\"Series\"} 0\n"));
    let some = LabelQuery { range: TimeRange::new(0, 1), ..query };
    assert_eq!(component.gateway.label_values(&ctx, "job", some).await.unwrap().value.len(), 7);
    assert_eq!(f.log.take(), (1, 0, 0));
}
