//! The sample of a histogram chunk that was read last.

use histogram::{FloatHistogram, ResetHint};

use crate::Encoding;
use crate::bits::BitReader;
use crate::layout::Layout;
use crate::varbit_runs;
use crate::xor::{Window, read_xor};

/// An integer that is stored by the change of its change.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    pub(crate) value: i64,
    pub(crate) delta: i64,
}

impl Counted {
    pub(crate) fn advance(&mut self, change: i64) {
        self.delta = self.delta.wrapping_add(change);
        self.value = self.value.wrapping_add(self.delta);
    }
}

/// A float that is stored XORed with the one before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Xored {
    pub(crate) bits: u64,
    pub(crate) window: Window,
}

impl Xored {
    fn first(bits: &mut BitReader<'_>) -> Self {
        Self { bits: bits.take(64), window: Window::FULL }
    }

    fn advance(&mut self, bits: &mut BitReader<'_>) -> Result<f64, String> {
        read_xor(bits, &mut self.bits, &mut self.window)?;
        Ok(f64::from_bits(self.bits))
    }
}

pub(crate) enum State {
    Integer(Integers),
    Float(Floats),
}

impl State {
    pub(crate) fn new(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Histogram | Encoding::HistogramSt => Self::Integer(Integers::new()),
            _ => Self::Float(Floats::new()),
        }
    }

    /// Reads the next sample; false when the bytes end.
    pub(crate) fn advance(&mut self, bits: &mut BitReader<'_>, sample: usize, layout: &Layout) -> Result<bool, String> {
        match self {
            Self::Integer(s) => s.advance(bits, sample, layout),
            Self::Float(s) => s.advance(bits, sample, layout),
        }
    }

    /// Whether the sample read last is a stale marker.
    pub(crate) fn is_stale(&self) -> bool {
        let sum = match self {
            Self::Integer(s) => s.sum.bits,
            Self::Float(s) => s.sum.bits,
        };
        sum == model::STALE_NAN_BITS
    }
}

pub(crate) struct Integers {
    count: Counted,
    zero_count: Counted,
    sum: Xored,
    /// Of the positive buckets, then the negative ones: each counts so many more than the one before it, the first of each
    /// side than none. Empty before the first sample with buckets.
    steps: Vec<i64>,
    /// By how much each step changed last.
    deltas: Vec<i64>,
    /// How many buckets are positive.
    positive: usize,
}

impl Integers {
    fn new() -> Self {
        Self {
            count: Counted::default(),
            zero_count: Counted::default(),
            sum: Xored { bits: 0, window: Window::FULL },
            steps: Vec::new(),
            deltas: Vec::new(),
            positive: 0,
        }
    }

    /// Reads the next sample; false when the bytes end.
    fn advance(&mut self, bits: &mut BitReader<'_>, sample: usize, layout: &Layout) -> Result<bool, String> {
        let first = sample == 0;
        if first {
            self.count.value = bits.varbit_uint() as i64;
            self.zero_count.value = bits.varbit_uint() as i64;
            self.sum = Xored::first(bits);
        } else {
            self.count.advance(bits.varbit_int());
            self.zero_count.advance(bits.varbit_int());
            self.sum.advance(bits)?;
        }
        if self.sum.bits == model::STALE_NAN_BITS {
            return Ok(true);
        }
        let Some((positive, buckets)) = room(bits, layout) else { return Ok(false) };
        self.positive = positive;
        self.steps.resize(buckets, 0);
        self.deltas.resize(buckets, 0);
        if first {
            self.steps.iter_mut().for_each(|step| *step = bits.varbit_int());
        } else {
            varbit_runs::advance(bits, &mut self.deltas, &mut self.steps);
        }
        Ok(true)
    }
}

pub(crate) struct Floats {
    count: Xored,
    zero_count: Xored,
    sum: Xored,
    /// The positive buckets, then the negative ones.
    buckets: Vec<Xored>,
    /// How many buckets are positive.
    positive: usize,
}

impl Floats {
    fn new() -> Self {
        let zero = Xored { bits: 0, window: Window::FULL };
        Self { count: zero, zero_count: zero, sum: zero, buckets: Vec::new(), positive: 0 }
    }

