//! One native histogram in a record.

use encoding::{Corrupt, Cursor, put_uvarint, put_varint};
use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, ResetHint, SCHEMA_MAX, Span};

/// Schemas that readers take: custom buckets apart, those above the finest one in use are brought down to it.
const SCHEMAS: std::ops::RangeInclusive<i32> = -9..=52;

/// A histogram with integer or float counts.
pub trait BucketHistogram: Default + Clone + sealed::Parts {}
impl BucketHistogram for Histogram {}
impl BucketHistogram for FloatHistogram {}

mod sealed {
    use super::*;
    use crate::record::Kind;

    /// How counts and buckets are written.
    pub trait Parts {
        /// Records of exponential buckets, of custom ones, and those with start timestamps.
        const KINDS: [Kind; 3];
        fn schema(&self) -> i32;
        fn read_from(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Corrupt>;
        fn write_to(&self, out: &mut Vec<u8>);
        /// Brings a finer schema down to this one.
        fn reduce(&mut self, schema: i32);
        /// Spans and the number of buckets, positive ones first.
        fn buckets(&self) -> [(&[Span], usize); 2];
        fn custom_values(&self) -> &[f64];
    }

    macro_rules! parts {
        ($histogram:ty, $positive:ident, $negative:ident, $kinds:expr, $reduce:expr) => {
            impl Parts for $histogram {
                const KINDS: [Kind; 3] = $kinds;

                fn schema(&self) -> i32 {
                    self.schema
                }

                fn read_from(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Corrupt> {
                    self.reset_hint = read_hint(cursor)?;
                    let at = *cursor;
                    self.schema = i32::try_from(cursor.varint()?).map_err(|_| at.corrupt("schema beyond 32 bits"))?;
                    self.zero_threshold = f64::read(cursor)?;
                    self.zero_count = Number::read(cursor)?;
                    self.count = Number::read(cursor)?;
                    self.sum = f64::read(cursor)?;
                    read_list(cursor, &mut self.positive_spans)?;
                    read_list(cursor, &mut self.negative_spans)?;
                    read_list(cursor, &mut self.$positive)?;
                    read_list(cursor, &mut self.$negative)?;
                    self.custom_values.clear();
                    if self.schema == CUSTOM_BUCKETS_SCHEMA {
                        read_list(cursor, &mut self.custom_values)?;
                    }
                    Ok(())
                }

                fn write_to(&self, out: &mut Vec<u8>) {
                    out.push(hint_number(self.reset_hint));
                    i64::from(self.schema).write(out);
                    self.zero_threshold.write(out);
                    self.zero_count.write(out);
                    self.count.write(out);
                    self.sum.write(out);
                    put_list(out, &self.positive_spans);
                    put_list(out, &self.negative_spans);
                    put_list(out, &self.$positive);
                    put_list(out, &self.$negative);
                    if self.schema == CUSTOM_BUCKETS_SCHEMA {
                        put_list(out, &self.custom_values);
                    }
                }

                fn reduce(&mut self, schema: i32) {
                    $reduce(self, schema);
                }

                fn buckets(&self) -> [(&[Span], usize); 2] {
                    [(&self.positive_spans, self.$positive.len()), (&self.negative_spans, self.$negative.len())]
                }

                fn custom_values(&self) -> &[f64] {
                    &self.custom_values
                }
            }
        };
    }

    parts!(
        Histogram,
        positive_deltas,
        negative_deltas,
        [Kind::Histograms, Kind::CustomHistograms, Kind::HistogramsWithStarts],
        Histogram::reduce_to
    );
    parts!(
        FloatHistogram,
        positive_buckets,
        negative_buckets,
        [Kind::FloatHistograms, Kind::CustomFloatHistograms, Kind::FloatHistogramsWithStarts],
        FloatHistogram::reduce_to
    );
}

/// What lists and counts are made of.
trait Number: Copy {
    /// The fewest bytes that one takes.
    const BYTES_MIN: usize;
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Corrupt>;
    fn write(self, out: &mut Vec<u8>);
}

impl Number for u64 {
    const BYTES_MIN: usize = 1;
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Corrupt> {
        cursor.uvarint()
    }
    fn write(self, out: &mut Vec<u8>) {
        put_uvarint(out, self);
    }
}

impl Number for i64 {
    const BYTES_MIN: usize = 1;
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Corrupt> {
        cursor.varint()
    }
    fn write(self, out: &mut Vec<u8>) {
        put_varint(out, self);
    }
}

impl Number for f64 {
    const BYTES_MIN: usize = 8;
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Corrupt> {
        cursor.be64().map(f64::from_bits)
    }
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bits().to_be_bytes());
    }
}

