//! Writes chosen windows: whole chunks as they are, the others' windows into new ones.

use std::ops::Range;

use bytes::Bytes;
use chunkenc::{Appended, Encoding, Error, FloatHistogramAppender, ResetFlag, TimedChunk, aggr, encode_xor};
use histogram::{FloatHistogram, ResetHint};

use super::aggregates::{Place, inner, previous, rise};
use super::chunk::{MergeError, Merged};
use super::held::{Shown, counter};
use super::windows::{Values, Windows};

/// Chosen windows that make one chunk.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) range: Range<usize>,
    /// They are a chunk of the input.
    pub(crate) whole: bool,
}

/// The chosen windows and what each shows.
#[derive(Clone, Copy)]
pub(crate) struct Choice<'a> {
    pub(crate) chosen: &'a [Place],
    /// How much the counter of floats rises up to it.
    pub(crate) increases: &'a [f64],
    /// Whose counter of histograms it shows.
    pub(crate) shown: &'a [Shown],
}

/// Writes all pieces to `out`; counts in `merged`.
pub(crate) fn write(
    list: &[Windows],
    choice: Choice<'_>,
    pieces: &[Piece],
    out: &mut Vec<TimedChunk>,
    merged: &mut Merged,
) -> Result<(), MergeError> {
    let Choice { chosen, increases, shown } = choice;
    // What readers take for the counter's last value before the piece.
    let mut last: Option<f64> = None;
    for (i, piece) in pieces.iter().enumerate() {
        let places = &chosen[piece.range.clone()];
        let windows = &list[places[0].chunk];
        let switched = piece.range.start > 0 && previous(list, places[0]) != Some(chosen[piece.range.start - 1]);
        if let Values::Histograms(..) = windows.values {
            last = None;
            if piece.whole {
                copy(windows, switched.then_some(shown[piece.range.start]), out, merged);
            } else {
                histograms(list, places, &shown[piece.range.clone()], out, merged)?;
            }
            continue;
        }
        // A whole chunk that follows begins with its own true value: the last value here must fit that.
        let next = pieces.get(i + 1).filter(|next| next.whole).and_then(|next| {
            let counter = list[chosen[next.range.start].chunk].counter()?;
            Some((counter.first.1, (increases[next.range.start] - inner(counter)).max(0.0)))
        });
        if piece.whole {
            let fits = match (windows.counter(), next) {
                (Some(counter), Some((first, border))) => near(rise(counter.last, first), border, first),
                _ => true,
            };
            if fits {
                copy(windows, None, out, merged);
                last = windows.counter().map(|c| c.last);
                continue;
            }
        }
        let lasts = next.map(|(first, border)| first - border);
        let begin = last.filter(|_| !piece.whole);
        last = floats(list, places, &increases[piece.range.clone()], begin, lasts, out)?;
        merged.rewritten += 1;
    }
    Ok(())
}

fn near(a: f64, b: f64, scale: f64) -> bool {
    (a - b).abs() <= 1e-9 * (a.abs() + b.abs() + scale.abs())
}

/// Puts a chunk out as it is. After another lane's windows its header says nothing of what lies before it, but for a reset
/// that has not been shown yet.
fn copy(windows: &Windows, switched: Option<Shown>, out: &mut Vec<TimedChunk>, merged: &mut Merged) {
    let Some(data) = &windows.data else { return };
    let data = match switched {
        None => data.clone(),
        Some(Shown::NoReset) => with_unknown_reset(data, &[ResetFlag::NotReset, ResetFlag::Reset]),
        Some(_) => with_unknown_reset(data, &[ResetFlag::NotReset]),
    };
    let (min_time, max_time) = (windows.times[0], windows.times[windows.len() - 1]);
    out.push(TimedChunk { min_time, max_time, encoding: Encoding::Aggregates, data });
    merged.copied += 1;
}

/// The same chunk whose histogram counters say nothing of what lies before them, where they said one of `flags`.
fn with_unknown_reset(data: &Bytes, flags: &[ResetFlag]) -> Bytes {
    let Ok(parts) = aggr::decode(data) else { return data.clone() };
    let Some((Encoding::FloatHistogram, counter)) = &parts[4] else { return data.clone() };
    if !flags.contains(&ResetFlag::of(Encoding::FloatHistogram, counter)) {
        return data.clone();
    }
    let mut counter = counter.to_vec();
    counter[2] &= 0x3f;
    let mut slices = parts.each_ref().map(|p| p.as_ref().map(|(e, d)| (*e, &d[..])));
    slices[4] = Some((Encoding::FloatHistogram, &counter));
    Bytes::from(aggr::encode(slices))
}

