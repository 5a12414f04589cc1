//! Writes chosen samples: chunks of which all were chosen as they are, the others' samples into new ones.

use bytes::Bytes;
use chunkenc::{
    Appended, Encoding, FloatHistogramAppender, HistogramAppender, ResetFlag, TimedChunk, Xor2Appender, XorAppender,
};
use histogram::{FloatHistogram, Histogram, ResetHint};
use model::is_stale;

use super::choose::Ref;
use super::chunk::{LaneChunk, MergeError, Merged};
use super::decoded::Decoded;

/// Most samples of a new chunk, as in Prometheus.
pub(crate) const SAMPLES_MAX: usize = 120;

/// Chunks of fewer samples go into the chunk that is being written, rather than to split it.
const COPIED_MIN: usize = SAMPLES_MAX / 2;

/// Writes chunks; its memory is used again.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    xor: XorAppender,
    /// Whether floats are written with start timestamps, as XOR2, since some of the run have them or were so before.
    floats_have_starts: bool,
    /// The same of histograms.
    histograms_have_starts: bool,
    open: Option<Open>,
}

/// The chunk that is being written.
#[derive(Debug)]
struct Open {
    min_time: i64,
    max_time: i64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Float,
    Xor2(Xor2Appender),
    Integer(HistogramAppender),
    Histogram(FloatHistogramAppender),
}

impl Writer {
    /// Writes the samples of one run. A chunk whose samples all stand side by side goes as it is.
    pub(crate) fn write(
        &mut self,
        run: &[LaneChunk],
        decoded: &[Decoded],
        chosen: &[Ref],
        out: &mut Vec<TimedChunk>,
        merged: &mut Merged,
    ) -> Result<(), MergeError> {
        let mut at = 0;
        let mut before: Option<Ref> = None;
        self.open = None;
        let mut with_starts = decoded.iter().filter(|samples| !samples.starts.is_empty());
        self.floats_have_starts = with_starts.clone().any(|samples| samples.histograms.is_empty());
        self.histograms_have_starts = with_starts.any(|samples| !samples.histograms.is_empty());
        while at < chosen.len() {
            let first = chosen[at];
            let samples = &decoded[first.chunk as usize];
            let copied = samples.len() >= COPIED_MIN || self.open.is_none();
            if copied && first.sample == 0 && is_whole(&chosen[at..], first.chunk, samples.len()) {
                self.flush(out, merged);
                let mut chunk = run[first.chunk as usize].chunk.clone();
                if before.is_some_and(|b| run[b.chunk as usize].replica != run[first.chunk as usize].replica) {
                    chunk = with_unknown_reset(chunk, is_shown(run, decoded, &chosen[..at], first));
                }
                out.push(chunk);
                merged.copied += 1;
                at += samples.len();
            } else {
                let next_to = before.is_some_and(|b| b.chunk == first.chunk && b.sample + 1 == first.sample);
                let known = match next_to {
                    true => Known::All,
                    false if is_shown(run, decoded, &chosen[..at], first) => Known::Nothing,
                    false => Known::Reset,
                };
                self.append(samples, first.sample as usize, known, out, merged)?;
                at += 1;
            }
            before = Some(chosen[at - 1]);
        }
        self.flush(out, merged);
        Ok(())
    }

