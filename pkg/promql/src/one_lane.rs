//! Downsampled data of a series that is of one resolution and one replica and does not overlap, as nearly all is: chunk by
//! chunk straight into samples. [`Overlay`](crate::overlay::Overlay) gives the same, and takes what this refuses.

use chunkenc::{Column, decode_floats};
use model::Resolution;
use promql_syntax::Reads;
use storage::{AggrChunk, Aggregate};

use crate::overlay::resolution_of;
use crate::reads;
use crate::samples::{Cover, Samples, window_begin};

const FIVE_MINUTES_MS: i64 = Resolution::FiveMinutes.ms();
const HOUR_MS: i64 = Resolution::OneHour.ms();

/// Collects the aggregate chunks of one series.
#[derive(Debug)]
pub(crate) struct OneLane {
    wanted: Reads,
    /// No windows are longer, ms.
    window_max_ms: i64,
    /// What all chunks so far have in common.
    of: Option<Of>,
    /// How many raw samples each window counts; 0 for a counter's first sample, which stands before its window.
    counts: Column,
    /// The last value of a counter as scraped.
    truth: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Of {
    resolution_ms: i64,
    replica: u64,
}

impl OneLane {
    /// Of windows that are no longer than `window_max_ms`.
    pub fn new(wanted: Reads, window_max_ms: i64) -> Self {
        Self { wanted, window_max_ms, of: None, counts: Column::new(), truth: f64::NAN }
    }

    /// Samples added since the last [`Self::clear`].
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    pub fn clear(&mut self) {
        self.of = None;
        self.counts.clear();
    }

    /// Appends the windows of a chunk to `out`; false when they cannot simply go on from those before, or something about them
    /// is odd. What is in `out` is of no use then.
    pub fn add(&mut self, aggr: &AggrChunk, replica: u64, out: &mut Column) -> bool {
        let aggregate = reads::aggregate(self.wanted);
        let (part, counts) = (aggr.get(aggregate), aggr.get(Aggregate::Count));
        let (Some(part), Some(counts)) = (part, counts) else { return false };
        if !part.encoding.is_float() || !counts.encoding.is_float() {
            return false;
        }
        let from = out.len();
        if decode_floats(part.encoding, &part.data, out).is_err() {
            return false;
        }
        let is_counter = self.wanted == Reads::Counter;
        let truth = if is_counter { true_last(from, out) } else { 0.0 };
        if truth.is_nan() || !is_sound(from, out) {
            return false;
        }
        let (from_count, times) = (self.counts.len(), &out.times[from..]);
        if aggregate == Aggregate::Count {
            self.counts.times.extend_from_slice(times);
            self.counts.values.extend_from_slice(&out.values[from..]);
        } else if decode_floats(counts.encoding, &counts.data, &mut self.counts).is_err() {
            return false;
        }
        if !self.counts.values[from_count..].iter().fold(true, |all, count| all & (*count > 0.0)) {
            return false;
        }
        let windows = self.counts.len() - from_count;
        if is_counter && times.len() == windows + 1 {
            self.counts.times.insert(from_count, times[0]);
            self.counts.values.insert(from_count, 0.0);
        }
        let Some(first_window) = times.len().checked_sub(windows) else { return false };
        if self.counts.times[from_count..] != *times {
            return false;
        }
        if times.is_empty() {
            return true;
        }
        let resolution_ms = match self.window_max_ms < HOUR_MS {
            true => Some(FIVE_MINUTES_MS),
            false => resolution_of(times[first_window..].iter().copied()),
        };
        // One that is too short to tell is as those before.
        let resolution_ms = resolution_ms.or(self.of.map(|of| of.resolution_ms));
        let Some(of) = resolution_ms.map(|resolution_ms| Of { resolution_ms, replica }) else { return false };
        if *self.of.get_or_insert(of) != of {
            return false;
        }
        match self.wanted {
            Reads::Counter => self.go_on(from, truth, &mut out.values),
            Reads::Average => {
                let counts = &self.counts.values[from_count..];
                out.values[from..].iter_mut().zip(counts).for_each(|(sum, count)| *sum /= count);
            }
            _ => {}
        }
        true
    }

    /// Values from `from` on, totals of their own chunk, into the running total of all. The chunk ended at `truth`.
    fn go_on(&mut self, from: usize, truth: f64, values: &mut [f64]) {
        let (before, chunk) = values.split_at_mut(from);
        let first = chunk[0];
        let (mut stored, mut total) = (first, first);
        for value in &mut chunk[1..] {
            total += if *value < stored { *value } else { *value - stored };
            stored = *value;
            *value = total;
        }
        if let Some(last) = before.last() {
            let first_truth = if chunk.len() == 1 { truth } else { first };
            let rise = if first_truth < self.truth { first_truth } else { first_truth - self.truth };
            let shift = last + rise - first;
            chunk.iter_mut().for_each(|value| *value += shift);
        }
        self.truth = truth;
    }