/// One chunk of floats. The counter goes on from `begin`, readers' last value before; without it, with the chunk's own
/// totals. Its last value is `last` where that is given. Returns the last value that readers will have.
fn floats(
    list: &[Windows],
    places: &[Place],
    increases: &[f64],
    begin: Option<f64>,
    last: Option<f64>,
    out: &mut Vec<TimedChunk>,
) -> Result<Option<f64>, MergeError> {
    let times: Vec<i64> = places.iter().map(|p| list[p.chunk].times[p.window]).collect();
    let column = |value: &dyn Fn(&Windows, usize) -> Option<f64>| -> Result<Option<Vec<u8>>, MergeError> {
        let values: Option<Vec<f64>> = places.iter().map(|p| value(&list[p.chunk], p.window)).collect();
        let encode = |values: Vec<f64>| encode_xor(times.iter().copied().zip(values)).map_err(MergeError::Write);
        values.map(encode).transpose()
    };
    let of = |windows: &Windows, which: usize, window: usize| match &windows.values {
        Values::Floats(values, _) => values[which].as_ref().map(|v| v[window]),
        Values::Histograms(..) => None,
    };
    let parts = [
        column(&|w, i| Some(w.count(i)))?,
        column(&|w, i| of(w, 0, i))?,
        column(&|w, i| of(w, 1, i))?,
        column(&|w, i| of(w, 2, i))?,
    ];
    let mut end = None;
    let mut counter_part = None;
    if let Some(counter) = list[places[0].chunk].counter() {
        let natural = places[0].window == 0;
        let own = counter.totals[places[0].window];
        let mut total = begin.map_or(own, |begin| begin + increases[0]);
        let first = match natural {
            // What was counted within the window after its first sample stays there.
            true => (
                counter.first.0.min(times[0]),
                total - inner(counter).min(begin.map_or(f64::INFINITY, |_| increases[0])),
            ),
            false => (times[0], total),
        };
        let mut samples = vec![first];
        for (i, time) in times.iter().enumerate() {
            if i > 0 {
                total += increases[i];
            }
            samples.push((*time, total));
        }
        // A chunk's own last window ends with its true value, unless what follows needs another. Elsewhere none is known.
        let last_place = places[places.len() - 1];
        let own = list[last_place.chunk].counter().filter(|c| last_place.window + 1 == c.totals.len());
        let value = last.or(own.map(|c| c.last)).unwrap_or(total);
        samples.push((times[times.len() - 1], value));
        end = Some(value);
        counter_part = Some(encode_xor(samples).map_err(MergeError::Write)?);
    }
    let [count, sum, min, max] = &parts;
    let slices = [count, sum, min, max, &counter_part].map(|p| p.as_ref().map(|d| (Encoding::Xor, &d[..])));
    let data = Bytes::from(aggr::encode(slices));
    let (min_time, max_time) = (times[0], times[times.len() - 1]);
    out.push(TimedChunk { min_time, max_time, encoding: Encoding::Aggregates, data });
    Ok(end)
}

/// A chunk of histograms that is being written.
struct Open {
    times: Vec<i64>,
    counts: Vec<f64>,
    sums: FloatHistogramAppender,
    counters: FloatHistogramAppender,
}

/// Chunks of histograms: a new one where the layout changes, the counter resets, or another lane is taken.
fn histograms(
    list: &[Windows],
    places: &[Place],
    shown: &[Shown],
    out: &mut Vec<TimedChunk>,
    merged: &mut Merged,
) -> Result<(), MergeError> {
    let mut open: Option<Open> = None;
    let mut before: Option<Place> = None;
    for (place, shown) in places.iter().copied().zip(shown) {
        let windows = &list[place.chunk];
        let Values::Histograms(sums, _) = &windows.values else { continue };
        let source = if let Shown::Held(held) = shown { *held } else { place };
        let Some(counter) = counter(list, source) else { continue };
        let (time, count) = (windows.times[place.window], windows.count(place.window));
        let follows = before.is_some() && previous(list, place) == before;
        before = Some(place);
        let mut counter = counter.clone();
        counter.reset_hint = match (counter.reset_hint, shown) {
            (ResetHint::Gauge, _) => ResetHint::Gauge,
            (ResetHint::Reset, Shown::Own) => ResetHint::Reset,
            _ => ResetHint::Unknown,
        };
        let sum = &sums[place.window];
        let mut flag = ResetFlag::Unknown;
        if follows && let Some(open) = &mut open {
            // Tried on copies: a chunk takes both or none.
            let (mut new_sums, mut new_counters) = (open.sums.clone(), open.counters.clone());
            let cuts = [append(&mut new_counters, time, &counter)?, append(&mut new_sums, time, sum)?];
            match cuts {
                [None, None] => {
                    (open.sums, open.counters) = (new_sums, new_counters);
                    open.times.push(time);
                    open.counts.push(count);
                    continue;
                }
                [Some(cut), _] => flag = cut,
                [None, Some(_)] => flag = ResetFlag::NotReset,
            }
        }
        if let Some(full) = open.take() {
            close(full, out, merged)?;
        }
        let mut fresh = Open {
            times: vec![time],
            counts: vec![count],
            sums: FloatHistogramAppender::new(ResetFlag::Gauge),
            counters: FloatHistogramAppender::new(flag),
        };
        append(&mut fresh.counters, time, &counter)?;
        append(&mut fresh.sums, time, sum)?;
        open = Some(fresh);
    }
    open.map_or(Ok(()), |open| close(open, out, merged))
}

/// The flag of a new chunk, when the histogram needs one.
fn append(
    appender: &mut FloatHistogramAppender,
    time: i64,
    histogram: &FloatHistogram,
) -> Result<Option<ResetFlag>, MergeError> {
    match appender.append(time, histogram) {
        Ok(Appended::Cut(flag)) => Ok(Some(flag)),
        Ok(Appended::InPlace | Appended::Widened) => Ok(None),
        Err(Error::Full) => Ok(Some(ResetFlag::Unknown)),
        Err(e) => Err(MergeError::Write(e)),
    }
}

fn close(open: Open, out: &mut Vec<TimedChunk>, merged: &mut Merged) -> Result<(), MergeError> {
    let counts = encode_xor(open.times.iter().copied().zip(open.counts)).map_err(MergeError::Write)?;
    let (sums, counters) = (open.sums.to_vec(), open.counters.to_vec());
    let parts = [
        Some((Encoding::Xor, &counts[..])),
        Some((Encoding::FloatHistogram, &sums[..])),
        None,
        None,
        Some((Encoding::FloatHistogram, &counters[..])),
    ];
    let data = Bytes::from(aggr::encode(parts));
    let (min_time, max_time) = (open.times[0], open.times[open.times.len() - 1]);
    out.push(TimedChunk { min_time, max_time, encoding: Encoding::Aggregates, data });
    merged.rewritten += 1;
    Ok(())
}
