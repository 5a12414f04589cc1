//! Native histogram chunks (encodings 2, 3, 5, 6) into a column of float histograms.

use histogram::{FloatHistogram, ResetHint};

use crate::bits::BitReader;
use crate::layout::Layout;
use crate::start_times::{StartTimes, StartTimesHeader};
use crate::xor::{Window, read_xor};
use crate::{Encoding, Error, HistogramColumn, num_samples};

/// Bytes before the bit stream, in all four encodings.
pub(crate) const HEADER: usize = 3;
/// What a chunk may decode to, in bytes: so many ...
const DECODED_BASE_BYTES: usize = 4 << 20;
/// ... and so many for each of its own. Spans and custom bounds are written once and decoded with every sample, so a
/// forged chunk could have thousands of them and ask for their square in memory. Real chunks stay below a quarter.
const DECODED_BYTES_PER_BYTE: usize = 4096;
/// The top two bits of the flag byte.
pub(crate) const GAUGE_FLAG: u8 = 0b11;

/// Appends all histograms of a chunk to `out`. On an error `out` is as before.
///
/// Stale histograms come as empty ones with the stale marker as sum. Schemas above 8, which only newer writers know,
/// are reduced to 8.
///
/// # Errors
/// When the bytes are no chunk of that encoding, or the encoding holds no histograms.
pub fn decode_histograms(encoding: Encoding, data: &[u8], out: &mut HistogramColumn) -> Result<(), Error> {
    let (start, values) = (out.times.len(), out.values.len());
    let result = decode(encoding, data, |time, histogram| {
        out.times.push(time);
        out.values.push(histogram);
        true
    });
    if result.is_err() {
        out.times.truncate(start);
        out.values.truncate(values);
    }
    result
}

/// Appends the histograms with `min <= time <= max`; reading stops at the first sample past `max`.
///
/// # Errors
/// As [`decode_histograms`], as far as it reads.
pub fn decode_histograms_between(
    encoding: Encoding,
    data: &[u8],
    min: i64,
    max: i64,
    out: &mut HistogramColumn,
) -> Result<(), Error> {
    let (start, values) = (out.times.len(), out.values.len());
    let result = decode(encoding, data, |time, histogram| {
        if time >= min && time <= max {
            out.times.push(time);
            out.values.push(histogram);
        }
        time <= max
    });
    if result.is_err() {
        out.times.truncate(start);
        out.values.truncate(values);
    }
    result
}

/// An integer that is stored by the change of its change.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    pub(crate) value: i64,
    pub(crate) delta: i64,
}

impl Counted {
    fn advance(&mut self, change: i64) {
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

/// The flag of the header: unknown, no reset, reset, gauge.
pub(crate) fn flag(encoding: Encoding, data: &[u8]) -> u8 {
    let at = if matches!(encoding, Encoding::HistogramSt | Encoding::FloatHistogramSt) { 0 } else { 2 };
    data.get(at).map_or(0, |b| b >> 6)
}

fn decode(encoding: Encoding, data: &[u8], mut sink: impl FnMut(i64, FloatHistogram) -> bool) -> Result<(), Error> {
    if !encoding.is_histogram() {
        return Err(Error::Encoding(format!("{encoding:?} holds no histograms")));
    }
    let samples = num_samples(encoding, data)?;
    let Some((head, stream)) = data.split_at_checked(HEADER) else {
        return Err(Error::Header(format!("{} bytes, a histogram header takes {HEADER}", data.len())));
    };
    if samples == 0 {
        return Ok(());
    }
    let with_start_times = matches!(encoding, Encoding::HistogramSt | Encoding::FloatHistogramSt);
    let header = if with_start_times { StartTimesHeader::from_byte(head[2]) } else { StartTimesHeader::default() };
    let mut start_times = StartTimes::new(header);
    let gauge = flag(encoding, data) == GAUGE_FLAG;
    let mut bits = BitReader::new(stream);
    let layout = Layout::read(&mut bits, stream.len() * 8).map_err(Error::Header)?;
    let integer = matches!(encoding, Encoding::Histogram | Encoding::HistogramSt);
    let mut state = if integer { State::Integer(Integers::new()) } else { State::Float(Floats::new()) };
    let mut time = Counted::default();
    let sample_bytes = layout.sample_bytes();
    let decoded_bytes_max = DECODED_BASE_BYTES + DECODED_BYTES_PER_BYTE * data.len();
    let mut decoded_bytes = 0usize;
    for sample in 0..samples {
        let cut = || Error::Truncated { len: data.len(), sample, samples };
        // Checked before the buckets, so that a cut chunk with many buckets costs nothing.
        if bits.overrun() {
            return Err(cut());
        }
        let invalid = |what: String| Error::Invalid { sample, what };
        if sample == 0 {
            time.value = bits.varbit_int();
        } else {
            time.advance(bits.varbit_int());
        }
        let hint = match (gauge, sample) {
            (true, _) => ResetHint::Gauge,
            // The flag speaks of the chunk before, which may be another than the writer saw.
            (false, 0) => ResetHint::Unknown,
            (false, _) => ResetHint::NotReset,
        };
        let histogram = match &mut state {
            State::Integer(s) => s.next(&mut bits, sample, &layout, hint),
            State::Float(s) => s.next(&mut bits, sample, &layout, hint),
        }
        .map_err(invalid)?;
        let Some(histogram) = histogram else { return Err(cut()) };
        if !histogram_is_stale(&histogram) {
            decoded_bytes += sample_bytes;
            if decoded_bytes > decoded_bytes_max {
                return Err(invalid(format!("{} bytes decode to more than {decoded_bytes_max}", data.len())));
            }
        }
        if !start_times.skip_one(&mut bits, sample) {
            return Err(invalid("start time is no 64-bit varint".to_owned()));
        }
        if bits.overrun() {
            return Err(cut());
        }
        if !sink(time.value, histogram) {
            break;
        }
    }
    Ok(())
}

fn histogram_is_stale(histogram: &FloatHistogram) -> bool {
    histogram.sum.to_bits() == model::STALE_NAN_BITS
}

enum State {
    Integer(Integers),
    Float(Floats),
}

struct Integers {
    count: Counted,
    zero_count: Counted,
    sum: Xored,
    /// Empty before the first sample with buckets.
    positive: Vec<Counted>,
    negative: Vec<Counted>,
}

impl Integers {
    fn new() -> Self {
        Self {
            count: Counted::default(),
            zero_count: Counted::default(),
            sum: Xored { bits: 0, window: Window::FULL },
            positive: Vec::new(),
            negative: Vec::new(),
        }
    }

    /// `None` when the bytes end.
    fn next(
        &mut self,
        bits: &mut BitReader<'_>,
        sample: usize,
        layout: &Layout,
        hint: ResetHint,
    ) -> Result<Option<FloatHistogram>, String> {
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
            return Ok(Some(FloatHistogram { sum: model::stale_nan(), ..FloatHistogram::default() }));
        }
        if !make_room(bits, layout, &mut self.positive, &mut self.negative, Counted::default()) {
            return Ok(None);
        }
        let mut read = |buckets: &mut [Counted]| {
            let mut total = 0i64;
            let mut counts = Vec::with_capacity(buckets.len());
            for bucket in buckets {
                let raw = bits.varbit_int();
                if first {
                    bucket.value = raw;
                } else {
                    bucket.advance(raw);
                }
                total = total.wrapping_add(bucket.value);
                counts.push(total as f64);
            }
            counts
        };
        let (positive, negative) = (read(&mut self.positive), read(&mut self.negative));
        let (count, zero_count) = (self.count.value as u64 as f64, self.zero_count.value as u64 as f64);
        Ok(Some(assemble(layout, hint, count, zero_count, f64::from_bits(self.sum.bits), positive, negative)))
    }
}

struct Floats {
    count: Xored,
    zero_count: Xored,
    sum: Xored,
    positive: Vec<Xored>,
    negative: Vec<Xored>,
}

impl Floats {
    fn new() -> Self {
        let zero = Xored { bits: 0, window: Window::FULL };
        Self { count: zero, zero_count: zero, sum: zero, positive: Vec::new(), negative: Vec::new() }
    }

