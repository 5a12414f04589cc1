//! Native histograms of a counter of which only some are looked at.

use histogram::FloatHistogram;

use crate::bits::BitReader;
use crate::histogram_read::{DECODED_BASE_BYTES, DECODED_BYTES_PER_BYTE, GAUGE_FLAG, HEADER, flag};
use crate::histogram_state::State;
use crate::layout::Layout;
use crate::reduce::known_schema;
use crate::start_times::{StartTimes, StartTimesHeader};
use crate::{Encoding, Error, num_samples};

/// The times of all samples of chunks that follow one another, and the numbers of some of the samples. Between those of one
/// chunk no counter is reset.
#[derive(Debug, Clone, Default)]
pub struct HistogramEdges {
    /// Times in ms since the epoch, ascending.
    pub times: Vec<i64>,
    /// The chunks, as far as they have samples.
    pub chunks: Vec<EdgeChunk>,
    /// Whether only the first and the last sample of each chunk have buckets.
    pub stats_only: bool,
    /// Where the numbers of each sample begin; [`LEFT_OUT`] for one without.
    places: Vec<u32>,
    /// Of each sample that is kept: count and sum; where it has buckets also the zero count, and the counts of positive and
    /// negative buckets.
    numbers: Vec<f64>,
}

/// What all samples of a chunk have in common.
#[derive(Debug, Clone)]
pub struct EdgeChunk {
    /// Its first sample.
    pub first: usize,
    /// Its last one.
    pub last: usize,
    /// Schema, zero threshold, spans and custom bounds; counts nothing.
    pub layout: FloatHistogram,
    /// How many buckets are positive.
    pub positive: usize,
    /// How many are negative.
    pub negative: usize,
}

/// The numbers of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EdgeNumbers<'a> {
    /// How many observations there were.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// How many lie in the zero bucket; 0 where there are no buckets.
    pub zero_count: f64,
    /// Absolute counts of positive buckets.
    pub positive: &'a [f64],
    /// Absolute counts of negative buckets.
    pub negative: &'a [f64],
}

const LEFT_OUT: u32 = u32::MAX;

/// How far a chunk was read.
enum Outcome {
    Whole,
    /// To the first of the stale markers that it ends with.
    Stale(usize),
    /// To something that edges cannot stand for.
    Odd,
}

impl HistogramEdges {
    /// Forgets all samples and keeps the memory. With `stats_only` buckets will be kept of the first and the last sample of each
    /// chunk only.
    pub fn clear(&mut self, stats_only: bool) {
        self.stats_only = stats_only;
        self.times.clear();
        self.chunks.clear();
        self.places.clear();
        self.numbers.clear();
    }

    /// Memory, bytes.
    pub fn size_bytes(&self) -> usize {
        let of_chunk = |chunk: &EdgeChunk| {
            let spans = chunk.layout.positive_spans.len() + chunk.layout.negative_spans.len();
            size_of::<EdgeChunk>() + 8 * (spans + chunk.layout.custom_values.len())
        };
        let of_samples = self.times.capacity() * (size_of::<i64>() + size_of::<u32>()) + self.numbers.capacity() * 8;
        of_samples + self.chunks.iter().map(of_chunk).sum::<usize>()
    }

