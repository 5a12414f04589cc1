//! Every function over raw, 5 m and 1 h data of random series, at every mode: an answer lies between what raw samples give
//! for the range shrunk and grown by a window at each end, is there where any sample is, and is not where none is.

mod common;

use std::sync::Arc;

use common::blocks::{Blocks, PIECE, RESOLUTIONS, START, blocks};
use common::{DAY, FIVE, HOUR, MINUTE, Random, Sample, range, rise, steps};
use promql::{QueryResult, ReadOptions};
use storage::SeriesSource;

const DAYS: i64 = 3;

/// What a series is like.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// Between samples, ms.
    scrape: i64,
    counter: bool,
    /// Restarts, or falls, come once in so many samples.
    falls: u64,
}

/// Samples over some days: the series may begin late, end early, and pause.
fn samples(kind: Kind, random: &mut Random) -> Vec<Sample> {
    let begin = START + if random.below(3) == 0 { random.below(24) as i64 * HOUR } else { 0 };
    let end = START + DAYS * DAY - if random.below(3) == 0 { random.below(DAY as u64) as i64 } else { 0 };
    let pauses: Vec<(i64, i64)> = (0..random.below(5))
        .map(|_| {
            let from = START + random.below((DAYS * DAY) as u64) as i64;
            let long = [20 * MINUTE, 40 * MINUTE, 90 * MINUTE, 5 * HOUR, 26 * HOUR][random.below(5) as usize];
            (from, from + long)
        })
        .collect();
    // Of samples hours apart, windows of 5 m that all end on the hour look like those of 1 h.
    let phase = random.below(kind.scrape.min(50 * MINUTE) as u64) as i64;
    let mut value = 1000.0;
    let mut out = Vec::new();
    let mut time = begin + phase;
    while time < end {
        value = match kind {
            Kind { counter: true, falls, .. } if random.below(falls) == 0 => random.below(3) as f64,
            Kind { counter: true, .. } => value + (10 + random.below(5)) as f64,
            Kind { falls, .. } if random.below(falls) == 0 => random.below(1000) as f64 - 500.0,
            _ => value,
        };
        if !pauses.iter().any(|(from, to)| (*from..*to).contains(&time)) {
            out.push((time, value));
        }
        time += kind.scrape;
    }
    out
}

/// Which resolutions are allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    Auto,
    Given(i64),
}

impl Mode {
    fn options(self, step: i64) -> ReadOptions {
        match self {
            Self::Auto => ReadOptions { max_resolution_ms: step / 5, auto_resolution: true, ..ReadOptions::default() },
            Self::Given(max_resolution_ms) => {
                ReadOptions { max_resolution_ms, lookback_ms: max_resolution_ms.max(FIVE), ..ReadOptions::default() }
            }
        }
    }
}

/// The truth about a step, and what its resolution leaves open.
struct Truth<'a> {
    samples: &'a [Sample],
    kind: Kind,
    /// Of the range.
    start: i64,
    end: i64,
    /// The longest window that may answer; 0 where all is raw.
    window: i64,
}