    fn append(
        &mut self,
        samples: &Decoded,
        at: usize,
        known: Known,
        out: &mut Vec<TimedChunk>,
        merged: &mut Merged,
    ) -> Result<(), MergeError> {
        let time = samples.times[at];
        let Some(histogram) = samples.histograms.get(at) else {
            if self.floats_have_starts {
                return self.append_xor2(samples, at, out, merged);
            }
            let full = match &self.open {
                Some(Open { kind: Kind::Float, .. }) => self.xor.len() >= SAMPLES_MAX,
                _ => true,
            };
            if full {
                self.flush(out, merged);
                self.xor.clear();
                self.open = Some(Open { min_time: time, max_time: time, kind: Kind::Float });
            }
            self.xor.append(time, samples.values[at]).map_err(MergeError::Write)?;
            self.reach(time);
            return Ok(());
        };
        let start = samples.starts.get(at).copied().unwrap_or(0);
        let mut histogram = histogram.clone();
        match (known, histogram.reset_hint) {
            (Known::All, _) | (_, ResetHint::Gauge) | (Known::Reset, ResetHint::Reset) => {}
            // What was known of the sample before is not known of this one.
            _ => histogram.reset_hint = ResetHint::Unknown,
        }
        let integer = if samples.integers { to_integer(&histogram) } else { None };
        let full = match &self.open {
            Some(Open { kind: Kind::Integer(a), .. }) => integer.is_none() || a.len() >= SAMPLES_MAX,
            Some(Open { kind: Kind::Histogram(a), .. }) => integer.is_some() || a.len() >= SAMPLES_MAX,
            _ => true,
        };
        let mut flag = ResetFlag::Unknown;
        if full {
            self.flush(out, merged);
        } else if let Some(open) = &mut self.open {
            let appended = match (&mut open.kind, &integer) {
                (Kind::Integer(a), Some(h)) => a.append_from(start, time, h),
                (Kind::Histogram(a), _) => a.append_from(start, time, &histogram),
                _ => Ok(Appended::Cut(ResetFlag::Unknown)),
            };
            match appended.map_err(MergeError::Write)? {
                Appended::Cut(cut) => {
                    flag = cut;
                    self.flush(out, merged);
                }
                Appended::InPlace | Appended::Widened => {
                    self.reach(time);
                    return Ok(());
                }
            }
        }
        let kind = match &integer {
            Some(h) => {
                let has_starts = self.histograms_have_starts;
                let new = if has_starts { HistogramAppender::with_starts } else { HistogramAppender::new };
                let mut appender = new(flag);
                appender.append_from(start, time, h).map_err(MergeError::Write)?;
                Kind::Integer(appender)
            }
            None => {
                let has_starts = self.histograms_have_starts;
                let new = if has_starts { FloatHistogramAppender::with_starts } else { FloatHistogramAppender::new };
                let mut appender = new(flag);
                appender.append_from(start, time, &histogram).map_err(MergeError::Write)?;
                Kind::Histogram(appender)
            }
        };
        self.open = Some(Open { min_time: time, max_time: time, kind });
        Ok(())
    }

    fn append_xor2(
        &mut self,
        samples: &Decoded,
        at: usize,
        out: &mut Vec<TimedChunk>,
        merged: &mut Merged,
    ) -> Result<(), MergeError> {
        let time = samples.times[at];
        if !matches!(&self.open, Some(Open { kind: Kind::Xor2(appender), .. }) if appender.len() < SAMPLES_MAX) {
            self.flush(out, merged);
        }
        let new = || Open { min_time: time, max_time: time, kind: Kind::Xor2(Xor2Appender::new()) };
        let open = self.open.get_or_insert_with(new);
        if let Kind::Xor2(appender) = &mut open.kind {
            let start = samples.starts.get(at).copied().unwrap_or(0);
            appender.append(start, time, samples.values[at]).map_err(MergeError::Write)?;
        }
        open.max_time = time;
        Ok(())
    }

    fn reach(&mut self, time: i64) {
        if let Some(open) = &mut self.open {
            open.max_time = time;
        }
    }

    fn flush(&mut self, out: &mut Vec<TimedChunk>, merged: &mut Merged) {
        let Some(open) = self.open.take() else { return };
        let (encoding, data) = match open.kind {
            Kind::Float => (Encoding::Xor, self.xor.to_vec()),
            Kind::Xor2(a) => (Encoding::Xor2, a.to_vec()),
            Kind::Integer(a) => (a.encoding(), a.to_vec()),
            Kind::Histogram(a) => (a.encoding(), a.to_vec()),
        };
        let data = Bytes::from(data);
        out.push(TimedChunk { min_time: open.min_time, max_time: open.max_time, encoding, data });
        merged.rewritten += 1;
    }
}