    /// `None` when the bytes end.
    fn next(
        &mut self,
        bits: &mut BitReader<'_>,
        sample: usize,
        layout: &Layout,
        hint: ResetHint,
    ) -> Result<Option<FloatHistogram>, String> {
        let first = sample == 0;
        for field in [&mut self.count, &mut self.zero_count, &mut self.sum] {
            if first {
                *field = Xored::first(bits);
            } else {
                field.advance(bits)?;
            }
        }
        if self.sum.bits == model::STALE_NAN_BITS {
            return Ok(Some(FloatHistogram { sum: model::stale_nan(), ..FloatHistogram::default() }));
        }
        if !make_room(bits, layout, &mut self.positive, &mut self.negative, Xored { bits: 0, window: Window::FULL }) {
            return Ok(None);
        }
        let mut read = |buckets: &mut [Xored]| -> Result<Vec<f64>, String> {
            let mut counts = Vec::with_capacity(buckets.len());
            for bucket in buckets {
                if first {
                    *bucket = Xored::first(bits);
                } else {
                    bucket.advance(bits)?;
                }
                counts.push(f64::from_bits(bucket.bits));
            }
            Ok(counts)
        };
        let (positive, negative) = (read(&mut self.positive)?, read(&mut self.negative)?);
        let [count, zero_count, sum] = [self.count, self.zero_count, self.sum].map(|f| f64::from_bits(f.bits));
        Ok(Some(assemble(layout, hint, count, zero_count, sum, positive, negative)))
    }
}

/// Makes room for the buckets that the layout promises; false when there cannot be as many: each takes a bit at least.
fn make_room<T: Copy>(
    bits: &BitReader<'_>,
    layout: &Layout,
    positive: &mut Vec<T>,
    negative: &mut Vec<T>,
    zero: T,
) -> bool {
    let counts = layout.bucket_counts();
    let enough = counts.0 + counts.1 <= bits.left();
    if enough {
        positive.resize(counts.0, zero);
        negative.resize(counts.1, zero);
    }
    enough
}

fn assemble(
    layout: &Layout,
    reset_hint: ResetHint,
    count: f64,
    zero_count: f64,
    sum: f64,
    positive_buckets: Vec<f64>,
    negative_buckets: Vec<f64>,
) -> FloatHistogram {
    let mut histogram = FloatHistogram {
        reset_hint,
        schema: layout.schema,
        zero_threshold: layout.zero_threshold,
        zero_count,
        count,
        sum,
        positive_spans: layout.positive_spans.clone(),
        positive_buckets,
        negative_spans: layout.negative_spans.clone(),
        negative_buckets,
        custom_values: layout.custom_values.clone(),
    };
    crate::reduce::to_known_schema(&mut histogram);
    histogram
}
