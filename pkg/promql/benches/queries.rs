//! Queries of dashboards and alerts over a synthetic fleet: 100 targets with counters, gauges and histogram buckets,
//! scraped each 15 s for 12 h, held as XOR chunks of 120 samples; and over 60 series of native histograms of the same times.
//! Figures are for the engine alone: no index, no network.

use std::sync::{Arc, OnceLock};

use chunkenc::{Appended, Encoding, HistogramAppender, ResetFlag, XorAppender};
use histogram::{Histogram, Span};
use labels::Labels;
use promql::{Engine, EngineOptions, Query};
use storage::{Chunk, Ctx, MemorySource, Series};

const TARGETS: usize = 100;
const START_MS: i64 = 1_700_006_400_000;
const TICKS: usize = 12 * 240;
const END_MS: i64 = START_MS + (TICKS as i64 - 1) * 15_000;

fn main() {
    divan::main();
}

/// A small generator of well-spread numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

enum Kind {
    IntegerCounter,
    SecondsCounter,
    Gauge,
}

fn series(labels: &[(&str, &str)], kind: &Kind, random: &mut Random) -> Series {
    let mut chunks = Vec::with_capacity(TICKS.div_ceil(120));
    let rate = random.next() * 30.0;
    let mut value = (random.next() * 1e5).floor();
    let mut tick = 0;
    while tick < TICKS {
        let (first, mut last) = (tick, tick);
        let mut appender = XorAppender::new();
        while tick < TICKS && tick - first < 120 {
            value = match kind {
                Kind::IntegerCounter if random.next() < 0.0003 => 0.0,
                Kind::IntegerCounter => value + (random.next() * rate).floor(),
                Kind::SecondsCounter => ((value + random.next() * 15.0) * 100.0).round() / 100.0,
                Kind::Gauge => (random.next() * 1e4).round() / 100.0,
            };
            // One scrape in ten is some ms late.
            let late = if random.next() < 0.1 { (random.next() * 9.0) as i64 } else { 0 };
            appender.append(START_MS + tick as i64 * 15_000 + late, value).expect("times ascend");
            last = tick;
            tick += 1;
        }
        let at = |t: usize| START_MS + t as i64 * 15_000;
        chunks.push(Chunk::raw(at(first), at(last) + 9, Encoding::Xor, appender.to_vec().into()));
    }
    Series { labels: Labels::from_pairs(labels.iter().copied()), chunks }
}

fn fleet() -> Arc<MemorySource> {
    static FLEET: OnceLock<Arc<MemorySource>> = OnceLock::new();
    FLEET.get_or_init(build).clone()
}

fn build() -> Arc<MemorySource> {
    let mut random = Random(42);
    let mut all = Vec::new();
    for target in 0..TARGETS {
        let instance = format!("10.0.{}.{}:9100", target / 25, target % 25);
        let namespace = format!("ns-{}", target % 10);
        let pod = format!("app-{}-7f9c{:04x}-{:05x}", target % 17, target * 7919 % 65_536, target * 104_729 % 0xfffff);
        let node = format!("node-{}", target % 12);
        let base = [("instance", instance.as_str()), ("job", "app"), ("namespace", &namespace), ("pod", &pod)];
        let with = |extra: &[(&'static str, String)], kind: Kind, random: &mut Random| {
            let mut labels: Vec<(&str, &str)> = base.to_vec();
            labels.extend(extra.iter().map(|(n, v)| (*n, v.as_str())));
            series(&labels, &kind, random)
        };
        let name = |n: &str| ("__name__", n.to_owned());
        for cpu in 0..8 {
            for mode in ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"] {
                let extra = [name("node_cpu_seconds_total"), ("cpu", cpu.to_string()), ("mode", mode.to_owned())];
                all.push(with(&extra, Kind::SecondsCounter, &mut random));
            }
        }
        for handler in ["/api/v1/query", "/api/v1/write", "/healthz", "/login"] {
            for code in ["200", "204", "400", "404", "500"] {
                let extra = [
                    name("http_requests_total"),
                    ("code", code.to_owned()),
                    ("handler", handler.to_owned()),
                    ("method", "get".to_owned()),
                ];
                all.push(with(&extra, Kind::IntegerCounter, &mut random));
            }
        }
        for handler in 0..6 {
            for le in ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"] {
                let extra = [
                    name("http_request_duration_seconds_bucket"),
                    ("handler", format!("/h{handler}")),
                    ("le", le.to_owned()),
                ];
                all.push(with(&extra, Kind::IntegerCounter, &mut random));
            }
        }
        all.push(with(&[name("go_goroutines")], Kind::Gauge, &mut random));
        all.push(with(&[name("node_load1")], Kind::Gauge, &mut random));
        all.push(with(&[name("process_resident_memory_bytes")], Kind::Gauge, &mut random));
        all.push(with(&[name("kube_pod_info"), ("node", node.clone())], Kind::Gauge, &mut random));
    }
    Arc::new(MemorySource::new(all))
}

/// 60 series of native histograms with some 60 buckets.
fn native_fleet() -> Arc<MemorySource> {
    static FLEET: OnceLock<Arc<MemorySource>> = OnceLock::new();
    FLEET.get_or_init(|| Arc::new(MemorySource::new((0..60).map(native_series).collect()))).clone()
}