impl Number for Span {
    const BYTES_MIN: usize = 2;
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Corrupt> {
        let at = *cursor;
        let offset = i32::try_from(cursor.varint()?).map_err(|_| at.corrupt("offset beyond 32 bits"))?;
        Ok(Self { offset, length: cursor.uvarint32()? })
    }
    fn write(self, out: &mut Vec<u8>) {
        put_varint(out, self.offset.into());
        put_uvarint(out, self.length.into());
    }
}

fn read_list<T: Number>(cursor: &mut Cursor<'_>, list: &mut Vec<T>) -> Result<(), Corrupt> {
    list.clear();
    let at = *cursor;
    let count = cursor.uvarint()?;
    if count > (cursor.left() / T::BYTES_MIN) as u64 {
        return Err(at.corrupt(format!("list of {count}, {} bytes left", cursor.left())));
    }
    list.reserve(count as usize);
    for _ in 0..count {
        list.push(T::read(cursor)?);
    }
    Ok(())
}

fn put_list<T: Number>(out: &mut Vec<u8>, list: &[T]) {
    put_uvarint(out, list.len() as u64);
    list.iter().for_each(|element| element.write(out));
}

fn read_hint(cursor: &mut Cursor<'_>) -> Result<ResetHint, Corrupt> {
    Ok(match cursor.bytes(1)? {
        [1] => ResetHint::Reset,
        [2] => ResetHint::NotReset,
        [3] => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    })
}

fn hint_number(hint: ResetHint) -> u8 {
    match hint {
        ResetHint::Unknown => 0,
        ResetHint::Reset => 1,
        ResetHint::NotReset => 2,
        ResetHint::Gauge => 3,
    }
}

/// Appends `histogram` to `out`.
pub fn put_histogram<H: BucketHistogram>(out: &mut Vec<u8>, histogram: &H) {
    histogram.write_to(out);
}

/// Reads a histogram over `histogram`, whose memory is used again. Schemas finer than 8 are brought down to 8. The inner
/// result is what is wrong with a histogram that was read to its end and makes no sense.
///
/// # Errors
/// [`Corrupt`] if the bytes are not what the format says, so that its end is not known.
pub fn read_histogram<H: BucketHistogram>(
    cursor: &mut Cursor<'_>,
    histogram: &mut H,
) -> Result<Result<(), Corrupt>, Corrupt> {
    let at = *cursor;
    histogram.read_from(cursor)?;
    if let Some(what) = wrong_in(histogram) {
        return Ok(Err(at.corrupt(what)));
    }
    if histogram.schema() > SCHEMA_MAX {
        histogram.reduce(SCHEMA_MAX);
    }
    Ok(Ok(()))
}

fn wrong_in<H: BucketHistogram>(histogram: &H) -> Option<String> {
    let schema = histogram.schema();
    let custom = schema == CUSTOM_BUCKETS_SCHEMA;
    if !custom && !SCHEMAS.contains(&schema) {
        return Some(format!("histogram schema {schema} is not known"));
    }
    for (spans, buckets) in histogram.buckets() {
        let covered: u64 = spans.iter().map(|s| u64::from(s.length)).sum();
        if covered != buckets as u64 {
            return Some(format!("spans cover {covered} buckets, there are {buckets}"));
        }
        let negative_gap = spans.iter().skip(usize::from(!custom)).any(|s| s.offset < 0);
        let end = spans.iter().map(|s| i64::from(s.offset) + i64::from(s.length)).sum::<i64>();
        if negative_gap || end > i64::from(i32::MAX) {
            return Some("spans overlap, or end beyond 32 bits".to_owned());
        }
        let bounds = histogram.custom_values().len() as i64 + 1;
        if custom && end > bounds {
            return Some(format!("spans end at bucket {end}, custom bounds make {bounds}"));
        }
    }
    None
}
