//! From deltas to cumulative values: each stream's data points are summed up in memory.
//!
//! A stream begins with its first data point. One that is not later than the point before, or that begins before the
//! stream, is rejected. Sums live in memory: after a restart they begin anew, which queries see as a reset.

use hashbrown::HashMap;

use crate::names::Kind;
use crate::point::{Buckets, Point};

/// Buckets of one side of an exponential histogram that a sum has; it gets coarser before it has more.
const EXPONENTIAL_BUCKETS_MAX: i64 = 160;

/// Sums of all streams. Changes of a request are kept by [`Streams::keep`], or undone.
#[derive(Debug)]
pub(crate) struct Streams {
    streams: HashMap<u128, Stream>,
    /// What the streams were before the request.
    touched: Vec<(u128, Option<Stream>)>,
    streams_max: usize,
    stale_ms: i64,
    swept_ms: i64,
}

#[derive(Debug, Clone)]
struct Stream {
    start_ns: u64,
    last_ns: u64,
    seen_ms: i64,
    sum: Sum,
}

#[derive(Debug, Clone)]
enum Sum {
    Number(f64),
    Explicit { count: u64, sum: Option<f64>, bounds: Vec<f64>, counts: Vec<u64> },
    Exponential { count: u64, sum: Option<f64>, scale: i32, zero_count: u64, positive: Buckets, negative: Buckets },
}

impl Streams {
    pub fn new(streams_max: usize, stale_ms: i64) -> Self {
        Self { streams: HashMap::new(), touched: Vec::new(), streams_max, stale_ms, swept_ms: 0 }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// The request is written: its sums stand.
    pub fn keep(&mut self) {
        self.touched.clear();
    }

    /// The request is not written: the sums are as before it.
    pub fn undo(&mut self) {
        while let Some((digest, before)) = self.touched.pop() {
            match before {
                Some(stream) => self.streams.insert(digest, stream),
                None => self.streams.remove(&digest),
            };
        }
    }

    /// Forgets streams that had no data point for a while.
    pub fn sweep(&mut self, now_ms: i64) {
        if now_ms.saturating_sub(self.swept_ms) >= self.stale_ms {
            self.swept_ms = now_ms;
            let stale_ms = self.stale_ms;
            self.streams.retain(|_, stream| now_ms.saturating_sub(stream.seen_ms) < stale_ms);
        }
    }

    /// Adds a data point to its stream, and makes of it the sum by now.
    ///
    /// # Errors
    /// Why the data point is rejected.
    pub fn accumulate(&mut self, digest: u128, kind: Kind, point: &mut Point<'_>, now_ms: i64) -> Result<(), String> {
        let before = self.streams.get(&digest);
        if point.is_stale() {
            let before = self.streams.remove(&digest);
            self.touched.push((digest, before));
            return Ok(());
        }
        let stream = match before {
            None if self.streams.len() >= self.streams_max => {
                let max = self.streams_max;
                return Err(format!("there are {max} streams of deltas, their limit (--limits.otlp-delta-streams)"));
            }
            None => {
                Stream { start_ns: point.start_ns, last_ns: point.time_ns, seen_ms: now_ms, sum: Sum::of(kind, point)? }
            }
            Some(stream) if point.start_ns < stream.start_ns => {
                return Err("out of order delta: it begins before its stream".to_owned());
            }
            Some(stream) if point.time_ns <= stream.last_ns => {
                return Err("out of order delta: it is not later than the one before".to_owned());
            }
            Some(stream) => Stream {
                start_ns: stream.start_ns,
                last_ns: point.time_ns,
                seen_ms: now_ms,
                sum: stream.sum.plus(Sum::of(kind, point)?),
            },
        };
        point.start_ns = stream.start_ns;
        stream.sum.put(point);
        let before = self.streams.insert(digest, stream);
        self.touched.push((digest, before));
        Ok(())
    }
}

impl Sum {
    fn of(kind: Kind, point: &Point<'_>) -> Result<Self, String> {
        Ok(match kind {
            Kind::Histogram => Self::Explicit {
                count: point.count,
                sum: point.sum,
                bounds: point.bounds.clone(),
                counts: point.counts.clone(),
            },
            Kind::ExponentialHistogram => Self::Exponential {
                count: point.count,
                sum: point.sum,
                scale: point.scale,
                zero_count: point.zero_count,
                positive: point.positive.clone(),
                negative: point.negative.clone(),
            },
            _ => Self::Number(point.number.ok_or("data point without a value")?),
        })
    }

