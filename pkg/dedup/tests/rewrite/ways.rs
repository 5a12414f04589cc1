//! Every way that samples of replicas take – rewritten, rewritten and downsampled, downsampled and rewritten, asked for
//! by a query – for every kind of series, against the process that was scraped.

use std::collections::BTreeMap;

use bytes::Bytes;
use chunkenc::{Column, CounterReader, Encoding, TimedChunk, aggr, decode_floats};
use dedup::rewrite::LaneChunk;
use dedup::{DedupOptions, Method, dedup_series};
use downsample::Downsampler;
use histogram::{FloatHistogram, ResetHint};
use labels::Labels;
use model::is_stale;
use proptest::prelude::*;
use storage::{Chunk, ChunkData, Series};

use crate::kinds::{Kind, Scrape, chunks, histogram, kind, number, plain};
use crate::replicas::{FINE, LOOKBACK, Process, Replica, TAIL, process, read, replica, visible};
use crate::{Samples, merge};

const COARSE: i64 = 3_600_000;

/// Blocks of one replica: of the first, which holds all, others may repeat a part.
#[derive(Debug, Clone)]
struct Scraper {
    replica: Replica,
    size: usize,
    /// From and to, in hundredths, and the size of chunks.
    repeated: Vec<(usize, usize, usize)>,
}

fn scraper(lag: std::ops::Range<i64>) -> impl Strategy<Value = Scraper> {
    let repeated =
        (0usize..100, 1usize..100, 2usize..130).prop_map(|(from, more, size)| (from, (from + more).min(100), size));
    let repeated = prop::collection::vec(repeated, 0..2);
    (replica(lag), 2usize..130, repeated).prop_map(|(replica, size, repeated)| Scraper { replica, size, repeated })
}

/// All blocks: the replica's number and its scrapes.
fn blocks(scrapers: &[Scraper]) -> Vec<(u64, usize, Vec<Scrape>)> {
    let mut out = Vec::new();
    for (name, scraper) in (1u64..).zip(scrapers) {
        let all = scraper.replica.scrapes();
        let parts = scraper.repeated.iter().map(|(from, to, size)| {
            (name, *size, all[from * all.len() / 100..(to * all.len()).div_ceil(100)].to_vec())
        });
        let parts: Vec<_> = parts.filter(|(.., part)| !part.is_empty()).collect();
        out.push((name, scraper.size, all));
        out.extend(parts);
    }
    out
}

/// What a reader finds at a time.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Stale,
    Number(f64),
    Histogram(Box<FloatHistogram>),
}

impl Value {
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Histogram(a), Self::Histogram(b)) => plain(a) == plain(b),
            _ => self == other,
        }
    }
}

pub fn values(chunks: &[TimedChunk]) -> Vec<(i64, Value)> {
    let mut out = Vec::new();
    for chunk in chunks {
        if chunk.encoding == Encoding::Xor {
            let mut column = Column::new();
            decode_floats(chunk.encoding, &chunk.data, &mut column).unwrap();
            out.extend(column.iter().map(|(t, v)| (t, if is_stale(v) { Value::Stale } else { Value::Number(v) })));
        } else {
            let list = read(chunk.encoding, &chunk.data).into_iter();
            out.extend(list.map(|(t, h)| match is_stale(h.sum) {
                true => (t, Value::Stale),
                false => (t, Value::Histogram(Box::new(h))),
            }));
        }
    }
    out
}

pub fn exposed(kind: Kind, process: &Process, seen: Option<i64>) -> Value {
    match seen {
        None => Value::Stale,
        Some(time) if kind.is_histogram() => Value::Histogram(Box::new(histogram(kind, process, time).to_float())),
        Some(time) => Value::Number(number(kind, process, time)),
    }
}

