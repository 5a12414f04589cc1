//! The sample of a histogram chunk that was read last.

use histogram::{FloatHistogram, ResetHint};

use crate::Encoding;
use crate::bits::BitReader;
use crate::layout::Layout;
use crate::varbit_runs::Runs;
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
    pub(crate) fn new(encoding: Encoding, layout: &Layout) -> Self {
        let counts = layout.bucket_counts();
        match encoding {
            Encoding::Histogram | Encoding::HistogramSt => Self::Integer(Integers::new(counts)),
            _ => Self::Float(Floats::new(counts)),
        }
    }

    /// Reads the next sample; false when the bytes end.
    #[inline]
    pub(crate) fn advance(&mut self, bits: &mut BitReader<'_>, sample: usize) -> Result<bool, String> {
        match self {
            Self::Integer(s) => s.advance(bits, sample),
            Self::Float(s) => s.advance(bits, sample),
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
    steps: Runs,
    /// How many buckets are positive, and how many there are.
    positive: usize,
    buckets: usize,
}

impl Integers {
    fn new((positive, negative): (usize, usize)) -> Self {
        Self {
            count: Counted::default(),
            zero_count: Counted::default(),
            sum: Xored { bits: 0, window: Window::FULL },
            steps: Runs::default(),
            positive,
            buckets: positive + negative,
        }
    }

    /// Reads the next sample; false when the bytes end: each bucket takes a bit at least.
    fn advance(&mut self, bits: &mut BitReader<'_>, sample: usize) -> Result<bool, String> {
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
        if self.buckets > bits.left() {
            return Ok(false);
        }
        self.steps.resize(self.buckets);
        if first {
            self.steps.read(bits);
        } else {
            self.steps.advance(bits);
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
    /// How many buckets are positive, and how many are negative.
    positive: usize,
    negative: usize,
}

impl Floats {
    fn new((positive, negative): (usize, usize)) -> Self {
        let zero = Xored { bits: 0, window: Window::FULL };
        Self { count: zero, zero_count: zero, sum: zero, buckets: Vec::new(), positive, negative }
    }

    /// Reads the next sample; false when the bytes end: each bucket takes a bit at least.
    fn advance(&mut self, bits: &mut BitReader<'_>, sample: usize) -> Result<bool, String> {
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
        let buckets = self.positive + self.negative;
        if buckets > bits.left() {
            return Ok(false);
        }
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

impl State {
    /// Appends count and sum, and `with_buckets` the zero count and the counts of all buckets, positive ones first.
    pub(crate) fn append_numbers(&self, with_buckets: bool, out: &mut Vec<f64>) {
        match self {
            Self::Integer(s) => {
                out.extend([s.count.value as u64 as f64, f64::from_bits(s.sum.bits)]);
                if with_buckets {
                    out.push(s.zero_count.value as u64 as f64);
                    s.steps.running_sums(0..s.positive, out);
                    s.steps.running_sums(s.positive..s.buckets, out);
                }
            }
            Self::Float(s) => {
                out.extend([s.count, s.sum].map(|field| f64::from_bits(field.bits)));
                if with_buckets {
                    out.push(f64::from_bits(s.zero_count.bits));
                    out.extend(s.buckets.iter().map(|bucket| f64::from_bits(bucket.bits)));
                }
            }
        }
    }
}

/// A sample of a chunk as it is read, which has no memory of its own.
#[derive(Clone, Copy)]
pub(crate) struct HistogramRow<'a> {
    pub(crate) state: &'a State,
    pub(crate) layout: &'a Layout,
    pub(crate) hint: ResetHint,
}

impl HistogramRow<'_> {
    /// The histogram. Stale ones are empty, with the stale marker as sum; schemas above 8 are reduced to 8.
    pub(crate) fn histogram(&self) -> FloatHistogram {
        if self.state.is_stale() {
            return FloatHistogram { sum: model::stale_nan(), ..FloatHistogram::default() };
        }
        let mut out = FloatHistogram { reset_hint: self.hint, ..self.layout.clone().into() };
        match self.state {
            State::Integer(s) => {
                (out.count, out.zero_count) = (s.count.value as u64 as f64, s.zero_count.value as u64 as f64);
                out.sum = f64::from_bits(s.sum.bits);
                s.steps.running_sums(0..s.positive, &mut out.positive_buckets);
                s.steps.running_sums(s.positive..s.buckets, &mut out.negative_buckets);
            }
            State::Float(s) => {
                let value = |field: &Xored| f64::from_bits(field.bits);
                (out.count, out.zero_count, out.sum) = (value(&s.count), value(&s.zero_count), value(&s.sum));
                let (positive, negative) = s.buckets.split_at(s.positive.min(s.buckets.len()));
                out.positive_buckets.extend(positive.iter().map(value));
                out.negative_buckets.extend(negative.iter().map(value));
            }
        }
        crate::reduce::to_known_schema(&mut out);
        out
    }
}
