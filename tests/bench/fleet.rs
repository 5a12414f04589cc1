//! The data set: targets of 200 series each, every value drawn from a generator with a fixed seed.

use proto::prometheus_copy::Label;
use tests::remote_write::wire_labels;

/// The first tick, ms since the epoch; 123 ms off the grid of evaluations.
pub const START_MS: i64 = 1_700_006_400_123;
/// Between two ticks of a target, ms.
pub const TICK_MS: i64 = 15_000;
/// Ticks in an hour.
pub const TICKS_PER_HOUR: i64 = 240;
/// Series of a target.
pub const SERIES_PER_TARGET: usize = 200;

/// A xorshift generator.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        (0..4).for_each(|_| _ = random.next());
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        ((self.next() >> 32) * bound) >> 32
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// How a value goes on.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Up to twice this a tick.
    Counter(u64),
    /// One now and then.
    RareCounter,
    /// In hundredths, up to twice this a tick.
    Hundredths(u64),
    /// A random float a tick.
    FloatSum,
    /// A walk over whole numbers up to this.
    Whole(u64),
    /// A walk in pages.
    Pages,
    /// A walk in hundredths.
    Load,
    /// Always the same.
    Constant(f64),
}

/// One series.
#[derive(Debug, Clone)]
pub struct Series {
    /// On the wire.
    pub labels: Vec<Label>,
    kind: Kind,
    value: f64,
    random: Random,
}

impl Series {
    /// The next tick's value.
    pub fn step(&mut self) -> f64 {
        let random = &mut self.random;
        match self.kind {
            Kind::Counter(mean) => self.value += random.below(2 * mean + 1) as f64,
            Kind::RareCounter => self.value += f64::from(u8::from(random.below(20) == 0)),
            Kind::Hundredths(mean) => {
                self.value = ((self.value * 100.0).round() + random.below(2 * mean + 1) as f64) / 100.0;
            }
            Kind::FloatSum => self.value += random.unit() * 3.0,
            Kind::Whole(most) if random.below(3) == 0 => {
                self.value = (self.value + random.below(7) as f64 - 3.0).clamp(0.0, 2.0 * most as f64);
            }
            Kind::Pages if random.below(2) == 0 => {
                self.value = (self.value + (random.below(2000) as f64 - 1000.0) * 4096.0).max(1e7);
            }
            Kind::Load => {
                self.value = ((self.value * 100.0).round() + random.below(21) as f64 - 10.0).max(0.0) / 100.0;
            }
            Kind::Whole(_) | Kind::Pages | Kind::Constant(_) => {}
        }
        self.value
    }
}

/// What is scraped at once.
#[derive(Debug, Clone)]
pub struct Target {
    /// 200 of them.
    pub series: Vec<Series>,
    offset_ms: i64,
    jitter: Random,
}

impl Target {
    /// The time of a tick, ms since the epoch: one in ten a few ms late, as with real scrapes.
    pub fn time_ms(&mut self, tick: i64) -> i64 {
        let late = if self.jitter.below(10) == 0 { self.jitter.below(12) as i64 } else { 0 };
        START_MS + tick * TICK_MS + self.offset_ms + late
    }

