//! Keeps the process within its memory: near the limit new series are refused first, and what exploded is named.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::ByteSize;
use storage::Budget;
use telemetry::{Gauge, Metrics};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::memory::used_bytes;

/// How often memory is looked at. The head grows by no more than some ten megabytes meanwhile.
const INTERVAL: Duration = Duration::from_millis(250);
/// Of the limit, in percent: above it new series are refused. Less where queries may take more than the rest.
const REFUSE_ABOVE: u64 = 90;
/// The least share that series have, in percent, however much queries may take.
const REFUSE_ABOVE_MIN: u64 = 40;
/// So much below, in percent of the limit, new series are taken again.
const TAKE_AGAIN: u64 = 5;
/// Above this share of the limit, in percent, the values of labels are counted now and then, to know later which grew.
const COUNT_ABOVE: u64 = 50;
/// Looks from one count to the next.
const COUNT_EVERY: u32 = 240;

/// What the guard acts on.
pub trait Growing: std::fmt::Debug + Send + Sync {
    /// Refuses new series for this reason, or takes them again.
    fn refuse_new_series(&self, why: Option<String>);

    /// The metric that grew most since this was asked last, and by how many series.
    fn fastest_growing_metric(&self) -> Option<(String, usize)>;

    /// How many values each label has.
    fn label_values(&self) -> HashMap<String, u64>;
}

/// Watches the memory of the process.
#[derive(Debug)]
pub struct Guard {
    limit_bytes: u64,
    refuse_above: u64,
    root: PathBuf,
    head: Arc<dyn Growing>,
    queries: Arc<Budget>,
    refusing: Gauge,
    seen: Seen,
}

/// What was seen at the looks so far.
#[derive(Debug, Default)]
struct Seen {
    refusing: bool,
    /// Values of labels as they were counted last.
    label_values: HashMap<String, u64>,
    /// Looks until they are counted again.
    count_in: u32,
}

impl Guard {
    /// A guard over a limit, 0 = none, of which queries may take `queries_max_bytes`, 0 = all. `root` is where `proc` is found.
    pub fn new(
        limit_bytes: u64,
        queries_max_bytes: u64,
        root: PathBuf,
        head: Arc<dyn Growing>,
        queries: Arc<Budget>,
        metrics: &Metrics,
    ) -> Self {
        let limit = metrics.gauge("aion_memory_limit_bytes", "Most memory that the server may use, 0 without a limit.");
        limit.set(limit_bytes as f64);
        let refusing = metrics
            .gauge("aion_head_refuses_new_series", "Whether new series are refused, since memory is near its limit.");
        let queries_share = queries_max_bytes.saturating_mul(100) / limit_bytes.max(1);
        let refuse_above = 100_u64.saturating_sub(queries_share).clamp(REFUSE_ABOVE_MIN, REFUSE_ABOVE);
        Self { limit_bytes, refuse_above, root, head, queries, refusing, seen: Seen::default() }
    }

