//! Series from a seed: counters with resets, gauges, classic and native histograms, odd floats, gaps, stale markers, names
//! and labels of UTF-8.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, ResetHint, Span};
use labels::Labels;
use promql_syntax::{ParseOptions, parse_with};
use storage::Ctx;
use storage::append::{AppendOptions, Appendable, Floats, HistogramValue, Histograms};

use crate::random::Random;

/// The first tick, ms since the epoch; a multiple of all steps of subqueries.
pub const START_MS: i64 = 1_700_006_400_000;
pub const TICK_MS: i64 = 15_000;
/// Ticks of each series.
pub const TICKS: i64 = 150;

const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    Float(f64),
    Histogram(HistogramValue),
}

/// One series.
#[derive(Debug, Clone)]
pub struct Series {
    pub labels: Labels,
    /// Ascending by time, ms since the epoch.
    pub samples: Vec<(i64, Sample)>,
}

/// All series of a seed.
#[derive(Debug, Clone, Default)]
pub struct World(pub Vec<Series>);

#[derive(Debug, Clone, Copy)]
enum Shape {
    Counter,
    Gauge,
    Bucket(u64),
    Native,
    NativeFloat,
    Custom,
    /// First floats, then histograms, or the other way round.
    Mixed,
    /// Now a float, now a histogram.
    Alternating,
    Odd,
    One,
}

/// What a world may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinds {
    /// Whatever there is.
    All,
    /// What Prometheus 2 takes: names of ASCII, native histograms that are counters.
    Prometheus2,
}

impl World {
    pub fn new(seed: u64, kinds: Kinds) -> Self {
        let mut random = Random(seed);
        let mut series = Vec::new();
        for instance in ["a:1", "b:2", "c:3"] {
            let mut add = |name: &str, extra: &[(&str, &str)], shape: Shape| {
                if random.one_in(8) {
                    return;
                }
                let base = [("__name__", name), ("instance", instance), ("job", "demo")];
                let labels = Labels::from_pairs(base.iter().chain(extra).copied());
                // Buckets of one histogram must pause together.
                let pause = random.below(3) == 0 && !matches!(shape, Shape::Bucket(_));
                let samples = samples(&mut random, shape, pause, instance);
                series.push(Series { labels, samples });
            };
            for code in ["200", "500"] {
                add("requests_total", &[("code", code), ("path", "/ü")], Shape::Counter);
            }
            for site in ["zürich", "東京", "a\"b\\"] {
                add("temperature", &[("site", site)], Shape::Gauge);
            }
            for (le, share) in [("0.1", 2), ("1", 5), ("10", 8), ("+Inf", 10)] {
                add("latency_bucket", &[("le", le)], Shape::Bucket(share));
            }
            add("native", &[], Shape::Native);
            add("native", &[("path", "/x")], Shape::Native);
            add("odd", &[], Shape::Odd);
            add("up", &[], Shape::One);
            add("build_info", &[("version", if instance == "a:1" { "2" } else { "1" })], Shape::One);
            if kinds == Kinds::All {
                add("native_gauge", &[], Shape::NativeFloat);
                add("custom", &[], Shape::Custom);
                add("mixed", &[], Shape::Mixed);
                add("mixed", &[("path", "/x")], Shape::Alternating);
                add("größe.bytes", &[("kind of", "1")], Shape::Gauge);
                add("target_info", &[("version", "1")], Shape::One);
            }
        }
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Self(series)
    }

    /// With zeros for negative zeros, as they come out of protobuf.
    pub fn without_negative_zeros(mut self) -> Self {
        for (_, sample) in self.0.iter_mut().flat_map(|series| &mut series.samples) {
            if let Sample::Float(v) = sample
                && *v == 0.0
            {
                *v = 0.0;
            }
        }
        self
    }