impl<'a> Truth<'a> {
    /// The samples of the range, `more` longer at each end.
    fn of(&self, more: i64) -> &'a [Sample] {
        let upto = |t: i64| self.samples.partition_point(|s| s.0 <= t);
        let (from, to) = (upto(self.start - more), upto(self.end + more));
        &self.samples[from.min(to)..to]
    }

    fn inside(&self) -> &'a [Sample] {
        self.of(0)
    }

    fn grown(&self) -> &'a [Sample] {
        self.of(if self.window > 0 { self.window + 1 } else { 0 })
    }

    fn shrunk(&self) -> &'a [Sample] {
        self.of(if self.window > 0 { -self.window - 1 } else { 0 })
    }

    /// The least and the greatest value that may be, and whether there has to be one.
    fn bounds(&self, function: &str) -> (f64, f64, bool) {
        let (inside, grown, shrunk) = (self.inside(), self.grown(), self.shrunk());
        let least = |s: &[Sample]| s.iter().map(|s| s.1).fold(f64::INFINITY, f64::min);
        let most = |s: &[Sample]| s.iter().map(|s| s.1).fold(f64::NEG_INFINITY, f64::max);
        let total = |s: &[Sample]| s.iter().map(|s| s.1).sum::<f64>();
        let falls = |s: &[Sample]| s.windows(2).filter(|w| w[1].1 < w[0].1).count() as f64;
        let differ = |s: &[Sample]| s.windows(2).filter(|w| w[1].1 != w[0].1).count() as f64;
        let rises = |s: &[Sample]| s.first().map_or(0.0, |f| rise(s, f.0, s[s.len() - 1].0));
        let (any, two) = (!inside.is_empty(), inside.len() > 1);
        let span = most(grown) - least(grown);
        // Extrapolated by little more than the spacing at each end.
        let far = 1.0 + 2.2 / (inside.len().max(2) - 1) as f64;
        match function {
            "count" => (shrunk.len() as f64, grown.len() as f64, any),
            "sum" => {
                let inner =
                    |s: &&Sample| shrunk.first().is_some_and(|f| (f.0..=shrunk[shrunk.len() - 1].0).contains(&s.0));
                let ends = grown.iter().filter(|s| !inner(s));
                let (down, up): (f64, f64) = ends.fold((0.0, 0.0), |(d, u), s| (d + s.1.min(0.0), u + s.1.max(0.0)));
                (total(shrunk) + down, total(shrunk) + up, any)
            }
            "min" if !shrunk.is_empty() => (least(grown), least(shrunk), any),
            "max" if !shrunk.is_empty() => (most(shrunk), most(grown), any),
            "stddev" => (0.0, span / 2.0, any),
            "stdvar" => (0.0, span * span / 4.0, any),
            "mad" => (0.0, span, any),
            "present" => (1.0, 1.0, any),
            "ts" => {
                let ends = (self.start - self.window - 1).min(self.end);
                (ends as f64 / 1000.0, self.end as f64 / 1000.0, any)
            }
            "changes" => (0.0, differ(grown), any),
            "resets" => (0.0, falls(grown), any),
            "increase" => (rises(shrunk), rises(grown) * far, two),
            "irate" => {
                let wide = self.of(2 * self.window + self.kind.scrape);
                let most = wide.windows(2).map(|w| if w[1].1 < w[0].1 { w[1].1 } else { w[1].1 - w[0].1 });
                (0.0, most.fold(0.0, f64::max) * 1.5 / (self.kind.scrape as f64 / 1000.0), two)
            }
            // The window before may be needed to tell.
            "delta" | "idelta" => {
                let wide = self.of(2 * self.window + 1);
                let far = if function == "delta" { 3.3 } else { 1.0 };
                ((least(wide) - most(wide)) * far, (most(wide) - least(wide)) * far, two)
            }
            "anchored" => (rises(shrunk), rises(self.of(self.window + HOUR)), two),
            "any two" => (f64::MIN, f64::MAX, two),
            // Between the extremes.
            _ => (least(grown), most(grown), any),
        }
    }
}

/// Query, with `R` for the range and `S` for its seconds; what bounds it; whether it takes counters, gauges or both.
const RANGES: [(&str, &str, Option<bool>); 27] = [
    ("count_over_time(m_total[R])", "count", None),
    ("sum_over_time(m_total[R])", "sum", None),
    ("avg_over_time(m_total[R])", "", None),
    ("min_over_time(m_total[R])", "min", None),
    ("max_over_time(m_total[R])", "max", None),
    ("last_over_time(m_total[R])", "", None),
    ("first_over_time(m_total[R])", "", None),
    ("quantile_over_time(0.4, m_total[R])", "", None),
    ("stddev_over_time(m_total[R])", "stddev", None),
    ("stdvar_over_time(m_total[R])", "stdvar", None),
    ("mad_over_time(m_total[R])", "mad", None),
    ("present_over_time(m_total[R])", "present", None),
    ("ts_of_first_over_time(m_total[R])", "ts", None),
    ("ts_of_last_over_time(m_total[R])", "ts", None),
    ("ts_of_min_over_time(m_total[R])", "ts", None),
    ("ts_of_max_over_time(m_total[R])", "ts", None),
    ("changes(m_total[R])", "changes", None),
    ("resets(m_total[R])", "resets", None),
    ("increase(m_total[R])", "increase", Some(true)),
    ("sum(rate(m_total[R])) * S", "increase", Some(true)),
    ("irate(m_total[R])", "irate", Some(true)),
    ("delta(m_total[R])", "delta", Some(false)),
    ("idelta(m_total[R])", "idelta", Some(false)),
    ("deriv(m_total[R])", "any two", Some(false)),
    ("predict_linear(m_total[R], 600)", "any two", Some(false)),
    ("double_exponential_smoothing(m_total[R], 0.5, 0.5)", "any two", Some(false)),
    ("increase(m_total[R] anchored)", "anchored", Some(true)),
];

