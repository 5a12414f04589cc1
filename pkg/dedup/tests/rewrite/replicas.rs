//! Random replicas of one process, floats and native histograms, raw and downsampled, against the process itself.

use std::collections::BTreeMap;

use bytes::Bytes;
use chunkenc::{
    Appended, Column, CounterReader, Encoding, HistogramAppender, HistogramColumn, ResetFlag, TimedChunk, aggr,
    decode_floats, decode_histograms,
};
use dedup::rewrite::LaneChunk;
use dedup::{DedupOptions, Method, dedup_series};
use downsample::Downsampler;
use histogram::{FloatHistogram, Histogram, ResetHint, Span};
use labels::Labels;
use model::{is_stale, stale_nan};
use proptest::prelude::*;
use storage::{Chunk, ChunkData, Series};

use crate::kinds::Scrape;
use crate::{Samples, lane, merge};

pub const LOOKBACK: i64 = 300_000;

/// So long after the last sample of all a sample must be visible: the last scrape that one replica saw is not shown again as
/// another saw it.
pub const TAIL: i64 = LOOKBACK - LOOKBACK / 4;
pub const FINE: i64 = 300_000;

/// A process that counts four a second from each of its starts on, ms.
#[derive(Debug, Clone)]
pub struct Process {
    pub starts: Vec<i64>,
}

impl Process {
    pub fn count(&self, time: i64) -> f64 {
        let start = self.starts.iter().rev().find(|start| **start <= time).copied().unwrap_or(-10_000_000);
        ((time - start) / 250) as f64
    }

    /// The same without starts that hide one another: two of them between two scrapes may look like none.
    pub fn with_starts_apart(mut self) -> Self {
        self.starts.dedup_by_key(|start| *start / LOOKBACK);
        self.starts.retain(|start| start % LOOKBACK < LOOKBACK / 3);
        self
    }

    /// Whether it started anew after `from` and no later than `to`.
    pub fn restarts(&self, from: i64, to: i64) -> bool {
        self.starts.iter().any(|start| (from + 1..=to).contains(start))
    }

    /// All it has counted up to a time.
    pub fn total(&self, time: i64) -> f64 {
        let ends = self.starts.iter().copied().filter(|start| *start <= time);
        ends.map(|end| self.count(end - 1)).sum::<f64>() + self.count(time)
    }
}

/// Who scrapes it. Each run is (scrapes missed before, scrapes, whether a stale marker ends it).
#[derive(Debug, Clone)]
pub struct Replica {
    pub offset: i64,
    pub interval: i64,
    pub jitter: i64,
    pub lag: i64,
    pub runs: Vec<(i64, i64, bool)>,
}

impl Replica {
    fn scrape(&self, process: &Process) -> Samples {
        let value = |seen: Option<i64>| seen.map_or(stale_nan(), |seen| process.count(seen));
        self.scrapes().into_iter().map(|(t, seen)| (t, value(seen))).collect()
    }

    pub fn scrapes(&self) -> Vec<Scrape> {
        let (mut n, mut out) = (0, Vec::new());
        let time = |n: i64| self.offset + n * self.interval + n * 7919 % (self.jitter + 1);
        for (missed, scrapes, marker) in &self.runs {
            n += missed;
            for _ in 0..*scrapes {
                out.push((time(n), Some(time(n) - self.lag)));
                n += 1;
            }
            if *marker {
                out.push((time(n), None));
                n += 1;
            }
        }
        out
    }
}

pub fn process() -> impl Strategy<Value = Process> {
    prop::collection::btree_set(0i64..9_000_000, 0..5)
        .prop_map(|starts| Process { starts: starts.into_iter().collect() })
}

pub fn replica(lag: std::ops::Range<i64>) -> impl Strategy<Value = Replica> {
    let runs = prop::collection::vec((0i64..40, 1i64..80, prop::bool::weighted(0.3)), 1..6);
    let interval = prop::sample::select(vec![15_000i64, 30_000, 60_000]);
    (0i64..20_000, interval, 0i64..500, lag, runs).prop_map(|(offset, interval, jitter, lag, runs)| Replica {
        offset,
        interval,
        jitter,
        lag,
        runs,
    })
}

fn histogram(count: f64) -> Histogram {
    // A third of all lies in each of two buckets.
    let count = count as u64;
    let (a, b) = (count / 3, count.div_ceil(3));
    Histogram {
        schema: 2,
        count,
        zero_count: count - a - b,
        sum: count as f64,
        positive_spans: vec![Span { offset: 1, length: 2 }],
        positive_deltas: vec![a as i64, b as i64 - a as i64],
        ..Histogram::default()
    }
}

