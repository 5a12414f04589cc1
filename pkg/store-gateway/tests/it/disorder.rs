//! Blocks whose parts stand in the wrong order: put right while they are read, and no other block is lost for them.

use std::collections::BTreeMap;

use block::BlockId;
use chunkenc::TimedChunk;
use labels::Labels;
use model::TimeRange;
use storage::{Budget, Ctx, LabelQuery, PartialResponse, Select, Series, SeriesSource};
use store_gateway::Store;

use crate::common::*;
use crate::crafted::{self, Crafted};

const HOUR: i64 = 3_600_000;

/// Chunks by labels, as begin and bytes.
type Held = BTreeMap<String, Vec<(i64, Vec<u8>)>>;

fn held(series: &[Series]) -> Held {
    let mut out = Held::new();
    for one in series {
        let chunks = one.chunks.iter().map(|c| TimedChunk::try_from(c).unwrap()).map(|c| (c.min_time, c.data.to_vec()));
        out.entry(one.labels.to_string()).or_default().extend(chunks);
    }
    out.values_mut().for_each(|chunks| chunks.sort());
    out
}

fn one(labels: &[(&str, &str)], from: i64, lists: i64) -> Crafted {
    let points = |n: i64| (0..5).map(move |k| (from + (n * 10 + k) * 1000, (n * 7 + k) as f64)).collect::<Vec<_>>();
    let lists: Vec<Vec<(i64, f64)>> = (0..lists).map(points).collect();
    let lists: Vec<&[(i64, f64)]> = lists.iter().map(Vec::as_slice).collect();
    let series = testkit::series_with_chunks(&[], &lists);
    let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Crafted { labels, ..Crafted::from(&series) }
}

/// What a query shows of series: their labels sorted, of a name that stands twice the first value.
fn truth(blocks: &[(&str, &[Crafted])]) -> Held {
    let mut all = Vec::new();
    for (cluster, series) in blocks {
        for one in *series {
            let mut pairs: Vec<(&str, &str)> = vec![("cluster", *cluster)];
            for (name, value) in &one.labels {
                if pairs.iter().all(|(known, _)| known != name) {
                    pairs.push((name, value));
                }
            }
            let chunks =
                one.chunks.iter().map(|c| storage::Chunk::raw(c.min_time, c.max_time, c.encoding, c.data.clone()));
            all.push(Series { labels: Labels::from_pairs(pairs), chunks: chunks.collect() });
        }
    }
    held(&all)
}

fn sound(from: i64) -> Vec<Crafted> {
    ["1", "2", "3"].map(|x| one(&[("__name__", "m"), ("x", x)], from, 3)).to_vec()
}

pub struct Case {
    pub what: &'static str,
    pub series: Vec<Crafted>,
    pub reversed: bool,
    pub told: &'static str,
}

pub fn cases() -> Vec<Case> {
    let case = |what, series, told| Case { what, series, reversed: false, told };
    let [a, b, c] = ["1", "2", "3"].map(|x| one(&[("__name__", "m"), ("x", x)], HOUR, 3));
    let (mut swapped, mut overlapping) = (b.clone(), b.clone());
    swapped.chunks.reverse();
    overlapping.chunks.extend(one(&[], HOUR + 2000, 1).chunks);
    let later = one(&[("__name__", "m"), ("x", "2")], HOUR + 600_000, 2);
    let order = "series are out of order";
    vec![
        case("series turned round", vec![c.clone(), b.clone(), a.clone()], order),
        case("the last first", vec![c.clone(), a.clone(), b.clone()], order),
        case("a series twice", vec![a.clone(), b.clone(), later.clone(), c.clone()], order),
        case("a series twice, apart", vec![a.clone(), b.clone(), c.clone(), later], order),
        case(
            "labels of a series",
            vec![a.clone(), one(&[("x", "2"), ("__name__", "m")], HOUR, 3), c.clone()],
            "labels of series are out of order",
        ),
        case(
            "labels of all series, which are turned round too",
            ["3", "2", "1"].map(|x| one(&[("x", x), ("__name__", "m")], HOUR, 3)).to_vec(),
            "labels of series are out of order",
        ),
        case(
            "a label twice",
            vec![a.clone(), one(&[("__name__", "m"), ("x", "2"), ("x", "2")], HOUR, 3), c.clone()],
            "a label twice",
        ),
        case(
            "a label twice, with two values",
            vec![a.clone(), one(&[("__name__", "m"), ("x", "2"), ("x", "1")], HOUR, 3), c.clone()],
            "a label twice",
        ),
        case(
            "chunks turned round",
            vec![a.clone(), swapped, c.clone()],
            "chunks of series are out of order or overlap",
        ),
        case("chunks overlap", vec![a.clone(), overlapping, c.clone()], "chunks of series are out of order or overlap"),
        Case { what: "postings", series: vec![a, b, c], reversed: true, told: "postings are out of order" },
    ]
}