    /// Completes `out`, to whose column all chunks were added.
    pub fn finish(&self, out: &mut Samples) {
        match self.of.map(|of| of.resolution_ms) {
            None => {}
            Some(FIVE_MINUTES_MS) => self.cover::<FIVE_MINUTES_MS>(out),
            Some(_) => self.cover::<HOUR_MS>(out),
        }
    }

    /// As the overlay evens rows, for those of one resolution.
    fn cover<const RESOLUTION_MS: i64>(&self, out: &mut Samples) {
        let Samples { column: Column { times, values }, covers, .. } = out;
        let (mut row_before, mut before, mut end_before, mut to) = (i64::MIN, i64::MIN, i64::MIN, 0);
        covers.reserve(times.len());
        for (i, count) in self.counts.values.iter().copied().enumerate() {
            let mut time = times[i];
            // Mostly the window after the one before, which is known without a division.
            let begin = match end_before.saturating_add(RESOLUTION_MS) {
                end if end == time => end_before + 1,
                _ => window_begin(time, RESOLUTION_MS),
            };
            let end = begin + RESOLUTION_MS - 1;
            let mut since_ms = begin.max(row_before.saturating_add(1));
            (row_before, end_before) = (time, end);
            if time < end {
                let spacing = (time - since_ms) as f64 / (count - 1.0);
                let is_last = times.get(i + 1).is_none_or(|next| *next > end);
                if (end - time) as f64 <= spacing * 1.1 && is_last {
                    time = end;
                }
            }
            if count == 0.0 && before > i64::MIN && before >= begin - 1 {
                continue;
            }
            since_ms = since_ms.max(before.saturating_add(1)).min(time);
            before = time;
            (times[to], values[to]) = (time, values[i]);
            covers.push(Cover { count, since_ms, resolution_ms: RESOLUTION_MS });
            to += 1;
        }
        times.truncate(to);
        values.truncate(to);
    }
}

/// The value of a counter that stands at the end of its part, at the last time again; it is taken off.
fn true_last(from: usize, out: &mut Column) -> f64 {
    let truth = out.values.last().copied().unwrap_or(0.0);
    if let [.., before, last] = out.times[from..]
        && before == last
    {
        out.times.pop();
        out.values.pop();
    }
    truth
}

/// Whether times from `from` on ascend, from the one before on, within what queries can ask for; and values are numbers.
fn is_sound(from: usize, out: &Column) -> bool {
    let times = &out.times[from.saturating_sub(1)..];
    let ascend = times.iter().zip(times.get(1..).unwrap_or(&[])).fold(true, |all, (a, b)| all & (a < b));
    let are_numbers = out.values[from..].iter().fold(true, |all, v| all & !v.is_nan());
    let ends = [times.first(), times.last()];
    let possible = model::MIN_TIME_MS..=model::MAX_TIME_MS;
    ascend && are_numbers && ends.into_iter().flatten().all(|t| possible.contains(t))
}

#[cfg(test)]
mod tests {
    use chunkenc::{Encoding, encode_xor};
    use downsample::Downsampler;
    use proptest::prelude::*;
    use storage::EncodedChunk;

    use super::*;
    use crate::overlay::Overlay;

    const READS: [Reads; 7] =
        [Reads::Count, Reads::Sum, Reads::WeightedSum, Reads::Average, Reads::Min, Reads::Max, Reads::Counter];

    type Scraped = Vec<(i64, f64)>;

    /// The chunks that downsampling makes of samples, those of each list by themselves.
    fn downsampled(lists: &[Scraped], resolution_ms: i64) -> Vec<AggrChunk> {
        let (mut downsampler, mut chunks) = (Downsampler::new(), Vec::new());
        for samples in lists {
            let times = samples.first().zip(samples.last()).map_or((0, 0), |(first, last)| (first.0, last.0));
            let data = encode_xor(samples.iter().copied()).unwrap().into();
            let raw = chunkenc::TimedChunk { min_time: times.0, max_time: times.1, encoding: Encoding::Xor, data };
            downsampler.raw(&[raw], resolution_ms, &mut chunks).unwrap();
        }
        let parts = |chunk: &chunkenc::TimedChunk| chunkenc::aggr::decode(&chunk.data).unwrap();
        let encoded = |(encoding, data)| EncodedChunk { encoding, data };
        chunks.iter().map(|chunk| AggrChunk { parts: parts(chunk).map(|part| part.map(encoded)) }).collect()
    }