/// Chunks of histograms as a scraper cuts them: where one counts less the next chunk's header tells of a reset.
fn histogram_lane(replica: u64, samples: &Samples, size: usize) -> Vec<LaneChunk> {
    let mut out: Vec<LaneChunk> = Vec::new();
    let mut open: Option<(i64, i64, HistogramAppender)> = None;
    let mut close = |open: Option<(i64, i64, HistogramAppender)>| {
        if let Some((min_time, max_time, appender)) = open {
            let data = Bytes::from(appender.to_vec());
            let chunk = TimedChunk { min_time, max_time, encoding: Encoding::Histogram, data };
            out.push(LaneChunk { replica, order: replica as u32, chunk });
        }
    };
    for (time, value) in samples {
        let h = match is_stale(*value) {
            true => Histogram { sum: stale_nan(), ..Histogram::default() },
            false => histogram(*value),
        };
        let mut flag = ResetFlag::Unknown;
        if let Some((_, end, appender)) = &mut open
            && appender.len() < size
        {
            match appender.append(*time, &h).unwrap() {
                Appended::Cut(cut) => flag = cut,
                _ => {
                    *end = *time;
                    continue;
                }
            }
        }
        let mut appender = HistogramAppender::new(flag);
        appender.append(*time, &h).unwrap();
        close(open.replace((*time, *time, appender)));
    }
    close(open);
    out
}

/// A histogram chunk's samples as readers take them.
pub fn read(encoding: Encoding, data: &[u8]) -> Vec<(i64, FloatHistogram)> {
    let mut column = HistogramColumn::default();
    decode_histograms(encoding, data, &mut column).unwrap();
    if let (ResetFlag::Reset, Some(first)) = (ResetFlag::of(encoding, data), column.values.first_mut()) {
        first.reset_hint = ResetHint::Reset;
    }
    column.times.into_iter().zip(column.values).collect()
}

/// Times, values, and whether a reader sees a reset there; of histograms the count.
fn shown(chunks: &[TimedChunk]) -> Vec<(i64, f64, bool)> {
    let mut out: Vec<(i64, f64, bool)> = Vec::new();
    let mut before: Option<FloatHistogram> = None;
    let mut value = None;
    for chunk in chunks {
        if chunk.encoding == Encoding::Xor {
            let mut column = Column::new();
            decode_floats(chunk.encoding, &chunk.data, &mut column).unwrap();
            for (t, v) in column.iter() {
                let fell = value.is_some_and(|before| v < before);
                value = if is_stale(v) { value } else { Some(v) };
                out.push((t, v, fell));
            }
            continue;
        }
        for (t, h) in read(chunk.encoding, &chunk.data) {
            if is_stale(h.sum) {
                out.push((t, stale_nan(), false));
                continue;
            }
            out.push((t, h.count, before.as_ref().is_some_and(|before| h.is_reset_since(before))));
            before = Some(h);
        }
    }
    out
}

fn at_query(lanes: &[LaneChunk]) -> Vec<(i64, f64, bool)> {
    let chunk = |l: &LaneChunk| Chunk {
        replica: l.replica,
        ..Chunk::raw(l.chunk.min_time, l.chunk.max_time, l.chunk.encoding, l.chunk.data.clone())
    };
    let mut chunks: Vec<Chunk> = lanes.iter().map(chunk).collect();
    chunks.sort_by_key(|c| (c.min_time, c.max_time));
    let options = DedupOptions {
        method: Method::Penalty,
        lookback_ms: LOOKBACK,
        function: Some("max_over_time".to_owned()),
        end_ms: i64::MAX,
    };
    let (series, damage) = dedup_series(Series { labels: Labels::empty(), chunks }, &options);
    assert_eq!(damage, [] as [String; 0]);
    let encoded = |c: Chunk| match c.data {
        ChunkData::Raw(raw) => {
            TimedChunk { min_time: c.min_time, max_time: c.max_time, encoding: raw.encoding, data: raw.data }
        }
        ChunkData::Decoded(column) => TimedChunk {
            min_time: c.min_time,
            max_time: c.max_time,
            encoding: Encoding::Xor,
            data: Bytes::from(chunkenc::encode_xor(column.iter()).unwrap()),
        },
        ChunkData::Aggr(_) => panic!("raw in, raw out"),
    };
    shown(&series.chunks.into_iter().map(encoded).collect::<Vec<_>>())
}

/// Whether an instant selector with a look-back sees something at `t`.
pub fn visible(samples: impl DoubleEndedIterator<Item = (i64, f64)>, t: i64, lookback: i64) -> bool {
    let last = samples.rev().find(|(time, _)| *time <= t);
    last.is_some_and(|(time, value)| time > t - lookback && !is_stale(value))
}