    /// Watches until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        if self.limit_bytes == 0 {
            return shutdown.cancelled().await;
        }
        while shutdown.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
            self.look();
        }
    }

    /// One look.
    fn look(&mut self) {
        let used = used_bytes(&self.root);
        // What queries hold comes back by itself: it must not shut out series. What they may hold is kept free.
        let lasting = used.saturating_sub(self.queries.used_bytes());
        let percent = lasting.saturating_mul(100) / self.limit_bytes.max(1);
        match (self.seen.refusing, percent) {
            (false, percent) if percent >= self.refuse_above => {
                let grew = self.fastest_growing().unwrap_or_else(|| "not known".to_owned());
                let (used, limit) = (ByteSize(used).to_string(), ByteSize(self.limit_bytes).to_string());
                warn!(
                    used,
                    limit,
                    grew,
                    "memory is near its limit: new series are refused, known ones go on; raise --limits.memory or drop \
                     the label with metric_relabel_configs"
                );
                let why = format!("memory is near its limit of {limit} (--limits.memory)");
                self.head.refuse_new_series(Some(why));
                self.refusing.set(1.0);
                self.seen.refusing = true;
            }
            (true, percent) if percent < self.refuse_above - TAKE_AGAIN => {
                info!("memory is well below its limit again: new series are taken");
                self.head.refuse_new_series(None);
                self.refusing.set(0.0);
                self.seen.refusing = false;
            }
            (false, percent) if percent >= COUNT_ABOVE => match self.seen.count_in {
                0 => (self.seen.label_values, self.seen.count_in) = (self.head.label_values(), COUNT_EVERY),
                _ => self.seen.count_in -= 1,
            },
            _ => {}
        }
    }

    /// The metric with the most new series and the label with the most new values, with figures.
    fn fastest_growing(&self) -> Option<String> {
        let (metric, series) = self.head.fastest_growing_metric()?;
        let before = |label: &String| self.seen.label_values.get(label).copied().unwrap_or(0);
        let new = self.head.label_values().into_iter().map(|(label, now)| (now.saturating_sub(before(&label)), label));
        let label = new.max().filter(|(new, _)| *new > 0);
        let label = label.map(|(new, label)| format!(", label {label}: {new} new values")).unwrap_or_default();
        Some(format!("metric {metric}: {series} new series{label}"))
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[derive(Debug, Default)]
    struct Head(Mutex<Vec<Option<String>>>, Mutex<HashMap<String, u64>>);

    impl Growing for Head {
        fn refuse_new_series(&self, why: Option<String>) {
            self.0.lock().push(why);
        }

        fn fastest_growing_metric(&self) -> Option<(String, usize)> {
            Some(("large".to_owned(), 40))
        }

        fn label_values(&self) -> HashMap<String, u64> {
            self.1.lock().clone()
        }
    }

    #[test]
    fn refuses_near_the_limit_and_takes_again_well_below() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("proc/self")).unwrap();
        let (head, queries) = (Arc::new(Head::default()), Budget::unlimited());
        let mut guard = Guard::new(1 << 20, 0, dir.path().to_owned(), head.clone(), queries.clone(), &Metrics::new());
        let mut look = |kib: u64| {
            std::fs::write(dir.path().join("proc/self/status"), format!("RssAnon:\t{kib} kB\n")).unwrap();
            guard.look();
            guard.seen.refusing
        };
        assert_eq!([look(900), look(930), look(900), look(860)], [false, true, true, false]);
        let _held = queries.reserve(200 << 10).unwrap();
        assert!(!look(1000), "what queries hold does not count");
        let told = head.0.lock();
        assert_eq!(told.len(), 2);
        assert!(told[0].as_ref().unwrap().contains("1MiB (--limits.memory)") && told[1].is_none());
    }

    #[test]
    fn what_queries_may_hold_is_kept_free() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("proc/self")).unwrap();
        let (head, queries) = (Arc::new(Head::default()), Budget::unlimited());
        let mut guard = Guard::new(1 << 20, 307 << 10, dir.path().to_owned(), head, queries, &Metrics::new());
        let mut look = |kib: u64| {
            std::fs::write(dir.path().join("proc/self/status"), format!("RssAnon:\t{kib} kB\n")).unwrap();
            guard.look();
            guard.seen.refusing
        };
        assert_eq!([look(720), look(740), look(720), look(670)], [false, true, true, false]);
    }

    #[test]
    fn names_the_metric_and_the_label_that_grew() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("proc/self")).unwrap();
        let (head, queries) = (Arc::new(Head::default()), Budget::unlimited());
        let mut guard = Guard::new(1 << 20, 0, dir.path().to_owned(), head.clone(), queries, &Metrics::new());
        let values = |list: &[(&str, u64)]| list.iter().map(|(label, count)| ((*label).to_owned(), *count)).collect();
        *head.1.lock() = values(&[("pod", 1000), ("user", 10)]);
        std::fs::write(dir.path().join("proc/self/status"), "RssAnon:\t600 kB\n").unwrap();
        guard.look();
        *head.1.lock() = values(&[("pod", 1001), ("user", 60)]);
        let told = guard.fastest_growing();
        assert_eq!(told.as_deref(), Some("metric large: 40 new series, label user: 50 new values"));
    }
}
