//! The fleet whose metrics the demo invents: every value is a function of the series, the story and the time alone, so two
//! runs over the same days write the same samples.

use std::ops::Range;

use labels::Labels;

use crate::alerting::{ALERTS, DOWN_MS, SEVERITY};
use crate::story::Story;

const DAY_S: f64 = 86_400.0;
/// What the API runs, and what it ran in the incident.
const VERSIONS: [&str; 2] = ["1.8.2", "1.9.0"];
/// A session begins every so many ms of the explosion, and lasts so long.
const SESSION_EVERY_MS: i64 = 5_000;
const SESSION_MS: i64 = 600_000;

/// What a series does over time.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// A counter of `rate` per second by day's average, back to zero when its process restarts.
    Counter {
        rate: f64,
        /// Restarts once every this many seconds, at an offset of its own.
        restart_s: f64,
        /// In the incident the rate is this much higher, as a share of it; at least -1.
        surge: f64,
    },
    /// `base ± swing` over the day, and up to `surge` more in the incident.
    Gauge { base: f64, swing: f64, surge: f64 },
    /// 1, and 0 while its target is down.
    Up,
    /// 1.
    One,
    /// A counter that begins at its first sample.
    Session { begin_s: f64 },
}

#[derive(Debug, Clone)]
pub(crate) struct Invented {
    pub labels: Labels,
    shape: Shape,
    seed: u64,
    /// Begin and end of the incident, if it is in this cluster.
    incident_s: Option<(f64, f64)>,
    /// When it has samples; `None` = always.
    lives_ms: Option<Range<i64>>,
    /// When it has none although it lives.
    pauses_ms: Option<Range<i64>>,
    /// When its target is down.
    down_ms: Option<Range<i64>>,
}

impl Invented {
    /// Whether a scrape at `t_ms` finds it.
    pub fn is_scraped(&self, t_ms: i64) -> bool {
        let down = || self.down_ms.as_ref().is_some_and(|d| d.contains(&t_ms));
        let pauses = self.pauses_ms.as_ref().is_some_and(|p| p.contains(&t_ms));
        self.lives_ms.as_ref().is_none_or(|l| l.contains(&t_ms))
            && !pauses
            && (matches!(self.shape, Shape::Up) || !down())
    }

    /// Its values, to be asked for in order of time.
    pub fn values(&self) -> Values<'_> {
        Values { series: self, begun_s: f64::NEG_INFINITY, begun: 0.0 }
    }

    fn phase(&self) -> f64 {
        (self.seed % 1000) as f64 / 1000.0
    }

    /// What a counter that never restarts would have counted.
    fn counted(&self, t_s: f64, rate: f64, surge: f64) -> f64 {
        let total = |t_s: f64| total(t_s, rate, self.phase());
        match self.incident_s {
            Some((begin, end)) if surge != 0.0 && t_s > begin => {
                total(t_s) + surge * (total(t_s.min(end)) - total(begin))
            }
            _ => total(t_s),
        }
    }
}

/// The values of a series; keeps what is the same from one to the next.
pub(crate) struct Values<'a> {
    series: &'a Invented,
    /// The counter's latest restart, and what was counted until then.
    begun_s: f64,
    begun: f64,
}