    fn plus(&self, more: Self) -> Self {
        match (self, more) {
            (Self::Number(a), Self::Number(b)) => Self::Number(a + b),
            (
                Self::Explicit { count, sum, bounds, counts },
                Self::Explicit { count: c, sum: s, bounds: b, counts: n },
            ) if *bounds == b && counts.len() == n.len() => {
                let counts = counts.iter().zip(&n).map(|(a, b)| a.saturating_add(*b)).collect();
                Self::Explicit { count: count.saturating_add(c), sum: added(*sum, s), bounds: b, counts }
            }
            (Self::Exponential { .. }, more @ Self::Exponential { .. }) => self.plus_exponential(more),
            // With other bounds the sum begins anew.
            (_, more) => more,
        }
    }

    fn plus_exponential(&self, more: Self) -> Self {
        let (
            Self::Exponential { count, sum, scale, zero_count, positive, negative },
            Self::Exponential { count: c, sum: s, scale: other, zero_count: z, positive: p, negative: n },
        ) = (self, &more)
        else {
            return more;
        };
        let mut to = (*scale).min(*other);
        while width(positive, *scale, p, *other, to).max(width(negative, *scale, n, *other, to))
            > EXPONENTIAL_BUCKETS_MAX
        {
            to -= 1;
        }
        let join =
            |a: &Buckets, b: &Buckets| joined(&a.downscaled(scale.abs_diff(to)), &b.downscaled(other.abs_diff(to)));
        Self::Exponential {
            count: count.saturating_add(*c),
            sum: added(*sum, *s),
            scale: to,
            zero_count: zero_count.saturating_add(*z),
            positive: join(positive, p),
            negative: join(negative, n),
        }
    }

    fn put(&self, point: &mut Point<'_>) {
        match self {
            Self::Number(number) => point.number = Some(*number),
            Self::Explicit { count, sum, counts, .. } => {
                (point.count, point.sum) = (*count, *sum);
                point.counts.clone_from(counts);
            }
            Self::Exponential { count, sum, scale, zero_count, positive, negative } => {
                (point.count, point.sum, point.scale, point.zero_count) = (*count, *sum, *scale, *zero_count);
                point.positive.clone_from(positive);
                point.negative.clone_from(negative);
            }
        }
    }
}

fn added(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.zip(b).map(|(a, b)| a + b)
}

/// First and last index at a coarser scale.
fn reach(buckets: &Buckets, by: u32) -> Option<(i64, i64)> {
    let by = by.min(31);
    let last = buckets.counts.len().checked_sub(1)? as i64;
    Some((i64::from(buckets.offset) >> by, (i64::from(buckets.offset) + last) >> by))
}

/// How many buckets both would have together at scale `to`.
fn width(a: &Buckets, a_scale: i32, b: &Buckets, b_scale: i32, to: i32) -> i64 {
    let (a, b) = (reach(a, a_scale.abs_diff(to)), reach(b, b_scale.abs_diff(to)));
    match (a, b) {
        // Nothing gets narrower than two buckets, one on each side of 1.
        (Some(a), Some(b)) if a_scale.abs_diff(to).min(b_scale.abs_diff(to)) < 31 => a.1.max(b.1) - a.0.min(b.0) + 1,
        _ => 0,
    }
}

fn joined(a: &Buckets, b: &Buckets) -> Buckets {
    let (Some(of_a), Some(of_b)) = (reach(a, 0), reach(b, 0)) else {
        return if a.counts.is_empty() { b.clone() } else { a.clone() };
    };
    let first = of_a.0.min(of_b.0);
    let mut counts = vec![0u64; (of_a.1.max(of_b.1) - first + 1) as usize];
    for (buckets, (begin, _)) in [(a, of_a), (b, of_b)] {
        for (sum, count) in counts[(begin - first) as usize..].iter_mut().zip(&buckets.counts) {
            *sum = sum.saturating_add(*count);
        }
    }
    Buckets { offset: a.offset.min(b.offset), counts }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(start_ns: u64, time_ns: u64, value: f64) -> Point<'static> {
        Point { start_ns, time_ns, number: Some(value), ..Point::default() }
    }

