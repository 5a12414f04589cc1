//! Random data, and random queries over it.

use std::sync::Arc;

use chunkenc::{Appended, Encoding, FloatHistogramAppender, ResetFlag, encode_xor};
use histogram::{FloatHistogram, Span};
use labels::Labels;
use storage::{Chunk, MemorySource, Series, SeriesSource};

use super::{MINUTE, Random};

fn float(random: &mut Random, last: f64) -> f64 {
    match random.below(24) {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => model::stale_nan(),
        3 | 4 => random.below(5) as f64,
        5 => -1.5,
        _ => (if last.is_finite() { last } else { 0.0 }) + random.below(20) as f64 / 4.0,
    }
}

fn histogram(random: &mut Random, last: f64) -> FloatHistogram {
    let buckets: Vec<f64> = (0..3).map(|_| last + random.below(9) as f64).collect();
    FloatHistogram {
        count: buckets.iter().sum::<f64>() + 1.0,
        sum: last * 3.0,
        zero_count: 1.0,
        zero_threshold: 0.001,
        schema: if random.below(8) == 0 { 1 } else { 0 },
        positive_spans: vec![Span { offset: random.below(2) as i32, length: 3 }],
        positive_buckets: buckets,
        ..FloatHistogram::default()
    }
}

fn floats(random: &mut Random, from: i64) -> Chunk {
    let (mut at, mut last, mut all) = (from + random.below(9_000) as i64, 0.0, Vec::new());
    for _ in 0..20 {
        last = float(random, last);
        all.push((at, last));
        at += if random.below(12) == 0 { 7 * MINUTE } else { 30_000 };
    }
    Chunk::raw(all[0].0, all[all.len() - 1].0, Encoding::Xor, encode_xor(all.iter().copied()).unwrap().into())
}

fn histograms(random: &mut Random, from: i64) -> Vec<Chunk> {
    let mut at = from + random.below(9_000) as i64;
    let (mut appender, mut out, mut first, mut last) =
        (FloatHistogramAppender::new(ResetFlag::Unknown), Vec::new(), at, at);
    for i in 0..20 {
        let level = if random.below(9) == 0 { 0.0 } else { f64::from(i) * 4.0 };
        let h = histogram(random, level);
        if let Appended::Cut(next) = appender.append(at, &h).unwrap() {
            out.push(Chunk::raw(first, last, Encoding::FloatHistogram, appender.to_vec().into()));
            appender = FloatHistogramAppender::new(next);
            assert!(!matches!(appender.append(at, &h).unwrap(), Appended::Cut(_)));
            first = at;
        }
        last = at;
        at += if random.below(12) == 0 { 7 * MINUTE } else { 30_000 };
    }
    out.push(Chunk::raw(first, last, Encoding::FloatHistogram, appender.to_vec().into()));
    out
}

/// Floats and native histograms with gaps, resets, NaN, Inf and stale markers.
pub fn source(random: &mut Random) -> Arc<dyn SeriesSource> {
    let mut all = Vec::new();
    for name in ["a_total", "b", "c", "h", "mixed", "le_bucket"] {
        for (i, j) in [("0", "x"), ("0", "y"), ("1", "x"), ("2", "")] {
            if random.below(6) == 0 {
                continue;
            }
            let mut pairs = vec![("__name__", name), ("i", i), ("j", j)];
            if name == "le_bucket" {
                pairs = vec![("__name__", name), ("i", i), ("le", if j == "y" { "1" } else { "+Inf" })];
            }
            let is_native = name == "h" || (name == "mixed" && i == "0");
            let mut chunks = if is_native { histograms(random, 0) } else { vec![floats(random, 0)] };
            if name == "mixed" {
                chunks.push(floats(random, 40 * MINUTE));
            }
            all.push(Series { labels: Labels::from_pairs(pairs.into_iter().filter(|(_, v)| !v.is_empty())), chunks });
        }
    }
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    all.dedup_by(|a, b| a.labels == b.labels);
    Arc::new(MemorySource::new(all))
}

/// Writes queries. What it wrote before comes back now and then, so that there is something to share.
pub struct Writer<'a> {
    pub random: &'a mut Random,
    pub vectors: Vec<String>,
}

