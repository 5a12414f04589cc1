//! The same queries asked of the real Prometheus.

use std::path::Path;
use std::sync::Arc;

use histogram::ResetHint;
use labels::{MatchType, Matcher};
use memory_store::{MemoryStore, MemoryStoreOptions};
use promql::{Engine, EngineOptions, Times};
use promql_syntax::{BinaryOp, Expr, ParseOptions, parse_with, selectors, walk};
use proto::prometheus::WriteRequest;
use proto::prometheus_copy::histogram::{Count, ResetHint as Hint, ZeroCount};
use proto::prometheus_copy::{BucketSpan, Histogram as WireHistogram, Sample as WireSample, TimeSeries};
use storage::SeriesSource;
use storage::append::HistogramValue;
use tests::client::Api;
use tests::peer::{Prometheus, PrometheusOptions};
use tests::remote_write::{send, wire_labels};

use crate::answers::Answer;
use crate::grammar::Grammar;
use crate::random::Random;
use crate::shrink::smaller_queries;
use crate::sides::{Case, ask, options};
use crate::world::{Kinds, START_MS, Sample, World};
use crate::{FAILURES_MAX, grid, setting};

/// Ours and the real one over the same series.
struct Pair {
    engine: Engine,
    memory: Arc<dyn SeriesSource>,
    api: Api,
}

impl Pair {
    async fn difference(&self, case: &Case) -> Option<String> {
        if compares_histograms(&case.query) {
            return None;
        }
        let seconds = |ms: i64| ms as f64 / 1000.0;
        if case.grid.steps() == 1 {
            let at = Times::Instant(case.grid.start_ms);
            let ours = ask(&self.engine, &self.memory, case.query.clone(), at).await;
            let theirs = self.api.query(&case.query, seconds(case.grid.start_ms)).await.unwrap();
            return Answer::from(&theirs).difference(&ours);
        }
        let ours = ask(&self.engine, &self.memory, case.query.clone(), Times::Range(case.grid)).await;
        let (from, to, step) = (seconds(case.grid.start_ms), seconds(case.grid.end_ms), seconds(case.grid.step_ms));
        let theirs = self.api.query_range(&case.query, from, to, step).await.unwrap();
        Answer::from(&theirs).difference(&ours)
    }
}