    /// The numbers of sample `i`, one of `chunk`; `None` where they were not kept. With `stats_only` without buckets.
    #[inline]
    pub fn numbers(&self, i: usize, chunk: &EdgeChunk) -> Option<EdgeNumbers<'_>> {
        if self.stats_only {
            let [count, sum, ..] = *self.kept(i)? else { return None };
            return Some(EdgeNumbers { count, sum, zero_count: 0.0, positive: &[], negative: &[] });
        }
        self.with_buckets(i, chunk)
    }

    /// The numbers of the first and of the last sample of a chunk, in any case with buckets.
    pub fn ends(&self, chunk: &EdgeChunk) -> Option<[EdgeNumbers<'_>; 2]> {
        Some([self.with_buckets(chunk.first, chunk)?, self.with_buckets(chunk.last, chunk)?])
    }

    fn with_buckets(&self, i: usize, chunk: &EdgeChunk) -> Option<EdgeNumbers<'_>> {
        let [count, sum, zero_count, ref buckets @ ..] = *self.kept(i)? else { return None };
        let (positive, rest) = buckets.split_at_checked(chunk.positive)?;
        Some(EdgeNumbers { count, sum, zero_count, positive, negative: rest.get(..chunk.negative)? })
    }

    /// What begins with the numbers of sample `i`.
    fn kept(&self, i: usize) -> Option<&[f64]> {
        self.numbers.get(*self.places.get(i)? as usize..)
    }

    /// Reads a chunk whose samples follow on those that are there. The numbers of the first and of the last one are kept, and
    /// of each other one where `wanted(time before, its time, time after)`, which may be asked twice of all. Stale markers at
    /// the end are left out.
    ///
    /// False for what must be decoded as a whole: gauges, schemas above 8, other stale markers. On that, and on an error,
    /// what has been read of the chunk is there and means nothing.
    ///
    /// # Errors
    /// As [`crate::decode_histograms`].
    pub fn append(
        &mut self,
        encoding: Encoding,
        data: &[u8],
        mut wanted: impl FnMut(i64, i64, i64) -> bool,
    ) -> Result<bool, Error> {
        if !encoding.is_histogram() {
            return Err(Error::Encoding(format!("{encoding:?} holds no histograms")));
        }
        if flag(encoding, data) == GAUGE_FLAG {
            return Ok(false);
        }
        let (before, samples) = ((self.times.len(), self.numbers.len()), num_samples(encoding, data)?);
        match self.read(encoding, data, samples, &mut wanted)? {
            Outcome::Whole => Ok(true),
            Outcome::Odd => Ok(false),
            Outcome::Stale(from) => {
                // What looked like one in the middle was the last one: rare enough to be read again.
                self.times.truncate(before.0);
                self.places.truncate(before.0);
                self.numbers.truncate(before.1);
                self.read(encoding, data, from, &mut wanted).map(|outcome| matches!(outcome, Outcome::Whole))
            }
        }
    }

    /// Reads so many samples.
    fn read(
        &mut self,
        encoding: Encoding,
        data: &[u8],
        samples: usize,
        wanted: &mut impl FnMut(i64, i64, i64) -> bool,
    ) -> Result<Outcome, Error> {
        let Some((head, stream)) = data.split_at_checked(HEADER) else {
            return Err(Error::Header(format!("{} bytes, a histogram header takes {HEADER}", data.len())));
        };
        if samples == 0 {
            return Ok(Outcome::Whole);
        }
        let mut starts = matches!(encoding, Encoding::HistogramSt | Encoding::FloatHistogramSt)
            .then(|| StartTimes::new(StartTimesHeader::from_byte(head[2])));
        let mut bits = BitReader::new(stream);
        let layout = Layout::read(&mut bits, stream.len() * 8).map_err(Error::Header)?;
        if known_schema(layout.schema) != layout.schema {
            return Ok(Outcome::Odd);
        }
        let decoded_max = (DECODED_BASE_BYTES + DECODED_BYTES_PER_BYTE * data.len()) / size_of::<f64>();
        // Places have 32 bits.
        let numbers_max = (self.numbers.len() + decoded_max).min(LEFT_OUT as usize - 1);
        let (first, mut state) = (self.times.len(), State::new(encoding, &layout));
        let (mut time, mut delta, mut before, mut stale) = (0i64, 0i64, 0i64, None);
        for sample in 0..samples {
            let cut = || Error::Truncated { len: data.len(), sample, samples };
            let invalid = |what: String| Error::Invalid { sample, what };
            // Checked before the buckets, so that a cut chunk with many buckets costs nothing.
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
                let is_first = sample == 1;
                let kept = is_first || wanted(before, last, time);
                self.push(last, kept.then_some(&state), is_first || !self.stats_only);
                before = last;
            }
            if self.numbers.len() > numbers_max {
                return Err(invalid(format!("{} bytes decode to too many histograms", data.len())));
            }
            if !state.advance(&mut bits, sample).map_err(invalid)? {
                return Err(cut());
            }
            if starts.as_mut().is_some_and(|starts| !starts.skip_one(&mut bits, sample)) {
                return Err(invalid("start time is no 64-bit varint".to_owned()));
            }
            if bits.overrun() {
                return Err(cut());
            }
            match (state.is_stale(), stale) {
                (true, None) => stale = Some(sample),
                (false, Some(_)) => return Ok(Outcome::Odd),
                _ => {}
            }
        }
        if let Some(from) = stale {
            return Ok(Outcome::Stale(from));
        }
        self.push(time, Some(&state), true);
        let (positive, negative) = layout.bucket_counts();
        self.chunks.push(EdgeChunk { first, last: self.times.len() - 1, layout: layout.into(), positive, negative });
        Ok(Outcome::Whole)
    }

    fn push(&mut self, time: i64, state: Option<&State>, with_buckets: bool) {
        self.times.push(time);
        self.places.push(match state {
            Some(state) => {
                let place = self.numbers.len() as u32;
                state.append_numbers(with_buckets, &mut self.numbers);
                place
            }
            None => LEFT_OUT,
        });
    }
}

