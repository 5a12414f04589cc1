//! What is counted, under Prometheus' names where it counts it.

use std::time::Duration;

use telemetry::{Counter, CounterVec, GaugeVec, HistogramVec};

use crate::config::Role;
use crate::objects::Resource;

/// Metrics of all discovery in clusters.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    events: CounterVec,
    pub(crate) failures: Counter,
    requests: CounterVec,
    durations: HistogramVec,
    queued: CounterVec,
    held: GaugeVec,
    watches: GaugeVec,
}

/// What happened to an object.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    Add,
    Update,
    Delete,
}

impl Event {
    fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

impl Metrics {
    pub(crate) fn new(metrics: &telemetry::Metrics) -> Self {
        let events =
            metrics.counters("prometheus_sd_kubernetes_events_total", "Events of watched objects.", &["role", "event"]);
        let queued = metrics.counters(
            "prometheus_sd_kubernetes_workqueue_items_total",
            "Objects whose targets were looked at anew.",
            &["queue_name"],
        );
        for role in Role::ALL {
            for event in [Event::Add, Event::Update, Event::Delete] {
                events.with(&[role.as_str(), event.as_str()]);
            }
        }
        Self {
            events,
            failures: metrics.counter("prometheus_sd_kubernetes_failures_total", "Lists and watches that failed."),
            requests: metrics.counters(
                "prometheus_sd_kubernetes_http_request_total",
                "Requests to API servers by status code; <error> where there was no answer.",
                &["status_code"],
            ),
            // Prometheus has a summary without quantiles here: sum and count are the same.
            durations: metrics.histograms(
                "prometheus_sd_kubernetes_http_request_duration_seconds",
                "Time until the headers of an answer were there, by path.",
                &["endpoint"],
                &[],
            ),
            queued,
            held: metrics.gauges("aion_sd_kubernetes_objects", "Objects held in memory.", &["resource"]),
            watches: metrics.gauges("aion_sd_kubernetes_watches", "Watches that run.", &["resource"]),
        }
    }

    /// Counts an event. Those of resources that are no role are not counted, as in Prometheus.
    pub(crate) fn event(&self, resource: Resource, event: Event) {
        if let Some(role) = resource.role() {
            self.events.with(&[role.as_str(), event.as_str()]).inc();
        }
    }

    /// Counts a request that was answered with this status, or was not answered, after a time.
    pub(crate) fn request(&self, path: &str, status: Option<u16>, took: Duration) {
        let code = status.map_or_else(|| "<error>".to_owned(), |status| status.to_string());
        self.requests.with(&[&code]).inc();
        self.durations.with(&[path]).observe(took.as_secs_f64());
    }

    pub(crate) fn queued(&self, role: Role, objects: usize) {
        self.queued.with(&[role.as_str()]).inc_by(objects as u64);
    }

    /// Objects that came or, below zero, went.
    pub(crate) fn held(&self, resource: Resource, more: i64) {
        self.held.with(&[resource.plural()]).inc_by(more as f64);
    }

    /// Watches that began or, below zero, ended.
    pub(crate) fn watches(&self, resource: Resource, more: i64) {
        self.watches.with(&[resource.plural()]).inc_by(more as f64);
    }
}