fn bits(list: &[(i64, f64, bool)]) -> Vec<(i64, u64)> {
    list.iter().map(|(t, v, _)| (*t, v.to_bits())).collect()
}

/// What is only on the one side, and only on the other.
fn difference(a: &[(i64, u64)], b: &[(i64, u64)]) -> [Samples; 2] {
    let missing = |a: &[(i64, u64)], b: &[(i64, u64)]| {
        a.iter().filter(|s| !b.contains(s)).map(|(t, bits)| (*t, f64::from_bits(*bits))).collect()
    };
    [missing(a, b), missing(b, a)]
}

fn fine(lanes: Vec<LaneChunk>) -> Vec<LaneChunk> {
    let (Some(first), mut out) = (lanes.first().cloned(), Vec::new()) else { return Vec::new() };
    let raw: Vec<TimedChunk> = lanes.into_iter().map(|l| l.chunk).collect();
    Downsampler::new().raw(&raw, FINE, &mut out).unwrap();
    out.into_iter().map(|chunk| LaneChunk { chunk, ..first }).collect()
}

/// Windows and samples in each.
fn counts(chunks: &[TimedChunk]) -> BTreeMap<i64, f64> {
    let mut column = Column::new();
    for chunk in chunks {
        let parts = aggr::decode(&chunk.data).unwrap();
        let (encoding, data) = parts[0].as_ref().unwrap();
        decode_floats(*encoding, data, &mut column).unwrap();
    }
    let mut out = BTreeMap::new();
    column.iter().for_each(|(t, count)| *out.entry(t.div_euclid(FINE)).or_insert(0.0) += count);
    out
}

/// The counter aggregates' running total, corrected for resets as readers do.
fn totals(chunks: &[TimedChunk]) -> Samples {
    let (mut reader, mut out) = (CounterReader::new(), Column::new());
    let mut state: Option<(f64, FloatHistogram)> = None;
    let mut list = Samples::new();
    for chunk in chunks {
        let parts = aggr::decode(&chunk.data).unwrap();
        let (encoding, data) = parts[4].as_ref().unwrap();
        if !encoding.is_histogram() {
            reader.read(*encoding, data, &mut out).unwrap();
            continue;
        }
        for (t, h) in read(*encoding, data) {
            let total = match &state {
                Some((total, last)) if !h.is_reset_since(last) => total + (h.count - last.count),
                Some((total, _)) => total + h.count,
                None => h.count,
            };
            state = Some((total, h));
            list.push((t, total));
        }
    }
    list.extend(out.iter());
    list
}

fn lanes_of(samples: &[Samples], histograms: bool, size: usize) -> Vec<Vec<LaneChunk>> {
    let one = |(id, s): (u64, &Samples)| if histograms { histogram_lane(id, s, size) } else { lane(id, s, size) };
    (1u64..).zip(samples).map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn raw_replicas(
        process in process(),
        replicas in prop::collection::vec(replica(0..1), 1..4),
        histograms in any::<bool>(),
        size in 2usize..130,
    ) {
        let samples: Vec<Samples> = replicas.iter().map(|r| r.scrape(&process)).collect();
        let lanes = lanes_of(&samples, histograms, size).concat();
        let (chunks, _) = merge(lanes.clone(), Method::Penalty);
        let got = shown(&chunks);
        prop_assert!(got.windows(2).all(|w| w[0].0 < w[1].0), "times ascend");
        for (t, v, _) in &got {
            let known = |s: &Samples| s.iter().any(|(time, value)| time == t && value.to_bits() == v.to_bits());
            prop_assert!(samples.iter().any(known), "{} at {} was invented", v, t);
        }
        let markers = samples.iter().flatten().any(|(_, v)| is_stale(*v));
        let end = samples.iter().flatten().map(|(t, _)| *t).max().unwrap() + TAIL;
        for t in (0..end).step_by(7_001) {
            // Once another replica has told that the series went stale, a sample counts while its replica lives.
            let lives = |(r, s): (&Replica, &Samples)| {
                let reach = r.interval + r.interval / 2;
                let next = s.iter().find(|(time, _)| *time > t);
                visible(s.iter().copied(), t, reach) && next.is_some_and(|(time, v)| *time <= t + reach && !is_stale(*v))
            };
            let any = match markers {
                true => replicas.iter().zip(&samples).any(lives),
                false => samples.iter().any(|s| visible(s.iter().copied(), t, LOOKBACK)),
            };
            prop_assert!(!any || visible(got.iter().map(|(t, v, _)| (*t, *v)), t, LOOKBACK), "nothing at {}", t);
        }
        let mut live = got.iter().filter(|(_, v, _)| !is_stale(*v));
        let mut before = live.next().map_or(0, |s| s.0);
        for (t, _, reset) in live {
            prop_assert!(!reset || process.restarts(before, *t), "no restart from {} to {}", before, t);
            before = *t;
        }
    }

    #[test]
    fn queries_show_what_rewrites_keep(
        process in process().prop_map(Process::with_starts_apart),
        replicas in prop::collection::vec(replica(0..1), 2..5),
        histograms in any::<bool>(),
        size in 2usize..130,
    ) {
        let samples: Vec<Samples> = replicas.iter().map(|r| r.scrape(&process)).collect();
        let lanes = lanes_of(&samples, histograms, size).concat();
        let (chunks, _) = merge(lanes.clone(), Method::Penalty);
        let (queried, kept) = (bits(&at_query(&lanes)), bits(&shown(&chunks)));
        prop_assert!(queried == kept, "{:?}", difference(&queried, &kept));
    }

    #[test]
    fn downsampled_replicas(
        process in process(),
        replicas in prop::collection::vec(replica(0..1), 1..4),
        histograms in any::<bool>(),
        size in 20usize..130,
    ) {
        downsampled(&process, &replicas, histograms, size)?;
    }

    #[test]
    fn downsampled_replicas_of_which_some_lag(
        replicas in prop::collection::vec(replica(0..900_000), 1..4),
        histograms in any::<bool>(),
        size in 20usize..130,
    ) {
        downsampled(&Process { starts: Vec::new() }, &replicas, histograms, size)?;
    }
}