impl Values<'_> {
    /// The value at `t_ms`, ms since the epoch.
    pub fn at(&mut self, t_ms: i64) -> f64 {
        let (series, t_s) = (self.series, t_ms as f64 / 1000.0);
        match series.shape {
            Shape::Counter { rate, restart_s, surge } => {
                let offset = restart_s * series.phase();
                let begun_s = ((t_s - offset) / restart_s).floor() * restart_s + offset;
                if begun_s != self.begun_s {
                    (self.begun_s, self.begun) = (begun_s, series.counted(begun_s, rate, surge));
                }
                (series.counted(t_s, rate, surge) - self.begun).floor()
            }
            Shape::Gauge { base, swing, surge } => {
                let day = (std::f64::consts::TAU * (t_s / DAY_S + series.phase())).sin();
                let noise = (hash(series.seed ^ (t_s / 60.0) as u64) % 1000) as f64 / 1000.0 - 0.5;
                let more = match series.incident_s {
                    Some((begin, end)) if (begin..end).contains(&t_s) => surge * (t_s - begin) / (end - begin),
                    _ => 0.0,
                };
                let value = base + swing * day + 0.1 * swing * noise + more;
                // As precise as such a thing is measured.
                if base < 1000.0 { (value * 100.0).round() / 100.0 } else { (value / 4096.0).round() * 4096.0 }
            }
            Shape::Up => f64::from(!series.down_ms.as_ref().is_some_and(|d| d.contains(&t_ms))),
            Shape::One => 1.0,
            Shape::Session { begin_s } => (t_s - begin_s).floor(),
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

/// Puts series into the fleet of a cluster.
struct Maker<'a> {
    cluster: &'static str,
    story: &'a Story,
    out: Vec<Invented>,
}

impl Maker<'_> {
    fn add(&mut self, name: &str, pairs: &[(&str, &str)], shape: Shape) -> &mut Invented {
        let labels = Labels::from_pairs(pairs.iter().copied().chain([("__name__", name)]));
        // The buckets of a histogram rise together, with its count and its sum.
        let family = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let own = pairs.iter().copied().filter(|(name, _)| *name != "le").chain([("__name__", family)]);
        let seed =
            hash(Labels::from_pairs(own).stable_hash() ^ self.cluster.bytes().fold(0, |h, b| hash(h ^ u64::from(b))));
        let incident_s = self.story.incident_s(self.cluster);
        let at = self.out.len();
        self.out.push(Invented { labels, shape, seed, incident_s, lives_ms: None, pauses_ms: None, down_ms: None });
        &mut self.out[at]
    }

    fn api(&mut self, instance: &str) {
        let (who, begin) = ([("job", "api"), ("instance", instance)], self.out.len());
        let counter = |rate: f64, surge: f64| Shape::Counter { rate, restart_s: 1.7 * DAY_S, surge };
        self.add("up", &who, Shape::Up);
        self.add("process_resident_memory_bytes", &who, Shape::Gauge { base: 3e8, swing: 5e7, surge: 4e8 });
        self.add("go_goroutines", &who, Shape::Gauge { base: 120.0, swing: 40.0, surge: 900.0 });
        self.add("process_cpu_seconds_total", &who, counter(0.4, 1.5));
        for (handler, rate) in [("/", 40.0), ("/login", 8.0), ("/cart", 15.0), ("/search", 25.0)] {
            let with = |name, value| [who[0], who[1], ("handler", handler), (name, value)];
            for (code, share, surge) in [("200", 0.97, -0.3), ("404", 0.02, 0.0), ("500", 0.01, 29.0)] {
                self.add("http_requests_total", &with("code", code), counter(rate * share, surge));
            }
            for (le, share, slow) in [
                ("0.005", 0.3, 0.05),
                ("0.01", 0.5, 0.1),
                ("0.05", 0.8, 0.25),
                ("0.1", 0.9, 0.4),
                ("0.5", 0.97, 0.7),
                ("1", 0.99, 0.85),
                ("+Inf", 1.0, 1.0),
            ] {
                let shape = counter(rate * share, slow / share - 1.0);
                self.add("http_request_duration_seconds_bucket", &with("le", le), shape);
            }
            let handler = [who[0], who[1], ("handler", handler)];
            self.add("http_request_duration_seconds_count", &handler, counter(rate, 0.0));
            self.add("http_request_duration_seconds_sum", &handler, counter(rate * 0.06, 6.0));
        }
        let incident = &self.story.incident;
        let is_here = incident.cluster == self.cluster;
        let [usual, new] = VERSIONS.map(|version| [who[0], who[1], ("version", version)]);
        let of_incident = is_here.then(|| incident.time_ms.clone());
        self.add("api_build_info", &usual, Shape::One).pauses_ms = of_incident.clone();
        self.add("api_build_info", &new, Shape::One).lives_ms = Some(of_incident.unwrap_or(0..0));
        if is_here && instance.starts_with("api-2") {
            let begun = incident.time_ms.start;
            let down = Some(begun + DOWN_MS.start..begun + DOWN_MS.end);
            self.out[begin..].iter_mut().for_each(|series| series.down_ms.clone_from(&down));
        }
    }

    fn node(&mut self, instance: &str) {
        let who = [("job", "node"), ("instance", instance)];
        let gauge = |base: f64, swing: f64, surge: f64| Shape::Gauge { base, swing, surge };
        self.add("up", &who, Shape::Up);
        self.add("node_load1", &who, gauge(2.0, 1.5, 9.0));
        self.add("node_memory_MemAvailable_bytes", &who, gauge(8e9, 2e9, -4e9));
        self.add("node_filesystem_avail_bytes", &who, gauge(4e10, 5e9, 0.0));
        for cpu in ["0", "1"] {
            for (mode, rate, surge) in
                [("idle", 0.8, -0.6), ("user", 0.12, 3.0), ("system", 0.06, 1.0), ("iowait", 0.02, 3.0)]
            {
                let pairs = [who[0], who[1], ("cpu", cpu), ("mode", mode)];
                self.add("node_cpu_seconds_total", &pairs, Shape::Counter { rate, restart_s: 1.7 * DAY_S, surge });
            }
        }
    }

    /// The alerts of the incident, as a Prometheus records them.
    fn alerts(&mut self) {
        let incident = self.story.incident.clone();
        if incident.cluster != self.cluster {
            return;
        }
        for alert in &ALERTS {
            for (state, lives_ms) in alert.states(incident.time_ms.start) {
                let own = [("alertname", alert.name), ("alertstate", state), SEVERITY];
                let pairs: Vec<_> = own.iter().chain(alert.series).copied().collect();
                self.add("ALERTS", &pairs, Shape::One).lives_ms = Some(lives_ms);
            }
        }
    }

    /// The sessions of the explosion that live in `time_ms`.
    fn sessions(&mut self, time_ms: &Range<i64>) {
        let explosion = self.story.explosion.clone();
        if explosion.cluster != self.cluster {
            return;
        }
        for begin in explosion.time_ms.step_by(SESSION_EVERY_MS as usize) {
            if begin + SESSION_MS <= time_ms.start || begin >= time_ms.end {
                continue;
            }
            let session = format!("{:016x}", hash(begin as u64));
            let pairs = [("job", "api"), ("instance", "api-1:8080"), ("session", &session)];
            let shape = Shape::Session { begin_s: begin as f64 / 1000.0 };
            self.add("http_session_requests_total", &pairs, shape).lives_ms = Some(begin..begin + SESSION_MS);
        }
    }
}

