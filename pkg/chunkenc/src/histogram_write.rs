//! Writing native histogram chunks (encodings 2 and 3; 5 and 6 with start timestamps).
//!
//! A chunk has one bucket layout. When a histogram brings new buckets, the samples before get them with count 0: those are
//! read and written again. Else samples are written as they come, and the appenders keep their bits and the last
//! one's fields.

use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, ResetHint};
use model::is_stale;

use crate::bits::BitWriter;
use crate::histogram_rows::{Fields, FloatFields, IntegerFields, Row};
use crate::histogram_spans::Union;
use crate::histogram_starts::{SAMPLES_MAX, write_header};
use crate::layout::{Layout, MAX_BUCKETS};
use crate::start_times::{StartTimes, StartTimesHeader};
use crate::xor::MAX_SAMPLES;
use crate::{Encoding, Error};

/// What a chunk's header says of a counter reset at its first sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum ResetFlag {
    /// The header says nothing.
    #[default]
    Unknown = 0,
    /// The chunk goes on without a reset.
    NotReset = 1,
    /// It begins with a reset.
    Reset = 2,
    /// The histograms are gauges.
    Gauge = 3,
}

impl ResetFlag {
    /// The flag of a histogram chunk; of anything else, [`Self::Unknown`].
    pub fn of(encoding: Encoding, data: &[u8]) -> Self {
        if !encoding.is_histogram() {
            return Self::Unknown;
        }
        match crate::histogram_read::flag(encoding, data) {
            0 => Self::Unknown,
            1 => Self::NotReset,
            2 => Self::Reset,
            _ => Self::Gauge,
        }
    }
}

/// What became of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is in the chunk.
    InPlace,
    /// It is in the chunk, and the samples before were given its new buckets.
    Widened,
    /// It is not: begin a new chunk with this flag.
    Cut(ResetFlag),
}

#[derive(Debug, Clone)]
struct Builder<F> {
    flag: ResetFlag,
    layout: Layout,
    samples: usize,
    /// The samples' bits, and where they stand.
    bits: BitWriter,
    fields: F,
    /// Of chunks that have start timestamps.
    starts: Option<StartTimes>,
}

impl<F: Fields> Builder<F> {
    fn new(flag: ResetFlag, with_starts: bool) -> Self {
        let starts = with_starts.then(|| StartTimes::new(StartTimesHeader::default()));
        Self { flag, layout: Layout::default(), samples: 0, bits: BitWriter::default(), fields: F::default(), starts }
    }

    fn check(&self, layout: &Layout, row: &Row<F::Count>) -> Result<(), Error> {
        let invalid = |what: String| Err(Error::Invalid { sample: self.samples, what });
        if self.samples >= if self.starts.is_some() { SAMPLES_MAX } else { MAX_SAMPLES } {
            return Err(Error::Full);
        }
        for (spans, buckets) in [(&layout.positive_spans, &row.positive), (&layout.negative_spans, &row.negative)] {
            let covered: u64 = spans.iter().map(|s| u64::from(s.length)).sum();
            if covered != buckets.len() as u64 || covered > MAX_BUCKETS as u64 {
                return invalid(format!("{} buckets, spans cover {covered}", buckets.len()));
            }
            if spans.iter().skip(1).any(|s| s.offset < 0) {
                return invalid("spans go back".to_owned());
            }
        }
        Ok(())
    }

    fn append(&mut self, layout: Layout, mut row: Row<F::Count>, hint: ResetHint) -> Result<Appended, Error> {
        self.check(&layout, &row)?;
        let stale = is_stale(row.sum);
        if self.samples == 0 {
            match hint {
                ResetHint::Gauge => self.flag = ResetFlag::Gauge,
                ResetHint::Reset => self.flag = ResetFlag::Reset,
                ResetHint::Unknown | ResetHint::NotReset => {}
            }
            self.push(layout, row);
            return Ok(Appended::InPlace);
        }
        let last = self.fields.row();
        let gauge = hint == ResetHint::Gauge;
        let same_bounds = layout.schema != CUSTOM_BUCKETS_SCHEMA
            || layout.custom_values.iter().map(|v| v.to_bits()).eq(self
                .layout
                .custom_values
                .iter()
                .map(|v| v.to_bits()));
        let same_scale = layout.schema == self.layout.schema && layout.zero_threshold == self.layout.zero_threshold;
        let other = if gauge { ResetFlag::Gauge } else { ResetFlag::Unknown };
        let reset = if gauge { ResetFlag::Gauge } else { ResetFlag::Reset };
        if gauge != (self.flag == ResetFlag::Gauge) {
            return Ok(Appended::Cut(other));
        }
        if hint == ResetHint::Reset {
            return Ok(Appended::Cut(reset));
        }
        if stale {
            self.push(layout, row);
            return Ok(Appended::InPlace);
        }
        if is_stale(last.sum) {
            // Only stale samples may follow a stale one in a chunk.
            return Ok(Appended::Cut(other));
        }
        if !gauge && row.count < last.count {
            return Ok(Appended::Cut(reset));
        }
        if !same_scale {
            return Ok(Appended::Cut(other));
        }
        if !same_bounds || !gauge && row.zero_count < last.zero_count {
            return Ok(Appended::Cut(reset));
        }
        let positive = Union::of(&self.layout.positive_spans, &layout.positive_spans);
        let negative = Union::of(&self.layout.negative_spans, &layout.negative_spans);
        if !gauge
            && (positive.decreases(&last.positive, &row.positive) || negative.decreases(&last.negative, &row.negative))
        {
            return Ok(Appended::Cut(reset));
        }
        if positive.spans.len().max(negative.spans.len()) > MAX_BUCKETS {
            return Ok(Appended::Cut(other));
        }
        row.positive = Union::spread(&positive.from_new, &row.positive);
        row.negative = Union::spread(&negative.from_new, &row.negative);
        let widened = positive.widens() || negative.widens();
        if widened {
            self.widen(&positive, &negative)?;
        }
        self.write(&row);
        Ok(if widened { Appended::Widened } else { Appended::InPlace })
    }

