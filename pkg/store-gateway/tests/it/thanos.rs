//! Thanos' own store gateway beside ours over the same bucket, asked the same: set `AION_THANOS_BIN` to its binary.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use model::{SystemClock, TimeRange};
use objstore::OpenOptions;
use storage::{Aggregate, Aggregates, Ctx, LabelQuery, Select, Series, SeriesSource, Shard, collect_series};
use storeapi::fetch_info;
use telemetry::Metrics;
use testkit::{Process, free_port};
use transport::grpc::{ClientMetrics, ClientOptions, Compression, connect};

use crate::common::*;
use crate::select::aggregates;
use crate::serve::{client, start};

const HOUR: i64 = 3_600_000;

/// Chunks that are equal may come twice or once; Thanos does not tell replicas.
fn plain(mut series: Vec<Series>) -> Vec<Series> {
    for series in &mut series {
        series.chunks.iter_mut().for_each(|c| c.replica = 0);
        series.chunks.sort_by_key(|c| (c.min_time, c.max_time));
        series.chunks.dedup();
    }
    series
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_answers() {
    let Some(thanos) = std::env::var_os("AION_THANOS_BIN") else {
        return testkit::skip_without_service("AION_THANOS_BIN", "equal_answers");
    };
    let mut f = Fixture::new();
    let dir = f.dir.path().join("bucket");
    let yaml = format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", dir.display());
    let bucket = objstore::Config::parse(&yaml, &|_| None).unwrap().open(&OpenOptions::default()).unwrap();
    (f.plain, f.bucket) = (bucket.clone(), bucket.clone());
    for n in 0..6u128 {
        let (from, cluster) = (n as i64 / 2 * HOUR, if n % 2 == 0 { "a" } else { "b" });
        f.raw(n, &[("cluster", cluster), ("replica", "r")], (from, from + HOUR), fleet("up", 50, from, 240)).await;
    }
    let series = vec![aggregates(0, HOUR, 300_000)];
    let external = &[("cluster", "a"), ("replica", "r")];
    f.block(Spec { n: 9, external, range: (0, HOUR), resolution_ms: 300_000, series }).await;

    let (grpc, http) = (free_port().unwrap(), free_port().unwrap());
    let mut command = Command::new(thanos);
    command
        .arg("store")
        .arg(format!("--objstore.config={yaml}"))
        .arg(format!("--data-dir={}", f.dir.path().join("thanos").display()))
        .arg(format!("--grpc-address=127.0.0.1:{grpc}"))
        .arg(format!("--http-address=127.0.0.1:{http}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _process = Process::start(&mut command).unwrap();
    let options = ClientOptions {
        tls: None,
        compression: Compression::None,
        metrics: ClientMetrics::new(&Metrics::new()),
        connect_timeout: Duration::from_secs(5),
    };
    let address = format!("127.0.0.1:{grpc}");
    let channel = connect(&address, &options).unwrap();
    let theirs = client(&address, channel.clone());
    let ctx = Ctx::background();
    let synced = async || fetch_info(&ctx, "thanos", channel.clone()).await.is_ok_and(|i| i.sets.len() == 2);
    testkit::wait_for("Thanos to be ready", Duration::from_secs(60), synced).await;

    let mut config = config();
    config.data_dir = Some(f.data_dir());
    let ours = start(build(config, bucket, Arc::new(SystemClock), Metrics::new())).await;
    ours.wait_ready().await;
    let mut infos = [
        fetch_info(&ctx, "thanos", channel.clone()).await.unwrap(),
        fetch_info(&ctx, "ours", ours.channel.clone()).await.unwrap(),
    ];
    for info in &mut infos {
        info.sets.sort_by(|a, b| a.labels.cmp(&b.labels));
        info.source.label_sets.sort();
        info.source.label_sets.dedup();
    }
    assert_eq!((&infos[0].source, &infos[0].sets), (&infos[1].source, &infos[1].sets));

    let base = select((0, 3 * HOUR), &["__name__=up"]);
    let counts = Aggregates::of(&[Aggregate::Count, Aggregate::Sum]);
    let shard = |index, by| Some(Shard { index, total: 3, by, labels: vec!["instance".to_owned()] });
    let names = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Arc<[String]>>();
    for want in [
        base.clone(),
        Select { skip_chunks: true, ..base.clone() },
        Select { range: TimeRange::new(HOUR / 2, HOUR / 2 + 1), ..base.clone() },
        Select { range: TimeRange::new(HOUR, HOUR), ..base.clone() },
        Select { without_replica_labels: names(&["replica"]), ..base.clone() },
        Select { without_replica_labels: names(&["replica", "job"]), ..base.clone() },
        Select { shard: shard(0, true), ..base.clone() },
        Select { shard: shard(2, false), ..base.clone() },
        Select { max_resolution_ms: 300_000, aggregates: counts, ..base.clone() },
        select((0, 3 * HOUR), &["cluster=b", "job!=job-1"]),
        select((0, 3 * HOUR), &["cluster!=b", "job=~job-[12]", "instance!~.*1"]),
        select((0, 3 * HOUR), &["__name__=~.+", "instance="]),
        select((0, 3 * HOUR), &["__name__=down"]),
    ] {
        let asked = format!("{want:?}");
        let right = collect_series(theirs.select(&ctx, want.clone())).await.unwrap();
        let got = collect_series(ours.client.select(&ctx, want)).await.unwrap();
        assert_eq!(plain(got.value), plain(right.value), "{asked}");
    }
    for matchers in [&[][..], &["job=job-1"], &["cluster=b"], &["cluster=c"], &["job=~job-[12]", "cluster=a"]] {
        let query = LabelQuery::new(TimeRange::new(0, 3 * HOUR), matchers.iter().map(|t| m(t)).collect::<Vec<_>>());
        let right = theirs.label_names(&ctx, query.clone()).await.unwrap().value;
        assert_eq!(ours.client.label_names(&ctx, query.clone()).await.unwrap().value, right, "names {matchers:?}");
        for name in ["job", "cluster", "instance", "nothing"] {
            let right = theirs.label_values(&ctx, name, query.clone()).await.unwrap().value;
            let got = ours.client.label_values(&ctx, name, query.clone()).await.unwrap().value;
            assert_eq!(got, right, "{name} {matchers:?}");
        }
    }
    ours.stop().await;
}