impl Writer<'_> {
    fn one(&mut self, list: &[&str]) -> String {
        list[self.random.below(list.len() as u64) as usize].to_owned()
    }

    fn selector(&mut self) -> String {
        let name = self.one(&["a_total", "b", "c", "h", "mixed", "le_bucket", "", "a_total", "b"]);
        let matchers = if name.is_empty() { &["{__name__=~\"b|c\"}", "{i=\"0\"}"][..] } else { MATCHERS };
        format!("{name}{}", self.one(matchers))
    }

    fn modifier(&mut self) -> String {
        self.one(&["", "", "", "", " offset 1m", " @ 900", " @ end()", " @ start() offset -1m", " offset 2m"])
    }

    /// A query that gives a vector.
    pub fn vector(&mut self, depth: u64) -> String {
        let again = self.random.below(4) == 0;
        if again && let Some(text) = (!self.vectors.is_empty()).then(|| self.random.below(self.vectors.len() as u64)) {
            return self.vectors[text as usize].clone();
        }
        let text = self.new_vector(depth);
        self.vectors.push(text.clone());
        text
    }

    fn new_vector(&mut self, depth: u64) -> String {
        if depth == 0 {
            return format!("{}{}", self.selector(), self.modifier());
        }
        let depth = depth - 1;
        match self.random.below(17) {
            0 => format!("{}{}", self.selector(), self.modifier()),
            1 | 2 => format!("{}({}[5m]{})", self.one(RANGES), self.selector(), self.modifier()),
            3 => format!(
                "{}(({})[4m:{}]{})",
                self.one(RANGES),
                self.vector(depth),
                self.one(&["1m", ""]),
                self.modifier()
            ),
            4..=6 => {
                let op = self.one(&[
                    "sum",
                    "avg",
                    "count",
                    "min",
                    "max",
                    "group",
                    "stddev",
                    "quantile",
                    "topk",
                    "count_values",
                    "limitk",
                ]);
                let param = match op.as_str() {
                    "quantile" => format!("{}, ", self.scalar(depth)),
                    "topk" | "limitk" => "2, ".to_owned(),
                    "count_values" => "\"v\", ".to_owned(),
                    _ => String::new(),
                };
                let grouping = self.one(&["", "by (i)", "by (i, j)", "without (j)", "by (j)"]);
                format!("{op} {grouping} ({param}{})", self.vector(depth))
            }
            7..=9 => {
                let op = self.one(&["+", "/", "*", "> bool", "<", "==", "and", "or", "unless", "and", "-"]);
                let mut matching = self.one(&["", "", "on (i)", "on (i, j)", "ignoring (j)", "on ()"]);
                if !["and", "or", "unless"].contains(&op.as_str()) && !matching.is_empty() {
                    matching.push_str(&self.one(&["", " group_left ()", " group_right (j)", " fill (0)"]));
                }
                format!("({} {op} {matching} {})", self.vector(depth), self.vector(depth))
            }
            10 => format!("({} {} {})", self.vector(depth), self.one(&["+", "*", "> ", "== bool"]), self.scalar(depth)),
            11 => format!("{}({})", self.one(MATHS), self.vector(depth)),
            12 => format!("clamp({}, {}, {})", self.vector(depth), self.scalar(depth), self.scalar(depth)),
            13 => format!("-({})", self.vector(depth)),
            14 => format!("histogram_quantile({}, {})", self.scalar(depth), self.vector(depth)),
            15 => format!(
                "label_replace({}, \"{}\", \"n$1\", \"i\", \"(.*)\")",
                self.vector(depth),
                self.one(&["j", "k"])
            ),
            _ => format!("vector({})", self.scalar(depth)),
        }
    }

    fn scalar(&mut self, depth: u64) -> String {
        if depth == 0 {
            return self.one(&["0.5", "2", "time()", "-1", "NaN", "pi()", "0.9"]);
        }
        match self.random.below(6) {
            0 => format!("scalar({})", self.vector(depth - 1)),
            1 => format!(
                "({} {} {})",
                self.scalar(depth - 1),
                self.one(&["+", "*", "/", "%", "^"]),
                self.scalar(depth - 1)
            ),
            2 => format!("min_of({}, {})", self.scalar(depth - 1), self.scalar(depth - 1)),
            3 => format!("-({})", self.scalar(depth - 1)),
            _ => self.scalar(0),
        }
    }
}

const MATCHERS: &[&str] = &["", "", "{i=\"0\"}", "{i=~\"0|1\"}", "{j!=\"x\"}", "{j=\"\"}", "{i=\"1\",j=\"x\"}"];

const RANGES: &[&str] = &[
    "rate",
    "increase",
    "delta",
    "sum_over_time",
    "count_over_time",
    "last_over_time",
    "max_over_time",
    "present_over_time",
    "absent_over_time",
    "changes",
    "irate",
];

const MATHS: &[&str] = &[
    "abs",
    "sort",
    "sort_desc",
    "timestamp",
    "absent",
    "hour",
    "histogram_count",
    "histogram_sum",
    "histogram_avg",
    "histogram_stddev",
    "round",
];
