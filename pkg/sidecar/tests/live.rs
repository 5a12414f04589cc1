//! Live data of a real Prometheus, over gRPC, compared with what its own API says.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use chunkenc::Column;
use common::*;
use labels::{Labels, MatchType, Matcher};
use model::{Clock, SystemClock, TimeRange};
use remote::{Identity, RemoteRead, RemoteReadOptions};
use storage::{
    ChunkData, Ctx, LabelQuery, MetadataQuery, MetadataSource, RulesQuery, RulesSource, Select, Series, SeriesSource,
    Shard, StatisticsQuery, StatisticsSource, TargetsQuery, TargetsSource, collect_series,
};
use storeapi::{ComponentType, InspectClient, StoreClient, fetch_info};
use testkit::wait_for;
use transport::grpc::{ClientMetrics, ClientOptions, Compression, connect};

const EXTERNAL: [(&str, &str); 2] = [("cluster", "eu"), ("replica", "a")];

fn channel(running: &Running) -> transport::grpc::Channel {
    let options = ClientOptions {
        tls: None,
        compression: Compression::None,
        metrics: ClientMetrics::new(&running.metrics),
        connect_timeout: LONG,
    };
    connect(&running.grpc.to_string(), &options).unwrap()
}

/// Samples by series, of floats; histograms are not scraped here.
fn samples(series: &[Series], range: TimeRange) -> BTreeMap<Labels, Vec<(i64, u64)>> {
    let mut out: BTreeMap<Labels, Vec<(i64, u64)>> = BTreeMap::new();
    for s in series {
        let list = out.entry(s.labels.clone()).or_default();
        for c in &s.chunks {
            let ChunkData::Raw(raw) = &c.data else { panic!("not raw") };
            let mut column = Column::new();
            chunkenc::decode_floats(raw.encoding, &raw.data, &mut column).unwrap();
            list.extend(column.iter().filter(|(t, _)| range.contains(*t)).map(|(t, v)| (t, v.to_bits())));
        }
    }
    out.retain(|_, list| !list.is_empty());
    out
}

/// What Prometheus' own query API says of `selector` up to `at_ms`, external labels put on.
async fn queried(p: &Prometheus, selector: &str, range: TimeRange) -> BTreeMap<Labels, Vec<(i64, u64)>> {
    let seconds = (range.max - range.min + 1000) / 1000;
    let client = transport::http::ClientConfig::default().build().unwrap();
    let answer: serde_json::Value = client
        .get(&format!("{}/api/v1/query", p.url()))
        .unwrap()
        .query(&[("query", format!("{selector}[{seconds}s]")), ("time", format!("{:.3}", range.max as f64 / 1000.0))])
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let external = Labels::from_pairs(EXTERNAL);
    let mut out = BTreeMap::new();
    for result in answer["data"]["result"].as_array().unwrap() {
        let pairs = result["metric"].as_object().unwrap();
        let labels = Labels::from_pairs(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str().unwrap())));
        let values = result["values"].as_array().unwrap().iter().map(|v| {
            let t = (v[0].as_f64().unwrap() * 1000.0).round() as i64;
            (t, v[1].as_str().unwrap().parse::<f64>().unwrap().to_bits())
        });
        let values: Vec<_> = values.filter(|(t, _)| range.contains(*t)).collect();
        if !values.is_empty() {
            out.insert(labels.overlay(&external), values);
        }
    }
    out
}

fn select(range: TimeRange, matchers: Vec<Matcher>) -> Select {
    Select::new(range, matchers)
}