    /// Writes the samples anew, with more buckets.
    fn widen(&mut self, positive: &Union, negative: &Union) -> Result<(), Error> {
        let starts = self.starts.as_ref().map(|starts| StartTimes::new(starts.header()));
        let rows = F::read(&self.bits.to_vec(), self.samples, self.layout.bucket_counts(), starts)?;
        (self.samples, self.fields) = (0, F::default());
        self.starts = self.starts.take().map(|_| StartTimes::new(StartTimesHeader::default()));
        self.bits.clear();
        for mut row in rows {
            if !is_stale(row.sum) {
                row.positive = Union::spread(&positive.from_old, &row.positive);
                row.negative = Union::spread(&negative.from_old, &row.negative);
            }
            self.write(&row);
        }
        self.layout.positive_spans = positive.spans.clone();
        self.layout.negative_spans = negative.spans.clone();
        Ok(())
    }

    fn write(&mut self, row: &Row<F::Count>) {
        let before = self.fields.row_time();
        self.fields.write(&mut self.bits, row, self.samples == 0);
        if let Some(starts) = &mut self.starts {
            starts.write_one(&mut self.bits, self.samples, before, row.time, row.start);
        }
        self.samples += 1;
    }

    /// Takes a sample as it is. The first one dictates the layout; a stale one has none.
    fn push(&mut self, layout: Layout, mut row: Row<F::Count>) {
        let stale = is_stale(row.sum);
        if stale {
            (row.count, row.zero_count) = Default::default();
            row.positive.clear();
            row.negative.clear();
        }
        if self.samples == 0 && !stale {
            self.layout = layout;
        }
        self.write(&row);
    }

    fn size_bytes(&self) -> usize {
        let spans = self.layout.positive_spans.len() + self.layout.negative_spans.len();
        self.bits.len() + self.fields.size_bytes() + (spans + self.layout.custom_values.len()) * 8
    }

    /// Without the layout, which is short.
    fn data_bytes(&self) -> usize {
        self.bits.len() + 3
    }

    fn to_vec(&self) -> Vec<u8> {
        let mut bits = BitWriter::default();
        match &self.starts {
            Some(starts) => write_header(&mut bits, self.flag, self.samples, starts),
            None => {
                bits.write(self.samples as u64, 16);
                bits.write((self.flag as u64) << 6, 8);
            }
        }
        if self.samples > 0 {
            self.layout.write(&mut bits);
            bits.append(&self.bits);
        }
        bits.to_vec()
    }
}

/// Writes an integer histogram chunk (encoding 2; 5 with start timestamps).
#[derive(Debug, Clone)]
pub struct HistogramAppender(Builder<IntegerFields>);

impl HistogramAppender {
    /// An empty chunk with the flag that [`Appended::Cut`] told, or the default. Hints of the first histogram override
    /// it.
    pub fn new(flag: ResetFlag) -> Self {
        Self(Builder::new(flag, false))
    }

    /// The same for a chunk with the start timestamp of each sample, which only Prometheus 3.14 and later can read.
    pub fn with_starts(flag: ResetFlag) -> Self {
        Self(Builder::new(flag, true))
    }

    /// What the chunk's bytes are.
    pub fn encoding(&self) -> Encoding {
        if self.0.starts.is_some() { Encoding::HistogramSt } else { Encoding::Histogram }
    }

    /// Appends one histogram, or tells why it needs a new chunk.
    ///
    /// # Errors
    /// [`Error::Full`], or [`Error::Invalid`] when spans and buckets disagree.
    pub fn append(&mut self, time: i64, histogram: &Histogram) -> Result<Appended, Error> {
        self.append_from(0, time, histogram)
    }