const INSTANTS: [(&str, &str); 6] = [
    ("m_total", ""),
    ("sum(m_total)", ""),
    ("min(m_total)", ""),
    ("max(m_total)", ""),
    ("count(m_total)", "present"),
    ("timestamp(m_total)", "ts"),
];

/// One case: a series, its blocks, a mode and steps.
struct Case {
    name: String,
    kind: Kind,
    samples: Vec<Sample>,
    store: Arc<Blocks>,
    mode: Mode,
    times: (i64, i64, i64),
    /// Chunks end at its multiples.
    cut: i64,
}

impl Case {
    fn random(round: u64) -> Self {
        let mut random = Random(round * 7919 + 1);
        let kind = Kind {
            scrape: [15_000, MINUTE, MINUTE, 10 * MINUTE, 30 * MINUTE, 2 * HOUR][random.below(6) as usize],
            counter: random.below(2) == 0,
            falls: [5, 50, 1000][random.below(3) as usize],
        };
        let mode = [Mode::Auto, Mode::Auto, Mode::Given(0), Mode::Given(FIVE), Mode::Given(HOUR)];
        let mode = mode[random.below(5) as usize];
        let limit = if let Mode::Given(limit) = mode { limit } else { HOUR };
        let style = random.below(4);
        let mut pieces: Vec<Vec<i64>> = Vec::new();
        while pieces.len() < (DAYS * DAY / PIECE) as usize + 1 {
            let at = pieces.len() as i64 * PIECE / DAY;
            let mut kinds: Vec<i64> = match style {
                // One resolution only.
                0 => vec![RESOLUTIONS[round as usize % 3]],
                // What retention leaves.
                1 => RESOLUTIONS[2 - at.min(2) as usize..].to_vec(),
                2 => RESOLUTIONS.to_vec(),
                _ => RESOLUTIONS.into_iter().filter(|_| random.below(2) == 0).collect(),
            };
            // What the mode does not show is tried elsewhere.
            if !kinds.iter().any(|r| *r <= limit) {
                kinds.push(limit);
            }
            for _ in 0..=random.below(12) {
                pieces.push(kinds.clone());
            }
        }
        let step = [15_000, 50_000, 5 * MINUTE, 26 * MINUTE, HOUR, 6 * HOUR][random.below(6) as usize];
        let from = START + random.below((DAYS * DAY) as u64) as i64;
        let from = if random.below(2) == 0 { from - from % step } else { from };
        // A chunk lies within one block.
        let cut = match style {
            1 => DAY,
            3 => PIECE,
            _ => [PIECE, DAY, DAYS * DAY][random.below(3) as usize],
        };
        let samples = samples(kind, &mut random);
        let store = Arc::new(blocks(&samples, cut, |i| pieces[i].clone()));
        let times = (from, from + 40 * step, step);
        let name = format!("round {round}, {kind:?}, {mode:?}, cut {cut}");
        Self { name, kind, samples, store, mode, times, cut }
    }

    /// The longest window that may answer around the step.
    fn window(&self, start: i64, end: i64, max_resolution_ms: i64) -> i64 {
        let coarsest_ms = match self.mode {
            Mode::Auto => Some(i64::MAX),
            Mode::Given(limit) => Some(limit),
        };
        let piece = |t: i64| ((t - START).max(0) / PIECE) as usize;
        let among = piece(start - 3 * HOUR)..=piece(end + 2 * HOUR);
        among.filter_map(|p| self.store.choice(p, max_resolution_ms, coarsest_ms)).max().unwrap_or(0)
    }

    async fn ask(&self, query: &str) -> QueryResult {
        let source: Arc<dyn SeriesSource> = self.store.clone();
        range(&source, query, self.times, &self.mode.options(self.times.2)).await
    }

