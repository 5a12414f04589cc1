//! What the head costs: samples of known series, new series, lookups, queries.

use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use futures::StreamExt;
use futures::executor::block_on;
use labels::Matcher;
use model::{FakeClock, TimeRange};
use storage::append::{AppendOptions, Appendable, Floats, SeriesRef};
use storage::{Ctx, Select, SeriesEvent, SeriesSource};
use telemetry::Metrics;
use tsdb::head::{Head, HeadOptions, HeadParts, MemoryChunks, NoJournal};

const START_MS: i64 = 1_700_000_000_000;
/// Series of a transaction: a scrape.
const BATCH: usize = 1_000;

fn head() -> Head {
    let parts = HeadParts {
        clock: Arc::new(FakeClock::at(START_MS)),
        metrics: Metrics::new(),
        journal: Arc::new(NoJournal),
        chunks: Arc::new(MemoryChunks::default()),
        seed: 7,
    };
    Head::new(parts, HeadOptions::default())
}

/// Ten labels each, as an exporter has them.
fn make(head: &Head, series: usize) -> Vec<SeriesRef> {
    let mut all = Vec::with_capacity(series);
    for first in (0..series).step_by(BATCH) {
        let texts: Vec<[String; 3]> = (first..series.min(first + BATCH))
            .map(|n| {
                let metric = format!("http_requests_{}_total", n % 50);
                [metric, format!("10.0.{}.{}:9100", n / 100_000, n / 500), format!("/api/v1/{}", n / 50 % 100)]
            })
            .collect();
        let sets: Vec<Vec<(&str, &str)>> = texts
            .iter()
            .map(|[metric, instance, path]| {
                vec![
                    ("__name__", metric.as_str()),
                    ("cluster", "eu-west-1"),
                    ("code", "200"),
                    ("env", "production"),
                    ("instance", instance),
                    ("job", "node-exporter"),
                    ("method", "GET"),
                    ("namespace", "monitoring"),
                    ("path", path),
                    ("team", "platform"),
                ]
            })
            .collect();
        let sets: Vec<&[(&str, &str)]> = sets.iter().map(Vec::as_slice).collect();
        let mut appender = head.appender(&Ctx::background(), AppendOptions::default());
        let found: Vec<SeriesRef> = appender.resolve(&sets).unwrap().into_iter().flatten().collect();
        write(&mut *appender, &found, START_MS);
        block_on(appender.commit()).unwrap();
        all.extend(found);
    }
    all
}

fn write(appender: &mut dyn storage::append::Appender, series: &[SeriesRef], time_ms: i64) {
    let times_ms = vec![time_ms; series.len()];
    let values: Vec<f64> = (0..series.len()).map(|n| (n as i64 * (time_ms % 1_000)) as f64).collect();
    appender.floats(Floats { series, times_ms: &times_ms, values: &values, starts_ms: &[] }).unwrap();
}

fn main() {
    divan::main();
}

#[divan::bench(args = [1_000, 20_000])]
fn samples_of_known_series(bencher: Bencher, series: usize) {
    let head = head();
    let all = make(&head, series);
    let mut time_ms = START_MS;
    bencher.counter(ItemsCount::new(series)).bench_local(|| {
        time_ms += 15_000;
        for some in all.chunks(BATCH) {
            let mut appender = head.appender(&Ctx::background(), AppendOptions::default());
            write(&mut *appender, some, time_ms);
            block_on(appender.commit()).unwrap();
        }
    });
}

#[divan::bench(sample_count = 5)]
fn new_series(bencher: Bencher) {
    const SERIES: usize = 100_000;
    bencher.counter(ItemsCount::new(SERIES)).with_inputs(head).bench_local_values(|head| {
        make(&head, SERIES);
        head
    });
}

#[divan::bench(args = ["one metric", "all"])]
fn selecting(bencher: Bencher, which: &str) {
    let head = head();
    make(&head, 100_000);
    let matchers = if which == "all" { vec![] } else { vec![Matcher::equal("__name__", "http_requests_7_total")] };
    bencher.bench_local(|| {
        let mut stream = head.select(&Ctx::background(), Select::new(TimeRange::ALL, matchers.clone()));
        let mut series = 0;
        block_on(async {
            while let Some(event) = stream.next().await {
                if let SeriesEvent::Batch(batch) = event.unwrap() {
                    series += batch.len();
                }
            }
        });
        series
    });
}
