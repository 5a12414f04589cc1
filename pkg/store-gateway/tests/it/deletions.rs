//! Series that somebody asked to delete are not shown from the next sync on.

use block::BlockId;
use bucket::deletions::{Request, create, mark_done};
use labels::Matcher;
use model::TimeRange;
use storage::{
    AggrChunk, Aggregate, Aggregates, Budget, Chunk, ChunkData, Ctx, EncodedChunk, Error, LabelQuery, Select, Series,
    SeriesSource,
};
use store_gateway::Store;

use crate::common::{Fixture, NOW_MS, Spec, ask, m, select};

/// The labels and the sample times of each series, sorted.
fn shown(series: &[Series]) -> Vec<(String, Vec<i64>)> {
    let mut out: Vec<_> = series
        .iter()
        .map(|s| {
            let mut column = chunkenc::Column::new();
            for chunk in &s.chunks {
                let part = match &chunk.data {
                    ChunkData::Raw(part) => part,
                    ChunkData::Aggr(aggr) => aggr.get(Aggregate::Count).unwrap(),
                    ChunkData::Decoded(_) => panic!("decoded"),
                };
                chunkenc::decode_floats(part.encoding, &part.data, &mut column).unwrap();
                let of_chunk = &column.times[column.times.partition_point(|t| *t < chunk.min_time)..];
                assert_eq!((of_chunk.first(), of_chunk.last()), (Some(&chunk.min_time), Some(&chunk.max_time)));
            }
            (s.labels.to_string(), column.times)
        })
        .collect();
    out.sort();
    out
}

fn visits(user: &str) -> Series {
    let labels = [("__name__", "visits"), ("user", user)];
    let mut series = testkit::series(&labels, &[(10, 1.0), (20, 2.0), (30, 3.0)]);
    series.chunks.extend(testkit::series(&labels, &[(40, 4.0), (50, 5.0)]).chunks);
    series
}