    /// What the quick way makes of them, unless it refuses.
    fn quick(chunks: &[(AggrChunk, u64)], wanted: Reads, window_max_ms: i64) -> Option<Samples> {
        let (mut lane, mut out) = (OneLane::new(wanted, window_max_ms), Samples::default());
        let taken = chunks.iter().all(|(chunk, replica)| lane.add(chunk, *replica, &mut out.column));
        lane.finish(&mut out);
        taken.then_some(out)
    }

    fn overlaid(chunks: &[(AggrChunk, u64)], wanted: Reads, window_max_ms: i64) -> Samples {
        let (mut overlay, mut out) = (Overlay::new(wanted, window_max_ms), Samples::default());
        for (chunk, replica) in chunks {
            overlay.add(chunk, *replica).unwrap();
        }
        overlay.finish(&Column::new(), false, &mut out);
        out
    }

    #[test]
    fn an_ordinary_series_is_taken() {
        let days: Vec<Scraped> = (0..3i64)
            .map(|day| (0..1440i64).map(|i| ((day * 1440 + i) * 60_000 + 7, ((i * i) % 1000) as f64)).collect())
            .collect();
        for (resolution_ms, windows) in [(FIVE_MINUTES_MS, 3 * 288), (HOUR_MS, 3 * 24)] {
            let chunks: Vec<_> = downsampled(&days, resolution_ms).into_iter().map(|chunk| (chunk, 5)).collect();
            for wanted in READS {
                let got = quick(&chunks, wanted, i64::MAX).unwrap();
                let extra = usize::from(wanted == Reads::Counter);
                assert_eq!(got.column.len(), windows + extra, "{wanted:?}");
                assert_eq!(got.covers.len(), windows + extra);
            }
        }
    }

    #[test]
    fn what_lies_over_another_is_refused() {
        let hours = |from: i64| (0..240i64).map(|i| ((from * 60 + i) * 60_000, i as f64)).collect::<Scraped>();
        let of = |from, resolution_ms, replica| (downsampled(&[hours(from)], resolution_ms).remove(0), replica);
        for second in
            [of(3, FIVE_MINUTES_MS, 0), of(4, FIVE_MINUTES_MS, 1), of(4, HOUR_MS, 0), of(0, FIVE_MINUTES_MS, 0)]
        {
            for wanted in READS {
                assert!(quick(&[of(0, FIVE_MINUTES_MS, 0), second.clone()], wanted, i64::MAX).is_none());
            }
        }
        let mut without_counts = of(0, FIVE_MINUTES_MS, 0);
        without_counts.0.parts[Aggregate::Count as usize] = None;
        assert!(READS.into_iter().all(|wanted| quick(&[without_counts.clone()], wanted, i64::MAX).is_none()));
    }

    proptest! {
        /// Whatever it takes comes out as if it were laid over nothing.
        #[test]
        fn what_is_taken_is_what_the_overlay_makes_of_it(
            lists in proptest::collection::vec(
                (0i64..20_000_000, proptest::collection::vec((1i64..2_000_000, 1i64..300_000, 0u32..50), 1..60)), 1..6),
            hour in any::<bool>(),
            window_max_ms in prop_oneof![Just(i64::MAX), Just(HOUR_MS), Just(FIVE_MINUTES_MS)],
        ) {
            let mut at = -5_000_000;
            let lists: Vec<Scraped> = lists
                .into_iter()
                .map(|(pause, list)| {
                    at += pause;
                    let sample = |(long, short, v): (i64, i64, u32)| {
                        at += if v % 7 == 0 { long } else { short };
                        (at, f64::from(v) / 3.0)
                    };
                    list.into_iter().map(sample).collect()
                })
                .collect();
            let resolution_ms = if hour { HOUR_MS } else { FIVE_MINUTES_MS };
            let chunks: Vec<_> = downsampled(&lists, resolution_ms).into_iter().map(|chunk| (chunk, 1)).collect();
            for wanted in READS {
                if let Some(got) = quick(&chunks, wanted, window_max_ms) {
                    let want = overlaid(&chunks, wanted, window_max_ms);
                    prop_assert_eq!(&got.column.times, &want.column.times);
                    prop_assert_eq!(&got.column.values, &want.column.values);
                    prop_assert_eq!(&got.covers, &want.covers);
                }
            }
        }
    }
}