    /// The target of this number.
    pub fn new(number: usize) -> Self {
        let mut random = Random::new(number as u64 + 1);
        let mixed = random.next();
        let service = ["api", "checkout", "cart", "search", "payments", "auth", "web", "worker"][number / 12 % 8];
        let own = [
            ("cluster", "eu-1".to_owned()),
            ("job", service.to_owned()),
            ("instance", format!("10.0.{}.{}:8080", number / 256, number % 256)),
            ("namespace", format!("ns-{}", number % 12)),
            ("pod", format!("{service}-{:08x}-{:05x}", mixed >> 32, mixed & 0xf_ffff)),
        ];
        let node = format!("node-{}", number % 40);
        let mut series = Vec::with_capacity(SERIES_PER_TARGET);
        let mut add = |name: &str, more: &[(&str, &str)], kind: Kind| {
            let pairs = own.iter().map(|(k, v)| (*k, v.as_str())).chain(more.iter().copied());
            let mut random = Random::new(((number as u64) << 20) ^ series.len() as u64 ^ 42);
            let value = match kind {
                Kind::Constant(value) => value,
                Kind::Whole(most) => random.below(most + 1) as f64,
                Kind::Pages => 2e8 + (random.below(100_000) * 4096) as f64,
                Kind::Load => random.below(400) as f64 / 100.0,
                _ => random.below(1_000_000) as f64,
            };
            let labels = wire_labels(pairs.chain([("__name__", name)]));
            series.push(Series { labels, kind, value, random });
        };
        for method in ["GET", "POST", "PUT", "DELETE"] {
            for (code, mean) in [("200", 40), ("204", 10), ("400", 0), ("404", 3), ("500", 0)] {
                let kind = if mean == 0 { Kind::RareCounter } else { Kind::Counter(mean) };
                add("http_requests_total", &[("method", method), ("code", code)], kind); // 20
            }
        }
        let bounds = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];
        for handler in ["/", "/api/v1/items", "/api/v1/cart", "/login", "/search", "/health"] {
            for (i, le) in bounds.iter().enumerate() {
                let kind = Kind::Counter(2 * (i as u64 + 1));
                add("http_request_duration_seconds_bucket", &[("handler", handler), ("le", le)], kind); // 72
            }
            add("http_request_duration_seconds_sum", &[("handler", handler)], Kind::FloatSum); // 6
            add("http_request_duration_seconds_count", &[("handler", handler)], Kind::Counter(26)); // 6
            add("http_inflight_requests", &[("handler", handler)], Kind::Whole(12)); // 6
        }
        for cpu in ["0", "1", "2", "3", "4", "5", "6", "7"] {
            for (mode, mean) in [
                ("idle", 1400),
                ("user", 60),
                ("system", 25),
                ("iowait", 5),
                ("irq", 0),
                ("softirq", 2),
                ("steal", 0),
                ("nice", 0),
            ] {
                add("node_cpu_seconds_total", &[("cpu", cpu), ("mode", mode)], Kind::Hundredths(mean)); // 64
            }
        }
        for interface in ["eth0", "eth1"] {
            add("container_network_receive_bytes_total", &[("interface", interface)], Kind::Counter(150_000)); // 2
            add("container_network_transmit_bytes_total", &[("interface", interface)], Kind::Counter(90_000)); // 2
        }
        add("process_resident_memory_bytes", &[], Kind::Pages);
        add("process_cpu_seconds_total", &[], Kind::Hundredths(120));
        add("go_goroutines", &[], Kind::Whole(300));
        add("go_memstats_alloc_bytes", &[], Kind::Pages);
        add("node_load1", &[], Kind::Load);
        add("node_load5", &[], Kind::Load);
        add("node_filesystem_avail_bytes", &[], Kind::Pages);
        add("kube_pod_info", &[("node", &node)], Kind::Constant(1.0));
        for phase in ["Pending", "Running", "Succeeded", "Failed", "Unknown"] {
            let value = f64::from(u8::from(phase == "Running"));
            add("kube_pod_status_phase", &[("phase", phase)], Kind::Constant(value)); // 5
        }
        add("up", &[], Kind::Constant(1.0));
        while series.len() < SERIES_PER_TARGET {
            let item = format!("item-{}", series.len());
            let mut random = Random::new(series.len() as u64);
            let pairs = own.iter().map(|(k, v)| (*k, v.as_str()));
            let labels = wire_labels(pairs.chain([("__name__", "app_queue_length"), ("queue", item.as_str())]));
            let value = random.below(20) as f64;
            series.push(Series { labels, kind: Kind::Whole(20), value, random });
        }
        Self { series, offset_ms: (mixed % TICK_MS as u64) as i64, jitter: Random::new(mixed) }
    }
}