pub fn at_query(lanes: &[LaneChunk], function: &str) -> Vec<(i64, Value)> {
    let chunk = |l: &LaneChunk| Chunk {
        replica: l.replica,
        ..Chunk::raw(l.chunk.min_time, l.chunk.max_time, l.chunk.encoding, l.chunk.data.clone())
    };
    let mut chunks: Vec<Chunk> = lanes.iter().map(chunk).collect();
    chunks.sort_by_key(|c| (c.min_time, c.max_time));
    let options = DedupOptions {
        method: Method::Penalty,
        lookback_ms: LOOKBACK,
        function: Some(function.to_owned()),
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
    values(&series.chunks.into_iter().map(encoded).collect::<Vec<_>>())
}

/// Whether a reader sees a reset between two samples, with what is told of it and without.
pub fn resets(before: &Value, now: &Value) -> (bool, bool) {
    match (before, now) {
        (Value::Number(a), Value::Number(b)) => (b < a, b < a),
        (Value::Histogram(a), Value::Histogram(b)) => (b.is_reset_since(a), plain(b).is_reset_since(a)),
        _ => (false, false),
    }
}

/// The running total of a counter at each of its live samples, as readers have it; of histograms the count.
fn totals(samples: &[(i64, Value)]) -> Samples {
    let mut state: Option<(f64, &Value)> = None;
    let size = |v: &Value| if let Value::Histogram(h) = v { h.count } else { if_number(v) };
    let mut out = Samples::new();
    for (t, now) in samples.iter().filter(|(_, v)| *v != Value::Stale) {
        let total = match state {
            None => size(now),
            Some((total, before)) if resets(before, now).0 => total + size(now),
            Some((total, before)) => total + (size(now) - size(before)),
        };
        state = Some((total, now));
        out.push((*t, total));
    }
    out
}

fn if_number(v: &Value) -> f64 {
    if let Value::Number(v) = v { *v } else { 0.0 }
}

/// What a window holds: how many samples; the sum, of histograms that and the sum of counts; the least, the most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    pub count: f64,
    sum: [f64; 2],
    range: [f64; 2],
}

impl Window {
    fn add(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            sum: [self.sum[0] + other.sum[0], self.sum[1] + other.sum[1]],
            range: [self.range[0].min(other.range[0]), self.range[1].max(other.range[1])],
        }
    }
}

fn put(windows: &mut BTreeMap<i64, Window>, key: i64, window: Window) {
    windows.entry(key).and_modify(|w| *w = w.add(window)).or_insert(window);
}

/// As the definition has it.
pub fn windows(samples: &[(i64, Value)], resolution: i64) -> BTreeMap<i64, Window> {
    let mut out = BTreeMap::new();
    for (t, v) in samples {
        let window = match v {
            Value::Stale => continue,
            Value::Number(v) => Window { count: 1.0, sum: [*v, 0.0], range: [*v, *v] },
            Value::Histogram(h) => Window { count: 1.0, sum: [h.sum, h.count], range: [0.0; 2] },
        };
        put(&mut out, t.div_euclid(resolution), window);
    }
    out
}

pub fn told(chunks: &[TimedChunk], resolution: i64) -> BTreeMap<i64, Window> {
    let mut out = BTreeMap::new();
    for chunk in chunks {
        let parts = aggr::decode(&chunk.data).unwrap();
        let floats = |place: usize| {
            let (encoding, data) = parts[place].as_ref().unwrap();
            let mut column = Column::new();
            decode_floats(*encoding, data, &mut column).unwrap();
            column
        };
        let counts = floats(0);
        let (encoding, data) = parts[1].as_ref().unwrap();
        let list: Vec<([f64; 2], [f64; 2])> = match encoding.is_histogram() {
            true => read(*encoding, data).iter().map(|(_, h)| ([h.sum, h.count], [0.0; 2])).collect(),
            false => {
                let [sums, least, most] = [1, 2, 3].map(floats);
                let range = least.values.into_iter().zip(most.values);
                sums.values.into_iter().zip(range).map(|(sum, (a, b))| ([sum, 0.0], [a, b])).collect()
            }
        };
        assert_eq!(counts.len(), list.len());
        for ((t, count), (sum, range)) in counts.iter().zip(list) {
            put(&mut out, t.div_euclid(resolution), Window { count, sum, range });
        }
    }
    out
}

/// The counter aggregates' running total.
fn counted(chunks: &[TimedChunk]) -> Samples {
    let (mut reader, mut out) = (CounterReader::new(), Column::new());
    let mut histograms: Vec<(i64, Value)> = Vec::new();
    for chunk in chunks {
        let parts = aggr::decode(&chunk.data).unwrap();
        let (encoding, data) = parts[4].as_ref().unwrap();
        match encoding.is_histogram() {
            true => {
                histograms.extend(read(*encoding, data).into_iter().map(|(t, h)| (t, Value::Histogram(Box::new(h)))));
            }
            false => reader.read(*encoding, data, &mut out).unwrap(),
        }
    }
    totals(&histograms).into_iter().chain(out.iter()).collect()
}

