//! Queries evaluated by the one store that has their series: the same answers as when their series are read.

use std::ops::Range;
use std::time::{Duration, Instant};

use chunkenc::{Appended, Encoding, FloatHistogramAppender, ResetFlag};
use histogram::{FloatHistogram, Span};
use labels::Labels;
use serde_json::Value;
use storage::{Chunk, Series};

use crate::distributed::{QUERIES, samples_at};
use crate::world::{Behaviour, START_S, Store, World, series};

const HERE: &str = "--no-query.evaluate-at-store";
const REPLICAS: &str = "--query.replica-label=replica";

/// Queries whose answers have annotations, errors or an order of their own, or depend on all steps.
const MORE: [&str; 36] = [
    "sum(rate(gauge[5m]))",
    "quantile(7, gauge)",
    "sum by (job) (gauge) / on (le) sum by (le) (total)",
    "sort_desc(sum by (job, le) (gauge))",
    "topk(3, sum by (le, job) (total))",
    "histogram_quantile(0.5, sum by (job) (total))",
    "label_replace(sum by (job) (gauge), \"job\", \"x\", \"\", \"\")",
    "sum(gauge @ end())",
    "sum(max_over_time(total[10m] @ start()))",
    "count_values(\"v\", gauge)",
    "scalar(sum(gauge)) + 1",
    "avg_over_time(gauge[20m])",
    "quantile_over_time(0.9, total[1h])",
    "gauge",
    "rate(total[1m])",
    "gauge[5m]",
    "time()",
    "\"text\"",
    "sum(gauge{cluster=\"asia\"})",
    "sum({__name__=~\"gauge|total\", replica=\"a\"})",
    "sum(nonsense(",
    "sum by (job) (changes(gauge[10m:30s]))",
    "sum(gauge)[1m:1m]",
    "sum by (job) (gauge)[10m:7m]",
    "histogram_quantile(0.9, sum by (job, le) (1e6 - total))",
    "sum by (job, le) (total > 900) + on () group_right sum by (le) (gauge)",
    "latency",
    "sum by (job) (rate(latency[5m]))",
    "histogram_quantile(0.9, sum by (job) (rate(latency[5m])))",
    "histogram_count(sum(increase(latency[11m])))",
    "sum(latency) + on () sum(gauge)",
    "avg by (job) (latency) * 2",
    "sum by (job) ({__name__=~\"gauge|latency\"})",
    "histogram_fraction(0, 2, sum(latency))",
    "sum(last_over_time(latency[10m]))",
    "count(latency) + on () count_over_time(sum(latency)[20m:1m])",
];

/// Floats, and native histograms with resets and two schemas, at some of the steps.
fn data(skew: i64, at: Range<i64>, gap: Range<i64>) -> Vec<Series> {
    let mut all = samples_at(skew, at.clone(), gap.clone());
    for (job, factor) in [("a", 1), ("b", 4)] {
        let labels = Labels::from_pairs([("__name__", "latency"), ("job", job)]);
        let (mut chunks, mut open) = (Vec::new(), None::<(i64, i64, FloatHistogramAppender)>);
        let close = |(min, max, written): (i64, i64, FloatHistogramAppender)| {
            Chunk::raw(min, max, Encoding::FloatHistogram, written.to_vec().into())
        };
        for step in at.clone().filter(|step| !gap.contains(step)) {
            let count = ((step % 70 + 1) * factor) as f64;
            let h = FloatHistogram {
                schema: if step < 90 { 1 } else { 0 },
                count: 3.0 * count,
                sum: count * (1.5 + skew as f64),
                positive_spans: vec![Span { offset: 0, length: 2 }],
                positive_buckets: vec![count, 2.0 * count],
                ..FloatHistogram::default()
            };
            let time = (START_S + step * 15) * 1000 + 123 + skew % 3 * 2500;
            let appended = open.as_mut().map(|(_, _, written)| written.append(time, &h).unwrap());
            if let (Some((_, max, _)), Some(Appended::InPlace | Appended::Widened)) = (&mut open, &appended) {
                *max = time;
                continue;
            }
            chunks.extend(open.take().map(close));
            let flag = if let Some(Appended::Cut(flag)) = appended { flag } else { ResetFlag::Unknown };
            let mut written = FloatHistogramAppender::new(flag);
            written.append(time, &h).unwrap();
            open = Some((time, time, written));
        }
        chunks.extend(open.map(close));
        all.push(Series { labels, chunks });
    }
    all
}

/// How many queries a store evaluated that much of.
async fn evaluated(world: &World, steps: &str) -> f64 {
    let start = format!("aion_query_evaluated_at_store_total{{steps=\"{steps}\"}} ");
    world.metrics().await.lines().find_map(|l| l.strip_prefix(&start)?.parse().ok()).unwrap_or(0.0)
}