    #[test]
    fn numbers_are_summed_in_order() {
        let mut streams = Streams::new(2, 1000);
        let mut add = |digest, mut point: Point<'static>| {
            let outcome = streams.accumulate(digest, Kind::Counter, &mut point, 0);
            outcome.map(|()| (point.number.unwrap(), point.start_ns))
        };
        assert_eq!(add(1, number(5, 10, 1.0)), Ok((1.0, 5)));
        assert_eq!(add(1, number(10, 20, 2.0)), Ok((3.0, 5)));
        assert!(add(1, number(10, 20, 2.0)).unwrap_err().contains("not later"));
        assert!(add(1, number(4, 30, 2.0)).unwrap_err().contains("begins before"));
        assert_eq!(add(2, number(0, 1, 7.0)), Ok((7.0, 0)));
        assert!(add(3, number(0, 1, 7.0)).unwrap_err().contains("--limits.otlp-delta-streams"));
        assert!(
            add(1, Point { start_ns: 5, time_ns: 40, ..Point::default() }).unwrap_err().contains("without a value")
        );
        assert_eq!(add(1, number(20, 30, 4.0)), Ok((7.0, 5)));
    }

    #[test]
    fn what_is_not_written_is_undone() {
        let mut streams = Streams::new(10, 1000);
        let sum = |streams: &mut Streams, time_ns, value| {
            let mut point = number(0, time_ns, value);
            streams.accumulate(1, Kind::Sum, &mut point, 0).map(|()| point.number.unwrap())
        };
        assert_eq!(sum(&mut streams, 1, 1.0), Ok(1.0));
        streams.keep();
        assert_eq!((sum(&mut streams, 2, 1.0), sum(&mut streams, 3, 1.0)), (Ok(2.0), Ok(3.0)));
        streams.undo();
        assert_eq!(sum(&mut streams, 2, 5.0), Ok(6.0));
        streams.sweep(999);
        assert_eq!(streams.len(), 1);
        streams.sweep(1000);
        assert_eq!(streams.len(), 0);
    }

    #[test]
    fn histograms_are_summed_by_bucket() {
        let mut streams = Streams::new(10, 1000);
        let mut add = |time_ns, bounds: &[f64], counts: &[u64]| {
            let mut point = Point { time_ns, count: counts.iter().sum(), sum: Some(1.0), ..Point::default() };
            (point.bounds, point.counts) = (bounds.to_vec(), counts.to_vec());
            streams.accumulate(1, Kind::Histogram, &mut point, 0).unwrap();
            (point.count, point.sum.unwrap(), point.counts)
        };
        assert_eq!(add(1, &[1.0], &[1, 2]), (3, 1.0, vec![1, 2]));
        assert_eq!(add(2, &[1.0], &[1, 1]), (5, 2.0, vec![2, 3]));
        assert_eq!(add(3, &[2.0], &[1, 1]), (2, 1.0, vec![1, 1]), "other bounds begin anew");
    }

    #[test]
    fn exponential_histograms_are_summed_at_the_coarser_scale() {
        let mut streams = Streams::new(10, 1000);
        let mut add = |time_ns, scale, offset, counts: &[u64]| {
            let positive = Buckets { offset, counts: counts.to_vec() };
            let mut point = Point { time_ns, scale, positive, count: counts.iter().sum(), ..Point::default() };
            streams.accumulate(1, Kind::ExponentialHistogram, &mut point, 0).unwrap();
            (point.count, point.scale, point.positive.offset, point.positive.counts)
        };
        assert_eq!(add(1, 1, 0, &[1, 1, 1, 1]), (4, 1, 0, vec![1, 1, 1, 1]));
        assert_eq!(add(2, 0, 1, &[5]), (9, 0, 0, vec![2, 7]));
        assert_eq!(add(3, 1, -2, &[3]), (12, 0, -1, vec![3, 2, 7]));
        let (count, scale, _, counts) = add(4, 0, 1000, &[1]);
        assert!(count == 13 && scale == -3 && counts.len() <= 160, "{scale} {}", counts.len());
        let (_, scale, _, counts) = add(5, 0, i32::MAX, &[1]);
        assert!(counts.len() <= 160 && counts.iter().sum::<u64>() == 14, "{scale}");
        let (_, _, _, counts) = add(6, 0, i32::MIN, &[1]);
        assert!(counts.len() <= 160 && counts.iter().sum::<u64>() == 15);
    }
}