/// At the end of each window the counter tells what the samples tell.
fn same_totals(chunks: &[TimedChunk], want: &[(i64, f64)]) -> Result<(), TestCaseError> {
    let got = counted(chunks);
    prop_assert!(got.windows(2).all(|w| w[0].0 < w[1].0));
    prop_assert_eq!(got.last().map(|s| s.1), want.last().map(|s| s.1), "at the end");
    for (t, total) in got {
        let at = want.partition_point(|(time, _)| *time <= t);
        prop_assert_eq!(total, want[at - 1].1, "at {}", t);
    }
    Ok(())
}

fn downsampled(raw: Vec<TimedChunk>) -> Vec<TimedChunk> {
    let mut out = Vec::new();
    Downsampler::new().raw(&raw, FINE, &mut out).unwrap();
    out
}

fn coarse(fine: &[TimedChunk]) -> Vec<TimedChunk> {
    let mut out = Vec::new();
    Downsampler::new().aggregates(fine, FINE, COARSE, &mut out).unwrap();
    out
}

/// Rewritten raw; then downsampled twice.
fn rewritten(kind: Kind, process: &Process, scrapers: &[Scraper]) -> Result<(), TestCaseError> {
    let blocks = blocks(scrapers);
    let lanes = blocks.iter().flat_map(|(name, size, part)| chunks(kind, process, *name, part, *size)).collect();
    let (kept, _) = merge(lanes, Method::Penalty);
    let got = values(&kept);
    prop_assert!(got.windows(2).all(|w| w[0].0 < w[1].0), "times ascend");
    for (t, value) in &got {
        let mut at = blocks.iter().flat_map(|(.., part)| part).filter(|(time, _)| time == t);
        let known = at.any(|(_, seen)| exposed(kind, process, *seen).same(value));
        prop_assert!(known, "{:?} at {} was invented", value, t);
        if let Value::Histogram(h) = value {
            prop_assert_eq!(h.reset_hint == ResetHint::Gauge, kind == Kind::GaugeHistogram, "at {}", t);
        }
    }
    covered(scrapers, &got)?;
    let mut before: Option<&(i64, Value)> = None;
    for now in got.iter().filter(|(_, v)| *v != Value::Stale && !kind.is_gauge()) {
        let Some((t, value)) = before.replace(now) else { continue };
        let (seen, is_less) = resets(value, &now.1);
        prop_assert!(!seen || process.restarts(*t, now.0), "no restart from {} to {}", t, now.0);
        prop_assert!(seen || !is_less, "a reset is denied at {}", now.0);
    }
    let fine = downsampled(kept);
    let coarse = coarse(&fine);
    for (resolution, chunks) in [(FINE, &fine), (COARSE, &coarse)] {
        prop_assert_eq!(told(chunks, resolution), windows(&got, resolution));
        if !kind.is_gauge() {
            same_totals(chunks, &totals(&got))?;
        }
    }
    Ok(())
}

/// Where a replica has a sample within the look-back so has the result.
fn covered(scrapers: &[Scraper], got: &[(i64, Value)]) -> Result<(), TestCaseError> {
    let stale = |seen: &Option<i64>| if seen.is_none() { model::stale_nan() } else { 0.0 };
    let samples: Vec<Samples> =
        scrapers.iter().map(|s| s.replica.scrapes().iter().map(|(t, seen)| (*t, stale(seen))).collect()).collect();
    let markers = samples.iter().flatten().any(|(_, v)| is_stale(*v));
    let end = samples.iter().flatten().map(|(t, _)| *t).max().unwrap_or(0) + TAIL;
    let shown: Samples =
        got.iter().map(|(t, v)| (*t, if *v == Value::Stale { model::stale_nan() } else { 0.0 })).collect();
    for t in (0..end).step_by(7_001) {
        // Once another replica has told that the series went stale, a sample counts while its replica lives.
        let any = scrapers.iter().zip(&samples).any(|(scraper, s)| match markers {
            false => visible(s.iter().copied(), t, LOOKBACK),
            true => {
                let reach = scraper.replica.interval + scraper.replica.interval / 2;
                let at = s.partition_point(|(time, _)| *time <= t);
                let around = at.checked_sub(1).and_then(|before| s.get(before..at + 1));
                around.is_some_and(|s| s[1].0 - s[0].0 <= reach && s.iter().all(|(_, v)| !is_stale(*v)))
            }
        });
        prop_assert!(!any || visible(shown.iter().copied(), t, LOOKBACK), "nothing at {}", t);
    }
    Ok(())
}

