//! The samples of the end-to-end tests: a small fleet whose every value is a function of series and tick alone.
//!
//! What it holds on purpose: counters that reset, gauges below zero, classic histograms, series that come and go with
//! stale markers, NaN and infinities, a label that changes half way, label values in UTF-8, rare samples. Samples lie
//! 123 ms (and 2 s an instance) off the grid of steps, so that none falls on a window's edge.

/// The first tick, ms since the epoch: the start of a two-hour block and 123 ms.
pub const START_MS: i64 = 1_700_006_400_123;
/// Between two ticks, ms.
pub const TICK_MS: i64 = 30_000;
/// An hour, ms.
pub const HOUR_MS: i64 = 3_600_000;
/// Ticks in all: 9 h 27 min, so that Prometheus cuts four blocks and keeps an hour and a half in its head.
pub const TICKS: i64 = 1134;

/// The value that ends a series, as Prometheus writes it.
const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);
/// Ticks between two resets of a counter, and how many more for each seed.
const RESET_TICKS: (i64, u64) = (310, 170);

#[derive(Debug, Clone, Copy)]
enum Shape {
    /// Rises by about this much a tick, back to zero at resets; divided by the second number.
    Counter(i64, f64),
    /// All buckets up to this one of a histogram.
    Bucket(usize),
    /// The sum of a histogram.
    Sum,
    /// Two decimals around a base.
    Gauge { base: f64, swing: f64 },
    /// Small whole numbers from -5 to 5.
    Steps,
    /// There for twenty minutes, gone for twenty.
    Intermittent,
    /// Cycles through these.
    Cycle(&'static [f64]),
    /// 1, until or from the tick in the middle.
    Half { first: bool },
    /// One sample in eight ticks.
    Rare,
}

/// One series.
#[derive(Debug, Clone)]
pub struct Series {
    /// Label pairs in order of name.
    pub labels: Vec<(String, String)>,
    /// Added to each tick's time, ms.
    pub offset_ms: i64,
    shape: Shape,
    seed: u64,
}

/// Upper bounds of the histograms, and each bucket's own share of events a tick.
const BUCKETS: [(&str, i64); 7] =
    [("0.005", 9), ("0.01", 7), ("0.05", 5), ("0.1", 3), ("0.5", 2), ("1", 1), ("+Inf", 1)];

impl Series {
    /// The sample's value at `tick`, `None` where there is none. The last of a life is a stale marker.
    pub fn value(&self, tick: i64) -> Option<f64> {
        let noise = hash(self.seed ^ tick as u64);
        Some(match self.shape {
            Shape::Counter(rate, divisor) => self.counted(self.seed, rate, tick) as f64 / divisor,
            Shape::Bucket(last) => {
                (0..=last).map(|b| self.counted(self.seed + b as u64, BUCKETS[b].1, tick)).sum::<i64>() as f64
            }
            Shape::Sum => self.counted(self.seed, 50, tick) as f64 / 64.0,
            Shape::Gauge { base, swing } => {
                let wave = ((tick as f64 + (self.seed % 97) as f64) / 41.0).sin();
                let random = (noise % 1000) as f64 / 1000.0;
                ((base + swing * (wave + 0.3 * random)) * 100.0).round() / 100.0
            }
            Shape::Steps => (hash(self.seed ^ (tick / 7) as u64) % 11) as f64 - 5.0,
            Shape::Intermittent => {
                let phase = tick + (self.seed % 40) as i64;
                match (phase / 40 % 2 == 0, phase % 40) {
                    (true, _) => (1000 + phase) as f64,
                    (false, 0) => STALE,
                    _ => return None,
                }
            }
            Shape::Cycle(values) => values[((tick as u64 + self.seed) / 3) as usize % values.len()],
            Shape::Half { first } => match (tick < TICKS / 2, tick == TICKS / 2) {
                (true, _) if first => 1.0,
                (false, true) if first => STALE,
                (false, _) if !first => 1.0,
                _ => return None,
            },
            Shape::Rare if (tick + (self.seed % 8) as i64) % 8 == 0 => (noise % 100) as f64,
            Shape::Rare => return None,
        })
    }

    /// Its time at `tick`, ms since the epoch.
    pub fn time_ms(&self, tick: i64) -> i64 {
        START_MS + tick * TICK_MS + self.offset_ms
    }

