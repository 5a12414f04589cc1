//! What is counted, under Prometheus' names.

use std::sync::Arc;

use parking_lot::Mutex;
use telemetry::{Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, Metrics};

use wal::Position;

use super::config::QueueConfig;
use super::rows::Counts;

const OF: &[&str] = &["remote_name", "url"];
/// Of what reads the log: Prometheus calls the queue so there.
const READER: &[&str] = &["consumer", "url"];
const WHY: &[&str] = &["remote_name", "url", "reason"];

/// Floats, histograms and exemplars.
type Three<T> = [T; 3];

/// The metrics of all queues.
#[derive(Debug, Clone)]
pub(super) struct SendMetrics {
    sent: Three<CounterVec>,
    failed: Three<CounterVec>,
    retried: Three<CounterVec>,
    dropped: Three<CounterVec>,
    pending: Three<GaugeVec>,
    counters: [(&'static str, CounterVec); 10],
    gauges: [(&'static str, GaugeVec); 10],
    duration: HistogramVec,
    taken_in: TakenIn,
    pub highest_timestamp: Gauge,
    pub series: Gauge,
    pub symbols: Gauge,
}

/// What came into the log, by kind: counted when the first queue reads it.
#[derive(Debug, Clone)]
struct TakenIn {
    counters: Three<Counter>,
    until: Arc<Mutex<Position>>,
}

/// The metrics of one queue.
#[derive(Debug, Clone)]
pub(super) struct QueueMetrics {
    sent: Three<Counter>,
    failed: Three<Counter>,
    retried: Three<Counter>,
    dropped: Three<CounterVec>,
    pending: Three<Gauge>,
    taken_in: TakenIn,
    pub enqueue_retries: Counter,
    pub bytes: Counter,
    pub metadata_sent: Counter,
    pub metadata_failed: Counter,
    pub metadata_retried: Counter,
    pub metadata_bytes: Counter,
    pub without_metadata: Counter,
    pub records: Counter,
    pub corruptions: Counter,
    pub log_cut: Counter,
    pub highest_sent: Gauge,
    pub highest: Gauge,
    pub shards: Gauge,
    pub shards_desired: Gauge,
    pub segment: Gauge,
    pub lag_bytes: Gauge,
    pub duration: Histogram,
    names: [String; 2],
}

impl SendMetrics {
    pub fn new(m: &Metrics) -> Self {
        let three = |what: &str, help: &str| {
            ["samples", "histograms", "exemplars"].map(|kind| {
                m.counters(&format!("prometheus_remote_storage_{kind}_{what}"), &format!("{kind}: {help}"), OF)
            })
        };
        let dropped = ["samples", "histograms", "exemplars"].map(|kind| {
            let name = format!("prometheus_remote_storage_{kind}_dropped_total");
            m.counters(&name, &format!("{kind}: read from the log and not sent, by reason."), WHY)
        });
        let pending = ["samples", "histograms", "exemplars"].map(|kind| {
            let name = format!("prometheus_remote_storage_{kind}_pending");
            m.gauges(&name, &format!("{kind}: read from the log, and not sent yet."), OF)
        });
        let counter = |name: &'static str, help| (name, m.counters(name, help, OF));
        let gauge = |name: &'static str, help| (name, m.gauges(name, help, OF));
        let reader = |name: &'static str, help| (name, m.counters(name, help, READER));
        Self {
            sent: three("total", "sent."),
            failed: three("failed_total", "refused by the remote storage, or taken in part; not sent again."),
            retried: three("retried_total", "in requests that failed and are sent again."),
            dropped,
            pending,
            counters: [
                counter("prometheus_remote_storage_enqueue_retries_total", "Times that the queue of a shard was full."),
                counter("prometheus_remote_storage_bytes_total", "Bytes of samples sent, after compression."),
                counter("prometheus_remote_storage_metadata_total", "Entries of metadata sent."),
                counter("prometheus_remote_storage_metadata_failed_total", "Entries of metadata refused."),
                counter("prometheus_remote_storage_metadata_retried_total", "Entries of metadata sent again."),
                counter("prometheus_remote_storage_metadata_bytes_total", "Bytes of metadata sent, after compression."),
                counter(
                    "aion_remote_write_samples_without_metadata_total",
                    "Samples sent without metadata, with version 2.0.",
                ),
                reader("prometheus_wal_watcher_records_read_total", "Records read from the log."),
                reader("prometheus_wal_watcher_record_decode_failures_total", "Places of the log that cannot be read."),
                counter(
                    "aion_remote_write_log_cut_total",
                    "Times that the log had been cut before it was read: samples were not sent.",
                ),
            ],
            gauges: [
                gauge(
                    "prometheus_remote_storage_queue_highest_sent_timestamp_seconds",
                    "The newest timestamp that was sent.",
                ),
                gauge("prometheus_remote_storage_shards", "Senders that work side by side."),
                gauge("prometheus_remote_storage_shards_desired", "Senders that the load asks for."),
                {
                    let name = "prometheus_wal_watcher_current_segment";
                    (name, m.gauges(name, "The segment of the log that is read.", READER))
                },
                gauge("aion_remote_write_log_behind_bytes", "Bytes of the log that are not read yet."),
                gauge("prometheus_remote_storage_shards_max", "Most senders."),
                gauge("prometheus_remote_storage_shards_min", "Fewest senders."),
                gauge("prometheus_remote_storage_shard_capacity", "Samples that may wait for a sender."),
                gauge("prometheus_remote_storage_max_samples_per_send", "Most samples of a request."),
                gauge(
                    "prometheus_remote_storage_queue_highest_timestamp_seconds",
                    "The newest timestamp that was put into the queue.",
                ),
            ],
            taken_in: TakenIn {
                counters: ["samples", "histograms", "exemplars"].map(|kind| {
                    let name = format!("prometheus_remote_storage_{kind}_in_total");
                    m.counter(&name, &format!("{kind}: read from the log, each counted once for all queues."))
                }),
                until: Arc::default(),
            },
            duration: m.histograms(
                "prometheus_remote_storage_sent_batch_duration_seconds",
                "Time of requests to the remote storage.",
                OF,
                &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 120.0, 300.0],
            ),
            series: m.gauge("aion_remote_write_series", "Series whose labels are known for all queues."),
            symbols: m.gauge("aion_remote_write_symbols", "Texts that the labels of these series are made of."),
            highest_timestamp: m.gauge(
                "prometheus_remote_storage_highest_timestamp_in_seconds",
                "The newest timestamp that was stored here.",
            ),
        }
    }

    pub fn of(&self, config: &QueueConfig) -> QueueMetrics {
        let names = [config.shown_name(), config.shown_url()];
        let values = [names[0].as_str(), names[1].as_str()];
        let counter = |n: usize| self.counters[n].1.with(&values);
        let gauge = |n: usize| self.gauges[n].1.with(&values);
        let counters = |three: &Three<CounterVec>| [0, 1, 2].map(|n| three[n].with(&values));
        gauge(5).set(config.max_shards as f64);
        gauge(6).set(config.min_shards as f64);
        gauge(7).set(config.capacity as f64);
        gauge(8).set(config.max_samples_per_send as f64);
        QueueMetrics {
            sent: counters(&self.sent),
            failed: counters(&self.failed),
            retried: counters(&self.retried),
            dropped: self.dropped.clone(),
            pending: [0, 1, 2].map(|n| self.pending[n].with(&values)),
            taken_in: self.taken_in.clone(),
            enqueue_retries: counter(0),
            bytes: counter(1),
            metadata_sent: counter(2),
            metadata_failed: counter(3),
            metadata_retried: counter(4),
            metadata_bytes: counter(5),
            without_metadata: counter(6),
            records: counter(7),
            corruptions: counter(8),
            log_cut: counter(9),
            highest_sent: gauge(0),
            highest: gauge(9),
            shards: gauge(1),
            shards_desired: gauge(2),
            segment: gauge(3),
            lag_bytes: gauge(4),
            duration: self.duration.with(&values),
            names,
        }
    }

    /// Forgets a queue that is gone.
    pub fn forget(&self, of: &QueueMetrics) {
        let values = [of.names[0].as_str(), of.names[1].as_str()];
        for family in self.sent.iter().chain(&self.failed).chain(&self.retried) {
            family.remove(&values);
        }
        for (_, family) in &self.counters {
            family.remove(&values);
        }
        for family in self.gauges.iter().map(|(_, family)| family).chain(&self.pending) {
            family.remove(&values);
        }
        for family in &self.dropped {
            for reason in Reason::ALL {
                family.remove(&[values[0], values[1], reason.as_str()]);
            }
        }
        self.duration.remove(&values);
    }
}

/// Why a row is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    TooOld,
    Relabelled,
    UnknownSeries,
    CustomBuckets,
}

impl Reason {
    const ALL: [Self; 4] = [Self::TooOld, Self::Relabelled, Self::UnknownSeries, Self::CustomBuckets];

    fn as_str(self) -> &'static str {
        match self {
            Self::TooOld => "too_old",
            Self::Relabelled => "dropped_series",
            Self::UnknownSeries => "unintentionally_dropped_series",
            Self::CustomBuckets => "nhcb_not_supported",
        }
    }
}

impl QueueMetrics {
    /// Counts what a piece of the log that ends at `end` has, unless another queue has read it before.
    pub fn came(&self, end: Position, counts: Counts) {
        let mut until = self.taken_in.until.lock();
        if end > *until {
            *until = end;
            add(&self.taken_in.counters, counts);
        }
    }

    pub fn sent(&self, counts: Counts) {
        add(&self.sent, counts);
    }

    pub fn failed(&self, counts: Counts) {
        add(&self.failed, counts);
    }

    pub fn retried(&self, counts: Counts) {
        add(&self.retried, counts);
    }

    pub fn dropped(&self, reason: Reason, counts: Counts) {
        for (family, count) in self.dropped.iter().zip([counts.floats, counts.histograms, counts.exemplars]) {
            if count > 0 {
                family.with(&[&self.names[0], &self.names[1], reason.as_str()]).inc_by(count);
            }
        }
    }

    /// Rows that wait, of all kinds together: how many there are of each is not counted.
    pub fn pending(&self, rows: usize) {
        self.pending[0].set(rows as f64);
    }
}

fn add(three: &Three<Counter>, counts: Counts) {
    for (counter, count) in three.iter().zip([counts.floats, counts.histograms, counts.exemplars]) {
        counter.inc_by(count);
    }
}