/// Each block downsampled; then rewritten; then downsampled again.
fn rewritten_late(kind: Kind, process: &Process, scrapers: &[Scraper]) -> Result<(), TestCaseError> {
    let mut lanes = Vec::new();
    let mut each: Vec<BTreeMap<i64, Window>> = Vec::new();
    for (i, (name, size, part)) in blocks(scrapers).iter().enumerate() {
        let raw: Vec<TimedChunk> = chunks(kind, process, *name, part, *size).into_iter().map(|l| l.chunk).collect();
        each.push(windows(&values(&raw), FINE));
        let list = downsampled(raw).into_iter();
        lanes.extend(list.map(|chunk| LaneChunk { replica: *name, order: i as u32, chunk }));
    }
    let (fine, _) = merge(lanes, Method::Penalty);
    let got = told(&fine, FINE);
    let all: Vec<i64> = each.iter().flat_map(|windows| windows.keys().copied()).collect();
    prop_assert!(all.iter().all(|key| got.contains_key(key)), "a window is lost");
    for (key, window) in &got {
        let of_each: Vec<&Window> = each.iter().filter_map(|windows| windows.get(key)).collect();
        let most = of_each.iter().map(|w| w.count).fold(0.0, f64::max);
        prop_assert!(of_each.iter().any(|w| w.count == most && *w == window), "{:?} in window {}", window, key);
    }
    let coarse = coarse(&fine);
    let mut want: BTreeMap<i64, Window> = BTreeMap::new();
    got.iter().for_each(|(key, window)| put(&mut want, key.div_euclid(COARSE / FINE), *window));
    prop_assert_eq!(told(&coarse, COARSE), want);
    if kind.is_gauge() {
        return Ok(());
    }
    let counted = counted(&fine);
    same_totals(&coarse, &counted)?;
    prop_assert!(counted.windows(2).all(|w| w[0].1 <= w[1].1), "the total falls");
    // Beside a restart the values at the ends of windows are not known: there two replicas' scrapes may lie apart.
    let interval = scrapers.iter().map(|s| s.replica.interval).max().unwrap_or(0);
    let total = |t: i64| {
        let ends = process.starts.iter().copied().filter(|start| *start <= t);
        let size = |t: i64| match kind.is_histogram() {
            true => histogram(kind, process, t).count as f64,
            false => number(kind, process, t),
        };
        ends.map(|end| size(end - 1)).sum::<f64>() + size(t)
    };
    let apart = ((2 * interval + FINE) / 250) as f64 * (1 + process.starts.len()) as f64;
    for (t, value) in &counted {
        prop_assert!(*value <= total(*t) + apart, "{} at {}: {}", value, t, total(*t));
    }
    Ok(())
}

/// What a query shows.
fn asked(kind: Kind, process: &Process, scrapers: &[Scraper]) -> Result<(), TestCaseError> {
    let blocks = blocks(scrapers);
    let lanes: Vec<LaneChunk> =
        blocks.iter().flat_map(|(name, size, part)| chunks(kind, process, *name, part, *size)).collect();
    let got = at_query(&lanes, "max_over_time");
    prop_assert!(got.windows(2).all(|w| w[0].0 < w[1].0), "times ascend");
    covered(scrapers, &got)?;
    for (t, value) in &got {
        let mut at = blocks.iter().flat_map(|(.., part)| part).filter(|(time, _)| time == t);
        prop_assert!(at.any(|(_, seen)| exposed(kind, process, *seen).same(value)), "{:?} at {}", value, t);
    }
    if kind.is_gauge() {
        return Ok(());
    }
    // Going from who lags to who does not, the rise is what the one had not seen yet.
    let lag = scrapers.iter().map(|s| s.replica.lag).max().unwrap_or(0);
    let caught_up = if lag > 0 { (lag / 250 + 1) as f64 } else { 0.0 };
    let got = at_query(&lanes, "rate");
    covered(scrapers, &got)?;
    let mut before: Option<&(i64, Value)> = None;
    for now in got.iter().filter(|(_, v)| *v != Value::Stale) {
        let Some((t, value)) = before.replace(now) else { continue };
        let (seen, is_less) = resets(value, &now.1);
        prop_assert!(!seen || process.restarts(*t, now.0), "no restart from {} to {}", t, now.0);
        prop_assert!(seen || !is_less, "a reset is denied at {}", now.0);
        if let (Value::Number(a), Value::Number(b)) = (value, &now.1) {
            let rise = if seen { *b } else { b - a };
            let real = process.total(now.0) - process.total(*t);
            prop_assert!(rise <= real + caught_up, "{} instead of {} from {} to {}", rise, real, t, now.0);
        }
    }
    Ok(())
}