    /// The same with the start timestamp, ms; 0 = unknown. A chunk without start timestamps drops it.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_from(&mut self, start: i64, time: i64, histogram: &Histogram) -> Result<Appended, Error> {
        let layout = Layout {
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            positive_spans: histogram.positive_spans.clone(),
            negative_spans: histogram.negative_spans.clone(),
            custom_values: histogram.custom_values.clone(),
        };
        let row = Row {
            time,
            start,
            count: histogram.count as i64,
            zero_count: histogram.zero_count as i64,
            sum: histogram.sum,
            positive: absolute(&histogram.positive_deltas),
            negative: absolute(&histogram.negative_deltas),
        };
        self.0.append(layout, row, histogram.reset_hint)
    }

    /// How many samples the chunk holds so far.
    pub fn len(&self) -> usize {
        self.0.samples
    }

    /// Whether the chunk holds no sample yet.
    pub fn is_empty(&self) -> bool {
        self.0.samples == 0
    }

    /// Bytes in memory, about.
    pub fn size_bytes(&self) -> usize {
        self.0.size_bytes()
    }

    /// Bytes of the chunk's data, without what it says of its buckets.
    pub fn data_bytes(&self) -> usize {
        self.0.data_bytes()
    }

    /// The chunk's data as it stands; more samples may follow.
    pub fn to_vec(&self) -> Vec<u8> {
        self.0.to_vec()
    }
}

fn absolute(deltas: &[i64]) -> Vec<i64> {
    let sum = |sum: &mut i64, d: &i64| {
        *sum = sum.wrapping_add(*d);
        Some(*sum)
    };
    deltas.iter().scan(0, sum).collect()
}

/// Writes a float histogram chunk (encoding 3; 6 with start timestamps).
#[derive(Debug, Clone)]
pub struct FloatHistogramAppender(Builder<FloatFields>);

impl FloatHistogramAppender {
    /// As [`HistogramAppender::new`].
    pub fn new(flag: ResetFlag) -> Self {
        Self(Builder::new(flag, false))
    }

    /// The same for a chunk with the start timestamp of each sample, which only Prometheus 3.14 and later can read.
    pub fn with_starts(flag: ResetFlag) -> Self {
        Self(Builder::new(flag, true))
    }

    /// What the chunk's bytes are.
    pub fn encoding(&self) -> Encoding {
        if self.0.starts.is_some() { Encoding::FloatHistogramSt } else { Encoding::FloatHistogram }
    }

    fn parts((start, time): (i64, i64), histogram: &FloatHistogram) -> (Layout, Row<f64>) {
        let layout = Layout {
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            positive_spans: histogram.positive_spans.clone(),
            negative_spans: histogram.negative_spans.clone(),
            custom_values: histogram.custom_values.clone(),
        };
        let row = Row {
            time,
            start,
            count: histogram.count,
            zero_count: histogram.zero_count,
            sum: histogram.sum,
            positive: histogram.positive_buckets.clone(),
            negative: histogram.negative_buckets.clone(),
        };
        (layout, row)
    }

    /// Appends one histogram, or tells why it needs a new chunk.
    ///
    /// # Errors
    /// [`Error::Full`], or [`Error::Invalid`] when spans and buckets disagree.
    pub fn append(&mut self, time: i64, histogram: &FloatHistogram) -> Result<Appended, Error> {
        self.append_from(0, time, histogram)
    }

    /// As [`HistogramAppender::append_from`].
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_from(&mut self, start: i64, time: i64, histogram: &FloatHistogram) -> Result<Appended, Error> {
        let (layout, row) = Self::parts((start, time), histogram);
        self.0.append(layout, row, histogram.reset_hint)
    }

    /// Appends a histogram of the same chunk as those before, without looking for resets.
    ///
    /// # Errors
    /// [`Error::Full`], or [`Error::Invalid`] when its layout is another.
    pub fn append_same_layout(&mut self, time: i64, histogram: &FloatHistogram) -> Result<(), Error> {
        let (layout, row) = Self::parts((0, time), histogram);
        self.0.check(&layout, &row)?;
        if self.0.samples == 0 && histogram.reset_hint == ResetHint::Gauge {
            self.0.flag = ResetFlag::Gauge;
        }
        if self.0.samples > 0 && !is_stale(row.sum) && layout != self.0.layout {
            return Err(Error::Invalid { sample: self.0.samples, what: "another bucket layout".to_owned() });
        }
        self.0.push(layout, row);
        Ok(())
    }

    /// How many samples the chunk holds so far.
    pub fn len(&self) -> usize {
        self.0.samples
    }

    /// Whether the chunk holds no sample yet.
    pub fn is_empty(&self) -> bool {
        self.0.samples == 0
    }

    /// Bytes in memory, about.
    pub fn size_bytes(&self) -> usize {
        self.0.size_bytes()
    }

    /// Bytes of the chunk's data, without what it says of its buckets.
    pub fn data_bytes(&self) -> usize {
        self.0.data_bytes()
    }

    /// The chunk's data as it stands; more samples may follow.
    pub fn to_vec(&self) -> Vec<u8> {
        self.0.to_vec()
    }
}