    /// Tries `query`; `look_ms` is its range, or the lookback of an instant selector.
    async fn check(&self, query: &str, bound: &str, look_ms: i64, max_resolution_ms: i64, wrong: &mut Vec<String>) {
        let result = self.ask(query).await;
        let (mut long, mut short) = (false, true);
        for (i, v) in steps(&result).into_iter().enumerate() {
            let end = self.times.0 + i as i64 * self.times.2;
            let start = end - look_ms;
            let window = self.window(start, end, max_resolution_ms);
            let truth = Truth { samples: &self.samples, kind: self.kind, start, end, window };
            let (least, most, needed) = truth.bounds(bound);
            let near = 1e-6 * (1.0 + least.abs().max(most.abs()).min(1e12));
            let right = match v {
                None => !needed,
                Some(v) => (!truth.grown().is_empty() || bound == "anchored") && v >= least - near && v <= most + near,
            };
            if !right && wrong.last().is_none_or(|w| !w.contains(&format!("{}: {query} ", self.name))) {
                wrong.push(format!(
                    "{}: {query} is {v:?} at {end}, step {i} of {:?}, window {window}, not in {least}..{most}, needed {needed}",
                    self.name, self.times
                ));
            }
            short &= 2 * window <= look_ms;
            // Of a chunk with one window it is not known how long that is.
            let known = self.kind.scrape < HOUR && self.cut > PIECE;
            long |= v.is_some() && known && self.only(start, end, window) && 2 * window > look_ms;
        }
        let said = result.annotations.iter().any(|a| a.text.contains("too coarse"));
        if query.contains('[') && ((long && !said) || (short && said)) {
            wrong.push(format!("{}: {query} says of wider windows: {said}", self.name));
        }
    }

    /// Whether all that may answer has windows as long as `window`.
    fn only(&self, start: i64, end: i64, window: i64) -> bool {
        let piece = |t: i64| ((t - START).max(0) / PIECE) as usize;
        (piece(start - 3 * HOUR)..=piece(end + 2 * HOUR))
            .all(|p| self.store.pieces.get(p).is_none_or(|r| r.iter().all(|r| *r == window)))
    }
}

async fn try_rounds(rounds: std::ops::Range<u64>) {
    let mut wrong = Vec::new();
    for round in rounds {
        let case = Case::random(round);
        let step = case.times.2;
        let limit = case.mode.options(step).max_resolution_ms;
        let lookback = case.mode.options(step).lookback_ms.max(FIVE);
        let mut random = Random(round);
        for (query, bound, counters) in RANGES {
            if counters.is_some_and(|c| c != case.kind.counter) {
                continue;
            }
            let r = [MINUTE, 5 * MINUTE, 17 * MINUTE, HOUR, 100 * MINUTE, 6 * HOUR][random.below(6) as usize];
            let seconds = (r / 1000).to_string();
            let query = query.replace("[R", &format!("[{seconds}s")).replace('S', &seconds);
            case.check(&query, bound, r, limit.min(r / 2), &mut wrong).await;
        }
        for (query, bound) in INSTANTS {
            case.check(query, bound, lookback, limit, &mut wrong).await;
        }
    }
    let some = &wrong[..wrong.len().min(40)];
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), some.join("\n"));
}

#[tokio::test]
async fn answers_are_explained_by_the_resolution() {
    try_rounds(0..160).await;
}

/// At ends of windows, ranges of whole windows give what raw samples give.
#[tokio::test]
async fn ends_of_windows_are_exact() {
    for round in 0..20 {
        let mut random = Random(round + 99);
        let kind = Kind { scrape: [15_000, 7 * MINUTE][round as usize % 2], counter: false, falls: 5 };
        let samples = samples(kind, &mut random);
        for level in [FIVE, HOUR] {
            let store: Arc<dyn SeriesSource> = Arc::new(blocks(&samples, DAY, |_| vec![level]));
            for mode in [Mode::Auto, Mode::Given(level)] {
                // Windows end a ms before their multiples; a step on the multiple sees the same.
                for late in [0, 1] {
                    let times = (START + HOUR - 1 + late, START + DAYS * DAY, HOUR);
                    for function in ["count", "sum", "avg", "min", "max", "present"] {
                        let query = format!("{function}_over_time(m_total[2h])");
                        let got = steps(&range(&store, &query, times, &mode.options(HOUR)).await);
                        for (i, v) in got.into_iter().enumerate() {
                            let end = times.0 + i as i64 * HOUR - late;
                            let truth = Truth { samples: &samples, kind, start: end - 2 * HOUR, end, window: 0 };
                            let inside = truth.inside();
                            let values = || inside.iter().map(|s| s.1);
                            let n = inside.len() as f64;
                            let want = match function {
                                "count" => n,
                                "sum" => values().sum(),
                                "avg" => values().sum::<f64>() / n,
                                "min" => values().fold(f64::INFINITY, f64::min),
                                "max" => values().fold(f64::NEG_INFINITY, f64::max),
                                _ => 1.0,
                            };
                            let what = format!("round {round}: {query} at {level}, {mode:?}, step {i}, late {late}");
                            common::assert_near(v, (!inside.is_empty()).then_some(want), &what);
                        }
                    }
                }
            }
        }
    }
}
