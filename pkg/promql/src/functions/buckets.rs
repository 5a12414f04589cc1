//! Quantiles and fractions of classic histograms: `histogram_quantile`, `histogram_quantiles`, `histogram_fraction`.

use hashbrown::HashMap;
use labels::{BUCKET_LABEL, Builder, Labels};
use promql_syntax::Span;

use crate::annotations::Forced;
use crate::eval::{Cx, Operator, Result, Stream, drop_name};
use crate::go_float::format_open_metrics;
use crate::merge::{ENTRY_BYTES, Ready};
use crate::plan::BucketsFn;
use crate::scalar::ScalarOp;
use crate::series::StepSeries;
use crate::{Grid, StepColumn};

/// Counts up to an upper bound, inclusive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bucket {
    pub upper: f64,
    pub count: f64,
}

/// Relative differences between buckets below this are rounding, not data.
const ROUNDING: f64 = 1e-12;

pub(crate) enum Function {
    Quantile(ScalarOp, Span),
    Quantiles(String, Vec<(ScalarOp, Span)>),
    Fraction(ScalarOp, ScalarOp),
}

impl Function {
    pub fn open(plan: &BucketsFn, grid: Grid, cx: &mut Cx) -> Result<Self> {
        Ok(match plan {
            BucketsFn::Quantile(q, span) => Self::Quantile(ScalarOp::open(q, grid, cx)?, *span),
            BucketsFn::Fraction(a, b) => Self::Fraction(ScalarOp::open(a, grid, cx)?, ScalarOp::open(b, grid, cx)?),
            BucketsFn::Quantiles(label, list) => {
                let open = list.iter().map(|(q, span)| Ok((ScalarOp::open(q, grid, cx)?, *span)));
                Self::Quantiles(label.clone(), open.collect::<Result<_>>()?)
            }
        })
    }
}

pub(crate) struct BucketsOp {
    pub function: Function,
    pub inner: Stream,
    pub grid: Grid,
    /// Place of the vector argument.
    pub span: Span,
    pub done: Ready,
}

/// What a bucket takes beside its values.
const BUCKET_BYTES: usize = size_of::<(f64, StepColumn)>();

struct Histogram {
    labels: Labels,
    buckets: Vec<(f64, StepColumn)>,
}

