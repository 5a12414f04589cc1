//! Range queries over blocks of three resolutions in a bucket, through a store gateway and a querier: with an automatic
//! resolution no step is empty where any block has data; a resolution that was asked for is a limit, as in Thanos.

use std::path::Path;
use std::sync::Arc;

use assembly::{Deps, Listeners};
use block::{BlockId, BlockMeta, BlockWriter, BlockWriterOptions, ThanosMeta};
use chunkenc::{Encoding, TimedChunk, encode_xor};
use downsample::Downsampler;
use labels::Labels;
use model::FakeClock;
use objstore::Bucket;
use serde_json::Value;
use store_gateway::{Config, Store};
use telemetry::Metrics;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use transport::http::Probe;
use world::World;

#[path = "it/world.rs"]
#[allow(dead_code, reason = "the other tests use more of it")]
mod world;

fn reversed(event: storage::SeriesEvent) -> storage::SeriesEvent {
    event
}

const MINUTE: i64 = 60_000;
const FIVE: i64 = 5 * MINUTE;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const START: i64 = 20_000 * DAY;
/// A block for each.
const DAYS: i64 = 3;
const SCRAPE: i64 = 30_000;

/// The resolutions that there are of each day, oldest first.
type Layout = (&'static str, [&'static [i64]; DAYS as usize]);

const EACH_A_DAY: Layout = ("each a day", [&[HOUR], &[FIVE], &[0]]);
const LAYOUTS: [Layout; 5] = [
    EACH_A_DAY,
    ("what retention leaves", [&[HOUR], &[FIVE, HOUR], &[0, FIVE, HOUR]]),
    ("raw first", [&[0], &[FIVE], &[HOUR]]),
    ("raw around 1 h", [&[0], &[HOUR], &[0]]),
    ("only 1 h", [&[HOUR], &[HOUR], &[HOUR]]),
];

/// Value of a counter that rises by one each second and restarts in the middle of the second day.
fn value(time_ms: i64) -> f64 {
    let restart = START + DAY + 12 * HOUR;
    (if time_ms < restart { 1_000_000_000 + time_ms - START } else { time_ms - restart }) as f64 / 1000.0
}

/// What a replica scraped on a day. Each of the two is down for three hours of it.
fn scraped(replica: usize, day: i64, whole: bool) -> Vec<(i64, f64)> {
    let begin = START + day * DAY;
    let down = begin + (5 + 10 * replica as i64) * HOUR;
    let times = (0..DAY / SCRAPE).map(|i| begin + 1_000 + 7_000 * replica as i64 + i * SCRAPE);
    times.filter(|t| whole || !(down..down + 3 * HOUR).contains(t)).map(|t| (t, value(t))).collect()
}

fn chunks(samples: &[(i64, f64)], resolution_ms: i64) -> Vec<TimedChunk> {
    let raw: Vec<TimedChunk> = samples
        .chunks(120)
        .map(|c| TimedChunk {
            min_time: c[0].0,
            max_time: c[c.len() - 1].0,
            encoding: Encoding::Xor,
            data: encode_xor(c.iter().copied()).unwrap().into(),
        })
        .collect();
    let (mut five, mut hour) = (Vec::new(), Vec::new());
    if resolution_ms == 0 {
        return raw;
    }
    let mut downsampler = Downsampler::new();
    downsampler.raw(&raw, FIVE, &mut five).unwrap();
    if resolution_ms == FIVE {
        return five;
    }
    downsampler.aggregates(&five, FIVE, HOUR, &mut hour).unwrap();
    hour
}

async fn put_block(bucket: &Bucket, parent: &Path, number: u128, replica: usize, day: i64, resolution_ms: i64) {
    let id = BlockId::new(START as u64, number);
    let mut writer = BlockWriter::create(parent, id, BlockWriterOptions::default()).unwrap();
    let both = Labels::from_pairs([("__name__", "both_total")]);
    writer.add_series(&both, &chunks(&scraped(replica, day, false), resolution_ms)).unwrap();
    if replica == 0 {
        let one = Labels::from_pairs([("__name__", "one_total")]);
        writer.add_series(&one, &chunks(&scraped(replica, day, true), resolution_ms)).unwrap();
    }
    let thanos = ThanosMeta {
        version: 1,
        labels: [("cluster".to_owned(), "eu".to_owned()), ("replica".to_owned(), replica.to_string())].into(),
        source: "compactor".into(),
        downsample: block::meta::Downsample { resolution: resolution_ms },
        ..Default::default()
    };
    let (min_time, max_time) = (START + day * DAY, START + (day + 1) * DAY);
    writer.finish(BlockMeta { min_time, max_time, thanos: Some(thanos), ..Default::default() }).unwrap();
    let dir = parent.join(id.to_string());
    for file in ["chunks/000001", "index", "meta.json"] {
        bucket.put(&format!("{id}/{file}"), std::fs::read(dir.join(file)).unwrap()).await.unwrap();
    }
}