    /// Writes all samples.
    pub async fn write(&self, to: &dyn Appendable) {
        let mut appender = to.appender(&Ctx::background(), AppendOptions::default());
        for series in &self.0 {
            let labels: Vec<(&str, &str)> = series.labels.iter().collect();
            let reference = appender.resolve(&[&labels]).unwrap().remove(0).unwrap();
            for (time, sample) in &series.samples {
                let (series, times_ms, starts_ms) = (&[reference][..], &[*time][..], &[][..]);
                let refused = match sample {
                    Sample::Float(v) => appender.floats(Floats { series, times_ms, values: &[*v], starts_ms }),
                    Sample::Histogram(h) => {
                        let values = std::slice::from_ref(h);
                        appender.histograms(Histograms { series, times_ms, values, starts_ms })
                    }
                };
                let refused = refused.unwrap();
                assert!(refused.is_empty(), "{}: {refused:?}", labels.len());
            }
        }
        let committed = appender.commit().await.unwrap();
        assert!(committed.refused.is_empty(), "{:?}", committed.refused);
    }
}

/// Lines of a world that are shown; the seed has all.
const LINES_MAX: usize = 60;

impl World {
    /// The series that a query may read; all if it does not parse.
    pub fn read_by(&self, query: &str) -> Self {
        let mut read = self.clone();
        if let Ok(expr) = parse_with(query, &ParseOptions::ALL) {
            let selectors = promql_syntax::selectors(&expr);
            read.0.retain(|s| selectors.iter().any(|v| v.matchers.iter().all(|m| m.matches(s.labels.value(m.name())))));
        }
        read
    }

    /// Its samples as text, as far as anybody would read on.
    pub fn shown(&self) -> String {
        let text = self.to_string();
        match text.lines().nth(LINES_MAX) {
            None => text,
            Some(_) => text.lines().take(LINES_MAX).map(|line| format!("{line}\n")).collect::<String>() + "  …\n",
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for series in &self.0 {
            writeln!(f, "  {}", series.labels)?;
            let mut floats = Vec::new();
            for (time, sample) in &series.samples {
                let time = *time - START_MS;
                match sample {
                    Sample::Float(v) if v.to_bits() == STALE.to_bits() => floats.push(format!("stale@{time}")),
                    Sample::Float(v) => floats.push(format!("{v}@{time}")),
                    Sample::Histogram(HistogramValue::Int(h)) => writeln!(f, "    @{time} {h:?}")?,
                    Sample::Histogram(HistogramValue::Float(h)) => writeln!(f, "    @{time} {h:?}")?,
                }
            }
            if !floats.is_empty() {
                writeln!(f, "    {}", floats.join(" "))?;
            }
        }
        Ok(())
    }
}

fn samples(random: &mut Random, shape: Shape, pause: bool, instance: &str) -> Vec<(i64, Sample)> {
    // Never at a whole second, nor 7 ms after one, where evaluations against Prometheus 2 lie.
    let offset_ms = instance.bytes().map(i64::from).sum::<i64>() * 31 % 14_000 / 1000 * 1000 + 211;
    let (mut count, mut state) = (500 + random.below(500) as u64, Native::new(random, shape));
    // Buckets of an instance rise together.
    let mut shared = Random(instance.len() as u64 ^ u64::from(instance.as_bytes()[0]));
    let floats_first = random.one_in(2);
    let mut out = Vec::new();
    let mut pauses = 0;
    for tick in 0..TICKS {
        let time = START_MS + tick * TICK_MS + offset_ms;
        let rise = shared.below(20) as u64;
        if pauses > 0 {
            pauses -= 1;
            continue;
        }
        if pause && random.one_in(25) {
            pauses = 1 + random.below(30);
            // What has nothing yet has nothing to mark.
            if random.one_in(2) && !out.is_empty() {
                out.push((time, stale(shape)));
            }
            continue;
        }
        let float = match shape {
            Shape::Counter => {
                count = if random.one_in(40) { 300 + random.below(50) as u64 } else { count + random.below(90) as u64 };
                Some(count as f64)
            }
            Shape::Bucket(share) => {
                count = if tick == 0 { 1000 * share } else { count + rise * share };
                Some(count as f64)
            }
            Shape::Gauge => Some((random.below(20_000) as f64 - 7000.0) / 100.0),
            Shape::One => Some(1.0),
            Shape::Odd => {
                let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, 1e-3, 1e6, 3.0, 4.0, 5.5];
                Some(*random.pick(&odd))
            }
            Shape::Alternating if random.one_in(3) => Some(tick as f64),
            Shape::Mixed if (tick < TICKS / 2) == floats_first => Some(tick as f64),
            _ => None,
        };
        let sample = float.map_or_else(|| state.next(random, shape), Sample::Float);
        out.push((time, sample));
    }
    out
}

