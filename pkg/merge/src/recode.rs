//! A chunk without some of its samples: decoded, sorted, encoded again in its own encoding.

use chunkenc::{
    Appended, Column, Encoding, Error, FloatHistogramAppender, HistogramAppender, HistogramColumn, ResetFlag,
    TimedChunk, aggr, decode_floats, decode_histograms, decode_histograms_with_starts,
};
use histogram::{FloatHistogram, Histogram, ResetHint};

/// What encoding a chunk again changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Recoded {
    /// How many samples were left out.
    pub(crate) dropped: u64,
    /// Samples out of order or twice.
    pub(crate) out_of_order: u64,
}

/// Writes the samples of `chunk` that `keep` takes to `out`, in order of time. Of samples with one time the last is
/// kept. Start timestamps stay with their samples.
///
/// # Errors
/// When the bytes are no chunk.
pub(crate) fn recode(
    chunk: &TimedChunk,
    resolution_ms: i64,
    keep: &dyn Fn(i64, i64) -> bool,
    out: &mut Vec<TimedChunk>,
) -> Result<Recoded, Error> {
    let mut recoded = Recoded::default();
    if chunk.encoding == Encoding::Aggregates {
        // A window's time is its last ms.
        let kept = |t: i64| keep(t.saturating_sub(resolution_ms.max(1) - 1), t);
        out.extend(recode_aggregates(chunk, &kept, &mut recoded)?);
        return Ok(recoded);
    }
    let kept = |t: i64| keep(t, t);
    if chunk.encoding.is_float() {
        out.extend(recode_floats(chunk.encoding, &chunk.data, &kept, &mut recoded)?);
    } else {
        recode_histograms(chunk.encoding, &chunk.data, &kept, &mut recoded, out)?;
    }
    Ok(recoded)
}

/// Strictly ascending in time, the last of equals kept; how many were moved or dropped.
fn put_in_order<T>(samples: &mut Vec<(i64, T)>) -> u64 {
    if samples.is_sorted_by(|a, b| a.0 < b.0) {
        return 0;
    }
    let mut highest = i64::MIN;
    let mut strays = 0;
    for (n, (time, _)) in samples.iter().enumerate() {
        strays += u64::from(n > 0 && *time <= highest);
        highest = highest.max(*time);
    }
    samples.sort_by_key(|s| s.0);
    samples.reverse();
    samples.dedup_by_key(|s| s.0);
    samples.reverse();
    strays
}

fn recode_floats(
    encoding: Encoding,
    data: &[u8],
    kept: &dyn Fn(i64) -> bool,
    recoded: &mut Recoded,
) -> Result<Option<TimedChunk>, Error> {
    if encoding == Encoding::Xor2 {
        let all = chunkenc::decode_xor2(data)?;
        let count = all.len();
        let samples = all.into_iter().map(|(start, time, value)| (time, (start, value))).filter(|(t, _)| kept(*t));
        let mut samples: Vec<(i64, (i64, f64))> = samples.collect();
        recoded.dropped += (count - samples.len()) as u64;
        recoded.out_of_order += put_in_order(&mut samples);
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Ok(None) };
        let (min_time, max_time) = (first.0, last.0);
        let data = chunkenc::encode_xor2(samples.into_iter().map(|(time, (start, value))| (start, time, value)))?;
        return Ok(Some(TimedChunk { min_time, max_time, encoding, data: data.into() }));
    }
    let mut column = Column::new();
    decode_floats(encoding, data, &mut column)?;
    let mut samples: Vec<(i64, f64)> = column.iter().filter(|(t, _)| kept(*t)).collect();
    recoded.dropped += (column.len() - samples.len()) as u64;
    recoded.out_of_order += put_in_order(&mut samples);
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Ok(None) };
    let (min_time, max_time) = (first.0, last.0);
    let data = chunkenc::encode_xor(samples)?.into();
    Ok(Some(TimedChunk { min_time, max_time, encoding: Encoding::Xor, data }))
}