/// A bucket, a gateway over it, a querier over that.
struct System {
    world: World,
    client: reqwest::Client,
    gateway: CancellationToken,
    _dir: TempDir,
}

impl Drop for System {
    fn drop(&mut self) {
        self.gateway.cancel();
    }
}

impl System {
    async fn start(layout: Layout, args: &[&str]) -> Self {
        Self::over(&[layout], args).await
    }

    /// One bucket and gateway for each layout.
    async fn over(layouts: &[Layout], args: &[&str]) -> Self {
        let (dir, gateway) = (tempfile::tempdir().unwrap(), CancellationToken::new());
        let mut number = 0;
        let mut all = vec!["--query.replica-label=replica".to_owned()];
        for layout in layouts {
            let bucket = Bucket::in_memory();
            for (day, resolutions) in layout.1.iter().enumerate() {
                for resolution_ms in *resolutions {
                    for replica in 0..2 {
                        number += 1;
                        put_block(&bucket, dir.path(), number, replica, day as i64, *resolution_ms).await;
                    }
                }
            }
            let address = serve(bucket, &dir.path().join(format!("data-{number}")), gateway.clone()).await;
            all.push(format!("--endpoint={address}"));
        }
        all.extend(args.iter().map(|a| (*a).to_owned()));
        let world = World::start(Vec::new(), &all.iter().map(String::as_str).collect::<Vec<_>>()).await;
        Self { world, client: reqwest::Client::new(), gateway, _dir: dir }
    }

    /// The value at each step, of one series; times in ms.
    async fn range(&self, query: &str, (from, to, step): (i64, i64, i64), resolution: &str) -> Vec<Option<f64>> {
        let s = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
        let (start, end, step_s) = (s(from), s(to), s(step));
        let mut params = vec![("query", query), ("start", &start), ("end", &end), ("step", &step_s)];
        if !resolution.is_empty() {
            params.push(("max_source_resolution", resolution));
        }
        let request = self.client.get(format!("{}/api/v1/query_range", self.world.http)).query(&params);
        let answer: Value = serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        assert_eq!(answer["warnings"], Value::Null, "{query}");
        let series = answer["data"]["result"].as_array().unwrap();
        assert!(series.len() <= 1, "{query}: {answer}");
        let mut out = vec![None; ((to - from) / step) as usize + 1];
        for point in series.iter().flat_map(|s| s["values"].as_array().unwrap()) {
            let time = (point[0].as_f64().unwrap() * 1000.0).round() as i64;
            out[((time - from) / step) as usize] = Some(point[1].as_str().unwrap().parse().unwrap());
        }
        out
    }
}

/// A store gateway over the bucket; its address.
async fn serve(bucket: Bucket, data_dir: &Path, shutdown: CancellationToken) -> String {
    let clock = Arc::new(FakeClock::at(START + 30 * DAY));
    let deps = Deps { bucket: Some(bucket), clock, ..Deps::isolated(Metrics::new()) };
    let mut config = Config::with_defaults(&deps).unwrap();
    config.fetch.listing = bucket::Listing::Recursive;
    config.fetch.cache_dir = None;
    config.data_dir = Some(data_dir.to_owned());
    let store = Store::new(config, deps, Probe::new("starting")).unwrap();
    store.syncer.sync().await.unwrap();
    let listeners = Listeners::loopback().await.unwrap();
    let address = listeners.grpc_address().unwrap().unwrap().to_string();
    tokio::spawn(assembly::serve(store, listeners, shutdown));
    address
}