fn id(n: u128) -> BlockId {
    BlockId::new(1_700_000_000_000, n)
}

/// Three blocks of which the middle one is odd.
async fn three(odd: &[Crafted], reversed: bool) -> Fixture {
    let f = Fixture::new();
    crafted::put(&f.plain, id(1), "a", (0, HOUR), &sound(0), false).await;
    crafted::put(&f.plain, id(2), "a", (HOUR, 2 * HOUR), odd, reversed).await;
    crafted::put(&f.plain, id(3), "a", (2 * HOUR, 3 * HOUR), &sound(2 * HOUR), false).await;
    f
}

/// Nothing is known of a block's order before it is queried.
pub fn as_large(config: &mut store_gateway::Config) {
    config.header.whole_bytes_max = 0;
    config.header.survey_bytes = 0;
}

#[tokio::test]
async fn put_right_while_reading() {
    for Case { what, series, reversed, told } in cases() {
        let f = three(&series, reversed).await;
        let right = truth(&[("a", &sound(0)), ("a", &series), ("a", &sound(2 * HOUR))]);
        for large in [false, true] {
            let component = f
                .gateway(|c| {
                    if large {
                        as_large(c)
                    }
                })
                .await;
            for repeat in 0..2 {
                let answer = ask(&component, &select((0, 3 * HOUR), &["__name__=m"])).await;
                assert_eq!(held(&answer.value), right, "{what}, large: {large}, {repeat}");
                let warnings = answer.warnings.join("\n");
                assert!(warnings.contains(&format!("block {}: ", id(2))), "{what}: {warnings}");
                // a duplicate is seen when the whole index is looked at, and harmless else
                assert!(warnings.contains(told) || large && what.contains("twice"), "{what}: {warnings}");
            }
            // Nothing is missing: no reason to refuse the answer.
            let abort = Select { partial_response: PartialResponse::Abort, ..select((0, 3 * HOUR), &["__name__=m"]) };
            let answer = ask(&component, &abort).await;
            assert_eq!((held(&answer.value), answer.warnings.len()), (right.clone(), 0), "{what}");
            only_labels(&component, &right, what).await;
        }
    }
}

async fn only_labels(component: &Store, right: &Held, what: &str) {
    let series = Select { skip_chunks: true, ..select((0, 3 * HOUR), &["__name__=m"]) };
    let mut got = names(&ask(component, &series).await.value);
    got.dedup();
    assert_eq!(got, right.keys().cloned().collect::<Vec<_>>(), "{what}");
    let query = LabelQuery::new(TimeRange::new(0, 3 * HOUR), [m("__name__=m")]);
    let names = component.gateway.label_names(&Ctx::background(), query.clone()).await.unwrap();
    assert_eq!(names.value, ["__name__", "cluster", "x"], "{what}");
    let values = component.gateway.label_values(&Ctx::background(), "x", query).await.unwrap();
    assert_eq!(values.value, ["1", "2", "3"], "{what}");
}