/// Whether all `len` samples of a chunk come next.
fn is_whole(chosen: &[Ref], chunk: u32, len: usize) -> bool {
    let Some(next) = chosen.get(..len) else { return false };
    next.iter().zip(0u32..).all(|(r, i)| r.chunk == chunk && r.sample == i)
}

/// What a histogram's reset hint says that still holds at its place in the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    All,
    /// That there was a reset.
    Reset,
    Nothing,
}

/// Whether the reset that sample `next` hints at lies before what was shown last, by another replica.
fn is_shown(run: &[LaneChunk], decoded: &[Decoded], chosen: &[Ref], next: Ref) -> bool {
    let histogram = |r: Ref| decoded[r.chunk as usize].histograms.get(r.sample as usize);
    let fell = |from: &FloatHistogram, to: &FloatHistogram| {
        let to = FloatHistogram { reset_hint: ResetHint::Unknown, ..to.clone() };
        to.is_reset_since(from)
    };
    let Some(now) = histogram(next).filter(|now| now.reset_hint == ResetHint::Reset) else { return false };
    let at = |r: Ref| decoded[r.chunk as usize].times[r.sample as usize];
    let live = chosen.iter().rev().filter_map(|r| Some((at(*r), histogram(*r)?)));
    let mut live = live.filter(|(_, h)| !is_stale(h.sum));
    let Some((_, last)) = live.next() else { return false };
    if fell(last, now) {
        return false;
    }
    // The replica's own sample before.
    let replica = run[next.chunk as usize].replica;
    let own = run.iter().zip(decoded).filter(|(lane, _)| lane.replica == replica).filter_map(|(_, samples)| {
        let before = samples.times.iter().zip(&samples.histograms).rev();
        before.filter(|(t, h)| **t < at(next) && !is_stale(h.sum)).max_by_key(|(t, _)| **t)
    });
    let Some((own_time, own)) = own.max_by_key(|(t, _)| **t) else { return true };
    // What was shown since then, from the last back.
    let mut after = last;
    for (time, shown) in live {
        if time <= *own_time {
            break;
        }
        if fell(shown, after) || after.reset_hint == ResetHint::Reset {
            return true;
        }
        after = shown;
    }
    fell(own, after)
}

/// The same histograms, with nothing said of what lies before; gauges stay, and known resets unless they are `shown`.
fn with_unknown_reset(mut chunk: TimedChunk, shown: bool) -> TimedChunk {
    let flag = ResetFlag::of(chunk.encoding, &chunk.data);
    if flag == ResetFlag::NotReset || shown && flag == ResetFlag::Reset {
        let at = if matches!(chunk.encoding, Encoding::HistogramSt | Encoding::FloatHistogramSt) { 0 } else { 2 };
        let mut data = chunk.data.to_vec();
        data[at] &= 0x3f;
        chunk.data = Bytes::from(data);
    }
    chunk
}

/// The histogram with integer counts; `None` where a count is too large for a float to hold it exactly.
fn to_integer(h: &FloatHistogram) -> Option<Histogram> {
    const EXACT_MAX: f64 = (1u64 << 53) as f64;
    let whole = |v: f64| (0.0..EXACT_MAX).contains(&v).then_some(v as u64);
    let deltas = |counts: &[f64]| -> Option<Vec<i64>> {
        let mut before = 0i64;
        counts
            .iter()
            .map(|v| {
                let value = whole(*v)? as i64;
                let delta = value - before;
                before = value;
                Some(delta)
            })
            .collect()
    };
    Some(Histogram {
        reset_hint: h.reset_hint,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count: whole(h.zero_count)?,
        count: whole(h.count)?,
        sum: h.sum,
        positive_spans: h.positive_spans.clone(),
        positive_deltas: deltas(&h.positive_buckets)?,
        negative_spans: h.negative_spans.clone(),
        negative_deltas: deltas(&h.negative_buckets)?,
        custom_values: h.custom_values.clone(),
    })
}