/// What is asked at each step, and what comes of it but for a part of `.2`; `None`: anything.
const QUERIES: [(&str, Option<f64>, f64); 14] = [
    ("both_total", None, 0.0),
    ("sum(both_total)", None, 0.0),
    ("max by (cluster) (both_total)", None, 0.0),
    ("count(one_total)", Some(1.0), 0.0),
    ("both_total offset 1h", None, 0.0),
    ("rate(both_total[5m])", Some(1.0), 0.21),
    ("rate(one_total[1h])", Some(1.0), 0.1),
    ("increase(one_total[6h])", Some(21_600.0), 0.1),
    ("sum(irate(one_total[5m]))", Some(1.0), 0.21),
    ("count_over_time(one_total[10m])", Some(20.0), 0.21),
    ("count_over_time(one_total[6h])", Some(720.0), 0.01),
    ("avg_over_time(both_total[30m])", None, 0.0),
    ("max_over_time(rate(both_total[5m])[1h:10m])", Some(1.0), 0.21),
    ("quantile_over_time(0.9, both_total[1h])", None, 0.0),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn automatic_resolutions_leave_no_gap() {
    let mut wrong = Vec::new();
    for layout in LAYOUTS {
        let system = System::start(layout, &["--query.auto-downsampling"]).await;
        // Where data begins, a few windows have to have ended.
        let all = (START + 8 * HOUR, START + DAYS * DAY - 1);
        let borders = [1, 2].map(|day| (START + day * DAY - HOUR, START + day * DAY + 2 * HOUR));
        for (resolution, step, spans) in [
            ("", 2 * MINUTE, &borders[..]),
            ("auto", 26 * MINUTE, &[all]),
            ("", HOUR, &[all]),
            ("auto", 6 * HOUR, &[all]),
            ("", DAY, &[all]),
        ] {
            for (query, want, off) in QUERIES {
                for (from, to) in spans {
                    let got = system.range(query, (*from, *to, step), resolution).await;
                    for (i, v) in got.into_iter().enumerate() {
                        let hours = (from + i as i64 * step - START) as f64 / HOUR as f64;
                        let name = || format!("{}: {query}, step {step}: {v:?} at {hours} h", layout.0);
                        let Some(v) = v else { panic!("{}", name()) };
                        // What is near the restart differs by what was lost there.
                        let near = (35.0..44.0).contains(&hours);
                        let right = want.is_none_or(|w| (v - w).abs() <= w * if near { off.max(0.2) } else { off });
                        if !right {
                            wrong.push(name());
                        }
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Each resolution that is asked for shows the days of which there is data that fine or finer, whatever the flag says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resolutions_asked_for_are_limits() {
    for (layout, first_days) in [(EACH_A_DAY, [2, 1, 0]), (LAYOUTS[1], [2, 1, 0])] {
        let system = System::start(layout, &["--query.auto-downsampling"]).await;
        for ((resolution, level), first_day) in [("0s", 0), ("5m", FIVE), ("1h", HOUR)].into_iter().zip(first_days) {
            let begin = START + first_day * DAY;
            let times = (START, START + DAYS * DAY - 1, MINUTE);
            for query in ["both_total", "rate(one_total[2h])", "count_over_time(one_total[2h])"] {
                let got = system.range(query, times, resolution).await;
                for (i, v) in got.into_iter().enumerate() {
                    let t = START + i as i64 * MINUTE;
                    let name = format!("{}: {query} at {resolution}, {} min: {v:?}", layout.0, i);
                    // The first window has to end, for a rate two.
                    let late = begin + 2 * level.max(MINUTE);
                    assert!(t >= begin || v.is_none(), "{name}");
                    assert!(t < late || v.is_some(), "{name}");
                }
            }
        }
        // At ends of windows counts are those of the raw samples.
        for hours in [1, 6, 24] {
            let times = (START + DAY - 1, START + DAYS * DAY - 1, HOUR);
            let query = format!("count_over_time(one_total[{hours}h])");
            let want = Some((hours * HOUR / SCRAPE) as f64);
            assert!(system.range(&query, times, "1h").await.iter().all(|v| *v == want), "{query}");
        }
    }
}

/// Where nothing is set only raw data shows, as in Thanos.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_flag_only_raw_data_shows() {
    let system = System::start(EACH_A_DAY, &[]).await;
    let times = (START, START + DAYS * DAY - 1, HOUR);
    for (resolution, empty) in [("", 49), ("auto", 1)] {
        // The first sample is a second after the hour.
        let got = system.range("both_total", times, resolution).await;
        assert_eq!(got.iter().position(Option::is_some), Some(empty), "{resolution}: {got:?}");
        assert!(got[empty..].iter().all(Option::is_some), "{resolution}: {got:?}");
    }
}

/// Stores may share the bucket by time: what one shows at the border is in the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_show_across_stores() {
    let layouts = [("the first day", [&[HOUR][..], &[], &[]]), ("the others", [&[], &[HOUR], &[HOUR]])];
    let system = System::over(&layouts, &["--query.auto-downsampling"]).await;
    let border = START + DAY;
    for query in ["both_total", "rate(both_total[5m])", "count_over_time(one_total[10m])"] {
        for times in [(border - HOUR, border + 3 * HOUR, MINUTE), (border + 10 * MINUTE, border + 3 * HOUR, MINUTE)] {
            let got = system.range(query, times, "").await;
            let empty = got.iter().position(Option::is_none);
            assert_eq!(empty, None, "{query} from {} min", (times.0 - border) / MINUTE);
        }
    }
}