/// The answer without what differs from one time to the next.
async fn answer(world: &World, path: &str, params: &[(&str, &str)]) -> Value {
    let mut answer = world.get(path, params).await;
    if let Some(data) = answer["data"].as_object_mut() {
        data.remove("stats");
    }
    answer
}

/// Asks both for the same, and gives the answer.
async fn same(a: &World, b: &World, path: &str, params: &[(&str, &str)]) -> Value {
    let (want, got) = (answer(a, path, params).await, answer(b, path, params).await);
    assert_eq!(got, want, "{path} {params:?}");
    got
}

fn time(s: f64) -> String {
    (START_S as f64 + s).to_string()
}

/// Two worlds over the same stores, of which one reads series and one leaves what it can to the stores.
async fn both(stores: &[Store], args: &[&str]) -> [World; 2] {
    let here = World::start(stores.to_vec(), &[args, &[HERE]].concat()).await;
    [here, World::start(stores.to_vec(), args).await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_has_all_series_evaluates() {
    let store = Store::of("eu", "a", data(1, 0..200, 40..60)).evaluating();
    let [here, there] = both(&[store], &[REPLICAS]).await;
    let mut wrong = 0;
    for query in QUERIES.into_iter().chain(MORE) {
        for at in [700.0, 1500.5, 2000.0, 9000.0] {
            let read = [("query", query), ("time", &time(at)), ("dedup", "false")];
            let told = same(&here, &there, "/api/v1/query", &read[..2]).await;
            same(&here, &there, "/api/v1/query", &read).await;
            wrong += usize::from(told["status"] == "error");
        }
        for (from, to, step) in [(0.0, 3000.0, "60"), (700.25, 2200.0, "37.5"), (100.0, 100.0, "15")] {
            let params = [("query", query), ("start", &time(from)), ("end", &time(to)), ("step", step)];
            same(&here, &there, "/api/v1/query_range", &params).await;
            same(&here, &there, "/api/v1/query_range", &[&params[..], &[("lookback_delta", "45s")]].concat()).await;
        }
    }
    let params = [("query", "sum(gauge)"), ("time", &time(1500.0)), ("stats", "true")];
    let origins = async |world: &World| {
        let told = world.get("/api/v1/query", &params).await["data"]["stats"].to_string();
        let (told, _) = told.split_once("\"timings\"").unwrap_or_else(|| panic!("{told}"));
        assert!(told.contains("\"origins\""), "{told}");
        told.replace(&world.store_address(0), "store")
    };
    assert_eq!(origins(&there).await, origins(&here).await);
    assert!(wrong > 4, "{wrong} queries were refused");
    assert!(evaluated(&there, "all").await > 300.0, "{}", there.metrics().await);
    assert_eq!((evaluated(&there, "none").await, evaluated(&here, "all").await), (0.0, 0.0));
}

/// Of replica "a", and of "b" if so said, a store that has all but the last steps, and one each that has these.
fn kept_and_live(b: bool) -> Vec<Store> {
    let of = |replica: &str, at: Range<i64>, gap: Range<i64>| -> Vec<Series> {
        let mut all = data(if replica == "a" { 2 } else { 3 }, at, gap);
        let external = Labels::from_pairs([("cluster", "eu"), ("replica", replica)]);
        all.iter_mut().for_each(|s| s.labels = s.labels.overlay(&external));
        all
    };
    let replicas = if b { &["a", "b"][..] } else { &["a"] };
    let mut kept: Vec<Series> =
        replicas.iter().flat_map(|r| of(r, 0..150, if *r == "a" { 30..50 } else { 0..1 })).collect();
    kept.sort_by(|a, b| a.labels.cmp(&b.labels));
    let sets = replicas.iter().map(|r| Labels::from_pairs([("cluster", "eu"), ("replica", r)])).collect();
    let store = Store { labels: Labels::empty(), sets, ..Store::of("", "", kept).evaluating() };
    let live = |replica: &&str| Store::of("eu", replica, data(if *replica == "a" { 2 } else { 3 }, 130..200, 160..170));
    std::iter::once(store).chain(replicas.iter().map(live)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_that_a_store_alone_has_are_evaluated_there() {
    parts_agree(&kept_and_live(false), &[REPLICAS], true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_at_which_all_replicas_show_are_evaluated_where_they_are() {
    parts_agree(&kept_and_live(true), &[REPLICAS, "--deduplication.func=chain"], true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_replica_that_is_followed_depends_on_all_steps() {
    parts_agree(&kept_and_live(true), &[REPLICAS], false).await;
}

/// The answers of a store's first steps and the others put together, if there are such, are those of all.
async fn parts_agree(stores: &[Store], args: &[&str], parts: bool) {
    let [here, there] = both(stores, args).await;
    for query in QUERIES.into_iter().chain(MORE) {
        for (from, to, step) in
            [(0.0, 3000.0, "60"), (10.5, 2500.0, "7.5"), (1500.0, 3000.0, "15"), (0.0, 1800.0, "30")]
        {
            let params = [("query", query), ("start", &time(from)), ("end", &time(to)), ("step", step)];
            same(&here, &there, "/api/v1/query_range", &params).await;
        }
        for at in [1000.0, 1900.0, 2100.0] {
            same(&here, &there, "/api/v1/query", &[("query", query), ("time", &time(at))]).await;
        }
    }
    assert_eq!(evaluated(&there, "first").await > 50.0, parts, "{}", there.metrics().await);
    assert!(evaluated(&there, "all").await > 20.0, "{}", there.metrics().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_at_a_store_is_read() {
    let at = time(1500.0);
    for behaviour in [
        Behaviour::Fail,
        Behaviour::FailLater,
        Behaviour::Refuse(tonic::Code::InvalidArgument),
        Behaviour::Refuse(tonic::Code::ResourceExhausted),
        Behaviour::Refuse(tonic::Code::DataLoss),
        Behaviour::Refuse(tonic::Code::DeadlineExceeded),
        Behaviour::Refuse(tonic::Code::Cancelled),
    ] {
        let store = Store { behaviour, ..Store::of("eu", "a", series(&["a", "b"], 0..200)).evaluating() };
        let [here, there] = both(&[store], &[REPLICAS]).await;
        for partial in ["true", "false"] {
            let params = [("query", "sum(up)"), ("time", at.as_str()), ("partial_response", partial)];
            let (want, got) =
                (answer(&here, "/api/v1/query", &params).await, answer(&there, "/api/v1/query", &params).await);
            // Addresses differ.
            let shown = |world: &World, answer: &Value| answer.to_string().replace(&world.store_address(0), "store");
            assert_eq!(shown(&there, &got), shown(&here, &want), "{behaviour:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_hangs_is_given_up() {
    let mut store = Store::of("eu", "a", series(&["a"], 0..200)).evaluating();
    store.behaviour = Behaviour::Stall;
    let world = World::start(vec![store], &["--store.response-timeout=200ms"]).await;
    let told = world.query("sum(up)", &time(1500.0)).await;
    assert_eq!(told["data"]["result"], serde_json::json!([]), "{told}");
    assert!(told["warnings"].to_string().contains("--store.response-timeout"), "{told}");
    assert_eq!(evaluated(&world, "none").await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_at_work_is_waited_for() {
    let mut store = Store::of("eu", "a", series(&["a", "b"], 0..2000)).evaluating();
    // It takes longer than it may be silent: a quarter of the time.
    store.behaviour = Behaviour::Drip;
    let world = World::start(vec![store], &["--store.response-timeout=12s"]).await;
    let told = world.query("sum(count_over_time(up[9h]))", &time(30_000.0)).await;
    assert_eq!(told["data"]["result"][0]["value"][1], "4000", "{told}");
    assert_eq!((evaluated(&world, "all").await, evaluated(&world, "none").await), (1.0, 0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_much_for_a_store_is_evaluated_here() {
    let mut store = Store::of("eu", "a", series(&["a"], 0..200)).evaluating();
    store.behaviour = Behaviour::Stall;
    let world = World::start(vec![store], &["--query.timeout=20s"]).await;
    // The store evaluates two at a time.
    let at = time(1500.0);
    let queries: Vec<String> = (0..3).map(|n| format!("sum(up) + {n}")).collect();
    let asked = futures::future::join_all(queries.iter().map(|query| world.query(query, &at)));
    let refused = async {
        let deadline = Instant::now() + Duration::from_secs(15);
        while evaluated(&world, "none").await < 1.0 {
            assert!(Instant::now() < deadline, "none was refused");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        answers = asked => panic!("{answers:?}"),
        () = refused => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_versions_are_not_asked_or_refuse() {
    let of = |said: &str, is: &str| Store {
        evaluates: Some([said.to_owned(), is.to_owned()]),
        ..Store::of("eu", "a", series(&["a"], 0..200))
    };
    let own = Store::of("eu", "a", Vec::new()).evaluating().evaluates.unwrap()[0].clone();
    for (store, refused) in [(of("0.0.1 ", "0.0.1 "), 0.0), (of(&own, "0.0.1 "), 1.0)] {
        let world = World::start(vec![store], &[]).await;
        assert_eq!(world.query("sum(up)", &time(1500.0)).await["data"]["result"][0]["value"][1], "1");
        assert_eq!((evaluated(&world, "all").await, evaluated(&world, "none").await), (0.0, refused));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_several_have_is_evaluated_here() {
    let store = |cluster: &str| Store::of(cluster, "a", samples_at(1, 0..200, 0..1)).evaluating();
    let world = World::start(vec![store("eu"), store("us")], &[REPLICAS]).await;
    let params = |query| [("query", query), ("time", "1700001500")];
    for (query, place) in [
        ("sum(gauge)", "here: no store gateway has all series"),
        ("sum(gauge{cluster=\"eu\"})", "by 127.0.0.1:"),
        ("sum(gauge{cluster=\"eu\"}) / sum(gauge{cluster=\"us\"})", "here: no store"),
        ("gauge{cluster=\"eu\"}[5m]", "here: series are no larger"),
        ("time()", "here: series are no larger"),
    ] {
        let told = world.get("/api/v1/query_explain", &params(query)).await;
        let place_told = told["data"]["evaluated"].as_str().unwrap_or_default();
        assert!(place_told.starts_with(place), "{query}: {told}");
    }
    let analyzed = [&params("sum(gauge{cluster=\"eu\"})")[..], &[("analyze", "true")]].concat();
    let told = world.get("/api/v1/query", &analyzed).await;
    assert!(told["data"]["analysis"].to_string().contains("vectorSelector"), "{told}");
    assert_eq!(evaluated(&world, "all").await, 0.0);
    // One that is away might have had some.
    let mut world = World::start(vec![store("eu"), Store::of("us", "a", Vec::new())], &[]).await;
    let eu = "sum(gauge{cluster=\"eu\"})";
    world.query(eu, "1700001500").await;
    assert_eq!(evaluated(&world, "all").await, 1.0);
    world.stop_store(1);
    let plain = World::start(vec![store("eu")], &["--selector-label=site=\"x\""]).await;
    plain.query(eu, "1700001500").await;
    assert_eq!(evaluated(&plain, "all").await, 0.0);
    let limited = World::start(vec![store("eu")], &["--store.limits.request-series=100"]).await;
    limited.query(eu, "1700001500").await;
    assert_eq!(evaluated(&limited, "all").await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_the_querier_hold_at_the_store() {
    let store = || Store::of("eu", "a", series(&["a", "b", "c"], 0..200)).evaluating();
    for (flag, text) in [
        ("--query.max-samples=50", "--query.max-samples"),
        ("--query.max-series=2", "--query.max-series"),
        ("--query.max-bytes=2000", "--query.max-bytes"),
    ] {
        let [here, there] = both(&[store()], &[flag]).await;
        let params = [("query", "sum by (job) (up)"), ("start", &time(0.0)), ("end", &time(3000.0)), ("step", "15")];
        let want = here.get("/api/v1/query_range", &params).await;
        let got = there.get("/api/v1/query_range", &params).await;
        assert!(want["error"].to_string().contains(text) && got["error"].to_string().contains(text), "{want} {got}");
        assert_eq!(got["errorType"], want["errorType"]);
        assert_eq!(evaluated(&there, "none").await, 0.0, "{flag}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_store_takes_to_read_is_not_the_queriers() {
    let store = Store { behaviour: Behaviour::Large, ..Store::of("eu", "a", series(&["a"], 0..200)).evaluating() };
    let world = World::start(vec![store], &["--query.max-bytes=1MiB"]).await;
    assert_eq!(world.query("sum(up)", &time(1500.0)).await["data"]["result"][0]["value"][1], "1");
    assert_eq!(evaluated(&world, "all").await, 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_away_ends_the_work() {
    let mut store = Store::of("eu", "a", series(&["a"], 0..200)).evaluating();
    store.behaviour = Behaviour::Stall;
    let world = World::start(vec![store], &["--query.timeout=300ms"]).await;
    let told = world.query("sum(up)", &time(1500.0)).await;
    assert_eq!(told["errorType"], "timeout", "{told}");
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.stalled(0) > 0 {
        assert!(Instant::now() < deadline, "the store's work goes on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_of_others_do_not_matter() {
    // A store without external labels may have any series.
    let bare = Store { labels: Labels::empty(), ..Store::of("", "", series(&["z"], 0..200)) };
    let world = World::start(vec![Store::of("eu", "a", series(&["a"], 0..200)).evaluating(), bare], &[]).await;
    assert_eq!(world.query("count(up{cluster=\"eu\"})", &time(1500.0)).await["data"]["result"][0]["value"][1], "1");
    assert_eq!(world.query("count(up)", &time(1500.0)).await["data"]["result"][0]["value"][1], "2");
    assert_eq!(evaluated(&world, "all").await, 0.0);
}