/// One replica's windows each, of the best; no increase that the process did not have.
fn downsampled(process: &Process, replicas: &[Replica], histograms: bool, size: usize) -> Result<(), TestCaseError> {
    let samples: Vec<Samples> = replicas.iter().map(|r| r.scrape(process)).collect();
    let lanes: Vec<Vec<LaneChunk>> = lanes_of(&samples, histograms, size).into_iter().map(fine).collect();
    let each: Vec<BTreeMap<i64, f64>> =
        lanes.iter().map(|l| counts(&l.iter().map(|c| c.chunk.clone()).collect::<Vec<_>>())).collect();
    let (got, _) = merge(lanes.concat(), Method::Penalty);
    let mut want: BTreeMap<i64, f64> = BTreeMap::new();
    for (window, count) in each.iter().flatten() {
        let most = want.entry(*window).or_insert(0.0);
        *most = most.max(*count);
    }
    prop_assert_eq!(counts(&got), want);
    let told = totals(&got);
    prop_assert!(told.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 <= w[1].1));
    // Beside a restart the values at the ends of windows are not known: there two replicas' scrapes may lie apart.
    let interval = replicas.iter().map(|r| r.interval).max().unwrap_or(0);
    let apart = ((2 * interval + FINE) / 250) as f64 * (1 + process.starts.len()) as f64;
    for (t, total) in &told {
        prop_assert!(*total <= process.total(*t) + apart, "{} at {}: {}", total, t, process.total(*t));
    }
    if process.starts.is_empty()
        && let Some((_, total)) = told.last()
    {
        // Nothing is lost but by who is behind, and what a window of theirs cannot tell.
        let live = |s: &Samples| s.iter().rev().find(|(_, v)| !is_stale(*v)).map_or(0.0, |(_, v)| *v);
        let last = samples.iter().map(live).fold(f64::INFINITY, f64::min);
        prop_assert!(*total >= last - ((interval + FINE) / 250) as f64, "{} of {}", total, last);
    }
    Ok(())
}

fn replica_of(interval: i64, runs: &[(i64, i64, bool)]) -> Replica {
    Replica { offset: 0, interval, jitter: 0, lag: 0, runs: runs.to_vec() }
}

#[test]
fn restarts_where_downsampled_replicas_change() {
    let process = Process { starts: vec![1_689_181, 4_089_141] };
    let replicas =
        [replica_of(60_000, &[(10, 48, false), (11, 1, false)]), replica_of(60_000, &[(1, 20, true), (38, 3, false)])];
    downsampled(&process, &replicas, true, 20).unwrap();
}

#[test]
fn a_query_shows_what_a_rewrite_keeps() {
    let replicas = [
        replica_of(15_000, &[(1, 78, false), (4, 23, true), (19, 9, false), (25, 1, true)]),
        replica_of(15_000, &[(0, 64, true), (22, 15, true), (13, 25, true)]),
    ];
    let samples: Vec<Samples> = replicas.iter().map(|r| r.scrape(&Process { starts: Vec::new() })).collect();
    let lanes = lanes_of(&samples, false, 7).concat();
    let (chunks, _) = merge(lanes.clone(), Method::Penalty);
    assert_eq!(bits(&at_query(&lanes)), bits(&shown(&chunks)));
}