/// A query shows what a rewrite keeps.
fn alike(kind: Kind, process: &Process, scrapers: &[Scraper]) -> Result<(), TestCaseError> {
    let lanes: Vec<LaneChunk> =
        blocks(scrapers).iter().flat_map(|(name, size, part)| chunks(kind, process, *name, part, *size)).collect();
    let kept = values(&merge(lanes.clone(), Method::Penalty).0);
    let queried = at_query(&lanes, "max_over_time");
    let same = |(a, b): (&(i64, Value), &(i64, Value))| a.0 == b.0 && a.1.same(&b.1);
    let first = kept.iter().zip(&queried).find(|pair| !same(*pair));
    prop_assert!(first.is_none() && kept.len() == queried.len(), "{:?} of {} and {}", first, kept.len(), queried.len());
    Ok(())
}

fn scrapers(lag: std::ops::Range<i64>) -> impl Strategy<Value = Vec<Scraper>> {
    prop::collection::vec(scraper(lag), 2..5).prop_map(|mut list| {
        // A series that has gone stale is not taken up again by who still shows what was before that.
        if list.iter().any(|s| s.replica.scrapes().iter().any(|(_, seen)| seen.is_none())) {
            list.iter_mut().for_each(|s| s.replica.lag %= 15_000);
        }
        list
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rewritten_and_downsampled(kind in kind(), process in process(), scrapers in scrapers(0..1)) {
        rewritten(kind, &process, &scrapers)?;
    }

    #[test]
    fn rewritten_and_downsampled_with_some_that_lag(kind in kind(), scrapers in scrapers(0..120_000)) {
        rewritten(kind, &Process { starts: Vec::new() }, &scrapers)?;
    }

    #[test]
    fn downsampled_and_rewritten(kind in kind(), process in process(), scrapers in scrapers(0..1)) {
        rewritten_late(kind, &process, &scrapers)?;
    }

    #[test]
    fn asked_for(kind in kind(), process in process(), scrapers in scrapers(0..1)) {
        asked(kind, &process, &scrapers)?;
    }

    #[test]
    fn asked_for_with_some_that_lag(kind in kind(), scrapers in scrapers(0..120_000)) {
        asked(kind, &Process { starts: Vec::new() }, &scrapers)?;
    }

    #[test]
    fn asked_for_and_rewritten(
        kind in kind().prop_filter("a rewrite does not know that numbers are a gauge's", |kind| *kind != Kind::Gauge),
        process in process().prop_map(Process::with_starts_apart),
        scrapers in scrapers(0..1),
    ) {
        alike(kind, &process, &scrapers)?;
    }
}

#[test]
fn a_marker_does_not_hide_who_was_passed_over() {
    let scraper = |offset, interval, jitter, runs: &[(i64, i64, bool)]| Scraper {
        replica: Replica { offset, interval, jitter, lag: 0, runs: runs.to_vec() },
        size: 2,
        repeated: Vec::new(),
    };
    let scrapers = [
        scraper(4775, 15_000, 208, &[(0, 23, true), (30, 40, false), (36, 9, true)]),
        scraper(19_671, 60_000, 241, &[(0, 39, false)]),
        scraper(1576, 30_000, 214, &[(6, 63, false)]),
    ];
    rewritten(Kind::Gauge, &Process { starts: Vec::new() }, &scrapers).unwrap();
}
