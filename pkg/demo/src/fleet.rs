//! The fleet whose metrics the demo invents: every value is a function of the series and the time alone, so two runs
//! over the same days write the same samples.

use labels::Labels;

const DAY_S: f64 = 86_400.0;

/// What a series does over time.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// A counter of `rate` per second by day's average, back to zero when its process restarts.
    Counter {
        rate: f64,
        /// Restarts once every this many seconds, at an offset of its own.
        restart_s: f64,
    },
    /// `base ± swing` over the day.
    Gauge { base: f64, swing: f64 },
    /// 1, but for half an hour now and then.
    Up,
}

#[derive(Debug, Clone)]
pub(crate) struct Invented {
    pub labels: Labels,
    shape: Shape,
    seed: u64,
}

impl Invented {
    /// The value at `t_s` seconds since the epoch.
    pub fn value(&self, t_s: f64) -> f64 {
        let phase = (self.seed % 1000) as f64 / 1000.0;
        match self.shape {
            Shape::Counter { rate, restart_s } => {
                let since = t_s - restart_s * phase;
                let begun = (since / restart_s).floor() * restart_s + restart_s * phase;
                (total(t_s, rate, phase) - total(begun, rate, phase)).floor()
            }
            Shape::Gauge { base, swing } => {
                let day = (std::f64::consts::TAU * (t_s / DAY_S + phase)).sin();
                let noise = (hash(self.seed ^ (t_s / 60.0) as u64) % 1000) as f64 / 1000.0 - 0.5;
                ((base + swing * day + 0.1 * swing * noise) * 1000.0).round() / 1000.0
            }
            Shape::Up => {
                let half_hour = (t_s / 1800.0) as u64;
                if hash(self.seed ^ half_hour).is_multiple_of(97) { 0.0 } else { 1.0 }
            }
        }
    }
}

/// The integral of a rate that swings over the day.
fn total(t_s: f64, rate: f64, phase: f64) -> f64 {
    let angle = std::f64::consts::TAU * (t_s / DAY_S + phase);
    rate * (t_s - 0.5 * DAY_S / std::f64::consts::TAU * angle.cos())
}

/// SplitMix64.
fn hash(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// All series of one cluster, in label order, without external labels.
pub(crate) fn fleet(cluster: &str) -> Vec<Invented> {
    let mut out = Vec::new();
    let mut add = |name: &str, pairs: &[(&str, &str)], shape: Shape| {
        let labels = Labels::from_pairs(pairs.iter().copied().chain([("__name__", name)]));
        let seed = hash(labels.stable_hash() ^ cluster.bytes().fold(0, |h, b| hash(h ^ u64::from(b))));
        out.push(Invented { labels, shape, seed });
    };
    let counter = |rate: f64| Shape::Counter { rate, restart_s: 1.7 * DAY_S };
    for instance in ["api-0:8080", "api-1:8080", "api-2:8080"] {
        let who = [("job", "api"), ("instance", instance)];
        let with = |more: &[(&'static str, &'static str)]| -> Vec<(&str, &str)> { [&who[..], more].concat() };
        add("up", &who, Shape::Up);
        add("process_resident_memory_bytes", &who, Shape::Gauge { base: 3e8, swing: 5e7 });
        add("go_goroutines", &who, Shape::Gauge { base: 120.0, swing: 40.0 });
        add("process_cpu_seconds_total", &who, counter(0.4));
        for (handler, rate) in [("/", 40.0), ("/login", 8.0), ("/cart", 15.0), ("/search", 25.0)] {
            for (code, share) in [("200", 0.97), ("404", 0.02), ("500", 0.01)] {
                add("http_requests_total", &with(&[("handler", handler), ("code", code)]), counter(rate * share));
            }
            let buckets =
                [("0.005", 0.3), ("0.01", 0.5), ("0.05", 0.8), ("0.1", 0.9), ("0.5", 0.97), ("1", 0.99), ("+Inf", 1.0)];
            for (le, share) in buckets {
                let pairs = with(&[("handler", handler), ("le", le)]);
                add("http_request_duration_seconds_bucket", &pairs, counter(rate * share));
            }
            add("http_request_duration_seconds_count", &with(&[("handler", handler)]), counter(rate));
            add("http_request_duration_seconds_sum", &with(&[("handler", handler)]), counter(rate * 0.06));
        }
    }
    for instance in ["node-0:9100", "node-1:9100", "node-2:9100"] {
        let who = [("job", "node"), ("instance", instance)];
        add("up", &who, Shape::Up);
        add("node_load1", &who, Shape::Gauge { base: 2.0, swing: 1.5 });
        add("node_memory_MemAvailable_bytes", &who, Shape::Gauge { base: 8e9, swing: 2e9 });
        add("node_filesystem_avail_bytes", &who, Shape::Gauge { base: 4e10, swing: 5e9 });
        for cpu in ["0", "1"] {
            for (mode, rate) in [("idle", 0.8), ("user", 0.12), ("system", 0.06), ("iowait", 0.02)] {
                let pairs = [&who[..], &[("cpu", cpu), ("mode", mode)]].concat();
                add("node_cpu_seconds_total", &pairs, counter(rate));
            }
        }
    }
    out.sort_by(|a, b| a.labels.cmp(&b.labels));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_a_function_of_series_and_time() {
        let (a, b) = (fleet("eu-1"), fleet("eu-1"));
        assert!(a.len() > 100 && a.windows(2).all(|w| w[0].labels < w[1].labels));
        for (x, y) in a.iter().zip(&b) {
            assert_eq!(x.value(1.7e9).to_bits(), y.value(1.7e9).to_bits());
        }
        assert!(a.iter().zip(fleet("us-1")).any(|(x, y)| x.value(1.7e9) != y.value(1.7e9)));
    }

    #[test]
    fn counters_rise_and_sometimes_restart() {
        let fleet = fleet("eu-1");
        let counter = fleet.iter().find(|s| s.labels.metric_name() == "http_requests_total").unwrap();
        let values: Vec<_> = (0..20_000).map(|i| counter.value(1.7e9 + f64::from(i) * 30.0)).collect();
        let falls = values.windows(2).filter(|w| w[1] < w[0]).count();
        assert!((1..=5).contains(&falls), "{falls}");
    }
}
