//! Native histogram chunks with start timestamps (encodings 5 and 6).

use histogram::FloatHistogram;
use model::is_stale;

use crate::bits::BitWriter;
use crate::histogram_read::decode;
use crate::histogram_rows::{Fields, FloatFields, Row};
use crate::layout::Layout;
use crate::start_times::{StartTimes, StartTimesHeader};
use crate::{Encoding, Error, HistogramColumn, ResetFlag};

/// The most samples of such a chunk: the flag takes two bits of their count.
pub(crate) const SAMPLES_MAX: usize = 0x3fff;

/// As [`crate::decode_histograms`], with the start timestamp of each sample, ms; 0 = not known, as in all chunks of other
/// encodings.
///
/// # Errors
/// As [`crate::decode_histograms`]; `out` and `starts` are as before then.
pub fn decode_histograms_with_starts(
    encoding: Encoding,
    data: &[u8],
    out: &mut HistogramColumn,
    starts: &mut Vec<i64>,
) -> Result<(), Error> {
    let before = (out.times.len(), starts.len());
    let result = decode(encoding, data, |start, time, row| {
        starts.push(start);
        out.times.push(time);
        out.values.push(row.histogram());
        true
    });
    if result.is_err() {
        out.times.truncate(before.0);
        out.values.truncate(before.0);
        starts.truncate(before.1);
    }
    result
}

/// Writes a chunk of encoding 6 from (start time, time, histogram); start time 0 means unknown. All histograms must have
/// the layout of the first one: schema, zero threshold, spans and custom bounds.
///
/// # Errors
/// [`Error::Full`] for more samples than a chunk can count, [`Error::Invalid`] for another layout.
pub fn encode_float_histograms_with_starts(
    flag: ResetFlag,
    samples: &[(i64, i64, &FloatHistogram)],
) -> Result<Vec<u8>, Error> {
    if samples.len() > SAMPLES_MAX {
        return Err(Error::Full);
    }
    let mut bits = BitWriter::default();
    let (mut fields, mut starts) = (FloatFields::default(), StartTimes::new(StartTimesHeader::default()));
    let layout = samples.first().map(|(_, _, h)| layout(h)).unwrap_or_default();
    let mut before = 0;
    for (sample, (start, time, h)) in samples.iter().enumerate() {
        if is_stale(h.sum) || self::layout(h) != layout {
            return Err(Error::Invalid { sample, what: "another bucket layout".to_owned() });
        }
        let row = Row {
            time: *time,
            start: *start,
            count: h.count,
            zero_count: h.zero_count,
            sum: h.sum,
            positive: h.positive_buckets.clone(),
            negative: h.negative_buckets.clone(),
        };
        fields.write(&mut bits, &row, sample == 0);
        starts.write_one(&mut bits, sample, before, *time, *start);
        before = *time;
    }
    let mut out = BitWriter::default();
    write_header(&mut out, flag, samples.len(), &starts);
    if !samples.is_empty() {
        layout.write(&mut out);
        out.append(&bits);
    }
    Ok(out.to_vec())
}

/// The three bytes before the bit stream.
pub(crate) fn write_header(out: &mut BitWriter, flag: ResetFlag, samples: usize, starts: &StartTimes) {
    out.write((flag as u64) << 14 | samples as u64, 16);
    out.write(u64::from(starts.header().to_byte()), 8);
}

fn layout(h: &FloatHistogram) -> Layout {
    Layout {
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        positive_spans: h.positive_spans.clone(),
        negative_spans: h.negative_spans.clone(),
        custom_values: h.custom_values.clone(),
    }
}

#[cfg(test)]
mod tests {
    use histogram::Span;

    use super::*;

    #[test]
    fn both_ways() {
        let histogram = |count: f64| FloatHistogram {
            schema: 2,
            count,
            sum: count * 1.5,
            positive_spans: vec![Span { offset: 1, length: 2 }],
            positive_buckets: vec![count / 2.0, count / 2.0],
            ..FloatHistogram::default()
        };
        let all: Vec<FloatHistogram> = (1..200).map(|i| histogram(f64::from(i))).collect();
        // Starts that are not known at first, then stay, then change with each sample.
        let start = |i: usize| match i {
            0..5 => 0,
            5..100 => 1,
            _ => 1000 * i as i64 - 10,
        };
        let rows: Vec<_> = all.iter().enumerate().map(|(i, h)| (start(i), 1000 * (i as i64 + 1), h)).collect();
        let data = encode_float_histograms_with_starts(ResetFlag::NotReset, &rows).unwrap();
        let (mut out, mut starts) = (HistogramColumn::default(), Vec::new());
        decode_histograms_with_starts(Encoding::FloatHistogramSt, &data, &mut out, &mut starts).unwrap();
        assert_eq!(starts, rows.iter().map(|(start, ..)| *start).collect::<Vec<_>>());
        assert_eq!(out.times, rows.iter().map(|(_, time, _)| *time).collect::<Vec<_>>());
        assert!(out.values.iter().zip(&all).all(|(a, b)| a.positive_buckets == b.positive_buckets && a.sum == b.sum));
        assert_eq!(ResetFlag::of(Encoding::FloatHistogramSt, &data), ResetFlag::NotReset);
        let mut plain = HistogramColumn::default();
        crate::decode_histograms(Encoding::FloatHistogramSt, &data, &mut plain).unwrap();
        assert_eq!(plain, out);
        assert!(
            encode_float_histograms_with_starts(ResetFlag::Unknown, &[rows[0], (0, 9, &FloatHistogram::default())])
                .is_err()
        );
    }
}
