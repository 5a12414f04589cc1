//! Quantiles and fractions of classic and native histograms: `histogram_quantile`, `histogram_quantiles`, `histogram_fraction`.

use hashbrown::HashMap;
use histogram::FloatHistogram;
use labels::{BUCKET_LABEL, Builder, Labels};
use promql_syntax::Span;

use crate::annotations::Forced;
use crate::eval::{Cx, Operator, Result, Stream, drop_name};
use crate::functions::classic::{Bucket, bucket_fraction, bucket_quantile};
use crate::go_float::format_open_metrics;
use crate::merge::{ENTRY_BYTES, Ready};
use crate::native::{Nans, fraction, quantile};
use crate::scalar::ScalarOp;
use crate::series::StepSeries;
use crate::{Grid, StepColumn};

pub(crate) enum Function {
    Quantile(ScalarOp, Span),
    Quantiles(String, Vec<(ScalarOp, Span)>),
    Fraction(ScalarOp, ScalarOp),
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
    /// Of a classic histogram.
    buckets: Vec<(f64, StepColumn)>,
    /// What each pass makes of a native one, by step, ascending: histograms are large, and let go as soon as they are read.
    native: Vec<Vec<OfNative>>,
}

/// What a pass makes of a native histogram.
struct OfNative {
    step: u32,
    value: f64,
    nans: Told,
}

/// What is to be said of a histogram that observed NaN.
#[derive(Clone, Copy)]
enum Told {
    Nothing,
    Quantile { reached: bool },
    Fraction,
}

impl Told {
    fn tell(self, name: &str, span: Span, cx: &mut Cx) {
        match self {
            Self::Nothing => {}
            Self::Quantile { reached } => cx.annotations.quantile_of_nans(reached, name, span),
            Self::Fraction => cx.annotations.fraction_of_nans(name, span),
        }
    }
}

/// The histograms collected so far, by labels.
#[derive(Default)]
struct Collected {
    numbers: HashMap<Labels, usize>,
    list: Vec<Histogram>,
}

impl Collected {
    fn of(&mut self, labels: Labels, cx: &mut Cx) -> Result<&mut Histogram> {
        let at = match self.numbers.get(&labels) {
            Some(at) => *at,
            None => {
                cx.hold(0, labels.size_bytes() + ENTRY_BYTES)?;
                self.list.push(Histogram { labels: labels.clone(), buckets: Vec::new(), native: Vec::new() });
                self.numbers.insert(labels, self.list.len() - 1);
                self.list.len() - 1
            }
        };
        Ok(&mut self.list[at])
    }
}

impl BucketsOp {
    fn collect(&mut self, passes: &[(Pass, Option<String>)], cx: &mut Cx) -> Result<Vec<Histogram>> {
        let mut all = Collected::default();
        while let Some(mut series) = cx.next(&mut self.inner)? {
            let native = std::mem::take(&mut series.column.native_histograms);
            if !native.is_empty() {
                cx.hold(native.len(), passes.len() * native.len() * size_of::<OfNative>())?;
                let own = &mut all.of(series.labels.clone(), cx)?.native;
                own.resize_with(passes.len(), Vec::new);
                for ((pass, _), values) in passes.iter().zip(own) {
                    values.reserve_exact(native.len());
                    for (step, h) in &native {
                        cx.work(h.positive_buckets.len() + h.negative_buckets.len())?;
                        values.push(of_native(pass, *step, h));
                    }
                    values.sort_by_key(|v| v.step);
                }
                native.into_iter().for_each(|(_, h)| cx.histograms.give(h));
            }
            if series.column.is_empty() {
                cx.recycle(series.column);
                continue;
            }
            let le = series.labels.value(BUCKET_LABEL);
            let Some(upper) = parse_bound(le) else {
                let name = if cx.delayed() { series.labels.metric_name() } else { "" };
                cx.annotations.bad_bucket(name, le, self.span);
                continue;
            };
            let labels = series.labels.without(&[BUCKET_LABEL]);
            cx.hold(series.column.count(), series.column.size_bytes() + BUCKET_BYTES)?;
            all.of(labels, cx)?.buckets.push((upper, series.column));
        }
        for h in &mut all.list {
            h.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        Ok(all.list)
    }

    fn drain(&mut self, cx: &mut Cx) -> Result<Vec<StepSeries>> {
        let passes = self.passes(cx)?;
        let histograms = self.collect(&passes, cx)?;
        let mut out = Vec::new();
        let mut scratch = Vec::new();
        for (at, (pass, label)) in passes.iter().enumerate() {
            for h in &histograms {
                let native = h.native.get(at).map_or(&[][..], Vec::as_slice);
                let column = self.run(pass, h, native, &mut scratch, cx)?;
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
            let steps = h.native.first().map_or(0, Vec::len);
            cx.release(steps, h.native.len() * steps * size_of::<OfNative>());
            for (_, c) in h.buckets {
                cx.release(c.count(), c.size_bytes() + BUCKET_BYTES);
            }
        }
        Ok(out)
    }

    /// What to compute, and the label for the quantile.
    fn passes(&mut self, cx: &mut Cx) -> Result<Vec<(Pass, Option<String>)>> {
        let mut passes = Vec::new();
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
        Ok(passes)
    }

    fn run(
        &self,
        pass: &Pass,
        h: &Histogram,
        native: &[OfNative],
        scratch: &mut Vec<Bucket>,
        cx: &mut Cx,
    ) -> Result<StepColumn> {
        let (steps, span) = (self.grid.steps(), self.span);
        let mut column = StepColumn::absent(steps);
        let name = if cx.delayed() { h.labels.metric_name() } else { "" };
        let mut natives = native.iter().peekable();
        for i in 0..steps {
            cx.work(h.buckets.len())?;
            if let Some(native) = natives.next_if(|native| native.step as usize == i) {
                if h.buckets.iter().any(|(_, c)| c.has(i)) {
                    cx.annotations.classic_and_native(name, span);
                    continue;
                }
                native.nans.tell(name, span, cx);
                column.set(i, native.value);
                continue;
            }
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

fn of_native(pass: &Pass, step: u32, h: &FloatHistogram) -> OfNative {
    let at = step as usize;
    let (value, nans) = match pass {
        Pass::Quantile(q) => match quantile(q[at], h) {
            (value, Nans::None) => (value, Told::Nothing),
            (value, nans) => (value, Told::Quantile { reached: nans == Nans::Reached }),
        },
        Pass::Fraction(lower, upper) => match fraction(lower[at], upper[at], h) {
            (value, false) => (value, Told::Nothing),
            (value, true) => (value, Told::Fraction),
        },
    };
    OfNative { step, value, nans }
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
