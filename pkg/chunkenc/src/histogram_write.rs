//! Writing native histogram chunks (encodings 2 and 3).
//!
//! A chunk has one bucket layout. When a histogram brings new buckets, the samples before get them with count 0: those are
//! read and written again. Else samples are written as they come, and the appenders keep their bits and the last
//! one's fields.

use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, ResetHint, Span};
use model::is_stale;

use crate::bits::BitWriter;
use crate::histogram_rows::{Fields, FloatFields, IntegerFields, Row};
use crate::layout::{Layout, MAX_BUCKETS, bucket_count};
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
}

impl<F: Fields> Builder<F> {
    fn new(flag: ResetFlag) -> Self {
        Self { flag, layout: Layout::default(), samples: 0, bits: BitWriter::default(), fields: F::default() }
    }

    fn check(&self, layout: &Layout, row: &Row<F::Count>) -> Result<(), Error> {
        let invalid = |what: String| Err(Error::Invalid { sample: self.samples, what });
        if self.samples >= MAX_SAMPLES {
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
        let rows = F::read(&self.bits.to_vec(), self.samples, self.layout.bucket_counts())?;
        (self.samples, self.fields) = (0, F::default());
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
        self.fields.write(&mut self.bits, row, self.samples == 0);
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
        bits.write(self.samples as u64, 16);
        bits.write((self.flag as u64) << 6, 8);
        if self.samples > 0 {
            self.layout.write(&mut bits);
            bits.append(&self.bits);
        }
        bits.to_vec()
    }
}

/// How two lists of spans join.
struct Union {
    /// Covers both; the old or new list itself where that does.
    spans: Vec<Span>,
    /// For each bucket of the union its place in the old list.
    from_old: Vec<Option<usize>>,
    /// The same for the new list.
    from_new: Vec<Option<usize>>,
}

impl Union {
    fn of(old: &[Span], new: &[Span]) -> Self {
        let (a, b) = (indices(old), indices(new));
        let (mut from_old, mut from_new, mut spans) = (Vec::new(), Vec::new(), Vec::<Span>::new());
        let (mut i, mut j, mut end) = (0, 0, 0i64);
        while i < a.len() || j < b.len() {
            let (x, y) = (a.get(i).copied().unwrap_or(i64::MAX), b.get(j).copied().unwrap_or(i64::MAX));
            let index = x.min(y);
            from_old.push((x == index).then_some(i));
            from_new.push((y == index).then_some(j));
            i += usize::from(x == index);
            j += usize::from(y == index);
            match spans.last_mut() {
                Some(span) if index == end => span.length += 1,
                _ => spans.push(Span { offset: (index - end) as i32, length: 1 }),
            }
            end = index + 1;
        }
        if from_old.iter().all(Option::is_some) {
            spans = old.to_vec();
        } else if from_new.iter().all(Option::is_some) {
            spans = new.to_vec();
        }
        Self { spans, from_old, from_new }
    }

    fn widens(&self) -> bool {
        self.from_old.iter().any(Option::is_none)
    }

    fn decreases<C: Copy + PartialOrd + Default>(&self, old: &[C], new: &[C]) -> bool {
        let at = |list: &[C], place: &Option<usize>| place.map_or(C::default(), |i| list[i]);
        self.from_old.iter().zip(&self.from_new).any(|(o, n)| o.is_some() && at(old, o) > at(new, n))
    }

    fn spread<C: Copy + Default>(from: &[Option<usize>], list: &[C]) -> Vec<C> {
        from.iter().map(|place| place.map_or(C::default(), |i| list[i])).collect()
    }
}

/// The index of each bucket that `spans` cover.
fn indices(spans: &[Span]) -> Vec<i64> {
    let mut out = Vec::with_capacity(bucket_count(spans));
    let mut at = 0i64;
    for span in spans {
        at += i64::from(span.offset);
        out.extend(at..at + i64::from(span.length));
        at += i64::from(span.length);
    }
    out
}

/// Writes an integer histogram chunk (encoding 2).
#[derive(Debug, Clone)]
pub struct HistogramAppender(Builder<IntegerFields>);

impl HistogramAppender {
    /// An empty chunk with the flag that [`Appended::Cut`] told, or the default. Hints of the first histogram override
    /// it.
    pub fn new(flag: ResetFlag) -> Self {
        Self(Builder::new(flag))
    }

    /// Appends one histogram, or tells why it needs a new chunk.
    ///
    /// # Errors
    /// [`Error::Full`], or [`Error::Invalid`] when spans and buckets disagree.
    pub fn append(&mut self, time: i64, histogram: &Histogram) -> Result<Appended, Error> {
        let layout = Layout {
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            positive_spans: histogram.positive_spans.clone(),
            negative_spans: histogram.negative_spans.clone(),
            custom_values: histogram.custom_values.clone(),
        };
        let row = Row {
            time,
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

/// Writes a float histogram chunk (encoding 3).
#[derive(Debug, Clone)]
pub struct FloatHistogramAppender(Builder<FloatFields>);

impl FloatHistogramAppender {
    /// As [`HistogramAppender::new`].
    pub fn new(flag: ResetFlag) -> Self {
        Self(Builder::new(flag))
    }

    fn parts(time: i64, histogram: &FloatHistogram) -> (Layout, Row<f64>) {
        let layout = Layout {
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            positive_spans: histogram.positive_spans.clone(),
            negative_spans: histogram.negative_spans.clone(),
            custom_values: histogram.custom_values.clone(),
        };
        let row = Row {
            time,
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
        let (layout, row) = Self::parts(time, histogram);
        self.0.append(layout, row, histogram.reset_hint)
    }

    /// Appends a histogram of the same chunk as those before, without looking for resets.
    ///
    /// # Errors
    /// [`Error::Full`], or [`Error::Invalid`] when its layout is another.
    pub fn append_same_layout(&mut self, time: i64, histogram: &FloatHistogram) -> Result<(), Error> {
        let (layout, row) = Self::parts(time, histogram);
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
