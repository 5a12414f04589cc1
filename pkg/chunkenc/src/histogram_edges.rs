//! A native histogram chunk of which only some samples are looked at.

use histogram::ResetHint;

use crate::bits::BitReader;
use crate::histogram_read::{DECODED_BASE_BYTES, DECODED_BYTES_PER_BYTE, GAUGE_FLAG, HEADER, flag};
use crate::histogram_state::{HistogramRow, State};
use crate::layout::Layout;
use crate::{Encoding, Error, num_samples};

/// Where in its chunk a sample lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// The first or the last sample.
    OfChunk,
    /// A sample in between that is wanted.
    Inner,
}

/// Hands each sample of a chunk of counters to `sink`: its time, and the row where that is the first or the last of the
/// chunk, or where `wanted(time before, its time, time after)`. Between samples of one chunk no counter is reset.
///
/// False for what must be decoded as a whole: gauges, chunks with start timestamps, and chunks with stale markers. What was
/// handed out until then does not count.
///
/// # Errors
/// As [`crate::decode_histograms`]; what was handed out until then does not count.
pub fn decode_histogram_edges(
    encoding: Encoding,
    data: &[u8],
    mut wanted: impl FnMut(i64, i64, i64) -> bool,
    mut sink: impl FnMut(i64, Option<(Edge, HistogramRow<'_>)>),
) -> Result<bool, Error> {
    if !matches!(encoding, Encoding::Histogram | Encoding::FloatHistogram) || flag(encoding, data) == GAUGE_FLAG {
        return Ok(false);
    }
    let samples = num_samples(encoding, data)?;
    let Some((_, stream)) = data.split_at_checked(HEADER) else {
        return Err(Error::Header(format!("{} bytes, a histogram header takes {HEADER}", data.len())));
    };
    if samples == 0 {
        return Ok(true);
    }
    let mut bits = BitReader::new(stream);
    let layout = Layout::read(&mut bits, stream.len() * 8).map_err(Error::Header)?;
    let mut state = State::new(encoding);
    let left = (DECODED_BASE_BYTES + DECODED_BYTES_PER_BYTE * data.len()) / layout.sample_bytes().max(1);
    let (mut time, mut delta, mut before, mut built) = (0i64, 0i64, 0i64, 0usize);
    for sample in 0..samples {
        let cut = || Error::Truncated { len: data.len(), sample, samples };
        let invalid = |what: String| Error::Invalid { sample, what };
        if bits.overrun() {
            return Err(cut());
        }
        let last = time;
        if sample == 0 {
            time = bits.varbit_int();
        } else {
            delta = delta.wrapping_add(bits.varbit_int());
            time = time.wrapping_add(delta);
            // The sample before is still what the state holds.
            let hint = if sample == 1 { ResetHint::Unknown } else { ResetHint::NotReset };
            let keeps = sample == 1 || wanted(before, last, time);
            built += usize::from(keeps);
            let edge = if sample == 1 { Edge::OfChunk } else { Edge::Inner };
            sink(last, keeps.then_some((edge, HistogramRow { state: &state, layout: &layout, hint })));
            before = last;
        }
        if built > left {
            return Err(invalid(format!("{} bytes decode to too many histograms", data.len())));
        }
        if !state.advance(&mut bits, sample, &layout).map_err(invalid)? || bits.overrun() {
            return Err(cut());
        }
        if state.is_stale() {
            return Ok(false);
        }
    }
    let hint = if samples == 1 { ResetHint::Unknown } else { ResetHint::NotReset };
    sink(time, Some((Edge::OfChunk, HistogramRow { state: &state, layout: &layout, hint })));
    Ok(true)
}

#[cfg(test)]
mod tests {
    use histogram::{Histogram, Span};

    use super::*;
    use crate::{FloatHistogramAppender, HistogramAppender, HistogramColumn, ResetFlag, decode_histograms};

    fn chunk(integer: bool, samples: i64) -> (Encoding, Vec<u8>) {
        let (mut ints, mut floats) =
            (HistogramAppender::new(ResetFlag::Unknown), FloatHistogramAppender::new(ResetFlag::Unknown));
        for i in 0..samples {
            let h = Histogram {
                count: 6 * i as u64,
                sum: i as f64 * 1.5,
                positive_spans: vec![Span { offset: -1, length: 2 }],
                positive_deltas: vec![i, i],
                negative_spans: vec![Span { offset: 3, length: 1 }],
                negative_deltas: vec![3 * i],
                ..Histogram::default()
            };
            ints.append(1000 * i + i % 3, &h).unwrap();
            floats.append(1000 * i + i % 3, &h.to_float()).unwrap();
        }
        match integer {
            true => (Encoding::Histogram, ints.to_vec()),
            false => (Encoding::FloatHistogram, floats.to_vec()),
        }
    }

    #[test]
    fn what_is_built_is_what_the_chunk_holds() {
        for (integer, samples) in [(true, 1), (true, 2), (true, 50), (false, 50)] {
            let (encoding, data) = chunk(integer, samples);
            let mut whole = HistogramColumn::default();
            decode_histograms(encoding, &data, &mut whole).unwrap();
            let mut asked = Vec::new();
            let mut got = Vec::new();
            let wanted = |before: i64, time: i64, next: i64| {
                asked.push((before, time, next));
                time / 1000 % 4 == 0
            };
            assert_eq!(
                decode_histogram_edges(encoding, &data, wanted, |t, row| got
                    .push((t, row.map(|(_, row)| row.histogram())))),
                Ok(true)
            );
            assert_eq!(got.iter().map(|(t, _)| *t).collect::<Vec<_>>(), whole.times);
            for (i, (time, h)) in got.iter().enumerate() {
                let built = i == 0 || i + 1 == got.len() || time / 1000 % 4 == 0;
                assert_eq!(h.as_ref(), built.then(|| &whole.values[i]), "{i}");
            }
            let inner: Vec<_> = whole.times.windows(3).map(|w| (w[0], w[1], w[2])).collect();
            assert_eq!(asked, inner);
        }
    }

    #[test]
    fn cut_bytes_are_refused() {
        let (encoding, data) = chunk(true, 20);
        for len in 0..data.len() - 1 {
            let outcome = decode_histogram_edges(encoding, &data[..len], |_, _, _| true, |_, _| {});
            assert!(outcome.is_err(), "{len}: {outcome:?}");
        }
    }
}