fn recode_histograms(
    encoding: Encoding,
    data: &[u8],
    kept: &dyn Fn(i64) -> bool,
    recoded: &mut Recoded,
    out: &mut Vec<TimedChunk>,
) -> Result<(), Error> {
    let (mut column, mut starts) = (HistogramColumn::default(), Vec::new());
    decode_histograms_with_starts(encoding, data, &mut column, &mut starts)?;
    let count = column.times.len();
    let samples = column.times.into_iter().zip(starts.into_iter().zip(column.values)).filter(|(t, _)| kept(*t));
    let mut samples: Vec<Sample<FloatHistogram>> = samples.collect();
    recoded.dropped += (count - samples.len()) as u64;
    recoded.out_of_order += put_in_order(&mut samples);
    let integers = matches!(encoding, Encoding::Histogram | Encoding::HistogramSt);
    let has_starts = matches!(encoding, Encoding::HistogramSt | Encoding::FloatHistogramSt);
    let to_integers = |(t, (start, h)): &Sample<FloatHistogram>| Some((*t, (*start, to_integers(h)?)));
    let whole: Option<Vec<Sample<Histogram>>> = integers.then(|| samples.iter().map(to_integers).collect()).flatten();
    match whole {
        Some(samples) => {
            let new = if has_starts { HistogramAppender::with_starts } else { HistogramAppender::new };
            encode_all(samples, out, new, HistogramAppender::append_from, |a| (a.encoding(), a.to_vec()))
        }
        None => {
            let new = if has_starts { FloatHistogramAppender::with_starts } else { FloatHistogramAppender::new };
            encode_all(samples, out, new, FloatHistogramAppender::append_from, |a| (a.encoding(), a.to_vec()))
        }
    }
}

/// Time, start (0 = unknown) and histogram.
type Sample<H> = (i64, (i64, H));

fn encode_all<A, H>(
    samples: Vec<Sample<H>>,
    out: &mut Vec<TimedChunk>,
    new: impl Fn(ResetFlag) -> A,
    append: impl Fn(&mut A, i64, i64, &H) -> Result<Appended, Error>,
    bytes: impl Fn(&A) -> (Encoding, Vec<u8>),
) -> Result<(), Error> {
    let mut appender = new(ResetFlag::Unknown);
    let mut times: Option<(i64, i64)> = None;
    let mut close = |appender: &A, times: &mut Option<(i64, i64)>| {
        if let Some((min_time, max_time)) = times.take() {
            let (encoding, data) = bytes(appender);
            out.push(TimedChunk { min_time, max_time, encoding, data: data.into() });
        }
    };
    for (time, (start, histogram)) in &samples {
        if let Appended::Cut(flag) = append(&mut appender, *start, *time, histogram)? {
            close(&appender, &mut times);
            appender = new(flag);
            append(&mut appender, *start, *time, histogram)?;
        }
        times = Some((times.map_or(*time, |t| t.0), *time));
    }
    close(&appender, &mut times);
    Ok(())
}

/// A histogram that came from an integer chunk, as it was; `None` where counts are beyond what floats hold exactly.
fn to_integers(histogram: &FloatHistogram) -> Option<Histogram> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = |v: f64| (v.fract() == 0.0 && v.abs() < EXACT).then_some(v as i64);
    let deltas = |buckets: &[f64]| {
        let mut before = 0;
        let delta = |v: &f64| {
            let value = whole(*v)?;
            Some(value - std::mem::replace(&mut before, value))
        };
        buckets.iter().map(delta).collect::<Option<Vec<i64>>>()
    };
    Some(Histogram {
        // Only the gauge flag is a fact of the sample; resets are found again by comparing.
        reset_hint: match histogram.reset_hint {
            ResetHint::Gauge => ResetHint::Gauge,
            _ => ResetHint::Unknown,
        },
        schema: histogram.schema,
        zero_threshold: histogram.zero_threshold,
        zero_count: whole(histogram.zero_count)? as u64,
        count: whole(histogram.count)? as u64,
        sum: histogram.sum,
        positive_spans: histogram.positive_spans.clone(),
        positive_deltas: deltas(&histogram.positive_buckets)?,
        negative_spans: histogram.negative_spans.clone(),
        negative_deltas: deltas(&histogram.negative_buckets)?,
        custom_values: histogram.custom_values.clone(),
    })
}