#[tokio::test]
async fn what_is_asked_to_go_is_not_shown() {
    let mut fixture = Fixture::new();
    for (n, cluster) in [(1, "eu"), (2, "us")] {
        fixture.raw(n, &[("cluster", cluster)], (0, 100), vec![visits("ann"), visits("bob")]).await;
    }
    let gateway = fixture.gateway(|_| ()).await;
    let all = select((0, 99), &["__name__=visits"]);
    let before = ask(&gateway, &all).await.value;
    assert_eq!(before.len(), 4);

    let id = BlockId::new(NOW_MS as u64, 9);
    let selector = vec![Matcher::equal("user", "ann"), Matcher::equal("cluster", "eu")];
    let request = Request::new(id, NOW_MS, &[selector], TimeRange::new(20, 40), "asked for");
    create(&fixture.plain, &request).await.unwrap();
    gateway.syncer.sync().await.unwrap();
    let text = |user: &str, cluster: &str| format!(r#"{{__name__="visits", cluster="{cluster}", user="{user}"}}"#);
    let whole = vec![10, 20, 30, 40, 50];
    let mut wanted = vec![
        (text("ann", "eu"), vec![10, 50]),
        (text("bob", "eu"), whole.clone()),
        (text("ann", "us"), whole.clone()),
        (text("bob", "us"), whole),
    ];
    wanted.sort();
    assert_eq!(shown(&ask(&gateway, &all).await.value), wanted);
    // labels only: the series is there as long as some of the time is
    for (range, count) in [((0, 99), 4), ((25, 35), 3)] {
        let names = Select { skip_chunks: true, ..select(range, &["__name__=visits"]) };
        assert_eq!(ask(&gateway, &names).await.value.len(), count, "{range:?}");
    }

    mark_done(&fixture.plain, id, NOW_MS).await.unwrap();
    gateway.syncer.sync().await.unwrap();
    assert_eq!(ask(&gateway, &all).await.value, before);
}

#[tokio::test]
async fn of_coarse_data_every_window_goes_that_has_a_part_in_it() {
    let mut fixture = Fixture::new();
    let times = [299_999, 599_999, 899_999, 1_199_999];
    let part = |_| {
        let data = chunkenc::encode_xor(times.map(|t| (t, 1.0))).unwrap().into();
        Some(EncodedChunk { encoding: chunkenc::Encoding::Xor, data })
    };
    let chunk = Chunk::aggr(times[0], times[3], AggrChunk { parts: std::array::from_fn(part) });
    let series = Series { labels: visits("ann").labels, chunks: vec![chunk] };
    let external = [("cluster", "eu")];
    let spec = Spec { n: 3, external: &external, range: (0, 1_200_000), resolution_ms: 300_000, series: vec![series] };
    fixture.block(spec).await;
    let id = BlockId::new(NOW_MS as u64, 9);
    let range = TimeRange::new(599_999, 600_000);
    let request = Request::new(id, NOW_MS, &[vec![Matcher::equal("user", "ann")]], range, "");
    create(&fixture.plain, &request).await.unwrap();
    let gateway = fixture.gateway(|_| ()).await;
    let want = Select {
        max_resolution_ms: 300_000,
        aggregates: Aggregates::of(&Aggregate::ALL),
        ..select((0, 1_200_000), &["__name__=visits"])
    };
    assert_eq!(shown(&ask(&gateway, &want).await.value)[0].1, [299_999, 1_199_999]);
}

fn query(range: (i64, i64), matchers: &[&str]) -> LabelQuery {
    LabelQuery::new(TimeRange::new(range.0, range.1), matchers.iter().map(|t| m(t)).collect::<Vec<_>>())
}

async fn label_names(component: &Store, range: (i64, i64), matchers: &[&str]) -> String {
    let got = component.gateway.label_names(&Ctx::background(), query(range, matchers)).await.unwrap();
    assert!(got.warnings.is_empty(), "{:?}", got.warnings);
    got.value.join(" ")
}

async fn label_values(component: &Store, name: &str, range: (i64, i64), matchers: &[&str]) -> String {
    let got = component.gateway.label_values(&Ctx::background(), name, query(range, matchers)).await.unwrap();
    assert!(got.warnings.is_empty(), "{:?}", got.warnings);
    got.value.join(" ")
}

async fn delete(fixture: &Fixture, n: u128, selector: &[&str], range: (i64, i64)) -> BlockId {
    let id = BlockId::new(NOW_MS as u64, n);
    let selector = selector.iter().map(|t| m(t)).collect();
    let range = TimeRange::new(range.0, range.1);
    create(&fixture.plain, &Request::new(id, NOW_MS, &[selector], range, "asked for")).await.unwrap();
    id
}

/// Who visits, with a label of only those who paid.
fn visitors() -> Vec<Series> {
    let samples = |from: i64| [(from, 1.0), (from + 10, 2.0), (from + 20, 3.0)];
    let series = |labels: &[(&str, &str)], from: i64| testkit::series(labels, &samples(from));
    vec![
        series(&[("__name__", "visits"), ("card", "1234"), ("user", "ann")], 10),
        series(&[("__name__", "visits"), ("user", "ann")], 10),
        series(&[("__name__", "visits"), ("user", "bob")], 10),
        series(&[("__name__", "visits"), ("user", "cat")], 60),
    ]
}

#[tokio::test]
async fn names_and_values_that_nothing_is_left_of_are_not_shown() {
    const ALL: (i64, i64) = (0, 99);
    // what is deleted; then label, time and matchers asked for, and what is shown (of no label: the names)
    type Asked = (&'static str, (i64, i64), &'static [&'static str], &'static str);
    type Case = (&'static [(&'static [&'static str], (i64, i64))], &'static [Asked]);
    const CASES: [Case; 6] = [
        (
            &[(&["user=ann"], (0, 99))],
            &[
                ("", ALL, &[], "__name__ cluster user"),
                ("", ALL, &["__name__=visits"], "__name__ cluster user"),
                ("", ALL, &["user=ann"], ""),
                ("user", ALL, &[], "bob cat"),
                ("user", ALL, &["__name__=visits"], "bob cat"),
                ("user", (0, 50), &["__name__=visits"], "bob"),
                ("card", ALL, &[], ""),
                ("__name__", ALL, &[], "visits"),
                ("cluster", ALL, &["user=ann"], ""),
                ("cluster", ALL, &[], "eu"),
            ],
        ),
        // another series of hers stays
        (
            &[(&["card=1234"], (0, 99))],
            &[("user", ALL, &[], "ann bob cat"), ("card", ALL, &[], ""), ("", ALL, &[], "__name__ cluster user")],
        ),
        // some of her time is left; not of what is asked for
        (
            &[(&["user=ann"], (0, 29))],
            &[
                ("user", ALL, &[], "ann bob cat"),
                ("user", (0, 29), &[], "bob cat"),
                ("user", (0, 29), &["__name__=visits"], "bob"),
                ("card", (0, 25), &[], ""),
                ("card", (0, 35), &[], "1234"),
            ],
        ),
        // all of her samples, in two requests, but not all of the block's time
        (
            &[(&["user=ann"], (10, 20)), (&["user=ann", "__name__=visits"], (21, 30))],
            &[("user", ALL, &[], "bob cat"), ("card", ALL, &[], ""), ("", ALL, &[], "__name__ cluster user")],
        ),
        // another block's
        (&[(&["user=ann", "cluster=us"], (0, 99))], &[("user", ALL, &[], "ann bob cat"), ("card", ALL, &[], "1234")]),
        // everything
        (
            &[(&["cluster=eu"], (0, 99))],
            &[
                ("", ALL, &[], ""),
                ("user", ALL, &[], ""),
                ("cluster", ALL, &[], ""),
                ("cluster", ALL, &["user=bob"], ""),
            ],
        ),
    ];
    for (requests, asked) in CASES {
        let mut fixture = Fixture::new();
        fixture.raw(1, &[("cluster", "eu")], (0, 100), visitors()).await;
        let component = fixture.gateway(|_| ()).await;
        assert_eq!(label_values(&component, "user", ALL, &[]).await, "ann bob cat");
        let mut ids = Vec::new();
        for (n, (selector, range)) in requests.iter().enumerate() {
            ids.push(delete(&fixture, n as u128 + 9, selector, *range).await);
        }
        component.syncer.sync().await.unwrap();
        for (name, range, matchers, want) in asked {
            let got = match *name {
                "" => label_names(&component, *range, matchers).await,
                name => label_values(&component, name, *range, matchers).await,
            };
            assert_eq!(got, *want, "{requests:?}: {name} {range:?} {matchers:?}");
        }
        for id in ids {
            mark_done(&fixture.plain, id, NOW_MS).await.unwrap();
        }
        component.syncer.sync().await.unwrap();
        assert_eq!(label_values(&component, "card", ALL, &[]).await, "1234");
    }
}

#[tokio::test]
async fn what_many_series_have_is_told_by_lists() {
    let mut fixture = Fixture::new();
    let series = |i: usize| {
        let (user, path) = (format!("user-{:03}", i % 100), format!("/{i}"));
        let name = if i % 100 < 90 { "visits" } else { "clicks" };
        let mut labels = vec![("__name__", name), ("path", &path), ("user", &user)];
        if i % 100 < 90 {
            labels.insert(1, ("only", "x"));
        }
        testkit::series(&labels, &[(10, 1.0)])
    };
    let mut all: Vec<_> = (0..1000).map(series).collect();
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    fixture.raw(1, &[("cluster", "eu")], (0, 100), all).await;
    let component = fixture.gateway(|_| ()).await;
    delete(&fixture, 9, &["__name__=visits"], (0, 99)).await;
    component.syncer.sync().await.unwrap();
    let users: Vec<_> = (90..100).map(|i| format!("user-{i:03}")).collect();
    assert_eq!(label_values(&component, "user", (0, 99), &[]).await, users.join(" "));
    assert_eq!(label_values(&component, "__name__", (0, 99), &[]).await, "clicks");
    assert_eq!(label_values(&component, "path", (0, 99), &[]).await.split(' ').count(), 100);
    assert_eq!(label_names(&component, (0, 99), &[]).await, "__name__ cluster path user");
    // within the request's memory
    let ctx = Ctx { budget: Budget::new("this request", "--the-flag", 1000, None), ..Ctx::background() };
    let refused = component.gateway.label_names(&ctx, query((0, 99), &[])).await;
    assert!(matches!(refused, Err(Error::Limit(_))), "{refused:?}");
    assert_eq!(ctx.budget.used_bytes(), 0);
}

#[tokio::test]
async fn a_label_that_is_taken_away_still_says_what_goes() {
    let mut fixture = Fixture::new();
    fixture.raw(1, &[("cluster", "eu")], (0, 100), visitors()).await;
    let component = fixture.gateway(|_| ()).await;
    delete(&fixture, 9, &["user=ann"], (0, 99)).await;
    component.syncer.sync().await.unwrap();
    let want = Select { without_replica_labels: ["user".to_owned()].into(), ..select((0, 99), &["__name__=visits"]) };
    let got = ask(&component, &want).await.value;
    let samples: Vec<_> = shown(&got).into_iter().flat_map(|(_, times)| times).collect();
    assert_eq!(samples, [10, 20, 30, 60, 70, 80], "bob's and cat's only");
    assert!(got.iter().all(|s| s.labels.get("card").is_none()));
    // a limit counts what is shown
    let first = Select { limit: 1, ..select((0, 99), &["__name__=visits"]) };
    let got = ask(&component, &first).await.value;
    assert_eq!(got.iter().filter_map(|s| s.labels.get("user")).collect::<Vec<_>>(), ["bob"]);
}