fn re(name: &str, value: &str) -> Matcher {
    Matcher::new(MatchType::Regex, name, value).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_equal_prometheus() {
    if !have_prometheus("answers_equal_prometheus") {
        return;
    }
    let mut p = Prometheus::start(&EXTERNAL, &[], |dir| {
        let rules = "groups:\n- name: g\n  rules:\n  - record: r:up\n    expr: up\n    labels: {own: x}\n\
                     \x20 - alert: Always\n    expr: up == 1\n    labels: {severity: page}\n";
        std::fs::write(dir.join("rules/r.yml"), rules).unwrap();
    })
    .await;
    let running = start(config(&[format!("--prometheus.url={}", p.url())])).await;
    wait_for("the sidecar to be ready", LONG, async || running.state.is_up()).await;
    let client = p.client();
    let everything = [re("__name__", ".+")];
    wait_for("alerts and some scrapes", LONG, async || {
        let series = client.series(TimeRange::ALL, &[Matcher::equal("__name__", "ALERTS")], 0).await;
        series.is_ok_and(|s| !s.value.is_empty())
    })
    .await;

    let ctx = Ctx::background();
    let info = fetch_info(&ctx, "sidecar", channel(&running)).await.unwrap();
    assert_eq!(info.component, ComponentType::Sidecar);
    assert_eq!(info.source.label_sets, [Labels::from_pairs(EXTERNAL)]);
    assert!(
        info.served.store && info.served.rules && info.served.exemplars && info.served.status && !info.served.query
    );
    assert!(info.source.range.min <= SystemClock.now_ms() && info.source.range.max == i64::MAX);

    // a range that is over, so that both see the same
    let now = SystemClock.now_ms();
    let range = TimeRange::new(now - 3_600_000, now - 10);
    let store = StoreClient::new("sidecar", channel(&running), info.source.clone());
    let got = collect_series(store.select(&ctx, select(range, everything.to_vec()))).await.unwrap();
    assert!(got.warnings.is_empty(), "{:?}", got.warnings);
    assert!(got.value.is_sorted_by(|a, b| a.labels < b.labels), "order");
    let got = samples(&got.value, range);
    let want = queried(&p, "{__name__=~\".+\"}", range).await;
    assert!(want.len() > 300, "{} series", want.len());
    assert_eq!(got.len(), want.len());
    // stale markers are samples here, and not in a query's answer
    for (labels, list) in &want {
        // the query's answer spells every NaN alike
        let ours = got[labels].iter().filter(|(_, v)| !model::is_stale(f64::from_bits(*v)));
        let alike = |v: f64| if v.is_nan() { f64::NAN.to_bits() } else { v.to_bits() };
        let ours: Vec<_> = ours.map(|(t, v)| (*t, alike(f64::from_bits(*v)))).collect();
        let list: Vec<_> = list.iter().map(|(t, v)| (*t, alike(f64::from_bits(*v)))).collect();
        assert_eq!(ours, list, "{labels}");
    }

    // external labels: matchers, replica labels, shards
    let up = || Matcher::equal("__name__", "up");
    for (matchers, found) in [
        (vec![up(), Matcher::equal("replica", "a")], 1),
        (vec![up(), Matcher::equal("replica", "b")], 0),
        (vec![up(), Matcher::not_equal("cluster", "eu")], 0),
    ] {
        let got = collect_series(store.select(&ctx, select(range, matchers))).await.unwrap();
        assert_eq!(got.value.len(), found);
    }
    // and of nothing else: all series, with chunks and without
    let not_of = |name: &str| Matcher::equal(name, "");
    for (matchers, all) in [
        (vec![Matcher::equal("replica", "a")], true),
        (vec![Matcher::equal("replica", "a"), re("__name__", ".*")], true),
        (vec![Matcher::equal("replica", "a"), re("cluster", "eu|us"), not_of("nowhere")], true),
        (vec![Matcher::equal("replica", "a"), not_of("job")], false),
        (vec![Matcher::equal("replica", "b")], false),
    ] {
        for skip_chunks in [false, true] {
            let want_all = Select { skip_chunks, ..select(range, matchers.clone()) };
            let got = collect_series(store.select(&ctx, want_all)).await.unwrap().value;
            let found: Vec<_> = got.iter().map(|s| &s.labels).filter(|l| want.contains_key(*l)).collect();
            assert_eq!(found, if all { want.keys().collect() } else { Vec::new() }, "{matchers:?}");
        }
        let query = LabelQuery::new(range, matchers.clone());
        let jobs = store.label_values(&ctx, "job", query.clone()).await.unwrap().value;
        assert_eq!(jobs, if all { vec!["self"] } else { Vec::new() }, "{matchers:?}");
        let names = store.label_names(&ctx, query).await.unwrap().value;
        assert_eq!(names.contains(&"instance".to_owned()), all, "{matchers:?}");
    }
    let mut without = select(range, everything.to_vec());
    without.without_replica_labels = Arc::from(["replica".to_owned()]);
    let got = collect_series(store.select(&ctx, without.clone())).await.unwrap();
    assert_eq!(got.value.len(), want.len());
    assert!(got.value.iter().all(|s| s.labels.get("replica").is_none() && s.labels.value("cluster") == "eu"));
    assert!(got.value.iter().flat_map(|s| &s.chunks).all(|c| c.replica != 0));
    let mut sharded = 0;
    for index in 0..3 {
        without.shard = Some(Shard { index, total: 3, by: false, labels: vec!["le".to_owned()] });
        sharded += collect_series(store.select(&ctx, without.clone())).await.unwrap().value.len();
    }
    assert_eq!(sharded, want.len());
    // labels alone, and limits
    let mut labels_only = select(range, everything.to_vec());
    labels_only.skip_chunks = true;
    let got = collect_series(store.select(&ctx, labels_only)).await.unwrap().value;
    assert_eq!(got.iter().map(|s| &s.labels).collect::<Vec<_>>(), want.keys().collect::<Vec<_>>());
    let mut limited = select(range, everything.to_vec());
    limited.limit = 7;
    assert_eq!(collect_series(store.select(&ctx, limited)).await.unwrap().value.len(), 7);

    // names and values
    let all = || LabelQuery::new(range, Vec::new());
    let names = store.label_names(&ctx, all()).await.unwrap().value;
    assert!(
        names.is_sorted() && ["__name__", "cluster", "job", "replica"].iter().all(|n| names.iter().any(|m| m == n))
    );
    let values = |name: &'static str, want| store.label_values(&ctx, name, want);
    assert_eq!(values("job", all()).await.unwrap().value, ["self"]);
    assert_eq!(values("replica", all()).await.unwrap().value, ["a"]);
    let none = LabelQuery::new(range, vec![Matcher::equal("__name__", "nothing")]);
    assert!(values("replica", none).await.unwrap().value.is_empty());
    let mut taken = all();
    taken.without_replica_labels = Arc::from(["replica".to_owned()]);
    assert!(!store.label_names(&ctx, taken).await.unwrap().value.contains(&"replica".to_owned()));

    // the other APIs
    let inspect = InspectClient::new("sidecar", channel(&running));
    let groups = inspect.rules(&ctx, RulesQuery::default()).await.unwrap().value;
    assert_eq!((groups.len(), groups[0].rules.len()), (1, 2));
    assert_eq!(groups[0].rules[0].labels, Labels::from_pairs([("own", "x")]).overlay(&Labels::from_pairs(EXTERNAL)));
    let alert = groups[0].rules[1].alert.as_ref().unwrap();
    assert_eq!((alert.state.as_str(), alert.alerts.len()), ("firing", 1));
    let targets = inspect.targets(&ctx, TargetsQuery::default()).await.unwrap().value;
    assert_eq!((targets.active.len(), targets.active[0].labels.value("cluster")), (1, "eu"));
    let metadata = MetadataQuery { metric: "prometheus_build_info".to_owned(), ..Default::default() };
    let metadata = inspect.metadata(&ctx, metadata).await.unwrap().value;
    assert_eq!(metadata["prometheus_build_info"][0].metric_type, "gauge");
    let statistics = inspect.statistics(&ctx, StatisticsQuery { limit: 3, ..Default::default() }).await.unwrap().value;
    assert!(statistics[""].num_series > 300 && statistics[""].series_count_by_metric_name.len() == 3);

    // metrics and the end
    let page = get(&format!("http://{}/metrics", running.http)).await;
    assert!(page.contains("thanos_sidecar_prometheus_up 1"), "{page}");
    p.kill();
    wait_for("the sidecar to see it", LONG, async || !running.state.is_up()).await;
    assert!(get(&format!("http://{}/metrics", running.http)).await.contains("thanos_sidecar_prometheus_up 0"));
    assert!(get(&format!("http://{}/-/ready", running.http)).await.contains("NOT OK: prometheus http://"));
    let gone = collect_series(store.select(&ctx, select(range, everything.to_vec()))).await;
    assert!(matches!(gone, Err(storage::Error::Unavailable(_))), "{gone:?}");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_of_an_external_labels_name() {
    if !have_prometheus("labels_of_an_external_labels_name") {
        return;
    }
    // `job` is a label of all scraped series as well; what is external wins, and the order holds
    let p = Prometheus::start(&[("job", "external"), ("aaa", "1")], &[], |_| {}).await;
    let client = p.client();
    wait_for("a scrape", LONG, async || {
        client.series(TimeRange::ALL, &[Matcher::equal("__name__", "up")], 0).await.is_ok_and(|s| !s.value.is_empty())
    })
    .await;
    let now = SystemClock.now_ms();
    let range = TimeRange::new(now - 3_600_000, now);
    let external = client.external_labels().await.unwrap();
    let names = client.label_names(TimeRange::ALL, &[], 0).await.unwrap().value;
    for label_names in [None, Some(Arc::new(names.into_iter().collect()))] {
        let identity = Identity { external: external.clone(), range, limit_min_time: i64::MIN, label_names };
        let source = RemoteRead::new(client.clone(), move || Some(identity.clone()), RemoteReadOptions::default());
        for without in [&[][..], &["handler"], &["aaa", "le"]] {
            let mut want = select(range, vec![re("__name__", "prometheus_http.*|up")]);
            want.without_replica_labels = without.iter().map(|n| (*n).to_owned()).collect();
            let got = collect_series(source.select(&Ctx::background(), want)).await.unwrap().value;
            assert!(got.len() > 3);
            assert!(got.is_sorted_by(|a, b| a.labels < b.labels), "order without {without:?}");
            assert!(got.iter().all(|s| s.labels.value("job") == "external"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_external_labels() {
    if !have_prometheus("no_external_labels") {
        return;
    }
    let p = Prometheus::start(&[], &[], |_| {}).await;
    let running = start(config(&[format!("--prometheus.url={}", p.url())])).await;
    let ended = tokio::time::timeout(LONG, running.task).await.unwrap().unwrap();
    let why = ended.expect_err("it did not fail").to_string();
    assert!(why.contains("has no external labels") && why.contains("global:\n    external_labels:"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_prometheus_compacts() {
    if !have_prometheus("blocks_that_prometheus_compacts") {
        return;
    }
    let p = Prometheus::start(&EXTERNAL, &[], |_| {}).await;
    let bucket = tempfile::tempdir().unwrap();
    let mut args = vec![
        format!("--prometheus.url={}", p.url()),
        format!("--tsdb.path={}", p.data().display()),
        format!(
            "--objstore.config={{type: FILESYSTEM, config: {{directory: {:?}}}}}",
            bucket.path().display().to_string()
        ),
        "--prometheus.ready_timeout=0s".to_owned(),
    ];
    let running = start(config(&args)).await;
    let ended = tokio::time::timeout(LONG, running.task).await.unwrap().unwrap();
    assert!(matches!(&ended, Err(why) if why.to_string().contains("set both to 2h")), "{ended:?}");
    // the hidden flag lets it pass
    args.push("--shipper.ignore-unequal-block-size".to_owned());
    let running = start(config(&args)).await;
    wait_for("the sidecar to be ready", LONG, async || running.state.is_up()).await;
    running.stop().await.unwrap();
}