impl BucketsOp {
    fn collect(&mut self, cx: &mut Cx) -> Result<Vec<Histogram>> {
        let mut numbers: HashMap<Labels, usize> = HashMap::new();
        let mut histograms: Vec<Histogram> = Vec::new();
        while let Some(series) = cx.next(&mut self.inner)? {
            let le = series.labels.value(BUCKET_LABEL);
            let Some(upper) = parse_bound(le) else {
                let name = if cx.delayed() { series.labels.metric_name() } else { "" };
                cx.annotations.bad_bucket(name, le, self.span);
                continue;
            };
            let labels = series.labels.without(&[BUCKET_LABEL]);
            cx.hold(series.column.count(), series.column.size_bytes() + BUCKET_BYTES)?;
            let at = match numbers.get(&labels) {
                Some(at) => *at,
                None => {
                    cx.hold(0, labels.size_bytes() + ENTRY_BYTES)?;
                    histograms.push(Histogram { labels: labels.clone(), buckets: Vec::new() });
                    numbers.insert(labels, histograms.len() - 1);
                    histograms.len() - 1
                }
            };
            histograms[at].buckets.push((upper, series.column));
        }
        for h in &mut histograms {
            h.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        Ok(histograms)
    }

    fn drain(&mut self, cx: &mut Cx) -> Result<Vec<StepSeries>> {
        let histograms = self.collect(cx)?;
        let mut out = Vec::new();
        let mut scratch = Vec::new();
        let span = self.span;
        // What to compute, and the label for the quantile.
        let mut passes: Vec<(Pass, Option<String>)> = Vec::new();
        match &mut self.function {
            Function::Quantile(q, at) => {
                passes.push((Pass::Quantile(quantiles(q, *at, cx)?), None));
            }
            Function::Quantiles(label, list) => {
                for (q, at) in list {
                    passes.push((Pass::Quantile(quantiles(q, *at, cx)?), Some(label.clone())));
                }
            }
            Function::Fraction(lower, upper) => {
                passes.push((Pass::Fraction(lower.eval(cx)?, upper.eval(cx)?), None));
            }
        }
        for (pass, label) in &passes {
            for h in &histograms {
                let column = self.run(pass, h, &mut scratch, span, cx)?;
                if column.is_empty() {
                    continue;
                }
                match label {
                    None => {
                        let series = StepSeries { labels: h.labels.clone(), drop_name: true, column };
                        let series = drop_name(series, cx);
                        cx.hold_series(&series)?;
                        out.push(series);
                    }
                    Some(label) => split_by_quantile(pass, label, h, &column, self.grid, cx, &mut out)?,
                }
            }
        }
        for h in histograms {
            cx.release(0, h.labels.size_bytes() + ENTRY_BYTES);
            for (_, c) in h.buckets {
                cx.release(c.count(), c.size_bytes() + BUCKET_BYTES);
            }
        }
        Ok(out)
    }

    fn run(
        &self,
        pass: &Pass,
        h: &Histogram,
        scratch: &mut Vec<Bucket>,
        span: Span,
        cx: &mut Cx,
    ) -> Result<StepColumn> {
        let steps = self.grid.steps();
        let mut column = StepColumn::absent(steps);
        for i in 0..steps {
            cx.work(h.buckets.len())?;
            scratch.clear();
            let present = h.buckets.iter().filter_map(|(upper, c)| c.get(i).map(|count| (*upper, count)));
            scratch.extend(present.map(|(upper, count)| Bucket { upper, count }));
            if scratch.is_empty() {
                continue;
            }
            match pass {
                Pass::Quantile(q) => {
                    let (value, forced) = bucket_quantile(q[i], scratch);
                    if let Some((min_bucket, max_bucket, max_diff)) = forced {
                        let name = if cx.delayed() { h.labels.metric_name() } else { "" };
                        let time = self.grid.time(i);
                        let forced =
                            Forced { min_time: time, max_time: time, min_bucket, max_bucket, max_diff, count: 1 };
                        cx.annotations.forced_monotonic(name, forced, span);
                    }
                    column.set(i, value);
                }
                Pass::Fraction(lower, upper) => column.set(i, bucket_fraction(lower[i], upper[i], scratch)),
            }
        }
        Ok(column)
    }
}

enum Pass {
    Quantile(Vec<f64>),
    Fraction(Vec<f64>, Vec<f64>),
}

fn quantiles(q: &mut ScalarOp, at: Span, cx: &mut Cx) -> Result<Vec<f64>> {
    let values = q.eval(cx)?;
    for v in values.iter().filter(|v| !(0.0..=1.0).contains(*v)) {
        cx.annotations.bad_quantile(*v, at);
    }
    Ok(values)
}

/// `histogram_quantiles` writes the quantile into a label; where it changes from step to step, so do the series.
fn split_by_quantile(
    pass: &Pass,
    label: &str,
    h: &Histogram,
    column: &StepColumn,
    grid: Grid,
    cx: &mut Cx,
    out: &mut Vec<StepSeries>,
) -> Result<()> {
    let Pass::Quantile(q) = pass else { return Ok(()) };
    let mut by_bits: Vec<(u64, StepColumn)> = Vec::new();
    for (i, v) in column.floats() {
        let bits = q[i].to_bits();
        cx.work(by_bits.len())?;
        let at = match by_bits.iter().position(|(b, _)| *b == bits) {
            Some(at) => at,
            None => {
                let column = StepColumn::absent(grid.steps());
                cx.hold(0, column.size_bytes())?;
                by_bits.push((bits, column));
                by_bits.len() - 1
            }
        };
        by_bits[at].1.set(i, v);
    }
    for (bits, column) in by_bits {
        cx.release(0, column.size_bytes());
        let text = format_open_metrics(f64::from_bits(bits));
        let size = h.labels.size_bytes() + text.len();
        let labels = cx.make_labels(size, || Builder::from_labels(&h.labels).set(label, &text).build())?;
        let series = drop_name(StepSeries { labels, drop_name: true, column }, cx);
        cx.hold_series(&series)?;
        out.push(series);
    }
    Ok(())
}

impl Operator for BucketsOp {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        if !self.done.is_filled() {
            let all = self.drain(cx)?;
            self.done.fill(all);
        }
        Ok(self.done.next(cx))
    }
}

