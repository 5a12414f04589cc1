//! What processes expose and replicas scrape of it, of every kind: a value depends on the process and the time alone, so
//! every sample anywhere can be held against the process.

use bytes::Bytes;
use chunkenc::{Appended, Encoding, FloatHistogramAppender, HistogramAppender, ResetFlag, TimedChunk};
use dedup::rewrite::LaneChunk;
use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, ResetHint, Span};
use model::stale_nan;
use proptest::prelude::*;

use crate::lane;
use crate::replicas::Process;

/// What a series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    /// Exponential buckets; the schema changes with each start, buckets come to be as it counts.
    Integer,
    /// The same with float counts.
    Float,
    /// Custom buckets, integer counts; the bounds change with each start.
    Custom,
    GaugeHistogram,
}

impl Kind {
    pub fn is_histogram(self) -> bool {
        !matches!(self, Self::Counter | Self::Gauge)
    }

    pub fn is_gauge(self) -> bool {
        matches!(self, Self::Gauge | Self::GaugeHistogram)
    }
}

pub fn kind() -> impl Strategy<Value = Kind> {
    use Kind::{Counter, Custom, Float, Gauge, GaugeHistogram, Integer};
    prop::sample::select(vec![Counter, Gauge, Integer, Float, Custom, GaugeHistogram])
}

/// A scrape: time, ms, and when the process was looked at; none is a stale marker.
pub type Scrape = (i64, Option<i64>);

fn scattered(time: i64) -> u64 {
    (time as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40
}

/// The number that a process exposes.
pub fn number(kind: Kind, process: &Process, time: i64) -> f64 {
    match kind {
        Kind::Gauge => (scattered(time) % 2001) as f64 - 1000.0,
        _ => process.count(time),
    }
}

/// The histogram that a process exposes.
pub fn histogram(kind: Kind, process: &Process, time: i64) -> Histogram {
    let starts = process.starts.iter().filter(|start| **start <= time).count();
    let counted = match kind {
        Kind::GaugeHistogram => scattered(time) % 3000,
        _ => process.count(time) as u64,
    };
    // Bucket after bucket comes to be.
    let buckets: Vec<i64> = [2, 3, 90, 1500, 20_000].iter().map(|n| (counted / n) as i64).collect();
    let used = buckets.iter().take_while(|b| **b > 0).count();
    let mut before = 0;
    let deltas = |b: &i64| b - std::mem::replace(&mut before, *b);
    let positive_deltas: Vec<i64> = buckets[..used].iter().map(deltas).collect();
    let custom = kind == Kind::Custom;
    let zero_count = if custom { 0 } else { counted / 7 };
    let negative = if custom { 0 } else { counted / 11 };
    Histogram {
        reset_hint: if kind == Kind::GaugeHistogram { ResetHint::Gauge } else { ResetHint::Unknown },
        schema: if custom { CUSTOM_BUCKETS_SCHEMA } else { 3 - (starts % 2) as i32 },
        zero_threshold: if custom { 0.0 } else { 0.001 },
        zero_count,
        count: zero_count + negative + buckets[..used].iter().sum::<i64>() as u64,
        sum: counted as f64 / 4.0,
        positive_spans: (used > 0).then_some(Span { offset: 0, length: used as u32 }).into_iter().collect(),
        positive_deltas,
        negative_spans: (negative > 0).then_some(Span { offset: 2, length: 1 }).into_iter().collect(),
        negative_deltas: (negative > 0).then_some(negative as i64).into_iter().collect(),
        custom_values: if custom { vec![1.0, 2.5 + (starts % 2) as f64, 7.0, 9.0] } else { Vec::new() },
    }
}

enum Appender {
    Integer(HistogramAppender),
    Float(FloatHistogramAppender),
}

impl Appender {
    fn new(kind: Kind, flag: ResetFlag) -> Self {
        match kind {
            Kind::Float => Self::Float(FloatHistogramAppender::new(flag)),
            _ => Self::Integer(HistogramAppender::new(flag)),
        }
    }

    fn append(&mut self, time: i64, h: &Histogram) -> Appended {
        match self {
            Self::Integer(a) => a.append(time, h).unwrap(),
            Self::Float(a) => a.append(time, &h.to_float()).unwrap(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Integer(a) => a.len(),
            Self::Float(a) => a.len(),
        }
    }

    fn close(self, replica: u64, min_time: i64, max_time: i64) -> LaneChunk {
        let (encoding, data) = match self {
            Self::Integer(a) => (Encoding::Histogram, a.to_vec()),
            Self::Float(a) => (Encoding::FloatHistogram, a.to_vec()),
        };
        let chunk = TimedChunk { min_time, max_time, encoding, data: Bytes::from(data) };
        LaneChunk { replica, order: replica as u32, chunk }
    }
}

/// Chunks as a scraper cuts them, of at most `size` samples.
pub fn chunks(kind: Kind, process: &Process, replica: u64, scrapes: &[Scrape], size: usize) -> Vec<LaneChunk> {
    if !kind.is_histogram() {
        let number = |(t, seen): &Scrape| (*t, seen.map_or(stale_nan(), |seen| number(kind, process, seen)));
        return lane(replica, &scrapes.iter().map(number).collect::<Vec<_>>(), size);
    }
    let mut out: Vec<LaneChunk> = Vec::new();
    let mut open: Option<(i64, i64, Appender)> = None;
    for (time, seen) in scrapes {
        let h = match seen {
            Some(seen) => histogram(kind, process, *seen),
            None => Histogram { sum: stale_nan(), ..Histogram::default() },
        };
        let mut flag = ResetFlag::Unknown;
        if let Some((_, end, appender)) = &mut open
            && appender.len() < size
        {
            match appender.append(*time, &h) {
                Appended::Cut(cut) => flag = cut,
                _ => {
                    *end = *time;
                    continue;
                }
            }
        }
        let mut appender = Appender::new(kind, flag);
        appender.append(*time, &h);
        if let Some((from, to, full)) = open.replace((*time, *time, appender)) {
            out.push(full.close(replica, from, to));
        }
    }
    out.extend(open.map(|(from, to, full)| full.close(replica, from, to)));
    out
}

/// The same with nothing told of a reset, and without buckets that hold nothing.
pub fn plain(h: &FloatHistogram) -> FloatHistogram {
    let buckets = |spans: &[Span], counts: &[f64]| -> (Vec<Span>, Vec<f64>) {
        let used = histogram::indexed(spans, counts).filter(|(_, count)| *count != 0.0);
        let (mut spans, mut counts, mut next) = (Vec::new(), Vec::new(), 0);
        for (index, count) in used {
            spans.push(Span { offset: index - next, length: 1 });
            counts.push(count);
            next = index + 1;
        }
        (spans, counts)
    };
    let (positive_spans, positive_buckets) = buckets(&h.positive_spans, &h.positive_buckets);
    let (negative_spans, negative_buckets) = buckets(&h.negative_spans, &h.negative_buckets);
    FloatHistogram {
        reset_hint: ResetHint::Unknown,
        positive_spans,
        positive_buckets,
        negative_spans,
        negative_buckets,
        ..h.clone()
    }
}
