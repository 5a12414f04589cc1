//! The layout of a histogram chunk: schema, zero bucket, spans, custom bounds; written once before the samples.

use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Span};

use crate::bits::{BitReader, BitWriter};

/// Most buckets of one sign that a chunk may have. Prometheus' own limits are far below; a forged chunk of a few bytes
/// must not make a reader allocate.
pub const MAX_BUCKETS: usize = 1 << 16;

/// What all histograms of a chunk share.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Layout {
    pub(crate) schema: i32,
    pub(crate) zero_threshold: f64,
    pub(crate) positive_spans: Vec<Span>,
    pub(crate) negative_spans: Vec<Span>,
    pub(crate) custom_values: Vec<f64>,
}

impl Layout {
    /// Reads it; `len_bits` bounds what counts can be believed.
    pub(crate) fn read(bits: &mut BitReader<'_>, len_bits: usize) -> Result<Self, String> {
        let zero_threshold = read_zero_threshold(bits);
        let schema = i32::try_from(bits.varbit_int()).map_err(|_| "schema exceeds 32 bits".to_owned())?;
        if !(-9..=52).contains(&schema) && schema != CUSTOM_BUCKETS_SCHEMA {
            return Err(format!("schema {schema} is not known"));
        }
        let positive_spans = read_spans(bits, len_bits)?;
        let negative_spans = read_spans(bits, len_bits)?;
        let mut custom_values = Vec::new();
        if schema == CUSTOM_BUCKETS_SCHEMA {
            for _ in 0..believable(bits.varbit_uint(), len_bits, "custom bounds")? {
                custom_values.push(match bits.varbit_uint() {
                    0 => f64::from_bits(bits.take(64)),
                    n => (n - 1) as f64 / 1000.0,
                });
            }
        }
        Ok(Self { schema, zero_threshold, positive_spans, negative_spans, custom_values })
    }

    /// Writes the layout as the chunk's header has it.
    pub(crate) fn write(&self, bits: &mut BitWriter) {
        write_zero_threshold(bits, self.zero_threshold);
        bits.varbit_int(i64::from(self.schema));
        for spans in [&self.positive_spans, &self.negative_spans] {
            bits.varbit_uint(spans.len() as u64);
            for span in spans {
                bits.varbit_uint(u64::from(span.length));
                bits.varbit_int(i64::from(span.offset));
            }
        }
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            bits.varbit_uint(self.custom_values.len() as u64);
            for bound in &self.custom_values {
                write_custom_bound(bits, *bound);
            }
        }
    }

    /// Memory of one decoded histogram.
    pub(crate) fn sample_bytes(&self) -> usize {
        let (positive, negative) = self.bucket_counts();
        let spans = self.positive_spans.len() + self.negative_spans.len();
        size_of::<FloatHistogram>() + 8 * (positive + negative + spans + self.custom_values.len())
    }

    /// Buckets of positive and negative spans.
    pub(crate) fn bucket_counts(&self) -> (usize, usize) {
        (bucket_count(&self.positive_spans), bucket_count(&self.negative_spans))
    }
}

impl From<Layout> for FloatHistogram {
    /// A histogram of this layout that counts nothing.
    fn from(layout: Layout) -> Self {
        let Layout { schema, zero_threshold, positive_spans, negative_spans, custom_values } = layout;
        Self { schema, zero_threshold, positive_spans, negative_spans, custom_values, ..Self::default() }
    }
}

/// Buckets that `spans` cover.
pub(crate) fn bucket_count(spans: &[Span]) -> usize {
    spans.iter().map(|s| s.length as usize).sum()
}

fn believable(count: u64, len_bits: usize, what: &str) -> Result<usize, String> {
    match usize::try_from(count) {
        Ok(n) if n <= len_bits => Ok(n),
        _ => Err(format!("{count} {what} do not fit the chunk")),
    }
}

fn read_spans(bits: &mut BitReader<'_>, len_bits: usize) -> Result<Vec<Span>, String> {
    let count = believable(bits.varbit_uint(), len_bits, "spans")?;
    let mut spans = Vec::new();
    let mut buckets = 0u64;
    for _ in 0..count {
        let length = bits.varbit_uint();
        let offset = bits.varbit_int();
        buckets = buckets.saturating_add(length);
        if buckets > MAX_BUCKETS as u64 {
            return Err(format!("more than {MAX_BUCKETS} buckets"));
        }
        let offset = i32::try_from(offset).map_err(|_| "span offset exceeds 32 bits".to_owned())?;
        spans.push(Span { offset, length: length as u32 });
    }
    Ok(spans)
}

/// One byte for 0 and for powers of two from 2^-243 to 2^10, else 9 bytes.
fn read_zero_threshold(bits: &mut BitReader<'_>) -> f64 {
    match bits.take(8) {
        0 => 0.0,
        255 => f64::from_bits(bits.take(64)),
        // 0.5 · 2^(e-243), built from its exponent; all of them are normal numbers.
        e => f64::from_bits((e + 1023 - 244) << 52),
    }
}

fn write_zero_threshold(bits: &mut BitWriter, threshold: f64) {
    let raw = threshold.to_bits();
    let exponent = (raw >> 52) as i64 - 1023 + 244;
    if threshold == 0.0 {
        bits.write(0, 8);
    } else if raw & ((1 << 52) - 1) == 0 && (1..=254).contains(&exponent) {
        bits.write(exponent as u64, 8);
    } else {
        bits.write(255, 8);
        bits.write(raw, 64);
    }
}

fn write_custom_bound(bits: &mut BitWriter, bound: f64) {
    let thousandths = bound * 1000.0;
    let whole = (0.0..=33_554_430.0).contains(&thousandths) && thousandths.round() / 1000.0 == bound;
    if whole {
        bits.varbit_uint(thousandths.round() as u64 + 1);
    } else {
        bits.write(0, 1);
        bits.write(bound.to_bits(), 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_read_back() {
        let spans = vec![Span { offset: -3, length: 2 }, Span { offset: 100, length: 1 }];
        for zero_threshold in
            [0.0, 2f64.powi(-128), 2f64.powi(-243), 2f64.powi(10), 2f64.powi(11), 0.1, 2f64.powi(-244)]
        {
            let layout = Layout { schema: 3, zero_threshold, positive_spans: spans.clone(), ..Layout::default() };
            round_trip(&layout);
        }
        let custom_values = vec![-1.0, 0.0, 0.001, 0.0005, 33_554.43, 33_554.431, 1e100, f64::INFINITY];
        round_trip(&Layout {
            schema: CUSTOM_BUCKETS_SCHEMA,
            negative_spans: spans,
            custom_values,
            ..Layout::default()
        });
    }

    fn round_trip(layout: &Layout) {
        let mut writer = BitWriter::default();
        layout.write(&mut writer);
        let bytes = writer.to_vec();
        assert_eq!(Layout::read(&mut BitReader::new(&bytes), bytes.len() * 8).as_ref(), Ok(layout));
    }

    #[test]
    fn the_default_threshold_is_byte_116() {
        let mut writer = BitWriter::default();
        write_zero_threshold(&mut writer, 2f64.powi(-128));
        assert_eq!(writer.to_vec(), [116]);
    }
}
