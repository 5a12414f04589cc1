//! Writing range vectors: 5000 series × 308 steps, the size at which Prometheus 3 was measured (290 ns a point).

use divan::Bencher;
use divan::counter::ItemsCount;
use labels::Labels;
use promql::{Grid, Matrix, MatrixSeries, Points, StepColumn};

const SERIES: usize = 5000;
const STEPS: usize = 308;

fn main() {
    divan::main();
}

fn matrix(value: impl Fn(usize, usize) -> f64) -> Matrix {
    let series = (0..SERIES).map(|s| MatrixSeries {
        labels: Labels::from_pairs([
            ("__name__", "http_requests_total"),
            ("instance", &format!("host-{s}.example:9100")),
            ("job", "node"),
        ]),
        points: Points::Steps(StepColumn::full((0..STEPS).map(|i| value(s, i)).collect())),
    });
    let start_ms = 1_700_000_000_000;
    let grid = Grid { start_ms, end_ms: start_ms + (STEPS as i64 - 1) * 15_000, step_ms: 15_000 };
    Matrix { grid, series: series.collect() }
}

fn run(bencher: Bencher<'_, '_>, value: impl Fn(usize, usize) -> f64) {
    let matrix = matrix(value);
    bencher
        .counter(ItemsCount::new(SERIES * STEPS))
        .with_inputs(|| matrix.clone())
        .bench_values(|matrix| api::matrix_json(matrix).map(|piece| piece.len()).sum::<usize>());
}

/// Counters: whole numbers.
#[divan::bench(sample_count = 10)]
fn whole_numbers(bencher: Bencher<'_, '_>) {
    run(bencher, |s, i| (s * 1000 + i * 17) as f64);
}

/// Rates: all digits.
#[divan::bench(sample_count = 10)]
fn fractions(bencher: Bencher<'_, '_>) {
    run(bencher, |s, i| (s + 1) as f64 / (i + 3) as f64);
}

/// Small fractions: a few digits.
#[divan::bench(sample_count = 10)]
fn few_digits(bencher: Bencher<'_, '_>) {
    run(bencher, |s, i| ((s + i) % 1000) as f64 / 1000.0);
}