#[cfg(test)]
mod tests {
    use histogram::{Histogram, Span};

    use super::*;
    use crate::{FloatHistogramAppender, HistogramAppender, HistogramColumn, ResetFlag, decode_histograms};

    fn histogram(i: i64) -> Histogram {
        Histogram {
            count: 6 * i as u64,
            sum: (i + 1) as f64 * 1.5,
            positive_spans: vec![Span { offset: -1, length: 2 }],
            positive_deltas: vec![i, i],
            negative_spans: vec![Span { offset: 3, length: 1 }],
            negative_deltas: vec![3 * i],
            ..Histogram::default()
        }
    }

    fn chunk(integer: bool, samples: i64, stale: i64) -> (Encoding, Vec<u8>) {
        let (mut ints, mut floats) =
            (HistogramAppender::new(ResetFlag::Unknown), FloatHistogramAppender::new(ResetFlag::Unknown));
        for i in 0..samples + stale {
            let fresh = histogram(i);
            let h = Histogram { sum: if i < samples { fresh.sum } else { model::stale_nan() }, ..fresh };
            ints.append(1000 * i + i % 3, &h).unwrap();
            floats.append(1000 * i + i % 3, &h.to_float()).unwrap();
        }
        match integer {
            true => (Encoding::Histogram, ints.to_vec()),
            false => (Encoding::FloatHistogram, floats.to_vec()),
        }
    }

    /// Sample `i`, as decoding the whole makes it.
    fn built(edges: &HistogramEdges, i: usize) -> Option<FloatHistogram> {
        let chunk = edges.chunks.iter().find(|chunk| (chunk.first..=chunk.last).contains(&i))?;
        let numbers = edges.numbers(i, chunk)?;
        Some(FloatHistogram {
            count: numbers.count,
            sum: numbers.sum,
            zero_count: numbers.zero_count,
            positive_buckets: numbers.positive.to_vec(),
            negative_buckets: numbers.negative.to_vec(),
            ..chunk.layout.clone()
        })
    }