/// Matchers see the labels that are shown.
#[tokio::test]
async fn a_label_with_two_values_matches_as_it_is_shown() {
    let odd = [one(&[("__name__", "m"), ("x", "2"), ("x", "1")], HOUR, 1)];
    let f = three(&odd, false).await;
    for large in [false, true] {
        let component = f
            .gateway(|c| {
                if large {
                    as_large(c)
                }
            })
            .await;
        let range = (HOUR, 2 * HOUR - 1);
        assert_eq!(ask(&component, &select(range, &["x=2"])).await.value.len(), 1);
        assert_eq!(ask(&component, &select(range, &["x=1"])).await.value.len(), 0);
    }
}

/// Disorder behind what was sent already is told, and the next query has all of it.
#[tokio::test]
async fn disorder_late_in_a_large_block() {
    let of = |n: usize| one(&[("__name__", "m"), ("pad", &"y".repeat(300)), ("x", &format!("{n:06}"))], HOUR, 1);
    let mut series: Vec<Crafted> = (0..6000).map(of).collect();
    let early = series.remove(3);
    series.insert(5990, early);
    let f = three(&series, false).await;
    let right = truth(&[("a", &sound(0)), ("a", &series), ("a", &sound(2 * HOUR))]);
    let component = f
        .gateway(|c| {
            as_large(c);
            c.batch_series = 500;
        })
        .await;
    let first = ask(&component, &select((0, 3 * HOUR), &["__name__=m"])).await;
    let got = held(&first.value);
    assert!(got.iter().all(|(labels, chunks)| chunks.iter().all(|c| right[labels].contains(c))));
    assert!(first.warnings.join("\n").contains("a further query sorts them"), "{:?}", first.warnings);
    for labels in truth(&[("a", &sound(0))]).keys() {
        assert_eq!(got[labels], right[labels], "a sound block's series");
    }
    let second = ask(&component, &select((0, 3 * HOUR), &["__name__=m"])).await;
    assert_eq!(held(&second.value), right);
    assert!(second.warnings.join("\n").contains("put right"), "{:?}", second.warnings);
    // Without room to sort, that block alone is missing.
    let ctx = Ctx { budget: Budget::new("test", "--x", 4 << 20, None), ..Ctx::background() };
    let narrow = ask_with(&component, &ctx, &select((0, 3 * HOUR), &["__name__=m"])).await.unwrap();
    assert!(narrow.warnings.join("\n").contains("no room in memory to sort"), "{:?}", narrow.warnings);
    assert_eq!(held(&narrow.value), truth(&[("a", &sound(0)), ("a", &sound(2 * HOUR))]));
    assert_eq!(ctx.budget.used_bytes(), 0);
}

/// What is beyond repair costs the names and values of its block alone.
#[tokio::test]
async fn a_corrupt_index_costs_its_block_alone() {
    let f = three(&[one(&[("__name__", "m"), ("y", "9")], HOUR, 1)], false).await;
    f.change(&format!("{}/index", id(2)), |b| b.truncate(b.len() - 1)).await;
    let component = f.gateway(|_| {}).await;
    for matchers in [vec![], vec![m("__name__=m")]] {
        let query = LabelQuery::new(TimeRange::new(0, 3 * HOUR), matchers);
        let ctx = Ctx::background();
        let names = component.gateway.label_names(&ctx, query.clone()).await.unwrap();
        assert_eq!(names.value, ["__name__", "cluster", "x"]);
        let values = component.gateway.label_values(&ctx, "x", query.clone()).await.unwrap();
        assert_eq!(values.value, ["1", "2", "3"]);
        for warnings in [names.warnings, values.warnings] {
            assert!(warnings.join("\n").contains(&format!("block {}: index", id(2))), "{warnings:?}");
        }
        let abort = LabelQuery { partial_response: PartialResponse::Abort, ..query };
        assert!(component.gateway.label_names(&ctx, abort.clone()).await.is_err());
        assert!(component.gateway.label_values(&ctx, "x", abort).await.is_err());
    }
}
