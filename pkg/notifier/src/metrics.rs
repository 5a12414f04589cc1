//! What is counted, under Prometheus' names.

use telemetry::{Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, Metrics, Summary, SummaryVec};

#[derive(Debug, Clone)]
pub(crate) struct NotifierMetrics {
    latency: SummaryVec,
    latency_spread: HistogramVec,
    thanos: Option<Thanos>,
    errors: CounterVec,
    sent: CounterVec,
    dropped: CounterVec,
    queue_length: GaugeVec,
    pub discovered: Gauge,
    /// Alerts that no Alertmanager was there for.
    pub without_alertmanager: Counter,
}

/// The metrics of one Alertmanager.
#[derive(Debug, Clone)]
pub(crate) struct EndpointMetrics {
    latency: Summary,
    latency_spread: Histogram,
    errors: Counter,
    sent: Counter,
    dropped: Counter,
    pub queue_length: Gauge,
    thanos: Option<ThanosEndpoint>,
}

/// The same under the names of Thanos' ruler.
#[derive(Debug, Clone)]
struct Thanos {
    sent: CounterVec,
    errors: CounterVec,
    dropped: Counter,
    pushed_out: Counter,
    latency: HistogramVec,
}

#[derive(Debug, Clone)]
struct ThanosEndpoint {
    sent: Counter,
    errors: Counter,
    dropped: Counter,
    pushed_out: Counter,
    latency: Histogram,
}

impl Thanos {
    fn new(m: &Metrics) -> Self {
        Self {
            sent: m.counters(
                "thanos_alert_sender_alerts_sent_total",
                "Total number of alerts sent by alertmanager.",
                OF,
            ),
            errors: m.counters(
                "thanos_alert_sender_errors_total",
                "Total number of errors while sending alerts to alertmanager.",
                OF,
            ),
            dropped: m.counter(
                "thanos_alert_sender_alerts_dropped_total",
                "Total number of alerts that an alertmanager will not get.",
            ),
            pushed_out: m.counter(
                "thanos_alert_queue_alerts_dropped_total",
                "Total number of alerts that an alertmanager will not get since its queue was full.",
            ),
            latency: m.histograms(
                "thanos_alert_sender_latency_seconds",
                "Latency for sending alert notifications (not including dropped notifications).",
                OF,
                &[0.01, 0.1, 1.0, 10.0],
            ),
        }
    }

    fn of(&self, url: &str) -> ThanosEndpoint {
        ThanosEndpoint {
            sent: self.sent.with(&[url]),
            errors: self.errors.with(&[url]),
            dropped: self.dropped.clone(),
            pushed_out: self.pushed_out.clone(),
            latency: self.latency.with(&[url]),
        }
    }

    fn forget(&self, url: &str) {
        self.sent.remove(&[url]);
        self.errors.remove(&[url]);
        self.latency.remove(&[url]);
    }
}

impl EndpointMetrics {
    /// Notes the time of a request.
    pub fn answered(&self, seconds: f64) {
        self.latency.observe(seconds);
        self.latency_spread.observe(seconds);
        if let Some(thanos) = &self.thanos {
            thanos.latency.observe(seconds);
        }
    }

    /// Notes alerts that were taken.
    pub fn sent(&self, alerts: u64) {
        self.sent.inc_by(alerts);
        if let Some(thanos) = &self.thanos {
            thanos.sent.inc_by(alerts);
        }
    }

    /// Notes a request that failed.
    pub fn failed(&self, alerts: u64) {
        self.errors.inc_by(alerts);
        if let Some(thanos) = &self.thanos {
            thanos.errors.inc();
        }
    }

    /// Notes alerts that are given up.
    pub fn dropped(&self, alerts: u64) {
        self.dropped.inc_by(alerts);
        if let Some(thanos) = &self.thanos {
            thanos.dropped.inc_by(alerts);
        }
    }

    /// Notes alerts that are given up since the queue was full.
    pub fn pushed_out(&self, alerts: u64) {
        self.dropped(alerts);
        if let Some(thanos) = &self.thanos {
            thanos.pushed_out.inc_by(alerts);
        }
    }
}

const OF: &[&str] = &["alertmanager"];

impl NotifierMetrics {
    pub fn new(m: &Metrics, capacity: usize, thanos: bool) -> Self {
        m.gauge("prometheus_notifications_queue_capacity", "Alerts that may wait for one Alertmanager.")
            .set(capacity as f64);
        Self {
            thanos: thanos.then(|| Thanos::new(m)),
            latency: m.summaries(
                "prometheus_notifications_latency_seconds",
                "Time of requests to Alertmanagers.",
                OF[0],
            ),
            latency_spread: m.histograms(
                "prometheus_notifications_latency_histogram_seconds",
                "Time of requests to Alertmanagers, by length.",
                OF,
                &[0.01, 0.1, 1.0, 10.0],
            ),
            errors: m.counters(
                "prometheus_notifications_errors_total",
                "Alerts in requests to Alertmanagers that failed; one that is sent again counts again.",
                OF,
            ),
            sent: m.counters("prometheus_notifications_sent_total", "Alerts that an Alertmanager has taken.", OF),
            dropped: m.counters(
                "prometheus_notifications_dropped_total",
                "Alerts that an Alertmanager will not get: it refused them, its queue was full, or they were out of date.",
                OF,
            ),
            queue_length: m.gauges("prometheus_notifications_queue_length", "Alerts that wait.", OF),
            discovered: m.gauge(
                "prometheus_notifications_alertmanagers_discovered",
                "The number of alertmanagers discovered and active.",
            ),
            without_alertmanager: m.counter(
                "aion_notifications_without_alertmanager_total",
                "Alerts that came while no Alertmanager was known, though some are configured.",
            ),
        }
    }

    pub fn of(&self, url: &str) -> EndpointMetrics {
        EndpointMetrics {
            thanos: self.thanos.as_ref().map(|thanos| thanos.of(url)),
            latency: self.latency.with(url),
            latency_spread: self.latency_spread.with(&[url]),
            errors: self.errors.with(&[url]),
            sent: self.sent.with(&[url]),
            dropped: self.dropped.with(&[url]),
            queue_length: self.queue_length.with(&[url]),
        }
    }

    pub fn forget(&self, url: &str) {
        self.thanos.iter().for_each(|thanos| thanos.forget(url));
        self.latency.remove(url);
        self.latency_spread.remove(&[url]);
        self.errors.remove(&[url]);
        self.sent.remove(&[url]);
        self.dropped.remove(&[url]);
        self.queue_length.remove(&[url]);
    }
}