fn native_series(number: u64) -> Series {
    const BUCKETS: usize = 60;
    let mut random = Random(number + 1);
    let mut counts = vec![0i64; BUCKETS];
    let (mut chunks, mut open) = (Vec::new(), HistogramAppender::new(ResetFlag::Unknown));
    let (mut first, mut last, mut sum) = (START_MS, START_MS, 0.0);
    for tick in 0..TICKS {
        let at = START_MS + tick as i64 * 15_000;
        for _ in 0..20 {
            // Near the middle, as latencies are.
            let bucket = ((random.next() + random.next() + random.next()) / 3.0 * BUCKETS as f64) as usize;
            counts[bucket] += 1;
            sum += random.next();
        }
        let mut before = 0;
        let deltas = counts.iter().map(|c| c - std::mem::replace(&mut before, *c)).collect();
        let histogram = Histogram {
            schema: 3,
            zero_threshold: 1e-128,
            count: counts.iter().sum::<i64>() as u64,
            sum,
            positive_spans: vec![Span { offset: -30, length: BUCKETS as u32 }],
            positive_deltas: deltas,
            ..Histogram::default()
        };
        let is_full = open.len() == 120;
        if is_full || matches!(open.append(at, &histogram).expect("a chunk"), Appended::Cut(_)) {
            chunks.push(Chunk::raw(first, last, Encoding::Histogram, open.to_vec().into()));
            (open, first) = (HistogramAppender::new(ResetFlag::NotReset), at);
            open.append(at, &histogram).expect("the first fits");
        }
        last = at;
    }
    chunks.push(Chunk::raw(first, last, Encoding::Histogram, open.to_vec().into()));
    let (instance, handler) = (format!("10.0.0.{}:9100", number / 6), format!("/h{}", number % 6));
    let labels = [("__name__", "native_seconds"), ("handler", handler.as_str()), ("instance", &instance)];
    Series { labels: Labels::from_pairs(labels), chunks }
}

/// Name, query, range in s (0: instant), step in s.
const QUERIES: &[(&str, &str, i64, i64)] = &[
    ("sum_rate_1h_15s", "sum(rate(http_requests_total[5m]))", 3600, 15),
    ("sum_by_rate_6h_60s", "sum by (namespace, code) (rate(http_requests_total[5m]))", 21_600, 60),
    (
        "histogram_quantile_6h_60s",
        "histogram_quantile(0.99, sum by (le, handler) (rate(http_request_duration_seconds_bucket[5m])))",
        21_600,
        60,
    ),
    ("topk_6h_60s", "topk(10, sum by (pod) (rate(http_requests_total[5m])))", 21_600, 60),
    ("node_cpu_busy_11h_60s", r#"1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m]))"#, 39_600, 60),
    ("heavy_node_cpu_11h_60s", "sum by (mode) (rate(node_cpu_seconds_total[5m]))", 39_600, 60),
    ("subquery_6h_5m", "max_over_time(sum(rate(http_requests_total[5m]))[1h:1m])", 21_600, 300),
    (
        "error_ratio_6h_60s",
        r#"sum by (namespace) (rate(http_requests_total{code=~"5.."}[5m])) / sum by (namespace) (rate(http_requests_total[5m]))"#,
        21_600,
        60,
    ),
    (
        "group_left_6h_60s",
        "sum by (node) (process_resident_memory_bytes * on (pod, namespace) group_left (node) kube_pod_info)",
        21_600,
        60,
    ),
    ("avg_over_time_11h_instant", "avg_over_time(node_load1[11h])", 0, 0),
    ("increase_11h_instant", "sum by (job) (increase(http_requests_total[11h]))", 0, 0),
    ("quantile_over_time_6h_10m", "quantile_over_time(0.95, go_goroutines[1h])", 21_600, 600),
    ("raw_selector_1h_15s", "node_cpu_seconds_total", 3600, 15),
    ("count_by_name_instant", r#"sort_desc(count by (__name__) ({__name__!=""}))"#, 0, 0),
    ("native_raw_1h_15s", "native_seconds", 3600, 15),
    ("native_rate_6h_60s", "sum by (handler) (rate(native_seconds[5m]))", 21_600, 60),
    ("native_quantile_6h_60s", "histogram_quantile(0.99, sum by (handler) (rate(native_seconds[5m])))", 21_600, 60),
    ("native_count_6h_60s", "sum by (handler) (histogram_count(rate(native_seconds[5m])))", 21_600, 60),
    ("native_sum_over_time_6h_5m", "sum_over_time(native_seconds[10m])", 21_600, 300),
    ("native_increase_11h_instant", "histogram_quantile(0.5, sum(increase(native_seconds[11h])))", 0, 0),
    ("alert_like_instant", r#"sum by (pod) (rate(http_requests_total{code="500"}[5m])) > 0.01"#, 0, 0),
];

#[divan::bench(args = QUERIES.iter().map(|q| q.0), sample_count = 5)]
fn query(bencher: divan::Bencher<'_, '_>, name: &str) {
    let source = if name.starts_with("native") { native_fleet() } else { fleet() };
    let (_, text, range_s, step_s) = QUERIES.iter().find(|q| q.0 == name).expect("listed");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let engine = Engine::new(EngineOptions::default());
    bencher.bench_local(|| {
        runtime.block_on(async {
            let ctx = Ctx::background();
            if *range_s == 0 {
                engine.evaluate(&ctx, source.clone(), Query::instant(*text, END_MS)).await
            } else {
                let start = END_MS - range_s * 1000;
                engine.evaluate(&ctx, source.clone(), Query::range(*text, start, END_MS, step_s * 1000)).await
            }
        })
    });
}
