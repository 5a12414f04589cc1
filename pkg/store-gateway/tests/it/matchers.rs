//! Matchers of every kind, with and without the empty value, against a plain reading of the definition.

use labels::Labels;
use storage::{LabelQuery, SeriesSource};

use crate::common::*;

/// Series as Prometheus' own table of postings has them.
fn sets() -> Vec<Labels> {
    [
        &[("n", "1")][..],
        &[("n", "1"), ("i", "a")],
        &[("n", "1"), ("i", "b")],
        &[("n", "1"), ("i", "\n")],
        &[("n", "2")],
        &[("n", "2.5")],
        &[("n", "abc"), ("i", "a"), ("job", "x")],
        &[("i", "only")],
    ]
    .iter()
    .map(|s| testkit::labels_of(s))
    .collect()
}

const TABLE: [&[&str]; 62] = [
    // Equality.
    &["n=1"],
    &["n=1", "i=a"],
    &["n=1", "i=missing"],
    &["missing="],
    &["n=missing"],
    &["i="],
    // Inequality.
    &["n!=1"],
    &["i!="],
    &["missing!="],
    &["n=1", "i!=a"],
    &["n=1", "i!="],
    &["n!=1", "i!=a"],
    &["missing!=x"],
    // Expressions.
    &["n=~^1$"],
    &["n=1", "i=~^a$"],
    &["n=1", "i=~^a?$"],
    &["i=~^$"],
    &["n=1", "i=~^$"],
    &["n=1", "i=~^.*$"],
    &["n=1", "i=~^.+$"],
    &["n=~2.*"],
    &["n=~1|2"],
    &["n=~1|2|nothing"],
    &["n=~|1"],
    &["i=~a|b"],
    &["i=~"],
    &["missing=~.*"],
    &["missing=~.+"],
    &["n=~.*"],
    &["n=~.+"],
    &["i=~(?s).+"],
    &["i=~a.*|only"],
    &["n=~(?i)ABC"],
    // Expressions that must not match.
    &["n!~^1$"],
    &["n!~1"],
    &["n!~1|2"],
    &["n=1", "i!~^a$"],
    &["n=1", "i!~^a?$"],
    &["n!~^$"],
    &["n=1", "i!~^$"],
    &["n=1", "i!~^.*$"],
    &["n=1", "i!~^.+$"],
    &["i!~.+"],
    &["i!~.*"],
    &["missing!~.*"],
    &["missing!~.+"],
    &["n!~2.*"],
    &["n!~|1"],
    // Several together.
    &["n=1", "i!=", "i=a"],
    &["n=1", "i!=b", "i=~^(b|a).*$"],
    &["n=1", "n=2"],
    &["n=~1|2", "i="],
    &["n!=2", "n!=2.5"],
    &["n!~2|2\\.5", "job="],
    &["n=abc", "job=x", "i=a"],
    // External labels.
    &["cluster=eu"],
    &["cluster=us"],
    &["cluster!=us"],
    &["cluster=~e.", "n=1"],
    &["cluster!~.+"],
    &["cluster="],
    &["cluster=eu", "n=~.+", "i!~.+"],
];

#[tokio::test]
async fn acceptance() {
    let mut f = Fixture::new();
    let series = sets()
        .into_iter()
        .map(|labels| storage::Series { labels, chunks: testkit::series(&[], &[(0, 1.0), (1000, 2.0)]).chunks });
    f.raw(1, &[("cluster", "eu")], (0, 2000), series.collect()).await;
    let external = testkit::labels_of(&[("cluster", "eu")]);
    for cache in [0, 1 << 20, 700] {
        let component = f.gateway(|c| c.index_cache.max_bytes = cache).await;
        // Twice, so that the second time comes from the cache.
        for matchers in TABLE.iter().chain(&TABLE) {
            let all: Vec<_> = matchers.iter().map(|t| m(t)).collect();
            let mut want: Vec<String> = Vec::new();
            let mut sorted: Vec<Labels> = sets().iter().map(|s| s.overlay(&external)).collect();
            sorted.sort();
            for set in sorted {
                if all.iter().all(|m| m.matches(set.get(m.name()).unwrap_or(""))) {
                    want.push(set.to_string());
                }
            }
            let got = ask(&component, &select((0, 2000), matchers)).await;
            assert_eq!(names(&got.value), want, "{matchers:?}");
            // Label names and values follow from the same series.
            let query = LabelQuery::new(model::TimeRange::new(0, 2000), all.clone());
            let ctx = storage::Ctx::background();
            for name in ["n", "i", "cluster", "missing"] {
                let found = component.gateway.label_values(&ctx, name, query.clone()).await.unwrap().value;
                let mut values: Vec<String> =
                    got.value.iter().filter_map(|s| s.labels.get(name)).map(str::to_owned).collect();
                values.sort();
                values.dedup();
                assert_eq!(found, values, "{name} of {matchers:?}");
            }
            let found = component.gateway.label_names(&ctx, query).await.unwrap().value;
            let mut names: Vec<String> =
                got.value.iter().flat_map(|s| s.labels.iter()).map(|(n, _)| n.to_owned()).collect();
            names.sort();
            names.dedup();
            assert_eq!(found, names, "names of {matchers:?}");
        }
    }
}