    /// Reads the next sample; false when the bytes end.
    fn advance(&mut self, bits: &mut BitReader<'_>, sample: usize, layout: &Layout) -> Result<bool, String> {
        let first = sample == 0;
        for field in [&mut self.count, &mut self.zero_count, &mut self.sum] {
            if first {
                *field = Xored::first(bits);
            } else {
                field.advance(bits)?;
            }
        }
        if self.sum.bits == model::STALE_NAN_BITS {
            return Ok(true);
        }
        let Some((positive, buckets)) = room(bits, layout) else { return Ok(false) };
        self.positive = positive;
        self.buckets.resize(buckets, Xored { bits: 0, window: Window::FULL });
        for bucket in &mut self.buckets {
            if first {
                *bucket = Xored::first(bits);
            } else {
                bucket.advance(bits)?;
            }
        }
        Ok(true)
    }
}

/// Positive buckets and all buckets that the layout promises; `None` when there cannot be as many: each takes a bit at
/// least.
fn room(bits: &BitReader<'_>, layout: &Layout) -> Option<(usize, usize)> {
    let (positive, negative) = layout.bucket_counts();
    (positive + negative <= bits.left()).then_some((positive, positive + negative))
}

/// A sample of a chunk as it is read, which has no memory of its own.
#[derive(Clone, Copy)]
pub struct HistogramRow<'a> {
    pub(crate) state: &'a State,
    pub(crate) layout: &'a Layout,
    pub(crate) hint: ResetHint,
}

impl std::fmt::Debug for HistogramRow<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HistogramRow").field(&self.histogram()).finish()
    }
}

impl HistogramRow<'_> {
    /// The histogram. Stale ones are empty, with the stale marker as sum; schemas above 8 are reduced to 8.
    pub fn histogram(&self) -> FloatHistogram {
        let mut out = FloatHistogram::default();
        self.write_to(&mut out);
        out
    }

    /// Makes `out` this histogram, in the memory that it has.
    pub fn write_to(&self, out: &mut FloatHistogram) {
        self.write_stats_to(out);
        if self.state.is_stale() {
            return;
        }
        let layout = self.layout;
        out.schema = layout.schema;
        out.zero_threshold = layout.zero_threshold;
        out.positive_spans.extend_from_slice(&layout.positive_spans);
        out.negative_spans.extend_from_slice(&layout.negative_spans);
        out.custom_values.extend_from_slice(&layout.custom_values);
        match self.state {
            State::Integer(s) => {
                out.zero_count = s.zero_count.value as u64 as f64;
                let (positive, negative) = s.steps.split_at(s.positive);
                add_up(positive, &mut out.positive_buckets);
                add_up(negative, &mut out.negative_buckets);
            }
            State::Float(s) => {
                out.zero_count = f64::from_bits(s.zero_count.bits);
                let (positive, negative) = s.buckets.split_at(s.positive);
                out.positive_buckets.extend(positive.iter().map(|b| f64::from_bits(b.bits)));
                out.negative_buckets.extend(negative.iter().map(|b| f64::from_bits(b.bits)));
            }
        }
        crate::reduce::to_known_schema(out);
    }

    /// Makes `out` a histogram with no more than this one's schema, hint, count and sum, in the memory that it has.
    pub fn write_stats_to(&self, out: &mut FloatHistogram) {
        let (count, sum) = match self.state {
            State::Integer(s) => (s.count.value as u64 as f64, f64::from_bits(s.sum.bits)),
            State::Float(s) => (f64::from_bits(s.count.bits), f64::from_bits(s.sum.bits)),
        };
        let is_stale = self.state.is_stale();
        out.reset_hint = if is_stale { ResetHint::default() } else { self.hint };
        out.schema = if is_stale { 0 } else { crate::reduce::known_schema(self.layout.schema) };
        (out.count, out.sum) = (if is_stale { 0.0 } else { count }, sum);
        (out.zero_threshold, out.zero_count) = (0.0, 0.0);
        out.positive_spans.clear();
        out.positive_buckets.clear();
        out.negative_spans.clear();
        out.negative_buckets.clear();
        out.custom_values.clear();
    }
}

/// Appends the counts of buckets, of which each has so many more than the one before.
fn add_up(steps: &[i64], counts: &mut Vec<f64>) {
    let mut total = 0i64;
    counts.extend(steps.iter().map(|step| {
        total = total.wrapping_add(*step);
        total as f64
    }));
}