    #[test]
    fn what_is_kept_is_what_the_chunks_hold() {
        for (integer, samples, stale) in
            [(true, 1, 0), (true, 2, 0), (true, 50, 0), (false, 50, 0), (true, 50, 1), (false, 9, 3), (true, 1, 1)]
        {
            let (encoding, data) = chunk(integer, samples, stale);
            let mut whole = HistogramColumn::default();
            decode_histograms(encoding, &data, &mut whole).unwrap();
            whole.times.truncate(samples as usize);
            let mut asked = Vec::new();
            let wanted = |before: i64, time: i64, next: i64| {
                asked.push((before, time, next));
                time / 1000 % 4 == 0
            };
            let mut edges = HistogramEdges::default();
            // A chunk before, which its numbers do not get mixed up with.
            assert_eq!(edges.append(encoding, &chunk(integer, 3, 0).1, |_, _, _| true), Ok(true));
            assert_eq!(edges.append(encoding, &data, wanted), Ok(true));
            assert_eq!(edges.times[3..], whole.times);
            for (i, time) in whole.times.iter().enumerate() {
                let kept = i == 0 || i + 1 == whole.times.len() || time / 1000 % 4 == 0;
                let want = FloatHistogram { reset_hint: Default::default(), ..whole.values[i].clone() };
                assert_eq!(built(&edges, 3 + i), kept.then_some(want), "{i} of {samples}");
            }
            let mut inner: Vec<_> = whole.times.windows(3).map(|w| (w[0], w[1], w[2])).collect();
            if stale > 0 {
                // Once until the marker was met.
                asked.drain(..asked.len() - inner.len());
            }
            inner.truncate(asked.len());
            assert_eq!(asked, inner);
        }
    }

    #[test]
    fn without_buckets_those_at_the_ends_of_chunks_have_them() {
        let (encoding, data) = chunk(true, 9, 0);
        let mut edges = HistogramEdges::default();
        edges.clear(true);
        edges.append(encoding, &data, |_, time, _| time / 1000 % 2 == 0).unwrap();
        let chunk = edges.chunks[0].clone();
        for (i, h) in (0..9i64).map(|i| (i as usize, histogram(i).to_float())) {
            let want = (i % 2 == 0).then_some((h.count, h.sum, &[][..]));
            assert_eq!(edges.numbers(i, &chunk).map(|n| (n.count, n.sum, n.positive)), want, "{i}");
        }
        let ends = edges.ends(&chunk).unwrap().map(|n| (n.count, n.positive.to_vec(), n.negative.to_vec()));
        assert_eq!(ends, [(0.0, vec![0.0; 2], vec![0.0]), (48.0, vec![8.0, 16.0], vec![24.0])]);
    }

    #[test]
    fn what_edges_cannot_stand_for() {
        let mut gauges = HistogramAppender::new(ResetFlag::Gauge);
        gauges.append(1, &Histogram { reset_hint: histogram::ResetHint::Gauge, ..histogram(1) }).unwrap();
        let mut edges = HistogramEdges::default();
        assert_eq!(edges.append(Encoding::Histogram, &gauges.to_vec(), |_, _, _| true), Ok(false));
        assert!(edges.append(Encoding::Xor, &gauges.to_vec(), |_, _, _| true).is_err());
        // A stale marker before others, which no writer makes; it has no buckets.
        let (encoding, data) = chunk(true, 3, 0);
        let at = (0..data.len() * 8 - 64).find(|at| bits_at(&data, *at) == 1.5f64.to_bits()).unwrap();
        let mut forged = data.clone();
        (0..64).for_each(|i| set(&mut forged, at + i, model::STALE_NAN_BITS >> (63 - i) & 1));
        assert_ne!(HistogramEdges::default().append(encoding, &forged, |_, _, _| true), Ok(true));
    }

    fn bits_at(data: &[u8], at: usize) -> u64 {
        (at..at + 64).fold(0, |word, bit| word << 1 | u64::from(data[bit / 8] >> (7 - bit % 8) & 1))
    }

    fn set(data: &mut [u8], at: usize, bit: u64) {
        data[at / 8] = data[at / 8] & !(1 << (7 - at % 8)) | (bit as u8) << (7 - at % 8);
    }

    #[test]
    fn cut_bytes_are_refused() {
        let (encoding, data) = chunk(true, 20, 0);
        for len in 0..data.len() - 1 {
            let outcome = HistogramEdges::default().append(encoding, &data[..len], |_, _, _| true);
            assert!(outcome.is_err(), "{len}: {outcome:?}");
        }
    }
}