/// All series of one cluster that have samples in `time_ms`, in label order, without external labels.
pub(crate) fn fleet(cluster: &'static str, story: &Story, time_ms: &Range<i64>) -> Vec<Invented> {
    let mut maker = Maker { cluster, story, out: Vec::new() };
    ["api-0:8080", "api-1:8080", "api-2:8080"].into_iter().for_each(|instance| maker.api(instance));
    ["node-0:9100", "node-1:9100", "node-2:9100"].into_iter().for_each(|instance| maker.node(instance));
    maker.alerts();
    maker.sessions(time_ms);
    // What does not live in this time has no series.
    let lives = |lives: &Range<i64>| lives.start < time_ms.end && lives.end > time_ms.start;
    maker.out.retain(|series| series.lives_ms.as_ref().is_none_or(lives));
    maker.out.sort_by(|a, b| a.labels.cmp(&b.labels));
    maker.out
}

#[cfg(test)]
mod tests {
    use super::*;

    const END_MS: i64 = 1_795_223_720_123;

    fn all(cluster: &'static str) -> Vec<Invented> {
        fleet(cluster, &Story::of(END_MS, 90), &(END_MS - 3_600_000..END_MS))
    }

    fn of<'a>(fleet: &'a [Invented], name: &str, pairs: &[(&str, &str)]) -> &'a Invented {
        let is = |s: &&Invented| {
            s.labels.metric_name() == name && pairs.iter().all(|(name, value)| s.labels.value(name) == *value)
        };
        fleet.iter().find(is).unwrap()
    }

    #[test]
    fn values_are_a_function_of_series_and_time() {
        let (a, b) = (all("eu-1"), all("eu-1"));
        assert!(a.len() > 100 && a.windows(2).all(|w| w[0].labels < w[1].labels));
        for (x, y) in a.iter().zip(&b) {
            assert_eq!(x.values().at(END_MS).to_bits(), y.values().at(END_MS).to_bits());
        }
        assert!(a.iter().zip(all("us-1")).any(|(x, y)| x.values().at(END_MS) != y.values().at(END_MS)));
    }

    #[test]
    fn counters_rise_and_sometimes_restart_whatever_happens() {
        let story = Story::of(END_MS, 90);
        for series in fleet("eu-1", &story, &(END_MS..END_MS)) {
            if !series.labels.metric_name().ends_with("_total") {
                continue;
            }
            let (mut values, begin) = (series.values(), story.incident.time_ms.start - 2 * 86_400_000);
            let values: Vec<_> = (0..4 * 2880).map(|i| values.at(begin + i * 30_000)).collect();
            let falls = values.windows(2).filter(|w| w[1] < w[0]).count();
            assert!((1..=3).contains(&falls), "{falls} of {}", series.labels);
        }
    }

    #[test]
    fn buckets_are_cumulative_whatever_happens() {
        let story = Story::of(END_MS, 90);
        let fleet = fleet("eu-1", &story, &story.incident.time_ms);
        for t in (0..48).map(|i| story.incident.time_ms.start + i * 3_600_000 - 24 * 3_600_000) {
            let count = |le| {
                let pairs = [("handler", "/"), ("instance", "api-0:8080"), ("le", le)];
                let mut values = of(&fleet, "http_request_duration_seconds_bucket", &pairs).values();
                let before = values.at(t - 600_000);
                (before, values.at(t) - before)
            };
            let counts = ["0.005", "0.01", "0.05", "0.1", "0.5", "1", "+Inf"].map(count);
            // Each counter is a whole number of requests.
            assert!(counts.windows(2).all(|w| w[0].0 <= w[1].0 && w[0].1 <= w[1].1 + 1.0), "{counts:?}");
        }
    }

    #[test]
    fn what_the_incident_leaves_to_be_found() {
        let story = Story::of(END_MS, 90);
        let incident = &story.incident.time_ms;
        let (within, fleet) = (incident.start + 3_600_000, fleet("eu-1", &story, incident));
        let is_there = |name, pairs: &[(&str, &str)], t| of(&fleet, name, pairs).is_scraped(t);
        for (version, in_incident) in [("1.8.2", false), ("1.9.0", true)] {
            let of_version = [("version", version), ("instance", "api-0:8080")];
            assert_eq!(is_there("api_build_info", &of_version, within), in_incident);
            assert_eq!(is_there("api_build_info", &of_version, incident.end), !in_incident);
        }
        let firing = [("alertname", "ApiErrors"), ("alertstate", "firing")];
        assert!(is_there("ALERTS", &firing, within) && !is_there("ALERTS", &firing, incident.start));
        assert!(all("us-1").iter().all(|s| s.labels.metric_name() != "ALERTS"));
    }

    #[test]
    fn the_incident_shows() {
        let story = Story::of(END_MS, 90);
        let fleet = fleet("eu-1", &story, &story.incident.time_ms);
        let mut errors = of(&fleet, "http_requests_total", &[("code", "500"), ("handler", "/")]).values();
        let begin = story.incident.time_ms.start;
        let rate = |values: &mut Values<'_>, at: i64| values.at(at + 600_000) - values.at(at);
        let (before, within) = (rate(&mut errors, begin - 3_600_000), rate(&mut errors, begin + 3_600_000));
        assert!(within > 15.0 * before, "{before} before, {within} within");
        let down = begin + DOWN_MS.start;
        for (instance, is_up) in [("api-1:8080", 1.0), ("api-2:8080", 0.0)] {
            let up = of(&fleet, "up", &[("instance", instance)]);
            assert!(up.is_scraped(down) && up.values().at(down) == is_up);
            assert_eq!(of(&fleet, "go_goroutines", &[("instance", instance)]).is_scraped(down), is_up == 1.0);
        }
    }

    #[test]
    fn the_explosion_is_where_it_is() {
        let story = Story::of(END_MS, 90);
        let explosion = &story.explosion.time_ms;
        let sessions = |cluster, time: &Range<i64>| {
            let fleet = fleet(cluster, &story, time);
            fleet.iter().filter(|s| s.labels.metric_name() == "http_session_requests_total").count()
        };
        assert_eq!(sessions("us-1", explosion), 6 * 3600 / 5);
        assert_eq!(sessions("eu-1", explosion), 0);
        assert_eq!(sessions("us-1", &(explosion.start - 10_000..explosion.start)), 0);
        assert_eq!(sessions("us-1", &(explosion.start + 3_600_000..explosion.start + 3_600_001)), 120);
    }
}