fn parse_bound(text: &str) -> Option<f64> {
    model::parse_go_float(text).ok()
}

/// Buckets with one bound become one; `buckets` is ascending.
fn coalesce(buckets: &mut Vec<Bucket>) {
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
}

/// The `q` quantile, linear within a bucket; and when counts fell from one bucket to the next: lowest and highest bound
/// and largest fall. `buckets` is ascending and not empty; it is changed.
pub(crate) fn bucket_quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<(f64, f64, f64)>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if buckets.last().is_none_or(|b| b.upper != f64::INFINITY) {
        return (f64::NAN, None);
    }
    coalesce(buckets);
    let forced = make_monotonic(buckets);
    let n = buckets.len();
    if n < 2 {
        return (f64::NAN, forced);
    }
    let observations = buckets[n - 1].count;
    if observations == 0.0 {
        return (f64::NAN, forced);
    }
    let mut rank = q * observations;
    let b = buckets[..n - 1].partition_point(|b| b.count.partial_cmp(&rank).is_none_or(std::cmp::Ordering::is_lt));
    if b == n - 1 {
        return (buckets[n - 2].upper, forced);
    }
    if b == 0 && buckets[0].upper <= 0.0 {
        return (buckets[0].upper, forced);
    }
    let (mut start, end, mut count) = (0.0, buckets[b].upper, buckets[b].count);
    if b > 0 {
        start = buckets[b - 1].upper;
        count -= buckets[b - 1].count;
        rank -= buckets[b - 1].count;
    }
    (start + (end - start) * (rank / count), forced)
}

fn make_monotonic(buckets: &mut [Bucket]) -> Option<(f64, f64, f64)> {
    let (mut min, mut max, mut diff, mut forced) = (f64::INFINITY, f64::NEG_INFINITY, 0.0f64, false);
    let mut before = buckets[0].count;
    for b in &mut buckets[1..] {
        if b.count == before {
            continue;
        }
        if almost_equal(before, b.count, ROUNDING) {
            b.count = before;
            continue;
        }
        if b.count < before {
            forced = true;
            min = min.min(b.upper);
            max = max.max(b.upper);
            diff = diff.max(before - b.count);
            b.count = before;
            continue;
        }
        before = b.count;
    }
    forced.then_some((min, max, diff))
}

/// Whether two numbers differ by less than `epsilon` times their sum; NaN equals NaN, the stale marker only itself.
pub(crate) fn almost_equal(a: f64, b: f64, epsilon: f64) -> bool {
    if model::is_stale(a) || model::is_stale(b) {
        return model::is_stale(a) && model::is_stale(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let sum = a.abs() + b.abs();
    let diff = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return diff < epsilon * f64::MIN_POSITIVE;
    }
    diff / sum.min(f64::MAX) < epsilon
}

/// The share of observations between `lower` and `upper`. `buckets` is ascending and not empty; it is changed.
pub(crate) fn bucket_fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if buckets.last().is_none_or(|b| b.upper != f64::INFINITY) {
        return f64::NAN;
    }
    coalesce(buckets);
    let total = buckets[buckets.len() - 1].count;
    if total == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    // Below the first bound lie the positive numbers, or all of them when it is not positive itself.
    let mut low_bound = if buckets[0].upper <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let mut rank = 0.0;
    let (mut lower_rank, mut upper_rank) = (None, None);
    for b in buckets.iter() {
        let within = |v: f64| {
            if low_bound == f64::NEG_INFINITY {
                b.count
            } else {
                rank + (b.count - rank) * (v - low_bound) / (b.upper - low_bound)
            }
        };
        let place = |v: f64| {
            if low_bound >= v {
                Some(rank)
            } else if b.upper > v {
                Some(within(v))
            } else {
                None
            }
        };
        lower_rank = lower_rank.or_else(|| place(lower));
        upper_rank = upper_rank.or_else(|| place(upper));
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank = b.count;
        low_bound = b.upper;
    }
    let cap = |r: Option<f64>| r.map_or(total, |r| if r > total { total } else { r });
    (cap(upper_rank) - cap(lower_rank)) / total
}