fn stale(shape: Shape) -> Sample {
    let h = Histogram { sum: STALE, ..Histogram::default() };
    match shape {
        Shape::Native | Shape::Custom | Shape::Mixed | Shape::Alternating => {
            Sample::Histogram(HistogramValue::Int(Arc::new(h)))
        }
        Shape::NativeFloat => Sample::Histogram(HistogramValue::Float(Arc::new(h.to_float()))),
        _ => Sample::Float(STALE),
    }
}

/// A native histogram that observes.
struct Native {
    schema: i32,
    zero_threshold: f64,
    /// Of custom buckets.
    bounds: &'static [f64],
    zero: u64,
    positive: BTreeMap<i32, u64>,
    negative: BTreeMap<i32, u64>,
    sum: f64,
}

impl Native {
    fn new(random: &mut Random, shape: Shape) -> Self {
        let bounds: [&'static [f64]; 4] = [&[0.5, 2.0, 10.0], &[0.5, 2.0, 10.0], &[0.5, 10.0], &[1.0, 2.0, 3.0, 50.0]];
        let (schema, bounds) = match shape {
            Shape::Custom => (CUSTOM_BUCKETS_SCHEMA, *random.pick(&bounds)),
            _ => (random.below(5) as i32 - 1, &[][..]),
        };
        let zero_threshold = if bounds.is_empty() { *random.pick(&[0.001, 0.001, 0.1, 1.5]) } else { 0.0 };
        Self { schema, zero_threshold, bounds, zero: 0, positive: BTreeMap::new(), negative: BTreeMap::new(), sum: 0.0 }
    }

    fn next(&mut self, random: &mut Random, shape: Shape) -> Sample {
        let custom = self.schema == CUSTOM_BUCKETS_SCHEMA;
        if random.one_in(50) {
            // a reset, maybe with another resolution
            let (kept, new) = (random.one_in(2), Self::new(random, shape));
            let (schema, bounds) = if kept { (self.schema, self.bounds) } else { (new.schema, new.bounds) };
            *self = Self { schema, bounds, ..new };
        }
        for _ in 0..1 + random.below(6) {
            let at = random.below(if custom { self.bounds.len() + 1 } else { 12 }) as i32;
            *self.positive.entry(at).or_default() += 1 + random.below(4) as u64;
            self.sum += f64::from(at) + 0.25;
        }
        if !custom && random.one_in(3) {
            self.zero += 1;
            *self.negative.entry(random.below(5) as i32 - 2).or_default() += 1;
            self.sum -= 1.5;
        }
        let (positive_spans, positive_deltas) = encoded(&self.positive);
        let (negative_spans, negative_deltas) = encoded(&self.negative);
        let h = Histogram {
            reset_hint: if matches!(shape, Shape::NativeFloat) { ResetHint::Gauge } else { ResetHint::Unknown },
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero,
            count: self.zero + self.positive.values().chain(self.negative.values()).sum::<u64>(),
            sum: self.sum,
            positive_spans,
            positive_deltas,
            negative_spans,
            negative_deltas,
            custom_values: self.bounds.to_vec(),
        };
        Sample::Histogram(match shape {
            Shape::NativeFloat => {
                let half = |counts: Vec<f64>| counts.into_iter().map(|c| c / 2.0).collect();
                let mut h: FloatHistogram = h.to_float();
                (h.count, h.zero_count) = (h.count / 2.0, h.zero_count / 2.0);
                (h.positive_buckets, h.negative_buckets) = (half(h.positive_buckets), half(h.negative_buckets));
                HistogramValue::Float(Arc::new(h))
            }
            _ => HistogramValue::Int(Arc::new(h)),
        })
    }
}

/// Spans and deltas of absolute counts by index.
fn encoded(counts: &BTreeMap<i32, u64>) -> (Vec<Span>, Vec<i64>) {
    let (mut spans, mut deltas): (Vec<Span>, Vec<i64>) = (Vec::new(), Vec::new());
    let (mut next, mut before) = (0, 0);
    for (at, count) in counts {
        match spans.last_mut() {
            Some(span) if *at == next => span.length += 1,
            _ => spans.push(Span { offset: at - next, length: 1 }),
        }
        deltas.push(*count as i64 - before);
        (next, before) = (at + 1, *count as i64);
    }
    (spans, deltas)
}
