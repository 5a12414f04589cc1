//! Native histogram chunks (encodings 2, 3, 5, 6) into a column of float histograms.

use histogram::ResetHint;

use crate::bits::BitReader;
use crate::histogram_state::{Counted, HistogramRow, State};
use crate::layout::Layout;
use crate::start_times::{StartTimes, StartTimesHeader};
use crate::{Encoding, Error, HistogramColumn, num_samples};

/// Bytes before the bit stream, in all four encodings.
pub(crate) const HEADER: usize = 3;
/// What a chunk may decode to, in bytes: so many ...
pub(crate) const DECODED_BASE_BYTES: usize = 4 << 20;
/// ... and so many for each of its own. Spans and custom bounds are written once and decoded with every sample, so a
/// forged chunk could have thousands of them and ask for their square in memory. Real chunks stay below a quarter.
pub(crate) const DECODED_BYTES_PER_BYTE: usize = 4096;
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
    let result = decode(encoding, data, |_, time, row| {
        out.times.push(time);
        out.values.push(row.histogram());
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
    let result = decode(encoding, data, |_, time, row| {
        if time >= min && time <= max {
            out.times.push(time);
            out.values.push(row.histogram());
        }
        time <= max
    });
    if result.is_err() {
        out.times.truncate(start);
        out.values.truncate(values);
    }
    result
}

/// The flag of the header: unknown, no reset, reset, gauge.
pub(crate) fn flag(encoding: Encoding, data: &[u8]) -> u8 {
    let at = if matches!(encoding, Encoding::HistogramSt | Encoding::FloatHistogramSt) { 0 } else { 2 };
    data.get(at).map_or(0, |b| b >> 6)
}

/// Hands every sample to `sink`, its start time (0 = not known), its time and the row, until that says false.
pub(crate) fn decode(
    encoding: Encoding,
    data: &[u8],
    mut sink: impl FnMut(i64, i64, HistogramRow<'_>) -> bool,
) -> Result<(), Error> {
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
    let mut state = State::new(encoding, &layout);
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
        let before = time.value;
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
        if !state.advance(&mut bits, sample).map_err(invalid)? {
            return Err(cut());
        }
        if !state.is_stale() {
            decoded_bytes += sample_bytes;
            if decoded_bytes > decoded_bytes_max {
                return Err(invalid(format!("{} bytes decode to more than {decoded_bytes_max}", data.len())));
            }
        }
        let Some(start) = start_times.read_one(&mut bits, sample, before, time.value) else {
            return Err(invalid("start time is no 64-bit varint".to_owned()));
        };
        if bits.overrun() {
            return Err(cut());
        }
        if !sink(start, time.value, HistogramRow { state: &state, layout: &layout, hint }) {
            break;
        }
    }
    Ok(())
}