/// Cuts windows out of an aggregate chunk: one chunk for each run of windows that is left.
fn recode_aggregates(
    chunk: &TimedChunk,
    kept: &dyn Fn(i64) -> bool,
    recoded: &mut Recoded,
) -> Result<Vec<TimedChunk>, Error> {
    let parts = aggr::decode(&chunk.data)?;
    let mut times = Vec::new();
    if let Some((encoding, data)) = &parts[0] {
        let mut column = Column::new();
        decode_floats(*encoding, data, &mut column)?;
        times = column.times;
    }
    recoded.dropped += times.iter().filter(|t| !kept(**t)).count() as u64;
    let mut out = Vec::new();
    for run in times.chunk_by(|a, b| kept(*a) == kept(*b)) {
        let (Some(first), Some(last)) = (run.first().copied(), run.last().copied()) else { continue };
        if !kept(first) {
            continue;
        }
        // The counter's first sample lies inside the first window, before its end.
        let begin = if Some(&first) == times.first() { chunk.min_time.min(first) } else { first };
        let inside = |t: i64| (begin..=last).contains(&t);
        let mut cut: aggr::Parts<Vec<u8>> = Default::default();
        let mut ignored = Recoded::default();
        for (n, part) in parts.iter().enumerate() {
            let Some((encoding, data)) = part else { continue };
            cut[n] = match encoding.is_float() {
                true if n == 4 => {
                    let mut column = Column::new();
                    decode_floats(*encoding, data, &mut column)?;
                    Some((Encoding::Xor, counter_run(&column, begin, last)?))
                }
                true => recode_floats(*encoding, data, &inside, &mut ignored)?.map(|c| (c.encoding, c.data.to_vec())),
                false => {
                    let mut chunks = Vec::new();
                    recode_histograms(*encoding, data, &inside, &mut ignored, &mut chunks)?;
                    // One layout goes in and fewer samples come out: one chunk, unless resets were hidden in it.
                    match chunks.len() {
                        1 => chunks.pop().map(|c| (c.encoding, c.data.to_vec())),
                        _ => same_layout(*encoding, data, &inside)?,
                    }
                }
            };
        }
        let data = aggr::encode(cut.each_ref().map(|p| p.as_ref().map(|(e, d)| (*e, &d[..]))));
        let min_time = if begin < first { begin } else { first };
        out.push(TimedChunk { min_time, max_time: last, encoding: Encoding::Aggregates, data: data.into() });
    }
    Ok(out)
}

/// Part of a counter aggregate with the closing sample that holds the true last value.
///
/// Inside the chunk values are totals corrected for resets; the true value is known at its end alone. At another end
/// it is what the total lacks to that; where that is negative a reset lies behind, and the total itself is taken.
fn counter_run(column: &Column, begin: i64, last: i64) -> Result<Vec<u8>, Error> {
    let mut samples: Vec<(i64, f64)> = Vec::new();
    for (time, value) in column.iter() {
        if (begin..=last).contains(&time) && samples.last().is_none_or(|s| s.0 < time) {
            samples.push((time, value));
        }
    }
    let ends = column.times.len().checked_sub(2).map(|at| (column.values[at], column.values[at + 1]));
    if let (Some((time, total)), Some((end_total, end_value))) = (samples.last().copied(), ends) {
        let value = end_value - (end_total - total);
        samples.push((time, if value >= 0.0 { value } else { total }));
    }
    chunkenc::encode_xor(samples)
}

/// The histograms inside, in one chunk whatever they say of resets.
fn same_layout(
    encoding: Encoding,
    data: &[u8],
    inside: &dyn Fn(i64) -> bool,
) -> Result<Option<(Encoding, Vec<u8>)>, Error> {
    let mut column = HistogramColumn::default();
    decode_histograms(encoding, data, &mut column)?;
    let mut appender = FloatHistogramAppender::new(ResetFlag::Unknown);
    for (time, histogram) in column.times.iter().zip(&column.values).filter(|(t, _)| inside(**t)) {
        appender.append_same_layout(*time, histogram)?;
    }
    Ok((!appender.is_empty()).then(|| (Encoding::FloatHistogram, appender.to_vec())))
}