/// Whether histograms are compared for equality. For Prometheus they differ where one of them has empty buckets more, and
/// whether it has depends on the later samples of its chunk: on where chunks end, not on what was counted.
fn compares_histograms(query: &str) -> bool {
    let Ok(expr) = parse_with(query, &ParseOptions::ALL) else { return false };
    let has_native = |e: &Expr| {
        let of_floats = ["requests_total", "temperature", "latency_bucket", "odd", "up", "build_info", "target_info"];
        let is_of_floats = |m: &Matcher| m.kind() == MatchType::Equal && of_floats.contains(&m.value());
        selectors(e).iter().any(|s| !s.matchers.iter().any(is_of_floats))
    };
    let mut found = false;
    walk(&expr, &mut |e| {
        if let Expr::Binary(b) = e {
            let compares = matches!(b.op, BinaryOp::Equal | BinaryOp::NotEqual);
            found |= compares && has_native(&b.lhs) && has_native(&b.rhs);
        }
    });
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_says_the_same() {
    let Some(program) = tests::peer::prometheus("prometheus_says_the_same") else { return };
    let (first, worlds) = (setting("AION_QUERIES_SEED", 1), setting("AION_QUERIES_WORLDS", 1));
    let (queries, mut failures) = (setting("AION_QUERIES", 800), Vec::new());
    for seed in first..first + worlds {
        ask_both(&program, seed, queries, &mut failures).await;
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// What a Prometheus is to switch on. One that does not know a name goes on without.
const FEATURES: &str = "native-histograms,promql-experimental-functions,promql-extended-range-selectors,\
                        promql-binop-fill-modifiers";

/// Asks both `queries` queries over the world of `seed`.
async fn ask_both(program: &Path, seed: u64, queries: u64, failures: &mut Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    // Prometheus 2 has no such switch.
    let mut delayed = seed % 4 == 3;
    let name_removal = if delayed { ",promql-delayed-name-removal" } else { "" };
    let flags = vec![format!("--enable-feature={FEATURES}{name_removal}")];
    let options_of = PrometheusOptions { flags, ..PrometheusOptions::default() };
    let prometheus = Prometheus::start(program, dir.path(), &options_of).await.unwrap();
    let build = prometheus.api.get("/api/v1/status/buildinfo", &[]).await.unwrap();
    let is_2 = build["data"]["version"].as_str().unwrap_or_default().starts_with("2.");
    delayed &= !is_2;
    let kinds = if is_2 { Kinds::Prometheus2 } else { Kinds::All };
    let world = World::new(seed, kinds).without_negative_zeros();
    write(&world, &prometheus.base).await;
    let memory = MemoryStore::new(MemoryStoreOptions::default());
    world.write(&memory).await;
    let engine = Engine::new(EngineOptions { delayed_name_removal: delayed, ..options() });
    let pair = Pair { engine, memory: Arc::new(memory), api: prometheus.api.clone() };

    let mut grammar = Grammar { random: Random(seed ^ 0x9ee5), kinds };
    for _ in 0..queries {
        let mut case = Case { query: grammar.query(), grid: grid(&mut grammar.random, is_2) };
        if failures.len() < FAILURES_MAX && pair.difference(&case).await.is_some() {
            let asked = case.query.clone();
            'smaller: loop {
                for query in smaller_queries(&case.query) {
                    let smaller = Case { query, ..case.clone() };
                    if pair.difference(&smaller).await.is_some() {
                        case = smaller;
                        continue 'smaller;
                    }
                }
                break;
            }
            failures.push(told(seed, &pair, &world, &case, &asked).await);
        }
    }
}

async fn told(seed: u64, pair: &Pair, world: &World, case: &Case, asked: &str) -> String {
    let difference = pair.difference(case).await.unwrap_or_default();
    let world = world.read_by(&case.query);
    let from = case.grid.start_ms - START_MS;
    let (steps, step) = (case.grid.steps(), case.grid.step_ms);
    format!(
        "seed {seed}: {}\n  at {from} ms, {steps} steps of {step} ms: {difference}\n  asked as {asked}\n{}",
        case.query,
        world.shown()
    )
}

/// Sends the whole world by remote write. Of one request a series' floats are taken before its histograms: no request has
/// both, that none is out of order.
async fn write(world: &World, base: &str) {
    let client = tests::client::http().unwrap();
    let is_float = |sample: &Sample| matches!(sample, Sample::Float(_));
    let same_kind = |a: &(i64, Sample), b: &(i64, Sample)| is_float(&a.1) == is_float(&b.1);
    let runs = world.0.iter().map(|series| series.samples.chunk_by(same_kind).map(<[_]>::to_vec).collect::<Vec<_>>());
    let runs: Vec<Vec<Vec<(i64, Sample)>>> = runs.collect();
    for round in 0..runs.iter().map(Vec::len).max().unwrap_or(0) {
        let with_more = world.0.iter().zip(&runs).filter_map(|(series, runs)| Some((series, runs.get(round)?)));
        let timeseries = with_more.map(|(series, run)| {
            let mut out = TimeSeries { labels: wire_labels(series.labels.iter()), ..TimeSeries::default() };
            for (timestamp, sample) in run {
                match sample {
                    Sample::Float(value) => out.samples.push(WireSample { value: *value, timestamp: *timestamp }),
                    Sample::Histogram(h) => out.histograms.push(wire(*timestamp, h)),
                }
            }
            out
        });
        let request = WriteRequest { timeseries: timeseries.collect(), ..WriteRequest::default() };
        send(&client, base, &request).await.unwrap();
    }
}

fn wire(timestamp: i64, h: &HistogramValue) -> WireHistogram {
    let spans = |all: &[histogram::Span]| {
        all.iter().map(|s| BucketSpan { offset: s.offset, length: s.length }).collect::<Vec<_>>()
    };
    let hint = |hint: ResetHint| if hint == ResetHint::Gauge { Hint::Gauge } else { Hint::Unknown } as i32;
    match h {
        HistogramValue::Int(h) => WireHistogram {
            timestamp,
            count: Some(Count::CountInt(h.count)),
            zero_count: Some(ZeroCount::ZeroCountInt(h.zero_count)),
            sum: h.sum,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            positive_spans: spans(&h.positive_spans),
            positive_deltas: h.positive_deltas.clone(),
            negative_spans: spans(&h.negative_spans),
            negative_deltas: h.negative_deltas.clone(),
            custom_values: h.custom_values.clone(),
            reset_hint: hint(h.reset_hint),
            ..WireHistogram::default()
        },
        HistogramValue::Float(h) => WireHistogram {
            timestamp,
            count: Some(Count::CountFloat(h.count)),
            zero_count: Some(ZeroCount::ZeroCountFloat(h.zero_count)),
            sum: h.sum,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            positive_spans: spans(&h.positive_spans),
            positive_counts: h.positive_buckets.clone(),
            negative_spans: spans(&h.negative_spans),
            negative_counts: h.negative_buckets.clone(),
            custom_values: h.custom_values.clone(),
            reset_hint: hint(h.reset_hint),
            ..WireHistogram::default()
        },
    }
}