    /// A count since the last reset. The resets of one series' buckets agree, since only the offset has a say in them.
    fn counted(&self, seed: u64, rate: i64, tick: i64) -> i64 {
        let period = RESET_TICKS.0 + (hash(self.offset_ms as u64) % RESET_TICKS.1) as i64;
        // from well above zero: Prometheus 2 and 3 extrapolate a counter's begin differently where it is near zero
        let since = (tick + 200) % period;
        rate * since + (hash(seed ^ tick as u64) % rate.max(1) as u64) as i64
    }
}

/// SplitMix64.
fn hash(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The series of one cluster with so many instances.
pub fn fleet(cluster: &str, instances: usize) -> Vec<Series> {
    let mut out = Vec::new();
    for i in 0..instances {
        let instance = format!("host-{i}:8080");
        let mut add = |name: &str, pairs: &[(&str, &str)], shape: Shape| {
            let base = [("__name__", name), ("job", "demo"), ("instance", instance.as_str())];
            let mut labels: Vec<(String, String)> =
                base.iter().chain(pairs).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            labels.sort();
            // buckets and count of one histogram share a seed, or they would not fit together
            let of_cluster = cluster.bytes().fold(0, |h, byte| hash(h ^ u64::from(byte)));
            let seed = labels.iter().filter(|(k, _)| k != "le").fold(of_cluster, |h, (k, v)| {
                let v = v.trim_end_matches("_bucket").trim_end_matches("_count");
                k.bytes().chain(v.bytes()).fold(h, |h, byte| hash(h ^ u64::from(byte)))
            });
            out.push(Series { labels, offset_ms: 2000 * i as i64, shape, seed: seed >> 1 });
        };
        for path in ["/", "/cart"] {
            for (code, rate) in [("200", 40), ("404", 4), ("500", 2)] {
                for method in ["GET", "POST"] {
                    let pairs = [("path", path), ("code", code), ("method", method)];
                    add("demo_requests_total", &pairs, Shape::Counter(rate, 1.0));
                }
            }
            for (b, (le, _)) in BUCKETS.iter().enumerate() {
                add("demo_duration_seconds_bucket", &[("path", path), ("le", le)], Shape::Bucket(b));
            }
            add("demo_duration_seconds_sum", &[("path", path)], Shape::Sum);
            add("demo_duration_seconds_count", &[("path", path)], Shape::Bucket(BUCKETS.len() - 1));
        }
        for (mode, rate) in [("idle", 2500), ("user", 400), ("system", 90)] {
            add("demo_cpu_seconds_total", &[("mode", mode)], Shape::Counter(rate, 100.0));
        }
        for (kind, base) in [("free", 4e9), ("buffers", 1e8), ("cached", 2e9), ("used", 1e10)] {
            add("demo_memory_bytes", &[("type", kind)], Shape::Gauge { base, swing: base / 5.0 });
        }
        for site in ["Zürich", "東京", "a \"b\" \\c\n"] {
            add("demo_temperature_celsius", &[("site", site)], Shape::Gauge { base: 1.5, swing: 12.0 });
        }
        for queue in ["in", "out"] {
            add("demo_balance", &[("queue", queue)], Shape::Steps);
        }
        for slot in ["1", "2"] {
            add("demo_job_running", &[("slot", slot)], Shape::Intermittent);
        }
        add("demo_weird", &[("kind", "nan")], Shape::Cycle(&[f64::NAN]));
        add("demo_weird", &[("kind", "inf")], Shape::Cycle(&[f64::INFINITY, 1.0, 2.0]));
        add("demo_weird", &[("kind", "neg")], Shape::Cycle(&[f64::NEG_INFINITY, -0.0, -3.5]));
        add("demo_weird", &[("kind", "mixed")], Shape::Cycle(&[f64::NAN, 7.0, f64::INFINITY, 1e-300, 1e300]));
        add("demo_info", &[("version", "1.9.0")], Shape::Half { first: true });
        add("demo_info", &[("version", "1.10.0")], Shape::Half { first: false });
        add("demo_backup_age", &[], Shape::Rare);
        add("demo_limit", &[], Shape::Cycle(&[100.0]));
        add("demo_up", &[], Shape::Cycle(&[1.0, 1.0, 1.0, 1.0, 0.0]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_it_says() {
        let fleet = fleet("eu", 2);
        assert!(fleet.len() > 80, "{}", fleet.len());
        let of = |name: &str| fleet.iter().find(|s| s.labels.contains(&("__name__".into(), name.into()))).unwrap();
        let requests: Vec<_> = (0..TICKS).filter_map(|t| of("demo_requests_total").value(t)).collect();
        let resets = requests.windows(2).filter(|w| w[1] < w[0]).count();
        assert!((1..5).contains(&resets), "{resets} resets");
        let running: Vec<_> = (0..TICKS).map(|t| of("demo_job_running").value(t)).collect();
        assert!(running.iter().flatten().any(|v| v.to_bits() == STALE.to_bits()) && running.contains(&None));
    }

    #[test]
    fn buckets_rise() {
        let fleet = fleet("eu", 1);
        let is_bucket = |s: &&Series| s.labels.iter().any(|(_, v)| v == "demo_duration_seconds_bucket");
        let buckets: Vec<_> = fleet.iter().filter(is_bucket).take(BUCKETS.len()).collect();
        for tick in 0..TICKS {
            let values: Vec<_> = buckets.iter().filter_map(|b| b.value(tick)).collect();
            assert!(values.windows(2).all(|w| w[0] <= w[1]), "{values:?}");
        }
    }
}
